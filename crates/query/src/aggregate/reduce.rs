//! Reducers: what becomes of the rows of one group.
//!
//! Rows without the property do not count, except for COUNT itself. QUANTILE keeps all numbers and is exact;
//! COUNT_DISTINCTISH keeps a HyperLogLog (Flajolet et al. 2007) of 1024 registers, about 3 % off.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hasher},
};

use super::{
    Arguments, Column, Row,
    sort::{First, Sort},
};
use crate::{QueryError, Value, limits};

/// A reducer and the places of the properties it reads.
#[derive(Debug, PartialEq)]
pub(super) enum Reducer {
    Count,
    CountDistinct(usize),
    CountDistinctish(usize),
    Sum(usize),
    Min(usize),
    Max(usize),
    Avg(usize),
    StdDev(usize),
    Quantile(usize, f64),
    ToList(usize),
    FirstValue(usize, Option<Sort>),
    RandomSample(usize, usize),
    Collect(Collect),
}

/// What COLLECT keeps of each row, and of which rows.
#[derive(Debug, PartialEq)]
pub(super) struct Collect {
    /// `None`: all.
    fields: Option<Vec<(Vec<u8>, usize)>>,
    distinct: bool,
    sort: Option<Sort>,
    offset: usize,
    count: usize,
}

/// Rows that COLLECT keeps of a sorted group where LIMIT does not say.
const COLLECTED_ROWS: usize = 10;

/// Most elements of a random sample.
const SAMPLE_MAX: usize = 1000;

type Place<'p> = &'p mut dyn FnMut(&[u8]) -> Result<usize, QueryError>;

impl Reducer {
    /// Reads a reducer's arguments; `place` finds the places of properties.
    pub(super) fn parse(function: &[u8], arguments: Arguments<'_>, place: Place<'_>) -> Result<Self, QueryError> {
        let name = String::from_utf8_lossy(function).to_ascii_uppercase();
        let mut arguments = arguments;
        if name == "COUNT" {
            return match arguments.rest() {
                [] => Ok(Self::Count),
                _ => Err(QueryError::new("Count accepts 0 values only")),
            };
        }
        if name == "COLLECT" {
            return Collect::parse(arguments, place).map(Self::Collect);
        }
        let known = [
            "COUNT_DISTINCT",
            "COUNT_DISTINCTISH",
            "SUM",
            "MIN",
            "MAX",
            "AVG",
            "STDDEV",
            "QUANTILE",
            "TOLIST",
            "FIRST_VALUE",
            "RANDOM_SAMPLE",
        ];
        if !known.contains(&name.as_str()) {
            return Err(QueryError::new(format!("No such reducer: {}", String::from_utf8_lossy(function))));
        }
        let property = place(arguments.word(&name)?)?;
        let reducer = match name.as_str() {
            "COUNT_DISTINCT" => Self::CountDistinct(property),
            "COUNT_DISTINCTISH" => Self::CountDistinctish(property),
            "SUM" => Self::Sum(property),
            "MIN" => Self::Min(property),
            "MAX" => Self::Max(property),
            "AVG" => Self::Avg(property),
            "STDDEV" => Self::StdDev(property),
            "TOLIST" => Self::ToList(property),
            "QUANTILE" => {
                let word = arguments.word(&name)?;
                match super::parse_number(word) {
                    Some(quantile) if (0.0..=1.0).contains(&quantile) => Self::Quantile(property, quantile),
                    Some(_) => return Err(QueryError::new("Percentage must be between 0.0 and 1.0")),
                    None => {
                        return Err(QueryError::new(
                            "Bad arguments for QUANTILE: Could not convert argument to expected type",
                        ));
                    }
                }
            }
            "RANDOM_SAMPLE" => match arguments.count(&name)? {
                0 => return Err(QueryError::new("Sample size must be positive")),
                size if size > SAMPLE_MAX => return Err(QueryError::new("Sample size too large")),
                size => Self::RandomSample(property, size),
            },
            _ => {
                let sort = if arguments.take("BY") {
                    let by = place(arguments.word(&name)?)?;
                    let descending = arguments.take("DESC");
                    if !descending {
                        arguments.take("ASC");
                    }
                    Some(Sort::new(vec![(by, descending)]))
                } else {
                    None
                };
                Self::FirstValue(property, sort)
            }
        };
        match arguments.peek() {
            None => Ok(reducer),
            Some(word) => {
                let word = String::from_utf8_lossy(word);
                Err(QueryError::new(format!("Unknown argument `{word}` at position 1 for {name}")))
            }
        }
    }

