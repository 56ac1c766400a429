//! One event as bytes.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::{Level, Metadata};

use crate::sink::{Encoding, Format};

/// A value is cut after so many bytes.
pub const MAX_VALUE: usize = 1024;

/// Facility mail of syslog (RFC 5424 §6.2.1).
const FACILITY_MAIL: u8 = 2;

/// The parts of a line that are the same for all events of a program.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) program: &'static str,
    pub(crate) pid: u32,
}

/// Builds lines in a buffer that is used again and again.
#[derive(Debug)]
pub(crate) struct Line {
    encoding: Encoding,
    origin: Origin,
    buffer: String,
    /// For the journal: the readable line, which is one of its fields.
    message: String,
    scratch: String,
}

impl Line {
    pub(crate) fn new(encoding: Encoding, origin: Origin) -> Self {
        Self {
            encoding,
            origin,
            buffer: String::with_capacity(1024),
            message: String::new(),
            scratch: String::with_capacity(256),
        }
    }

    /// Writes the whole event; `time` is as the encoding wants it.
    pub(crate) fn build(
        &mut self,
        encoding: Encoding,
        time: &str,
        metadata: &Metadata<'_>,
        record: impl FnOnce(&mut dyn Visit),
    ) -> &[u8] {
        self.encoding = encoding;
        self.buffer.clear();
        // Writing to a String cannot fail.
        let _ = self.begin(time, metadata);
        record(self);
        match encoding {
            Encoding::Stream(Format::Json) => self.buffer.push_str("}\n"),
            Encoding::Stream(Format::Text) => self.buffer.push('\n'),
            Encoding::Syslog(Format::Json) => self.buffer.push('}'),
            Encoding::Syslog(Format::Text) => {}
            Encoding::Journal => {
                let _ = writeln!(self.buffer, "MESSAGE={}", self.message);
            }
        }
        self.buffer.as_bytes()
    }

    fn begin(&mut self, time: &str, metadata: &Metadata<'_>) -> fmt::Result {
        let (level, severity) = severity(*metadata.level());
        let event = metadata.name();
        let Origin { program, pid } = self.origin;
        let out = &mut self.buffer;
        match self.encoding {
            Encoding::Stream(Format::Text) => {
                write!(out, "{time} {level} {program}[{pid}]: {event}")
            }
            Encoding::Stream(Format::Json) => write!(
                out,
                "{{\"time\":\"{time}\",\"level\":\"{level}\",\"program\":\"{program}\",\
                 \"program_pid\":{pid},\"event\":\"{event}\""
            ),
            // RFC 3164 §4.1, as syslog daemons expect it on their local socket.
            Encoding::Syslog(format) => {
                let priority = FACILITY_MAIL * 8 + severity;
                write!(out, "<{priority}>{time} posthouse/{program}[{pid}]: ")?;
                match format {
                    Format::Text => out.write_str(event),
                    Format::Json => {
                        write!(out, "{{\"level\":\"{level}\",\"event\":\"{event}\"")
                    }
                }
            }
            // The journal's native protocol: a field a line. Its values end at a newline, which no
            // escaped value has.
            Encoding::Journal => {
                self.message.clear();
                self.message.push_str(event);
                write!(
                    out,
                    "PRIORITY={severity}\nSYSLOG_FACILITY={FACILITY_MAIL}\n\
                     SYSLOG_IDENTIFIER=posthouse/{program}\nPOSTHOUSE_EVENT={event}\n"
                )
            }
        }
    }

    fn put_text(&mut self, name: &str, value: &str) -> fmt::Result {
        let value = cut(value);
        let out = &mut self.buffer;
        match self.encoding {
            Encoding::Stream(Format::Json) | Encoding::Syslog(Format::Json) => {
                write!(out, ",\"{name}\":\"")?;
                escape(out, value, Style::Json)?;
                out.write_char('"')
            }
            Encoding::Stream(Format::Text) | Encoding::Syslog(Format::Text) => {
                write!(out, " {name}=")?;
                text_value(out, value)
            }
            Encoding::Journal => {
                write!(self.message, " {name}=")?;
                text_value(&mut self.message, value)?;
                journal_name(out, name);
                escape(out, value, Style::Field)?;
                out.write_char('\n')
            }
        }
    }

    /// A number or boolean, which needs no quotes anywhere.
    fn put_plain(&mut self, name: &str, value: impl fmt::Display) -> fmt::Result {
        let out = &mut self.buffer;
        match self.encoding {
            Encoding::Stream(Format::Json) | Encoding::Syslog(Format::Json) => {
                write!(out, ",\"{name}\":{value}")
            }
            Encoding::Stream(Format::Text) | Encoding::Syslog(Format::Text) => {
                write!(out, " {name}={value}")
            }
            Encoding::Journal => {
                write!(self.message, " {name}={value}")?;
                journal_name(out, name);
                writeln!(out, "{value}")
            }
        }
    }

