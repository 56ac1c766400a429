//! What may stand behind a path: `keyword=value` (RFC 5321 §4.1.2, `esmtp-param`).

use mail_types::{BodyKind, Notify, OriginalRecipient, ReturnContent};

use super::{CommandError, xtext};

/// The most octets of ENVID's xtext (RFC 3461 §5.4).
const MAX_ENVELOPE_ID: usize = 100;
/// The most octets of ORCPT (RFC 3461 §5.4).
const MAX_ORIGINAL: usize = 500;

/// Parameters of MAIL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailParameters {
    /// `SIZE=` (RFC 1870).
    pub size: Option<u64>,
    /// `BODY=` (RFC 6152).
    pub body: Option<BodyKind>,
    /// `SMTPUTF8` (RFC 6531).
    pub smtputf8: bool,
    /// `RET=` (RFC 3461 §4.3).
    pub return_content: Option<ReturnContent>,
    /// `ENVID=` (RFC 3461 §4.4), decoded.
    pub envelope_id: Option<String>,
}

/// Parameters of RCPT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RcptParameters {
    /// `NOTIFY=` (RFC 3461 §4.1).
    pub notify: Option<Notify>,
    /// `ORCPT=` (RFC 3461 §4.2), decoded.
    pub original: Option<OriginalRecipient>,
}

impl MailParameters {
    pub(super) fn parse(text: &str) -> Result<Self, CommandError> {
        let mut parsed = Self::default();
        for parameter in Parameter::all(text) {
            let parameter = parameter?;
            if parameter.is("SIZE") {
                set(&mut parsed.size, parameter.value_by("SIZE", size)?)?;
            } else if parameter.is("BODY") {
                set(&mut parsed.body, parameter.value_by("BODY", body)?)?;
            } else if parameter.is("SMTPUTF8") {
                if parameter.value.is_some() {
                    return Err(CommandError::ParameterValue("SMTPUTF8"));
                }
                if std::mem::replace(&mut parsed.smtputf8, true) {
                    return Err(CommandError::RepeatedParameter);
                }
            } else if parameter.is("RET") {
                set(&mut parsed.return_content, parameter.value_by("RET", ret)?)?;
            } else if parameter.is("ENVID") {
                set(&mut parsed.envelope_id, parameter.value_by("ENVID", envid)?)?;
            } else {
                return Err(CommandError::UnknownParameter);
            }
        }
        Ok(parsed)
    }
}

impl RcptParameters {
    pub(super) fn parse(text: &str) -> Result<Self, CommandError> {
        let mut parsed = Self::default();
        for parameter in Parameter::all(text) {
            let parameter = parameter?;
            if parameter.is("NOTIFY") {
                set(&mut parsed.notify, parameter.value_by("NOTIFY", notify)?)?;
            } else if parameter.is("ORCPT") {
                set(&mut parsed.original, parameter.value_by("ORCPT", original)?)?;
            } else {
                return Err(CommandError::UnknownParameter);
            }
        }
        Ok(parsed)
    }
}

struct Parameter<'a> {
    keyword: &'a str,
    value: Option<&'a str>,
}

impl<'a> Parameter<'a> {
    /// Spaces in a row are tolerated.
    fn all(text: &'a str) -> impl Iterator<Item = Result<Self, CommandError>> {
        text.split(' ').filter(|word| !word.is_empty()).map(|word| {
            let (keyword, value) = match word.split_once('=') {
                Some((keyword, value)) => (keyword, Some(value)),
                None => (word, None),
            };
            let formed = keyword
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-');
            if !formed || keyword.is_empty() {
                return Err(CommandError::UnknownParameter);
            }
            Ok(Self { keyword, value })
        })
    }

    fn is(&self, keyword: &str) -> bool {
        self.keyword.eq_ignore_ascii_case(keyword)
    }

    fn value_by<T>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, CommandError> {
        self.value
            .and_then(parse)
            .ok_or(CommandError::ParameterValue(name))
    }
}

fn set<T>(place: &mut Option<T>, value: T) -> Result<(), CommandError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(CommandError::RepeatedParameter),
    }
}

/// Up to 20 digits (RFC 1870 §3); what does not fit 64 bits is over every limit.
fn size(value: &str) -> Option<u64> {
    let formed = (1..=20).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit());
    formed.then(|| value.parse().unwrap_or(u64::MAX))
}

/// BINARYMIME is not offered (RFC 3030 §3), so it is no value.
fn body(value: &str) -> Option<BodyKind> {
    if value.eq_ignore_ascii_case("7BIT") {
        Some(BodyKind::SevenBit)
    } else if value.eq_ignore_ascii_case("8BITMIME") {
        Some(BodyKind::EightBitMime)
    } else {
        None
    }
}

fn ret(value: &str) -> Option<ReturnContent> {
    if value.eq_ignore_ascii_case("FULL") {
        Some(ReturnContent::Full)
    } else if value.eq_ignore_ascii_case("HDRS") {
        Some(ReturnContent::Headers)
    } else {
        None
    }
}

fn envid(value: &str) -> Option<String> {
    let fits = !value.is_empty() && value.len() <= MAX_ENVELOPE_ID;
    fits.then(|| xtext::decode(value))?
}

/// NEVER alone, or a list of the others.
fn notify(value: &str) -> Option<Notify> {
    if value.eq_ignore_ascii_case("NEVER") {
        return Some(Notify::NEVER);
    }
    let mut notify = Notify::NEVER;
    for word in value.split(',') {
        if word.eq_ignore_ascii_case("SUCCESS") {
            notify.success = true;
        } else if word.eq_ignore_ascii_case("FAILURE") {
            notify.failure = true;
        } else if word.eq_ignore_ascii_case("DELAY") {
            notify.delay = true;
        } else {
            return None;
        }
    }
    Some(notify)
}

fn original(value: &str) -> Option<OriginalRecipient> {
    let (address_type, address) = value.split_once(';')?;
    let formed = address_type
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !formed || address_type.is_empty() || address.is_empty() || value.len() > MAX_ORIGINAL {
        return None;
    }
    let address_type = address_type.to_ascii_lowercase();
    let address = match address_type.as_str() {
        "utf-8" => xtext::decode_utf8(address)?,
        _ => xtext::decode(address)?,
    };
    Some(OriginalRecipient {
        address_type,
        address,
    })
}
