//! Functions of expressions.

use std::borrow::Cow;

use super::time;
use crate::{QueryError, Value, limits};

macro_rules! functions {
    ($($variant:ident $name:literal $least:literal $most:expr;)*) => {
        /// A function by its name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Function { $($variant,)* }

        /// Names, and how many arguments there are at least and at most.
        const FUNCTIONS: &[(&str, Function, usize, usize)] = &[$(($name, Function::$variant, $least, $most),)*];
    };
}

functions! {
    Exists "exists" 1 1;
    Case "case" 3 3;
    Log "log" 1 1;
    Log2 "log2" 1 1;
    Abs "abs" 1 1;
    Ceil "ceil" 1 1;
    Floor "floor" 1 1;
    Exp "exp" 1 1;
    Sqrt "sqrt" 1 1;
    ToNumber "to_number" 1 1;
    ToStr "to_str" 1 1;
    Upper "upper" 1 1;
    Lower "lower" 1 1;
    StartsWith "startswith" 2 2;
    Contains "contains" 2 2;
    StrLen "strlen" 1 1;
    Substr "substr" 3 3;
    Format "format" 1 usize::MAX;
    Split "split" 1 3;
    MatchedTerms "matched_terms" 0 1;
    TimeFmt "timefmt" 1 2;
    ParseTime "parsetime" 1 2;
    ParseTime2 "parse_time" 1 2;
    Minute "minute" 1 1;
    Hour "hour" 1 1;
    Day "day" 1 1;
    Month "month" 1 1;
    Year "year" 1 1;
    DayOfWeek "dayofweek" 1 1;
    DayOfMonth "dayofmonth" 1 1;
    DayOfYear "dayofyear" 1 1;
    MonthOfYear "monthofyear" 1 1;
    GeoDistance "geodistance" 2 4;
}

/// Format of times where none is given.
const TIME_FORMAT: &[u8] = b"%FT%TZ";

/// Most terms that `matched_terms` tells.
const TERMS_MAX: usize = 100;

/// Radius of the earth as GEODIST has it, metres.
const EARTH_M: f64 = 6_372_797.560_856;

impl Function {
    /// The function of this name, for so many arguments.
    pub(super) fn named(name: &[u8], arguments: usize) -> Result<Self, QueryError> {
        let found = FUNCTIONS.iter().find(|(known, ..)| known.as_bytes() == name);
        let shown = String::from_utf8_lossy(name);
        match found {
            None => Err(QueryError::new(format!("Unknown function name '{shown}'"))),
            Some(&(_, function, least, most)) if (least..=most).contains(&arguments) => Ok(function),
            Some(_) => Err(QueryError::new(format!("Invalid arguments for function '{shown}'"))),
        }
    }

