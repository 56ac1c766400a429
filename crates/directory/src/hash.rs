//! Password hashes: argon2id for new ones (RFC 9106), and what crypt(3) wrote before.
//!
//! A hash is checked in full when it is parsed, so that a typing error shows when the table is
//! read and not at a login, and so that no hash can ask for more memory or time than the bounds
//! here. `Debug` shows the scheme only.

use std::fmt;

use argon2::{Algorithm, Argon2, PasswordHasher, PasswordVerifier, Version};

/// Parameters of new hashes: 19 MiB, two passes, one lane (OWASP Password Storage Cheat Sheet).
const NEW_MEMORY_KIB: u32 = 19 * 1024;
const NEW_PASSES: u32 = 2;
const NEW_LANES: u32 = 1;
/// The most memory that one hash may ask for.
const MAX_MEMORY_KIB: u64 = 128 * 1024;
/// The most argon2 passes and lanes.
const MAX_PASSES: u32 = 32;
const MAX_LANES: u32 = 16;
/// The most rounds of sha256-crypt and sha512-crypt: about a second.
const MAX_ROUNDS: u32 = 2_000_000;
/// Longer passwords are wrong. The time of sha-crypt grows with the square of the length.
const MAX_PASSWORD: usize = 1024;

/// A hash of a random password, with the parameters of new hashes.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$cG9zdGhvdXNlLm5vYm9keQ$\
                      u1ImcXSMu5eYcbGa9d9bVzF1ZLHH8nGdkDO1ilr9y0A";

/// How a password is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `$argon2id$`
    Argon2id,
    /// `$6$`
    Sha512Crypt,
    /// `$5$`
    Sha256Crypt,
    /// `$y$`
    Yescrypt,
    /// `*` or `!…`: no password is right.
    Locked,
}

/// A checked password hash.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    scheme: Scheme,
    text: Box<str>,
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordHash({:?})", self.scheme)
    }
}

impl PasswordHash {
    /// Checks a hash as a table has it. A Dovecot scheme prefix such as `{ARGON2ID}` is dropped.
    ///
    /// # Errors
    /// Says what is wrong with it, without showing it.
    pub fn parse(text: &str) -> Result<Self, HashError> {
        if text.is_empty() {
            return Err(HashError::Empty);
        }
        let text = without_prefix(text)?;
        let scheme = match text {
            _ if text == "*" || text.starts_with('!') => Scheme::Locked,
            _ if text.starts_with("$argon2id$") => check_argon2id(text)?,
            _ if text.starts_with("$6$") => check_sha_crypt(text, Scheme::Sha512Crypt, 86)?,
            _ if text.starts_with("$5$") => check_sha_crypt(text, Scheme::Sha256Crypt, 43)?,
            _ if text.starts_with("$y$") => check_yescrypt(text)?,
            _ => return Err(HashError::Scheme),
        };
        Ok(Self {
            scheme,
            text: text.into(),
        })
    }

    /// The hash of no password.
    #[must_use]
    pub fn locked() -> Self {
        Self {
            scheme: Scheme::Locked,
            text: "*".into(),
        }
    }

    /// A hash that is only there to be checked against, so that an unknown user takes the time
    /// of a known one.
    #[must_use]
    pub fn nobody() -> Self {
        Self {
            scheme: Scheme::Argon2id,
            text: NOBODY.into(),
        }
    }

    /// Hashes a new password with argon2id and a random salt.
    ///
    /// # Errors
    /// When the password is empty, too long or has a control character, or the system gives no
    /// random numbers or memory.
    pub fn make(password: &str) -> Result<Self, HashError> {
        if password.is_empty() || password.len() > MAX_PASSWORD {
            return Err(HashError::PasswordLength);
        }
        if password.chars().any(char::is_control) {
            return Err(HashError::PasswordCharacter);
        }
        let params = argon2::Params::new(NEW_MEMORY_KIB, NEW_PASSES, NEW_LANES, None);
        let params = params.map_err(|error| HashError::System(error.to_string()))?;
        let hash = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password(password.as_bytes())
            .map_err(|error| HashError::System(error.to_string()))?;
        Ok(Self {
            scheme: Scheme::Argon2id,
            text: hash.to_string().into(),
        })
    }

    /// How the password is hashed.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The hash as a table writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What decides how long a check takes: everything before salt and hash.
    pub(crate) fn cost(&self) -> &str {
        let dollar = match self.scheme {
            Scheme::Argon2id => 3,
            Scheme::Yescrypt => 2,
            Scheme::Sha512Crypt | Scheme::Sha256Crypt => {
                1 + usize::from(self.text.contains("$rounds="))
            }
            Scheme::Locked => return "",
        };
        let end = self.text.match_indices('$').nth(dollar);
        &self.text[..end.map_or(self.text.len(), |(at, _)| at)]
    }

    /// Whether the password is right. Takes tens of milliseconds and up to 128 MiB.
    ///
    /// # Errors
    /// When it could not be computed: there is no memory.
    pub fn verify(&self, password: &[u8]) -> Result<bool, VerifyError> {
        let within = &password[..password.len().min(MAX_PASSWORD)];
        let result = match self.scheme {
            Scheme::Argon2id => {
                let hash = argon2::PasswordHash::new(&self.text).map_err(|_| VerifyError)?;
                Argon2::default().verify_password(within, &hash)
            }
            Scheme::Sha512Crypt | Scheme::Sha256Crypt => {
                sha_crypt::ShaCrypt::default().verify_password(within, &*self.text)
            }
            Scheme::Yescrypt => yescrypt::Yescrypt::default().verify_password(within, &*self.text),
            Scheme::Locked => return Ok(false),
        };
        match result {
            Ok(()) => Ok(password.len() <= MAX_PASSWORD),
            Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
            Err(_) => Err(VerifyError),
        }
    }
}