    fn put_formatted(&mut self, name: &str, value: fmt::Arguments<'_>) {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let mut capped = Capped { text: &mut scratch };
        // An error only means that the value was cut.
        let _ = capped.write_fmt(value);
        let _ = self.put_text(name, &scratch);
        self.scratch = scratch;
    }
}

/// Writing to a String cannot fail, so results are dropped here.
impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put_formatted(field.name(), format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = self.put_text(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        let _ = self.put_plain(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        let _ = self.put_plain(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        let _ = self.put_plain(field.name(), value);
    }
}

/// `POSTHOUSE_QUEUE_ID=`
fn journal_name(out: &mut String, name: &str) {
    out.push_str("POSTHOUSE_");
    out.extend(name.chars().map(|c| c.to_ascii_uppercase()));
    out.push('=');
}

/// The word and the number (RFC 5424 §6.2.1) of a level.
fn severity(level: Level) -> (&'static str, u8) {
    match level {
        Level::ERROR => ("error", 3),
        Level::WARN => ("warn", 4),
        Level::INFO => ("info", 6),
        _ => ("debug", 7),
    }
}

/// At most [`MAX_VALUE`] bytes of `value`, in whole characters.
fn cut(value: &str) -> &str {
    &value[..value.floor_char_boundary(MAX_VALUE)]
}

/// A text that refuses to grow beyond a bound, so that no value is formatted at length for nothing.
struct Capped<'a> {
    text: &'a mut String,
}

impl Write for Capped<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.text.push_str(cut(part));
        if self.text.len() > MAX_VALUE {
            Err(fmt::Error)
        } else {
            Ok(())
        }
    }
}

/// A value of a text line: bare if it is one plain word, else in quotes.
fn text_value(out: &mut String, value: &str) -> fmt::Result {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'=');
    if !value.is_empty() && value.bytes().all(plain) {
        return out.write_str(value);
    }
    out.write_char('"')?;
    escape(out, value, Style::Text)?;
    out.write_char('"')
}

#[derive(Clone, Copy)]
enum Style {
    Text,
    Json,
    /// A field of the journal, which has no quotes.
    Field,
}

/// Writes a value so that nothing in it ends the line or the value, or hides what follows.
fn escape(out: &mut String, value: &str, style: Style) -> fmt::Result {
    for c in value.chars() {
        match (c, style) {
            ('"' | '\\', Style::Text | Style::Json) => write!(out, "\\{c}")?,
            ('\n', _) => out.write_str("\\n")?,
            ('\r', _) => out.write_str("\\r")?,
            ('\t', _) => out.write_str("\\t")?,
            (c, Style::Json) if is_unsafe(c) => write!(out, "\\u{:04x}", u32::from(c))?,
            (c, _) if is_unsafe(c) => write!(out, "\\u{{{:x}}}", u32::from(c))?,
            (c, _) => out.write_char(c)?,
        }
    }
    Ok(())
}

/// Control characters, line separators, and characters that change the direction of text or are not seen.
/// All are in the basic plane, so that JSON can write them as one escape.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_forge() {
        let cases = [
            ("plain-1.2@x", "plain-1.2@x", "plain-1.2@x"),
            ("", "\"\"", ""),
            ("two words", "\"two words\"", "two words"),
            ("a=b", "\"a=b\"", "a=b"),
            ("a\r\nb", r#""a\r\nb""#, r"a\r\nb"),
            ("q\"\\", r#""q\"\\""#, r#"q\"\\"#),
            ("\u{1b}[2J\0", r#""\u{1b}[2J\u{0}""#, r"\u001b[2J\u0000"),
            (
                "a\u{202e}b\u{2028}",
                r#""a\u{202e}b\u{2028}""#,
                r"a\u202eb\u2028",
            ),
            ("grün", "\"grün\"", "grün"),
            ("\u{7f}\u{85}", r#""\u{7f}\u{85}""#, r"\u007f\u0085"),
        ];
        for (value, text, json) in cases {
            let mut out = String::new();
            text_value(&mut out, value).expect("a String takes it");
            assert_eq!(out, text);
            let mut out = String::new();
            escape(&mut out, value, Style::Json).expect("a String takes it");
            assert_eq!(out, json);
        }
    }

    #[test]
    fn long_values_are_cut_at_a_character() {
        let long = "ü".repeat(MAX_VALUE);
        assert_eq!(cut(&long).len(), MAX_VALUE);
        assert_eq!(cut(&format!("x{long}")).len(), MAX_VALUE - 1);
        let mut text = String::new();
        let result = write!(Capped { text: &mut text }, "{long}{long}{long}");
        assert!(result.is_err());
        assert!(text.len() <= 2 * MAX_VALUE);
    }
}
