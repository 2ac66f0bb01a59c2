//! A pipeline at work.

use std::{collections::HashMap, collections::VecDeque, sync::Arc};

use super::{
    plan::{Arrange, Group, Plan, Step},
    reduce::State,
    sort::First,
};
use crate::{QueryError, Value, limits};

/// A row on its way.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Row {
    /// Values by their places.
    pub values: Vec<Value>,
    /// Further properties of the document (`LOAD *`), which no step names.
    pub rest: Vec<(Vec<u8>, Value)>,
}

/// A pipeline that rows are passing through.
#[derive(Debug)]
pub struct Run {
    plan: Arc<Plan>,
    states: Vec<Held>,
    out: VecDeque<Row>,
    bytes: usize,
    random: u64,
    /// Whether no further row can change the outcome.
    done: bool,
}

/// What a step holds back.
#[derive(Debug)]
enum Held {
    Nothing,
    /// Rows that passed.
    Passed(usize),
    First(First<Row>),
    Groups(Groups),
}

#[derive(Debug, Default)]
struct Groups {
    places: HashMap<Vec<u8>, usize>,
    /// In the order of their first rows.
    groups: Vec<(Vec<Value>, Vec<State>)>,
}

impl Run {
    /// Begins; `seed` is for RANDOM_SAMPLE.
    pub fn new(plan: Arc<Plan>, seed: u64) -> Self {
        let mut run = Self { states: Vec::new(), out: VecDeque::new(), bytes: 0, random: seed | 1, done: false, plan };
        run.states = run.plan.steps.iter().map(Held::of).collect();
        run
    }

    /// Passes a row through; whether another one can matter.
    ///
    /// # Errors
    /// Where the run holds more than it may.
    pub fn push(&mut self, row: Row) -> Result<bool, QueryError> {
        if !self.done {
            self.pass(0, row)?;
        }
        Ok(!self.done)
    }

    /// Says that no further row comes: what was held back comes out.
    ///
    /// # Errors
    /// As for [`push`](Self::push).
    pub fn finish(&mut self) -> Result<(), QueryError> {
        self.done = false;
        for step in 0..self.states.len() {
            match std::mem::replace(&mut self.states[step], Held::Passed(usize::MAX)) {
                Held::First(first) => {
                    let plan = Arc::clone(&self.plan);
                    let Step::Arrange(Arrange { sort: Some(sort), .. }) = &plan.steps[step] else { continue };
                    let (offset, _) = arrange_range(&plan.steps[step]);
                    for row in first.into_sorted(|a, b| sort.order(&a.values, &b.values)).skip(offset) {
                        self.pass(step + 1, row)?;
                    }
                }
                Held::Groups(groups) => {
                    let plan = Arc::clone(&self.plan);
                    let Step::Group(group) = &plan.steps[step] else { continue };
                    for (mut values, states) in groups.groups {
                        values.extend(group.reducers.iter().zip(states).map(|(reducer, state)| reducer.finish(state)));
                        self.pass(step + 1, Row { values, rest: Vec::new() })?;
                    }
                }
                held => self.states[step] = held,
            }
        }
        self.done = true;
        Ok(())
    }

    /// Rows that came out and were not taken.
    pub fn ready(&self) -> usize {
        self.out.len()
    }

    /// Takes the next row that came out.
    pub fn take(&mut self) -> Option<Row> {
        self.out.pop_front()
    }