/// Dovecot writes `{SCHEME}hash`; the schemes known here name themselves in the hash.
fn without_prefix(text: &str) -> Result<&str, HashError> {
    let Some((scheme, hash)) = text.strip_prefix('{').and_then(|text| text.split_once('}')) else {
        return Ok(text);
    };
    let known = ["ARGON2ID", "SHA512-CRYPT", "SHA256-CRYPT", "CRYPT"];
    if known.iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        Ok(hash)
    } else {
        Err(HashError::Scheme)
    }
}

fn check_argon2id(text: &str) -> Result<Scheme, HashError> {
    let hash = argon2::PasswordHash::new(text).map_err(|_| HashError::Form)?;
    let params = argon2::Params::try_from(&hash).map_err(|_| HashError::Form)?;
    let salt = hash
        .salt
        .is_some_and(|salt| salt.len() >= argon2::MIN_SALT_LEN);
    let version = hash
        .version
        .is_none_or(|version| Version::try_from(version).is_ok());
    if !salt || !version || hash.hash.is_none_or(|output| output.len() < 16) {
        return Err(HashError::Form);
    }
    let costly = u64::from(params.m_cost()) > MAX_MEMORY_KIB
        || params.t_cost() > MAX_PASSES
        || params.p_cost() > MAX_LANES;
    within_bounds(!costly, Scheme::Argon2id)
}

/// `$6$[rounds=N$]salt$hash`
fn check_sha_crypt(text: &str, scheme: Scheme, length: usize) -> Result<Scheme, HashError> {
    let mut fields = text[3..].split('$').peekable();
    let rounds = fields.next_if(|field| field.starts_with("rounds="));
    let (Some(salt), Some(hash), None) = (fields.next(), fields.next(), fields.next()) else {
        return Err(HashError::Form);
    };
    if salt.len() > 16 || !is_crypt64(salt) || hash.len() != length || !is_whole_crypt64(hash) {
        return Err(HashError::Form);
    }
    let Some(rounds) = rounds else {
        return Ok(scheme);
    };
    let rounds = rounds["rounds=".len()..].parse::<u32>();
    let rounds = rounds.map_err(|_| HashError::Form)?;
    if rounds < sha_crypt::Params::ROUNDS_MIN {
        return Err(HashError::Form);
    }
    within_bounds(rounds <= MAX_ROUNDS, scheme)
}

/// `$y$j..$salt$hash`: only the parameters that crypt(3) writes, which are flavour, N and r in
/// one character each.
fn check_yescrypt(text: &str) -> Result<Scheme, HashError> {
    let fields: Vec<&str> = text[3..].split('$').collect();
    let &[params, salt, hash] = fields.as_slice() else {
        return Err(HashError::Form);
    };
    // An empty hash would equal the empty prefix of any computed one.
    let well_formed = params.len() == 3
        && params.starts_with('j')
        && (1..=86).contains(&salt.len())
        && is_whole_crypt64(salt)
        && hash.len() == 43
        && is_whole_crypt64(hash);
    let params = params.parse::<yescrypt::Params>();
    let (true, Ok(params)) = (well_formed, params) else {
        return Err(HashError::Form);
    };
    let memory = params.n().checked_mul(u64::from(params.r()) * 128);
    let bounded = memory.is_some_and(|bytes| bytes <= MAX_MEMORY_KIB * 1024);
    within_bounds(bounded, Scheme::Yescrypt)
}

fn within_bounds(bounded: bool, scheme: Scheme) -> Result<Scheme, HashError> {
    bounded.then_some(scheme).ok_or(HashError::Cost)
}

fn is_crypt64(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'/')
}

/// Whether a text in crypt(3)'s base 64 stands for whole bytes: the bits beyond them are zero.
fn is_whole_crypt64(text: &str) -> bool {
    let last = text.bytes().last();
    let whole = match (text.len() % 4, last) {
        (0, _) => true,
        (2, Some(last)) => matches!(last, b'.'..=b'1'),
        (3, Some(last)) => matches!(last, b'.'..=b'9' | b'A'..=b'D'),
        _ => false,
    };
    whole && is_crypt64(text)
}

/// Why a hash is not taken, or a password cannot be hashed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// Nothing there.
    #[error("the password hash is empty: write * for a user who cannot log in")]
    Empty,
    /// Plain text, or a scheme that is not known.
    #[error(
        "the password hash is of no known kind ($argon2id$, $y$, $6$ and $5$ are): set the password \
         with \"posthouse user passwd\""
    )]
    Scheme,
    /// A known scheme, but cut off or mistyped.
    #[error("the password hash is not well formed: was it cut off?")]
    Form,
    /// Too dear to check.
    #[error(
        "the password hash asks for more than 128 MiB, 32 passes or 2000000 rounds: set the password \
         with \"posthouse user passwd\""
    )]
    Cost,
    /// Not a length for a password.
    #[error("the password must have 1 to 1024 bytes")]
    PasswordLength,
    /// Protocols could not carry it.
    #[error("the password has a control character")]
    PasswordCharacter,
    /// Random numbers or memory.
    #[error("the password cannot be hashed: {0}")]
    System(String),
}

/// A password could not be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the password could not be checked: there is not enough memory")]
pub struct VerifyError;

#[cfg(test)]
#[path = "hash_tests.rs"]
mod tests;
