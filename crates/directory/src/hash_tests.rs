//! Hashes written by other programs, and hashes that must be refused.

use proptest::prelude::*;

use super::*;

/// Written by the reference argon2, `openssl passwd -6` and `-5`, `mkpasswd` and Perl's crypt.
const KNOWN: &[(&str, &str, Scheme)] = &[
    (
        "password",
        "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        Scheme::Argon2id,
    ),
    (
        "password",
        "{ARGON2ID}$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
        Scheme::Argon2id,
    ),
    (
        "Hello world!",
        "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
        Scheme::Sha512Crypt,
    ),
    (
        "x",
        "{sha512-crypt}$6$rounds=100000$sXR6xyQCQ8Ej/7Np$CI7PUUNGmnBSGiFNIArmCSvuLF7bLgDqg3NDvUxRkdq7/2apgJTndHiX3.UT1KArPyHg72PY.P19PTvRU/MIk/",
        Scheme::Sha512Crypt,
    ),
    (
        "Hello world!",
        "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5",
        Scheme::Sha256Crypt,
    ),
    (
        "pässword 1",
        "$y$j9T$xXNrVLWFRDv/W6N3d/sSl.$0cAn/VIiPuBEbfLyw2kBO6ALqpyL00LUS12pjNtSIF/",
        Scheme::Yescrypt,
    ),
    (
        "x",
        "{CRYPT}$y$jBT$t9aWTTW.GLqqeaz1qmUnO1$K9f29cw8JD1u4wqvpuOp5SEXvYLP6/qlHD5VscGY3J/",
        Scheme::Yescrypt,
    ),
    (
        "secret",
        "$y$j75$abcdefgh$uMUXG79B2cFpoAYyDccUnsaH/aGTyBYMlnQidzyag01",
        Scheme::Yescrypt,
    ),
];

#[test]
fn hashes_of_other_programs_verify() {
    for (password, text, scheme) in KNOWN {
        let hash = PasswordHash::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(hash.scheme(), *scheme);
        assert_eq!(hash.verify(password.as_bytes()), Ok(true), "{text}");
        for wrong in ["", "Password", "x "] {
            assert_eq!(hash.verify(wrong.as_bytes()), Ok(false), "{text}");
        }
    }
}

#[test]
fn new_hashes_verify_and_differ() {
    let hash = PasswordHash::make("grüße").unwrap();
    assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    assert_ne!(hash, PasswordHash::make("grüße").unwrap());
    let read = PasswordHash::parse(hash.as_str()).unwrap();
    assert_eq!(read.verify("grüße".as_bytes()), Ok(true));
    assert_eq!(read.verify("grusse".as_bytes()), Ok(false));
    assert_eq!(read.cost(), PasswordHash::nobody().cost());
}

#[test]
fn passwords_have_bounds() {
    let long = "x".repeat(MAX_PASSWORD);
    let hash = PasswordHash::make(&long).unwrap();
    assert_eq!(hash.verify(long.as_bytes()), Ok(true));
    assert_eq!(hash.verify(format!("{long}x").as_bytes()), Ok(false));
    for (password, error) in [
        ("", HashError::PasswordLength),
        (&format!("{long}x"), HashError::PasswordLength),
        ("a\tb", HashError::PasswordCharacter),
    ] {
        assert_eq!(PasswordHash::make(password), Err(error));
    }
}

#[test]
fn nobody_and_locked_let_no_one_in() {
    let nobody = PasswordHash::nobody();
    assert_eq!(PasswordHash::parse(nobody.as_str()), Ok(nobody.clone()));
    assert_eq!(nobody.verify(b"nobody"), Ok(false));
    for text in ["*", "!", "!!", "!$6$saltstring$svn8"] {
        let hash = PasswordHash::parse(text).unwrap();
        assert_eq!(hash.scheme(), Scheme::Locked);
        assert_eq!(hash.verify(b""), Ok(false));
    }
}