    /// The pipeline.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    fn pass(&mut self, from: usize, mut row: Row) -> Result<(), QueryError> {
        let plan = Arc::clone(&self.plan);
        for (place, step) in plan.steps.iter().enumerate().skip(from) {
            match (step, &mut self.states[place]) {
                (Step::Apply { expression, place, width }, _) => {
                    let value = expression.value(&row.values).into_owned();
                    if row.values.len() < *width {
                        row.values.resize(*width, Value::Null);
                    }
                    row.values[*place] = value;
                }
                (Step::Filter(condition), _) => {
                    if !condition.value(&row.values).is_true() {
                        return Ok(());
                    }
                }
                (Step::Arrange(Arrange { sort: Some(sort), .. }), Held::First(first)) => {
                    self.bytes += size(&row);
                    let dropped = first.push(row, |a, b| sort.order(&a.values, &b.values));
                    self.bytes -= dropped.iter().map(size).sum::<usize>().min(self.bytes);
                    return self.check();
                }
                (Step::Arrange(arrange), Held::Passed(passed)) => {
                    let (start, end) = arrange.range();
                    let here = *passed;
                    *passed = passed.saturating_add(1);
                    // Behind a step that holds rows back all of them come at once, and none is asked for.
                    self.done |= *passed >= end;
                    if here < start || here >= end {
                        return Ok(());
                    }
                }
                (Step::Group(group), Held::Groups(groups)) => {
                    let grown = add(group, groups, &row, &mut self.random)?;
                    self.bytes += grown;
                    return self.check();
                }
                _ => unreachable!("a step's state is its own"),
            }
        }
        self.out.push_back(row);
        Ok(())
    }

    fn check(&self) -> Result<(), QueryError> {
        if self.bytes > limits::ROWS_BYTES {
            return Err(QueryError::new("Aggregation needs more memory than one query may use"));
        }
        Ok(())
    }
}

impl Held {
    fn of(step: &Step) -> Self {
        match step {
            Step::Apply { .. } | Step::Filter(_) => Self::Nothing,
            Step::Arrange(arrange) if arrange.sort.is_some() => Self::First(First::new(arrange.range().1)),
            Step::Arrange(_) => Self::Passed(0),
            Step::Group(_) => Self::Groups(Groups::default()),
        }
    }
}

fn arrange_range(step: &Step) -> (usize, usize) {
    match step {
        Step::Arrange(arrange) => arrange.range(),
        _ => (0, usize::MAX),
    }
}

fn size(row: &Row) -> usize {
    row.values.iter().map(Value::size).sum::<usize>()
        + row.rest.iter().map(|(name, value)| name.len() + 24 + value.size()).sum::<usize>()
}

/// Adds a row to its group; to several where a key is a list, one for each element. Bytes that the groups grew by.
fn add(group: &Group, groups: &mut Groups, row: &Row, random: &mut u64) -> Result<usize, QueryError> {
    let missing = Value::Null;
    let keys: Vec<&[Value]> = group
        .keys
        .iter()
        .map(|&place| match row.values.get(place).unwrap_or(&missing) {
            Value::List(elements) if !elements.is_empty() => elements.as_slice(),
            value => std::slice::from_ref(value),
        })
        .collect();
    let combinations = keys.iter().try_fold(1_usize, |product, key| product.checked_mul(key.len()));
    let combinations = combinations
        .filter(|combinations| *combinations <= limits::RESULTS)
        .ok_or_else(|| QueryError::new("A row belongs to too many groups"))?;
    let mut next = |below: u64| {
        // xorshift64: no more is needed for a sample.
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        *random % below.max(1)
    };
    let mut grown = 0;
    for combination in 0..combinations {
        let mut left = combination;
        let mut identity = Vec::new();
        let mut chosen = Vec::with_capacity(keys.len());
        for key in &keys {
            let value = &key[left % key.len()];
            left /= key.len();
            value.identity(&mut identity);
            chosen.push(value);
        }
        let place = match groups.places.get(&identity) {
            Some(&place) => place,
            None => {
                let values: Vec<Value> = chosen.into_iter().cloned().collect();
                grown += values.iter().map(Value::size).sum::<usize>() + identity.len() + 256;
                grown += 1024 * group.reducers.len();
                groups.groups.push((values, group.reducers.iter().map(super::reduce::Reducer::start).collect()));
                groups.places.insert(identity, groups.groups.len() - 1);
                groups.groups.len() - 1
            }
        };
        let states = &mut groups.groups[place].1;
        for (reducer, state) in group.reducers.iter().zip(states) {
            grown += reducer.add(state, row, &group.columns, &mut next);
        }
    }
    Ok(grown)
}
