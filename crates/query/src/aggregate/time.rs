//! Times of expressions: seconds since 1970 to the parts of a date and back, printed and read as C's `strftime` and
//! `strptime` do in the locale "C" and the zone UTC.
//!
//! Dates follow the Gregorian calendar for all years; day numbers come from counting eras of 400 years, after Howard
//! Hinnant's `days_from_civil`.

/// Farthest moment from 1970 that is told, in seconds: about three million years.
const SECONDS_MAX: f64 = 1e14;

const DAY_S: i64 = 86_400;
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A moment as its calendar has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    seconds: i64,
    pub(super) year: i64,
    /// 1 to 12.
    pub(super) month: u8,
    /// 1 to 31.
    pub(super) day: u8,
    /// 0 is Sunday.
    pub(super) weekday: u8,
    /// 0 to 365.
    pub(super) yearday: u16,
    hour: u8,
    minute: u8,
    second: u8,
}

/// The moment cut to a whole multiple of `unit` seconds.
pub(super) fn start(seconds: f64, unit: i64) -> Option<f64> {
    let seconds = whole(seconds)?;
    Some((seconds - seconds.rem_euclid(unit)) as f64)
}

fn whole(seconds: f64) -> Option<i64> {
    (seconds.abs() <= SECONDS_MAX).then(|| seconds.floor() as i64)
}

/// Days from 1970-01-01 to a date.
fn days(year: i64, month: u8, day: u8) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let march_based = (i64::from(month) + 9) % 12;
    let of_year = (153 * march_based + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

impl Moment {
    /// The moment so many seconds after 1970.
    pub(super) fn at(seconds: f64) -> Option<Self> {
        whole(seconds).map(Self::of)
    }

    fn of(seconds: i64) -> Self {
        let number = seconds.div_euclid(DAY_S);
        let shifted = number + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_based = (5 * of_year + 2) / 153;
        let small = |number: i64| u8::try_from(number).expect("parts of a date are small");
        let day = small(of_year - (153 * march_based + 2) / 5 + 1);
        let month = small(if march_based < 10 { march_based + 3 } else { march_based - 9 });
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let of_day = seconds.rem_euclid(DAY_S);
        Self {
            seconds,
            year,
            month,
            day,
            weekday: small((number + 4).rem_euclid(7)),
            yearday: u16::try_from(number - days(year, 1, 1)).expect("a year has 366 days at most"),
            hour: small(of_day / 3600),
            minute: small(of_day / 60 % 60),
            second: small(of_day % 60),
        }
    }

    /// Its month's first second.
    pub(super) fn month_start(&self) -> i64 {
        days(self.year, self.month, 1) * DAY_S
    }

    fn hour12(&self) -> u8 {
        (self.hour + 11) % 12 + 1
    }

    /// Year and week as ISO 8601 counts them: weeks begin on Monday and belong to the year of their Thursday.
    fn iso_week(&self) -> (i64, i64) {
        let monday_based = i64::from((self.weekday + 6) % 7);
        let thursday = Self::of(self.seconds + (3 - monday_based) * DAY_S);
        (thursday.year, i64::from(thursday.yearday) / 7 + 1)
    }

    /// Week of the year where weeks begin on this weekday.
    fn week(&self, first: u8) -> u16 {
        (self.yearday + 7 - u16::from((self.weekday + 7 - first) % 7)) / 7
    }

    fn print(&self, mark: u8, text: &mut String) -> Option<()> {
        let month = MONTHS[usize::from(self.month - 1)];
        let weekday = WEEKDAYS[usize::from(self.weekday)];
        let part = match mark {
            b'Y' => format!("{}", self.year),
            b'C' => format!("{:02}", self.year.div_euclid(100)),
            b'y' => format!("{:02}", self.year.rem_euclid(100)),
            b'm' => format!("{:02}", self.month),
            b'd' => format!("{:02}", self.day),
            b'e' => format!("{:2}", self.day),
            b'H' => format!("{:02}", self.hour),
            b'k' => format!("{:2}", self.hour),
            b'I' => format!("{:02}", self.hour12()),
            b'l' => format!("{:2}", self.hour12()),
            b'M' => format!("{:02}", self.minute),
            b'S' => format!("{:02}", self.second),
            b'j' => format!("{:03}", self.yearday + 1),
            b'a' => weekday[..3].to_owned(),
            b'A' => weekday.to_owned(),
            b'b' | b'h' => month[..3].to_owned(),
            b'B' => month.to_owned(),
            b'p' => if self.hour < 12 { "AM" } else { "PM" }.to_owned(),
            b'P' => if self.hour < 12 { "am" } else { "pm" }.to_owned(),
            b'u' => format!("{}", if self.weekday == 0 { 7 } else { self.weekday }),
            b'w' => format!("{}", self.weekday),
            b'U' => format!("{:02}", self.week(0)),
            b'W' => format!("{:02}", self.week(1)),
            b'V' => format!("{:02}", self.iso_week().1),
            b'G' => format!("{}", self.iso_week().0),
            b'g' => format!("{:02}", self.iso_week().0.rem_euclid(100)),
            b's' => format!("{}", self.seconds),
            b'Z' => "GMT".to_owned(),
            b'z' => "+0000".to_owned(),
            b'n' => "\n".to_owned(),
            b't' => "\t".to_owned(),
            b'%' => "%".to_owned(),
            composed => {
                for &byte in composition(composed)? {
                    if byte.is_ascii_alphabetic() { self.print(byte, text)? } else { text.push(char::from(byte)) }
                }
                return Some(());
            }
        };
        text.push_str(&part);
        Some(())
    }
}

/// What a mark that stands for several is made of; letters are marks.
fn composition(mark: u8) -> Option<&'static [u8]> {
    Some(match mark {
        b'F' => b"Y-m-d",
        b'T' | b'X' => b"H:M:S",
        b'D' | b'x' => b"m/d/y",
        b'R' => b"H:M",
        b'r' => b"I:M:S p",
        b'c' => b"a b e H:M:S Y",
        _ => return None,
    })
}