#[test]
fn bad_hashes_say_why() {
    let hash86 = ".".repeat(86);
    let hash43 = ".".repeat(43);
    for (text, error) in [
        ("", HashError::Empty),
        ("secret", HashError::Scheme),
        ("{PLAIN}secret", HashError::Scheme),
        ("{PLAIN-MD5}$6$a$b", HashError::Scheme),
        ("$1$abc$def", HashError::Scheme),
        ("$2y$10$abc", HashError::Scheme),
        (
            "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR",
            HashError::Scheme,
        ),
        ("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ", HashError::Form),
        (
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$AAAA",
            HashError::Form,
        ),
        (
            "$argon2id$v=19$m=262144,t=2,p=1$c29tZXNhbHQ$eP4eyR+zqlZX1y5xCFTkw9m5GYx0L5YWwvCFvtlbLow",
            HashError::Cost,
        ),
        (&KNOWN[0].1.replace("v=19", "v=9"), HashError::Form),
        (
            &KNOWN[0].1.replace("c29tZXNhbHQ", "c29tZXNh"),
            HashError::Form,
        ),
        ("$6$saltstring", HashError::Form),
        ("$6$saltstring$", HashError::Form),
        (&format!("$6$saltstring${hash86}$x"), HashError::Form),
        (&format!("$6$saltstring${}", &hash86[1..]), HashError::Form),
        (&format!("$6$seventeencharssss${hash86}"), HashError::Form),
        (&format!("$6$rounds=x$salt${hash86}"), HashError::Form),
        (&format!("$6$rounds=10$salt${hash86}"), HashError::Form),
        (
            &format!("$6$rounds=99999999$salt${hash86}"),
            HashError::Cost,
        ),
        (&format!("$6$salt${}2", &hash86[1..]), HashError::Form),
        (&format!("$5$salt${}E", &hash43[1..]), HashError::Form),
        ("$y$j9T$salt$", HashError::Form),
        ("$y$j9T$salt", HashError::Form),
        (&format!("$y$j9T$salt$a:{}", &hash43[2..]), HashError::Form),
        (&format!("$y$j9T$${hash43}"), HashError::Form),
        (&format!("$y$j9T.0$salt${hash43}"), HashError::Form),
        (&format!("$y$jzT$salt${hash43}"), HashError::Form),
        (&format!("$y$jFT$salt${hash43}"), HashError::Cost),
    ] {
        assert_eq!(PasswordHash::parse(text), Err(error), "{text}");
    }
}

#[test]
fn costs_are_what_precedes_the_salt() {
    let costs = [
        "$argon2id$v=19$m=65536,t=2,p=1",
        "$6",
        "$6$rounds=100000",
        "$y$j9T",
    ];
    for (at, cost) in [0, 2, 3, 5].into_iter().zip(costs) {
        assert_eq!(PasswordHash::parse(KNOWN[at].1).unwrap().cost(), cost);
    }
}

#[test]
fn no_hash_is_shown() {
    let hash = PasswordHash::parse(KNOWN[0].1).unwrap();
    assert_eq!(format!("{hash:?}"), "PasswordHash(Argon2id)");
}

/// Hashes that cost little, for many checks.
const CHEAP: [&str; 4] = [
    "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
    "$6$rounds=1000$abc$MqEcPZUYRGGcOeq7PhMpfjfu/F0HrVEI0OlZBijWvO8mSG77iNUDP5MqFceKpJTBc8iITVtNyLiNTRNCxv6oh0",
    "$5$rounds=1000$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5",
    "$y$j/5$abcdefgh$uMUXG79B2cFpoAYyDccUnsaH/aGTyBYMlnQidzyag01",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_parses_can_be_checked(
        which in 0..CHEAP.len(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), "[$./0-9A-Za-z=,+]?"), 1..4),
    ) {
        let mut text: Vec<String> = CHEAP[which].chars().map(String::from).collect();
        for (at, new) in edits {
            let at = at.index(text.len());
            text[at] = new;
        }
        let text = text.concat();
        // A changed cost could make this test take minutes.
        let costly = ["m=", "t=", "p=", "rounds="].iter().any(|key| {
            let value = text.split(key).nth(1).unwrap_or_default();
            value.bytes().take_while(u8::is_ascii_digit).count() > 4
        });
        let yescrypt = text.starts_with("$y$") && !text.starts_with("$y$j/5");
        if let (false, false, Ok(hash)) = (costly, yescrypt, PasswordHash::parse(&text)) {
            prop_assert_eq!(hash.verify(b"x"), Ok(false), "{}", text);
        }
    }
}