    /// Its outcome; `None` where the arguments are not what it takes.
    pub(super) fn call(self, arguments: &[Cow<'_, Value>]) -> Option<Value> {
        let value = |place: usize| arguments.get(place).map(|argument| &**argument);
        let number = |place: usize| value(place)?.as_number();
        let text = |place: usize| match value(place)? {
            Value::Text(text) => Some(text.as_slice()),
            _ => None,
        };
        Some(match self {
            Self::Exists => Value::Number(if *value(0)? == Value::Null { 0.0 } else { 1.0 }),
            Self::Case => return None, // Evaluated where its branches are.
            Self::Log => Value::Number(number(0)?.ln()),
            Self::Log2 => Value::Number(number(0)?.log2()),
            Self::Abs => Value::Number(number(0)?.abs()),
            Self::Ceil => Value::Number(number(0)?.ceil()),
            Self::Floor => Value::Number(number(0)?.floor()),
            Self::Exp => Value::Number(number(0)?.exp()),
            Self::Sqrt => Value::Number(number(0)?.sqrt()),
            Self::ToNumber => Value::Number(number(0)?),
            Self::ToStr => Value::Text(value(0)?.as_text()?.into_owned()),
            Self::Upper => Value::text(changed_case(text(0)?, str::to_uppercase, <[u8]>::to_ascii_uppercase)),
            Self::Lower => Value::text(changed_case(text(0)?, str::to_lowercase, <[u8]>::to_ascii_lowercase)),
            Self::StartsWith => Value::Number(f64::from(u8::from(text(0)?.starts_with(text(1)?)))),
            Self::Contains => Value::Number(occurrences(text(0)?, text(1)?) as f64),
            Self::StrLen => Value::Number(text(0)?.len() as f64),
            Self::Substr => Value::text(substring(text(0)?, number(1)?, number(2)?)),
            Self::Format => format(text(0)?, &arguments[1..])?,
            Self::Split => {
                let default =
                    |place, usual: &'static [u8]| if value(place).is_some() { text(place) } else { Some(usual) };
                split(text(0)?, default(1, b",")?, default(2, b" ")?)
            }
            Self::MatchedTerms => {
                let Value::List(terms) = value(arguments.len().checked_sub(1)?)? else { return None };
                let most = if arguments.len() == 2 { number(0)? as usize } else { TERMS_MAX };
                Value::List(terms.iter().take(most.min(TERMS_MAX)).cloned().collect())
            }
            Self::TimeFmt => {
                let format = if value(1).is_some() { text(1)? } else { TIME_FORMAT };
                Value::Text(time::format(number(0)?, format)?)
            }
            Self::ParseTime | Self::ParseTime2 => {
                let format = if value(1).is_some() { text(1)? } else { TIME_FORMAT };
                Value::Number(time::parse(text(0)?, format)? as f64)
            }
            Self::Minute => Value::Number(time::start(number(0)?, 60)?),
            Self::Hour => Value::Number(time::start(number(0)?, 3600)?),
            Self::Day => Value::Number(time::start(number(0)?, 86_400)?),
            Self::Month => Value::Number(time::Moment::at(number(0)?)?.month_start() as f64),
            Self::Year => Value::Number(time::Moment::at(number(0)?)?.year as f64),
            Self::DayOfWeek => Value::Number(f64::from(time::Moment::at(number(0)?)?.weekday)),
            Self::DayOfMonth => Value::Number(f64::from(time::Moment::at(number(0)?)?.day)),
            Self::DayOfYear => Value::Number(f64::from(time::Moment::at(number(0)?)?.yearday)),
            Self::MonthOfYear => Value::Number(f64::from(time::Moment::at(number(0)?)?.month - 1)),
            Self::GeoDistance => Value::Number(distance(arguments)?),
        })
    }
}

fn changed_case(text: &[u8], unicode: fn(&str) -> String, ascii: fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    std::str::from_utf8(text).map_or_else(|_| ascii(text), |text| unicode(text).into_bytes())
}

/// How often `part` stands in `text`, not counting what overlaps; an empty part stands around each byte.
fn occurrences(text: &[u8], part: &[u8]) -> usize {
    if part.is_empty() {
        return text.len() + 1;
    }
    let (mut count, mut at) = (0, 0);
    while at + part.len() <= text.len() {
        let here = &text[at..at + part.len()] == part;
        count += usize::from(here);
        at += if here { part.len() } else { 1 };
    }
    count
}

/// `count` bytes from `offset`; a negative offset counts from the end, and so does a negative count, where -1 is the end.
fn substring(text: &[u8], offset: f64, count: f64) -> &[u8] {
    let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
    let (offset, count) = (offset as i64, count as i64);
    let start = if offset < 0 { length.saturating_add(offset).max(0) } else { offset.min(length) };
    let end = if count < 0 { length.saturating_add(count).saturating_add(1) } else { start.saturating_add(count) };
    let bounded = |place: i64| usize::try_from(place.clamp(0, length)).unwrap_or(0);
    text.get(bounded(start)..bounded(end)).unwrap_or_default()
}

/// `%s` replaced by arguments; `None` where one lacks or another mark stands behind `%`.
fn format(pattern: &[u8], arguments: &[Cow<'_, Value>]) -> Option<Value> {
    let mut text = Vec::new();
    let mut arguments = arguments.iter();
    let mut bytes = pattern.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            text.push(byte);
            continue;
        }
        match bytes.next()? {
            b'%' => text.push(b'%'),
            b's' => text.extend_from_slice(&shown(arguments.next()?)),
            _ => return None,
        }
        if text.len() > limits::TEXT_BYTES {
            return None;
        }
    }
    Some(Value::Text(text))
}

/// A value within a text.
fn shown(value: &Value) -> Cow<'_, [u8]> {
    match value {
        Value::Null => Cow::Borrowed(b"(null)"),
        Value::List(values) => Cow::Owned(values.iter().map(shown).collect::<Vec<_>>().join(&b", "[..])),
        Value::Map(pairs) => {
            let pair = |(name, value): &(Vec<u8>, Value)| [&name[..], b": ", &shown(value)].concat();
            Cow::Owned(pairs.iter().map(pair).collect::<Vec<_>>().join(&b", "[..]))
        }
        value => value.as_text().unwrap_or_default(),
    }
}

fn split(text: &[u8], separators: &[u8], strip: &[u8]) -> Value {
    let parts = text.split(|byte| separators.contains(byte)).filter_map(|part| {
        let kept = |byte: &u8| !strip.contains(byte);
        let start = part.iter().position(kept)?;
        let end = part.iter().rposition(kept)? + 1;
        Some(Value::text(&part[start..end]))
    });
    Value::List(parts.collect())
}

/// Metres between two places, each two numbers or a text of both.
fn distance(arguments: &[Cow<'_, Value>]) -> Option<f64> {
    let mut degrees = Vec::new();
    for argument in arguments {
        match &**argument {
            Value::Text(text) if text.contains(&b',') => {
                let (longitude, latitude) = std::str::from_utf8(text).ok()?.split_once(',')?;
                degrees.push(longitude.trim().parse::<f64>().ok()?);
                degrees.push(latitude.trim().parse::<f64>().ok()?);
            }
            value => degrees.push(value.as_number()?),
        }
    }
    let [longitude1, latitude1, longitude2, latitude2] = degrees[..] else { return None };
    let u = ((latitude2 - latitude1).to_radians() / 2.0).sin();
    let v = ((longitude2 - longitude1).to_radians() / 2.0).sin();
    let a = u * u + latitude1.to_radians().cos() * latitude2.to_radians().cos() * v * v;
    let metres = 2.0 * EARTH_M * a.sqrt().min(1.0).asin();
    Some((metres * 100.0).round() / 100.0)
}