/// A moment printed; `None` for a format that is not known or too long.
pub(super) fn format(seconds: f64, format: &[u8]) -> Option<Vec<u8>> {
    let moment = Moment::at(seconds)?;
    let mut out = Vec::new();
    let mut bytes = format.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut text = String::new();
            moment.print(bytes.next()?, &mut text)?;
            out.extend_from_slice(text.as_bytes());
        } else {
            out.push(byte);
        }
        if out.len() > crate::limits::TEXT_BYTES {
            return None;
        }
    }
    Some(out)
}

/// Parts of a date as far as they are read.
struct Reader<'a> {
    text: &'a [u8],
    year: i64,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    yearday: Option<u16>,
    /// Whether a 12-hour clock's hour is after noon.
    afternoon: Option<bool>,
    zone_s: i64,
    seconds: Option<i64>,
}

/// The moment that a text tells; `None` where it is not of that format.
pub(super) fn parse(text: &[u8], format: &[u8]) -> Option<i64> {
    let mut reader = Reader {
        text,
        year: 1900,
        month: 1,
        day: 1,
        hour: 0,
        minute: 0,
        second: 0,
        yearday: None,
        afternoon: None,
        zone_s: 0,
        seconds: None,
    };
    let mut bytes = format.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => reader.read(bytes.next()?)?,
            byte if byte.is_ascii_whitespace() => reader.text = reader.text.trim_ascii_start(),
            byte => reader.text = reader.text.strip_prefix(&[byte])?,
        }
    }
    reader.finish()
}

