//! Lists of any other type.

use toml::de::DeValue;

use super::{Value, expected};

impl<T: Value> Value for Vec<T> {
    fn kind() -> String {
        format!("list of {}", T::kind())
    }

    fn parse(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::Array(items) => items.iter().map(|item| T::parse(item.get_ref())).collect(),
            other => expected("a list in brackets", other),
        }
    }

    fn render(&self) -> String {
        let items: Vec<_> = self.iter().map(T::render).collect();
        format!("[{}]", items.join(", "))
    }
}
