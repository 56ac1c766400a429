//! Sizes as people write them: `500M`, `2GiB`, `1048576`.

const UNITS: [(&str, u32); 4] = [("T", 40), ("G", 30), ("M", 20), ("K", 10)];

/// Reads a number of octets; `K`, `M`, `G` and `T`, with or without `iB` or `B`, are powers of 1024.
///
/// # Errors
/// When it is not a size.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a size: write a number of octets, or 500M, 2G");
    let digits_end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let unit = unit.trim_start().to_ascii_uppercase();
    let unit = unit
        .strip_suffix("IB")
        .or(unit.strip_suffix('B'))
        .unwrap_or(&unit);
    if unit.is_empty() {
        return Ok(number);
    }
    let shift = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(wrong)?
        .1;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

/// Writes a size with the largest unit that holds it exactly.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    let unit = UNITS
        .iter()
        .find(|(_, shift)| bytes > 0 && bytes.is_multiple_of(1 << shift));
    match unit {
        Some((name, shift)) => format!("{}{name}", bytes >> shift),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes, shown) in [
            ("0", 0, "0"),
            ("1000", 1000, "1000"),
            ("1024", 1024, "1K"),
            ("500M", 500 << 20, "500M"),
            ("2 GiB", 2 << 30, "2G"),
            ("1536kb", 1536 << 10, "1536K"),
            ("3T", 3 << 40, "3T"),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
            assert_eq!(show_size(bytes), shown);
        }
        for text in [
            "",
            "M",
            "-1",
            "1.5G",
            "10X",
            "1MiBB",
            "99999999T",
            "18446744073709551616",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