impl Reader<'_> {
    fn read(&mut self, mark: u8) -> Option<()> {
        match mark {
            b'Y' => self.year = self.number(4, -9999, 9999)?,
            b'y' => {
                let year = self.number(2, 0, 99)?;
                self.year = if year < 69 { 2000 + year } else { 1900 + year };
            }
            b'm' => self.month = self.small(2, 1, 12)?,
            b'd' | b'e' => self.day = self.small(2, 1, 31)?,
            b'H' | b'k' => self.hour = self.small(2, 0, 23)?,
            b'I' | b'l' => self.hour = self.small(2, 1, 12)? % 12,
            b'M' => self.minute = self.small(2, 0, 59)?,
            b'S' => self.second = self.small(2, 0, 60)?,
            b'j' => self.yearday = u16::try_from(self.number(3, 1, 366)? - 1).ok(),
            b'p' | b'P' => {
                let half = self.text.get(..2)?.to_ascii_lowercase();
                self.afternoon = Some(match half.as_slice() {
                    b"am" => false,
                    b"pm" => true,
                    _ => return None,
                });
                self.text = &self.text[2..];
            }
            b'b' | b'B' | b'h' => self.month = self.name(&MONTHS)? + 1,
            b'a' | b'A' => {
                self.name(&WEEKDAYS)?;
            }
            b's' => self.seconds = Some(self.number(15, -100_000_000_000_000, 100_000_000_000_000)?),
            b'Z' => {
                let letters = self.text.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
                self.text = &self.text[letters..];
            }
            b'z' => self.zone()?,
            b'n' | b't' => self.text = self.text.trim_ascii_start(),
            b'%' => self.text = self.text.strip_prefix(b"%")?,
            composed => {
                for &byte in composition(composed)? {
                    match byte {
                        b' ' => self.text = self.text.trim_ascii_start(),
                        byte if byte.is_ascii_alphabetic() => self.read(byte)?,
                        byte => self.text = self.text.strip_prefix(&[byte])?,
                    }
                }
            }
        }
        Some(())
    }

    fn number(&mut self, digits: usize, min: i64, max: i64) -> Option<i64> {
        self.text = self.text.trim_ascii_start();
        let signed = min < 0 && self.text.starts_with(b"-");
        let unsigned = &self.text[usize::from(signed)..];
        let length = unsigned.iter().take(digits).take_while(|byte| byte.is_ascii_digit()).count();
        let number: i64 = std::str::from_utf8(&unsigned[..length]).ok()?.parse().ok()?;
        self.text = &unsigned[length..];
        let number = if signed { -number } else { number };
        (min..=max).contains(&number).then_some(number)
    }

    fn small(&mut self, digits: usize, min: i64, max: i64) -> Option<u8> {
        self.number(digits, min, max).and_then(|number| u8::try_from(number).ok())
    }

    /// The place of a name, whole or its first three letters.
    fn name(&mut self, names: &[&str]) -> Option<u8> {
        for (place, name) in names.iter().enumerate() {
            for length in [name.len(), 3] {
                if self.text.get(..length).is_some_and(|text| text.eq_ignore_ascii_case(&name.as_bytes()[..length])) {
                    self.text = &self.text[length..];
                    return u8::try_from(place).ok();
                }
            }
        }
        None
    }

    /// `Z`, `+hhmm` or `+hh:mm`.
    fn zone(&mut self) -> Option<()> {
        if let Some(rest) = self.text.strip_prefix(b"Z") {
            self.text = rest;
            return Some(());
        }
        let sign = match self.text.first()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        self.text = &self.text[1..];
        let hours = self.number(2, 0, 24)?;
        self.text = self.text.strip_prefix(b":").unwrap_or(self.text);
        let minutes = self.number(2, 0, 59)?;
        self.zone_s = sign * (hours * 3600 + minutes * 60);
        Some(())
    }

    fn finish(self) -> Option<i64> {
        if let Some(seconds) = self.seconds {
            return Some(seconds);
        }
        let date = match self.yearday {
            Some(yearday) => days(self.year, 1, 1) + i64::from(yearday),
            None => days(self.year, self.month, self.day),
        };
        let hour = i64::from(self.hour) + if self.afternoon == Some(true) { 12 } else { 0 };
        Some(date * DAY_S + hour * 3600 + i64::from(self.minute) * 60 + i64::from(self.second) - self.zone_s)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(seconds: f64, pattern: &str) -> String {
        String::from_utf8(format(seconds, pattern.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn known_moments_are_printed() {
        // 2018-02-14 13:05:07 UTC, a Wednesday.
        let seconds = 1_518_613_507.0;
        assert_eq!(shown(seconds, "%FT%TZ"), "2018-02-14T13:05:07Z");
        assert_eq!(shown(seconds, "%a %A %b %B %j %u %w"), "Wed Wednesday Feb February 045 3 3");
        assert_eq!(shown(seconds, "%D %R %r %y %C %e %l"), "02/14/18 13:05 01:05:07 PM 18 20 14  1");
        assert_eq!(shown(seconds, "%V %G %U %W %s %%"), "07 2018 06 07 1518613507 %");
        assert_eq!(shown(-1.0, "%FT%TZ"), "1969-12-31T23:59:59Z");
        assert_eq!(shown(1_230_768_000.0, "%V %G"), "01 2009", "2009-01-01 is a Thursday");
        assert_eq!(shown(1_104_537_600.0, "%V %G"), "53 2004", "2005-01-01 is a Saturday");
        assert_eq!(format(seconds, b"%Q"), None);
        assert_eq!(format(f64::NAN, b"%F"), None);
        assert_eq!(format(1e300, b"%F"), None);
    }

    #[test]
    fn texts_are_read_by_their_format() {
        assert_eq!(parse(b"2018-02-14T13:05:07Z", b"%FT%TZ"), Some(1_518_613_507));
        assert_eq!(parse(b"14 Feb 2018 01:05 pm", b"%d %b %Y %I:%M %p"), Some(1_518_613_500));
        assert_eq!(parse(b"Wednesday February 14 70", b"%A %B %d %y"), Some(3_801_600));
        assert_eq!(parse(b"2018-02-14 13:05:07 +0130", b"%Y-%m-%d %H:%M:%S %z"), Some(1_518_608_107));
        assert_eq!(parse(b"1518613507", b"%s"), Some(1_518_613_507));
        assert_eq!(parse(b"2018/02/14", b"%Y-%m-%d"), None);
        assert_eq!(parse(b"2018-13-14", b"%Y-%m-%d"), None);
    }

    #[test]
    fn moments_are_cut_to_units() {
        assert_eq!(start(1_518_613_507.0, 3600), Some(1_518_613_200.0));
        assert_eq!(Moment::at(1_518_613_507.0).unwrap().month_start(), 1_517_443_200);
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(seconds in -60_000_000_000_i64..250_000_000_000) {
            let printed = format(seconds as f64, b"%Y-%m-%d %H:%M:%S").unwrap();
            prop_assert_eq!(parse(&printed, b"%Y-%m-%d %H:%M:%S"), Some(seconds));
            let moment = Moment::of(seconds);
            prop_assert_eq!(days(moment.year, moment.month, moment.day), seconds.div_euclid(DAY_S));
        }

        #[test]
        fn any_bytes_are_read_or_refused(text: Vec<u8>, pattern: Vec<u8>, seconds: f64) {
            let _ = parse(&text, &pattern);
            let _ = format(seconds, &pattern);
        }
    }
}
