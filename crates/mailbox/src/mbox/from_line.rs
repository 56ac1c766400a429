//! The line before each message: `From sender Sat Nov 21 11:13:43 2026`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// The line with its LF: the envelope sender (empty for `<>`) and the time in UTC (RFC 4155 appendix A).
#[must_use]
pub fn from_line(sender: &str, now: SystemTime) -> String {
    let sender: String = match sender {
        "" => "MAILER-DAEMON".into(),
        // Readers take the date to begin after the first space.
        sender => sender
            .chars()
            .map(|c| {
                if c.is_whitespace() || c.is_control() {
                    '-'
                } else {
                    c
                }
            })
            .collect(),
    };
    let seconds = now
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date_of(days);
    format!(
        "From {sender} {} {} {day:2} {:02}:{:02}:{:02} {year}\n",
        DAYS[(days % 7) as usize],
        MONTHS[month],
        second / 3600,
        second / 60 % 60,
        second % 60,
    )
}

/// Year, month (January is 0) and day of the month, of days since 1970.
fn date_of(mut days: u64) -> (u64, usize, u64) {
    let mut year = 1970;
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 0;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_asctime_writes_them() {
        let cases = [
            (0, "a@b", "From a@b Thu Jan  1 00:00:00 1970\n"),
            (
                951_782_400,
                "",
                "From MAILER-DAEMON Tue Feb 29 00:00:00 2000\n",
            ),
            (1_795_259_623, "a@b", "From a@b Sat Nov 21 11:13:43 2026\n"),
            (
                1_704_067_199,
                "\"a b\"@c",
                "From \"a-b\"@c Sun Dec 31 23:59:59 2023\n",
            ),
            (4_107_542_400, "x", "From x Mon Mar  1 00:00:00 2100\n"),
        ];
        for (seconds, sender, line) in cases {
            let now = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(from_line(sender, now), line);
        }
    }
}
