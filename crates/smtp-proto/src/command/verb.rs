//! The verbs of SMTP.

use std::fmt;

macro_rules! verbs {
    ($($verb:ident $name:literal),* $(,)?) => {
        /// A command's name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Verb {
            $(#[doc = $name] $verb,)*
        }

        impl Verb {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$verb),*];

            /// The verb of this name, in any case.
            #[must_use]
            pub fn parse(name: &str) -> Option<Self> {
                $(if name.eq_ignore_ascii_case($name) { return Some(Self::$verb); })*
                None
            }

            /// In upper case.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$verb => $name,)*
                }
            }
        }
    };
}

verbs! {
    Mail "MAIL", Rcpt "RCPT", Data "DATA", Ehlo "EHLO", Helo "HELO", Quit "QUIT", Bdat "BDAT",
    Rset "RSET", Noop "NOOP", Vrfy "VRFY", Expn "EXPN", Help "HELP",
    Send "SEND", Soml "SOML", Saml "SAML", Turn "TURN",
    Etrn "ETRN", StartTls "STARTTLS", Auth "AUTH",
}

impl Verb {
    /// Whether `name` begins an HTTP request, which other protocols' attackers send through browsers.
    pub(crate) fn is_http(name: &str) -> bool {
        ["GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "Host:"]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
    }

    /// Must be the last of a pipelined group, as the client must have its reply (RFC 2920 §3.1, RFC 5321 §4.1.1.1).
    pub(crate) const fn ends_group(self) -> bool {
        matches!(
            self,
            Self::Helo
                | Self::Ehlo
                | Self::Data
                | Self::Vrfy
                | Self::Expn
                | Self::Turn
                | Self::Noop
                | Self::StartTls
                | Self::Auth
        )
    }

    /// Does not bring a message nearer: counted against `smtpd.commands_without_mail_limit`.
    pub(crate) const fn is_overhead(self) -> bool {
        !matches!(
            self,
            Self::Mail | Self::Rcpt | Self::Data | Self::Bdat | Self::Quit
        )
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
