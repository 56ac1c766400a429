//! Settings that take one of a few words.

/// Declares an enum whose values are words in the file.
macro_rules! words {
    (
        $(#[doc = $enum_doc:literal])+
        $name:ident { $($(#[doc = $doc:literal])+ $variant:ident = $word:literal,)+ }
    ) => {
        $(#[doc = $enum_doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl $crate::types::Value for $name {
            fn kind() -> String {
                [$(concat!("\"", $word, "\"")),+].join(" or ")
            }

            fn parse(value: &toml::de::DeValue<'_>) -> Result<Self, String> {
                match value.as_str() {
                    $(Some($word) => Ok(Self::$variant),)+
                    Some(other) => Err($crate::check::unknown_word(other, &[$($word),+])),
                    None => $crate::types::expected(&<Self as $crate::types::Value>::kind(), value),
                }
            }

            fn render(&self) -> String {
                match self {
                    $(Self::$variant => concat!("\"", $word, "\"").to_owned(),)+
                }
            }
        }
    };
}

pub(crate) use words;
