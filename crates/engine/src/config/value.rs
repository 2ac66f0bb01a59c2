//! What a parameter's text may be, and how CONFIG GET prints it.

use crate::notify;

/// What a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// yes or no.
    Bool,
    /// A number within bounds.
    Int(i64, i64),
    /// A number from 0 on that is brought within bounds.
    Near(i64, i64),
    /// A number of bytes, units allowed (kb, mb, gb, k, m, g).
    Memory,
    /// The same, and what is less counts as this much.
    MemoryFrom(i64),
    /// The same, and what is less is refused.
    MemoryAbove(i64),
    /// The same, or a share of `maxmemory` in percent, which is the number below 0.
    MemoryOrPercent,
    /// Any text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// The title of the process: text with {variables}.
    Title,
    /// Some of these words.
    Words(&'static [&'static str]),
    /// Only no; why not yes.
    No(&'static str),
    /// Pairs of seconds and changes.
    SavePoints,
    /// Letters of classes of keyspace events.
    Events,
    /// Limits of classes of clients.
    OutputLimits,
    /// What makes the system end the process sooner or later: as a primary, as a replica, for children.
    Scores,
    /// Permissions of a file.
    Octal,
    /// Numbers from 0 to 100.
    Percentiles,
}

/// The value as CONFIG GET prints it.
pub(super) fn normalise(kind: Kind, text: &str) -> Result<String, String> {
    match kind {
        Kind::Text | Kind::OutputLimits => Ok(text.to_owned()),
        Kind::Events => notify::parse(text).map(notify::print),
        Kind::Bool => match text.to_ascii_lowercase().as_str() {
            word @ ("yes" | "no") => Ok(word.to_owned()),
            _ => Err("argument must be 'yes' or 'no'".to_owned()),
        },
        Kind::No(reason) => match normalise(Kind::Bool, text)?.as_str() {
            "yes" => Err(reason.to_owned()),
            word => Ok(word.to_owned()),
        },
        Kind::Int(low, high) => match text.parse::<i64>() {
            Err(_) => Err("argument couldn't be parsed into an integer".to_owned()),
            Ok(n) if (low..=high).contains(&n) => Ok(n.to_string()),
            Ok(_) => Err(format!("argument must be between {low} and {high} inclusive")),
        },
        Kind::Near(low, high) => {
            let text = normalise(Kind::Int(0, i32::MAX.into()), text)?;
            Ok(text.parse::<i64>().map_or(low, |n| n.clamp(low, high)).to_string())
        }
        Kind::Memory => memory(text, 0).map(|bytes| bytes.to_string()),
        Kind::MemoryFrom(least) => memory(text, 1).map(|bytes| bytes.max(least).to_string()),
        Kind::MemoryAbove(least) => memory(text, least).map(|bytes| bytes.to_string()),
        Kind::MemoryOrPercent => match text.strip_suffix('%').map(str::parse::<i64>) {
            Some(Ok(percent)) if (0..=100).contains(&percent) => Ok(format!("{percent}%")),
            Some(Ok(101..)) => Err("percentage argument must be less or equal to 100".to_owned()),
            Some(_) => Err("argument must be a memory or percent value".to_owned()),
            None => normalise(Kind::Memory, text).map_err(|_| "argument must be a memory or percent value".to_owned()),
        },
        Kind::Word(words) => match words.iter().find(|word| word.eq_ignore_ascii_case(text)) {
            Some(word) => Ok((*word).to_owned()),
            None => Err(format!("argument(s) must be one of the following: {}", words.join(", "))),
        },
        Kind::Title => match text.split('{').skip(1).all(is_variable) {
            true => Ok(text.to_owned()),
            false => Err("template format is invalid or contains unknown variables".to_owned()),
        },
        Kind::Words(words) => {
            let chosen: Vec<Option<&&str>> = text
                .split_ascii_whitespace()
                .map(|given| words.iter().find(|word| word.eq_ignore_ascii_case(given)))
                .collect();
            if chosen.is_empty() || chosen.contains(&None) {
                return Err(format!("argument(s) must be one of the following: {}", words.join(", ")));
            }
            if ["save", "nosave"].iter().all(|word| chosen.contains(&Some(word))) {
                return Err("shutdown options SAVE and NOSAVE can't be used simultaneously".to_owned());
            }
            Ok(words.iter().filter(|word| chosen.contains(&Some(word))).copied().collect::<Vec<_>>().join(" "))
        }
        Kind::Scores => {
            let numbers: Vec<Option<i32>> = text.split_ascii_whitespace().map(|word| word.parse().ok()).collect();
            match numbers.as_slice() {
                [_, _, _] if numbers.iter().all(|n| n.is_some_and(|n| (-2000..=2000).contains(&n))) => {
                    Ok(text.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
                }
                [_, _, _] => Err("Invalid oom-score-adj-values, elements must be between -2000 and 2000.".to_owned()),
                _ => Err("wrong number of arguments".to_owned()),
            }
        }
        Kind::Octal => match u32::from_str_radix(text, 8) {
            Ok(mode) if mode <= 0o777 => Ok(format!("{mode:o}")),
            _ => Err("argument couldn't be parsed into an octal number".to_owned()),
        },
        Kind::Percentiles => {
            let shares: Option<Vec<f64>> = text.split_ascii_whitespace().map(|word| word.parse().ok()).collect();
            match shares {
                Some(shares) if shares.iter().all(|share| (0.0..=100.0).contains(share)) => {
                    Ok(shares.iter().map(f64::to_string).collect::<Vec<_>>().join(" "))
                }
                Some(_) => {
                    Err("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]".to_owned())
                }
                None => Err("Invalid latency-tracking-info-percentiles parameters".to_owned()),
            }
        }
        Kind::SavePoints => {
            let numbers: Option<Vec<u64>> = text.split_ascii_whitespace().map(|word| word.parse().ok()).collect();
            match numbers {
                Some(numbers) if numbers.len() % 2 == 0 => {
                    Ok(text.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
                }
                _ => Err("Invalid save parameters".to_owned()),
            }
        }
    }
}

/// Whether a text begins with the name of a variable of the title and a closing brace.
fn is_variable(text: &str) -> bool {
    const NAMES: &[&str] = &["title", "listen-addr", "server-mode", "port", "tls-port", "unixsocket", "config-file"];
    text.split_once('}').is_some_and(|(name, _)| NAMES.contains(&name))
}

/// Bytes from `low` on.
fn memory(text: &str, low: i64) -> Result<i64, String> {
    match parse_memory(text) {
        Some(bytes) if bytes >= low => Ok(bytes),
        None if text.parse::<u64>().is_err() => Err("argument must be a memory value".to_owned()),
        _ => Err(format!("argument must be between {low} and {} inclusive", i64::MAX)),
    }
}

/// Bytes of "100", "64kb" (1024), "1m" (10^6), ...; no digits are 0, as in Redis.
pub fn parse_memory(text: &str) -> Option<i64> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let factor: i64 = match text[split..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    let number: i64 = if split == 0 { 0 } else { text[..split].parse().ok()? };
    number.checked_mul(factor)
}

pub(super) fn number_of(kind: Kind, text: &str) -> i64 {
    match kind {
        Kind::Bool | Kind::No(_) => i64::from(text == "yes"),
        Kind::Int(..) | Kind::Near(..) | Kind::Memory | Kind::MemoryFrom(_) | Kind::MemoryAbove(_) => {
            text.parse().unwrap_or(0)
        }
        Kind::MemoryOrPercent => match text.strip_suffix('%') {
            Some(percent) => -percent.parse().unwrap_or(0),
            None => text.parse().unwrap_or(0),
        },
        Kind::Word(words) => words.iter().position(|word| *word == text).unwrap_or(0) as i64,
        Kind::Events => notify::parse(text).map_or(0, notify::Class::to_number),
        Kind::Text
        | Kind::Title
        | Kind::Words(_)
        | Kind::Scores
        | Kind::SavePoints
        | Kind::OutputLimits
        | Kind::Percentiles
        | Kind::Octal => 0,
    }
}