    /// The state before the first row.
    pub(super) fn start(&self) -> State {
        match self {
            Self::Count => State::Count(0),
            Self::CountDistinct(_) => State::Distinct(HashSet::new()),
            Self::CountDistinctish(_) => State::Registers(vec![0; 1 << REGISTER_BITS].into()),
            Self::Sum(_) | Self::Avg(_) | Self::StdDev(_) => {
                State::Moments { count: 0, sum: 0.0, mean: 0.0, squares: 0.0 }
            }
            Self::Min(_) | Self::Max(_) => State::Value(Value::Null),
            Self::Quantile(..) => State::Numbers(Vec::new()),
            Self::ToList(_) => State::Values { seen: HashSet::new(), values: Vec::new() },
            Self::FirstValue(..) => State::First(None),
            Self::RandomSample(..) => State::Sample { met: 0, values: Vec::new() },
            Self::Collect(collect) => {
                State::Rows { seen: HashSet::new(), first: First::new(collect.offset.saturating_add(collect.count)) }
            }
        }
    }

    /// Takes a row in; bytes that the state grew by. `random` gives a number below its argument.
    pub(super) fn add(
        &self,
        state: &mut State,
        row: &Row,
        columns: &[Column],
        random: &mut dyn FnMut(u64) -> u64,
    ) -> usize {
        let value = |place: usize| row.values.get(place).filter(|value| **value != Value::Null);
        match (self, state) {
            (Self::Count, State::Count(count)) => *count += 1,
            (Self::CountDistinct(place), State::Distinct(seen)) => {
                if let Some(value) = value(*place) {
                    let identity = identity(value);
                    let size = identity.len() + 48;
                    return if seen.insert(identity) { size } else { 0 };
                }
            }
            (Self::CountDistinctish(place), State::Registers(registers)) => {
                if let Some(value) = value(*place) {
                    count_in(registers, &identity(value));
                }
            }
            (
                Self::Sum(place) | Self::Avg(place) | Self::StdDev(place),
                State::Moments { count, sum, mean, squares },
            ) => {
                for number in numbers(value(*place)) {
                    // After Welford: stable where numbers are large and close together.
                    *count += 1;
                    *sum += number;
                    let off = number - *mean;
                    *mean += off / *count as f64;
                    *squares += off * (number - *mean);
                }
            }
            (Self::Min(place), State::Value(best)) => {
                if let Some(value) = value(*place)
                    && (*best == Value::Null || value.order(best).is_lt())
                {
                    *best = value.clone();
                }
            }
            (Self::Max(place), State::Value(best)) => {
                if let Some(value) = value(*place)
                    && (*best == Value::Null || value.order(best).is_gt())
                {
                    *best = value.clone();
                }
            }
            (Self::Quantile(place, _), State::Numbers(all)) => {
                let before = all.len();
                all.extend(numbers(value(*place)));
                return (all.len() - before) * size_of::<f64>();
            }
            (Self::ToList(place), State::Values { seen, values }) => {
                let elements = match value(*place) {
                    Some(Value::List(elements)) => elements.as_slice(),
                    Some(value) => std::slice::from_ref(value),
                    None => &[],
                };
                let mut grown = 0;
                for element in elements {
                    if seen.insert(identity(element)) {
                        grown += 2 * element.size() + 48;
                        values.push(element.clone());
                    }
                }
                return grown;
            }
            (Self::FirstValue(place, None), State::First(first)) => {
                if first.is_none() {
                    *first = Some((value(*place).cloned().unwrap_or_default(), Vec::new()));
                }
            }
            (Self::FirstValue(place, Some(sort)), State::First(first)) => {
                let better = first.as_ref().is_none_or(|(_, best)| sort.order(&row.values, best).is_lt());
                if better {
                    *first = Some((value(*place).cloned().unwrap_or_default(), row.values.clone()));
                }
            }
            (Self::RandomSample(place, size), State::Sample { met, values }) => {
                if let Some(value) = value(*place) {
                    *met += 1;
                    // Each of those met so far is in the sample with the same chance (Vitter's algorithm R).
                    if values.len() < *size {
                        values.push(value.clone());
                        return value.size();
                    }
                    let slot = usize::try_from(random(*met)).unwrap_or(usize::MAX);
                    if let Some(slot) = values.get_mut(slot) {
                        *slot = value.clone();
                    }
                }
            }
            (Self::Collect(collect), State::Rows { seen, first }) => return collect.add(seen, first, row, columns),
            _ => unreachable!("a state is its reducer's"),
        }
        0
    }

