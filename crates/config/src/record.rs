//! The records, and the macro that makes record and field of one declaration.

use toml::de::DeValue;

use crate::settings::Config;

/// Everything that is known of one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The section.
    pub section: &'static str,
    /// The key within its section.
    pub key: &'static str,
    /// The type with its unit, in words.
    pub kind: String,
    /// The default as it would stand in the file.
    pub default: String,
    /// The lowest and the highest value, where there are such.
    pub range: Option<(String, String)>,
    /// The programs that read it.
    pub readers: &'static [&'static str],
    /// One paragraph.
    pub doc: &'static str,
}

impl Record {
    /// `section.key`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }
}

/// A section with its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectionRecord {
    /// The name in brackets.
    pub name: &'static str,
    /// One paragraph.
    pub doc: &'static str,
    /// In the order of the declaration.
    pub settings: Vec<Record>,
}

/// All settings, by section.
#[must_use]
pub fn sections() -> Vec<SectionRecord> {
    Config::default()
        .all()
        .into_iter()
        .map(|section| section.record())
        .collect()
}

/// A section of the configuration, as the loader and the renderer see it.
pub(crate) trait Section {
    /// The records of this section.
    fn record(&self) -> SectionRecord;
    /// Sets one key from the file; `None` if there is no such key.
    fn set(&mut self, key: &str, value: &DeValue<'_>) -> Option<Result<(), String>>;
    /// The keys and their present values as they would stand in the file.
    fn values(&self) -> Vec<(&'static str, String)>;
}

/// Is `value` within the range? The text of the fault otherwise.
pub(crate) fn within<T: crate::types::Value + PartialOrd>(
    value: T,
    min: &T,
    max: &T,
) -> Result<T, String> {
    if value < *min || value > *max {
        return Err(format!(
            "{} is out of range: {} to {} is allowed",
            value.render(),
            min.render(),
            max.render()
        ));
    }
    Ok(value)
}

/// Declares a section: its struct, its defaults and its records.
///
/// The documentation comments become both the rustdoc and the paragraphs of the manual page.
macro_rules! settings {
    (
        $(#[doc = $section_doc:literal])+
        $section:ident: $struct:ident {
            $(
                $(#[doc = $doc:literal])+
                $key:ident: $type:ty {
                    default: $default:expr,
                    $(range: $min:expr => $max:expr,)?
                    readers: [$($reader:literal),+],
                }
            )+
        }
    ) => {
        $(#[doc = $section_doc])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $struct {
            $($(#[doc = $doc])+ pub $key: $type,)+
        }

        impl Default for $struct {
            fn default() -> Self {
                Self { $($key: $default,)+ }
            }
        }

        impl $crate::record::Section for $struct {
            fn record(&self) -> $crate::record::SectionRecord {
                use $crate::types::Value;
                let defaults = Self::default();
                $crate::record::SectionRecord {
                    name: stringify!($section),
                    doc: concat!($($section_doc, "\n"),+),
                    settings: vec![$($crate::record::Record {
                        section: stringify!($section),
                        key: stringify!($key),
                        kind: <$type>::kind(),
                        default: defaults.$key.render(),
                        range: settings!(@range $type $(, $min, $max)?),
                        readers: &[$($reader),+],
                        doc: concat!($($doc, "\n"),+),
                    },)+],
                }
            }

            fn set(
                &mut self,
                key: &str,
                value: &toml::de::DeValue<'_>,
            ) -> Option<Result<(), String>> {
                use $crate::types::Value;
                Some(match key {
                    $(stringify!($key) => <$type>::parse(value)
                        $(.and_then(|value| $crate::record::within(value, &$min, &$max)))?
                        .map(|value| self.$key = value),)+
                    _ => return None,
                })
            }

            fn values(&self) -> Vec<(&'static str, String)> {
                use $crate::types::Value;
                vec![$((stringify!($key), self.$key.render()),)+]
            }
        }
    };
    (@range $type:ty) => { None };
    (@range $type:ty, $min:expr, $max:expr) => {{
        let (min, max): ($type, $type) = ($min, $max);
        Some((min.render(), max.render()))
    }};
}

pub(crate) use settings;
