//! Dates as headers write them (RFC 5322 §3.3).

use jiff::tz::Offset;
use mail_types::Timestamp;

/// `Thu, 19 Nov 2026 12:00:00 +0100`: the moment `at` on a clock that is `offset_seconds` east of UTC.
///
/// The offset is rounded down to minutes and taken as UTC when it is no clock's; a moment outside
/// the years that a header can write becomes the nearest one inside.
#[must_use]
pub fn rfc5322_date(at: Timestamp, offset_seconds: i32) -> String {
    /// 0001-01-01T00:00:00Z and 9999-12-30T00:00:00Z.
    const WRITABLE: (i64, i64) = (-62_135_596_800, 253_402_128_000);
    let minutes = Some(offset_seconds.div_euclid(60)).filter(|m| m.abs() < 24 * 60);
    let minutes = minutes.unwrap_or(0);
    let seconds = at.seconds().clamp(WRITABLE.0, WRITABLE.1);
    let moment = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let offset = Offset::from_seconds(minutes * 60).unwrap_or(Offset::UTC);
    let local = offset.to_datetime(moment);
    let weekday = usize::from(local.weekday().to_sunday_zero_offset().unsigned_abs());
    let month = usize::from(local.month().unsigned_abs()) - 1;
    format!(
        "{}, {} {} {:04} {:02}:{:02}:{:02} {}{:02}{:02}",
        ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"][weekday],
        local.day(),
        [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ][month],
        local.year(),
        local.hour(),
        local.minute(),
        local.second(),
        if minutes < 0 { '-' } else { '+' },
        minutes.abs() / 60,
        minutes.abs() % 60,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_rfc_5322_has_them() {
        for (seconds, offset, date) in [
            (0, 0, "Thu, 1 Jan 1970 00:00:00 +0000"),
            (1_795_089_600, 3600, "Thu, 19 Nov 2026 13:00:00 +0100"),
            (951_782_400, -12_600, "Mon, 28 Feb 2000 20:30:00 -0330"),
            (951_825_600, 0, "Tue, 29 Feb 2000 12:00:00 +0000"),
            (0, 1_000_000, "Thu, 1 Jan 1970 00:00:00 +0000"),
            (i64::MAX, 0, "Thu, 30 Dec 9999 00:00:00 +0000"),
            (i64::MIN, 0, "Mon, 1 Jan 0001 00:00:00 +0000"),
        ] {
            let at = Timestamp::from_seconds(seconds);
            assert_eq!(rfc5322_date(at, offset), date, "{seconds}");
        }
    }
}