    /// The outcome.
    pub(super) fn finish(&self, state: State) -> Value {
        match (self, state) {
            (_, State::Count(count)) => Value::Number(count as f64),
            (_, State::Distinct(seen)) => Value::Number(seen.len() as f64),
            (_, State::Registers(registers)) => Value::Number(estimate(&registers)),
            (Self::Sum(_), State::Moments { sum, .. }) => Value::Number(sum),
            (Self::Avg(_), State::Moments { count, sum, .. }) => Value::Number(sum / count as f64),
            (_, State::Moments { count, squares, .. }) => {
                Value::Number(if count > 1 { (squares / (count - 1) as f64).sqrt() } else { 0.0 })
            }
            (_, State::Value(value)) => value,
            (Self::Quantile(_, quantile), State::Numbers(all)) => {
                nearest_rank(all, *quantile).map_or(Value::Null, Value::Number)
            }
            (_, State::Values { values, .. } | State::Sample { values, .. }) => Value::List(values),
            (_, State::First(first)) => first.map(|(value, _)| value).unwrap_or_default(),
            (Self::Collect(collect), State::Rows { first, .. }) => {
                let sorted = first.into_sorted(|a, b| collect.order(a, b));
                Value::List(sorted.skip(collect.offset).map(|collected| Value::Map(collected.pairs)).collect())
            }
            (_, State::Numbers(_) | State::Rows { .. }) => unreachable!("a state is its reducer's"),
        }
    }
}

/// What a reducer remembers of a group's rows.
#[derive(Debug)]
pub(super) enum State {
    Count(u64),
    Distinct(HashSet<Vec<u8>>),
    Registers(Box<[u8]>),
    Moments { count: u64, sum: f64, mean: f64, squares: f64 },
    Value(Value),
    Numbers(Vec<f64>),
    Values { seen: HashSet<Vec<u8>>, values: Vec<Value> },
    First(Option<(Value, Vec<Value>)>),
    Sample { met: u64, values: Vec<Value> },
    Rows { seen: HashSet<Vec<u8>>, first: First<Collected> },
}

/// A row as COLLECT keeps it.
#[derive(Debug)]
pub(super) struct Collected {
    pairs: Vec<(Vec<u8>, Value)>,
    /// The row it came from, where that says its place.
    row: Vec<Value>,
}

impl Collect {
    fn parse(mut arguments: Arguments<'_>, place: Place<'_>) -> Result<Self, QueryError> {
        if !arguments.take("FIELDS") {
            return Err(QueryError::new("Bad arguments for COLLECT: FIELDS is required"));
        }
        let fields = if arguments.take("*") {
            None
        } else {
            let words = arguments.counted("COLLECT")?;
            if words.rest().is_empty() || words.rest().len() > limits::FIELDS {
                return Err(QueryError::new("Bad arguments for COLLECT: Invalid number of fields"));
            }
            let mut fields = Vec::new();
            for word in words.rest() {
                fields.push((word.strip_prefix(b"@").unwrap_or(word).to_vec(), place(word)?));
            }
            Some(fields)
        };
        let distinct = arguments.take("DISTINCT");
        let mut keys = Vec::new();
        if arguments.take("SORTBY") {
            let mut words = arguments.counted("COLLECT")?;
            while let Some(word) = words.next_word() {
                let place = place(word)?;
                let descending = words.take("DESC");
                if !descending {
                    words.take("ASC");
                }
                keys.push((place, descending));
            }
        }
        let usual = if keys.is_empty() { limits::RESULTS } else { COLLECTED_ROWS };
        let (offset, count) = match arguments.take("LIMIT") {
            true => (arguments.count("COLLECT")?, arguments.count("COLLECT")?),
            false => (0, usual),
        };
        if offset > limits::RESULTS || count > limits::RESULTS {
            return Err(QueryError::new(format!("LIMIT exceeds maximum of {}", limits::RESULTS)));
        }
        match arguments.peek() {
            None => Ok(Self { fields, distinct, sort: (!keys.is_empty()).then(|| Sort::new(keys)), offset, count }),
            Some(word) => {
                let word = String::from_utf8_lossy(word);
                Err(QueryError::new(format!("Bad arguments for COLLECT: Unknown argument `{word}`")))
            }
        }
    }

