//! Names that tell the time they were made, and sort by it.

/// `STEM-20261123T105900Z.rdb` for a unix time. The years up to 9999 sort as they should.
pub fn dated(stem: &str, unix_s: i64) -> String {
    let (days, second) = (unix_s.div_euclid(86_400), unix_s.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{stem}-{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z.rdb")
}

/// Year, month and day of the Gregorian calendar, of a number of days since 1970. Years begin in March here, so that the
/// leap day is the last one of a year (Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    const DAYS_OF_400_YEARS: i64 = 146_097;
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(DAYS_OF_400_YEARS), days.rem_euclid(DAYS_OF_400_YEARS));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_time() {
        assert_eq!(dated("dump", 0), "dump-19700101T000000Z.rdb");
        assert_eq!(dated("dump", 951_782_399), "dump-20000228T235959Z.rdb");
        assert_eq!(dated("dump", 951_868_799), "dump-20000229T235959Z.rdb");
        assert_eq!(dated("a", 1_709_251_200), "a-20240301T000000Z.rdb");
        assert_eq!(dated("a", 4_102_444_800), "a-21000101T000000Z.rdb");
    }
}