    fn order(&self, a: &Collected, b: &Collected) -> std::cmp::Ordering {
        self.sort.as_ref().map_or(std::cmp::Ordering::Equal, |sort| sort.order(&a.row, &b.row))
    }

    fn add(&self, seen: &mut HashSet<Vec<u8>>, first: &mut First<Collected>, row: &Row, columns: &[Column]) -> usize {
        let there = |name: &[u8], value: &Value| (*value != Value::Null).then(|| (name.to_vec(), value.clone()));
        let pairs: Vec<_> = match &self.fields {
            Some(fields) => fields.iter().filter_map(|(name, place)| there(name, row.values.get(*place)?)).collect(),
            None => {
                let shown = columns.iter().zip(&row.values).filter(|(column, _)| column.shown);
                let rest = row.rest.iter().filter_map(|(name, value)| there(name, value));
                shown.filter_map(|(column, value)| there(&column.name, value)).chain(rest).collect()
            }
        };
        let pairs = Value::Map(pairs);
        let size = pairs.size();
        if self.distinct && !seen.insert(identity(&pairs)) {
            return 0;
        }
        let Value::Map(pairs) = pairs else { unreachable!("made above") };
        let values = if self.sort.is_some() { row.values.clone() } else { Vec::new() };
        // What is dropped again is not counted back: the bound is on what passes through, which is more than enough.
        let kept = size + values.iter().map(Value::size).sum::<usize>();
        let dropped = first.push(Collected { pairs, row: values }, |a, b| self.order(a, b));
        if dropped.is_empty() { kept } else { 0 }
    }
}

fn identity(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.identity(&mut bytes);
    bytes
}

/// The numbers of a value: its own, or those of a list.
fn numbers(value: Option<&Value>) -> impl Iterator<Item = f64> {
    let values = match value {
        Some(Value::List(values)) => values.as_slice(),
        Some(value) => std::slice::from_ref(value),
        None => &[],
    };
    values.iter().filter_map(Value::as_number)
}

/// The smallest number that is not below `quantile` of them all.
fn nearest_rank(mut numbers: Vec<f64>, quantile: f64) -> Option<f64> {
    let last = numbers.len().checked_sub(1)?;
    let rank = (quantile * numbers.len() as f64).ceil() as usize;
    let place = rank.saturating_sub(1).min(last);
    Some(*numbers.select_nth_unstable_by(place, f64::total_cmp).1)
}

const REGISTER_BITS: u32 = 10;

/// Notes a value in a HyperLogLog: the longest run of zeros of the hashes that share a register.
fn count_in(registers: &mut [u8], identity: &[u8]) {
    let mut hasher = DefaultHasher::new();
    hasher.write(identity);
    let hash = hasher.finish();
    let register = usize::try_from(hash >> (64 - REGISTER_BITS)).expect("ten bits");
    let zeros = (hash << REGISTER_BITS).leading_zeros().min(64 - REGISTER_BITS) + 1;
    registers[register] = registers[register].max(u8::try_from(zeros).expect("at most 55"));
}

fn estimate(registers: &[u8]) -> f64 {
    let m = registers.len() as f64;
    let harmonic: f64 = registers.iter().map(|&zeros| 2_f64.powi(-i32::from(zeros))).sum();
    let raw = 0.7213 / (1.0 + 1.079 / m) * m * m / harmonic;
    let empty = registers.iter().filter(|&&zeros| zeros == 0).count();
    // Few values: how many registers are empty tells more.
    if raw <= 2.5 * m && empty > 0 { (m * (m / empty as f64).ln()).round() } else { raw.round() }
}
