//! What a writer does, step by step, and what its keys must hold after each step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::Result;
use quiver_resp::Value;

/// Steps of different kinds in a row.
const KINDS: u64 = 10;
/// Entries of the stream, and of the second list.
const KEPT: usize = 50;

/// The commands of a step; several are a transaction.
pub fn commands(writer: usize, step: u64) -> Vec<Vec<String>> {
    let (round, key) = (step / KINDS, |name: &str| format!("w{writer}:{name}"));
    let words = |line: String| line.split(' ').map(str::to_owned).collect::<Vec<String>>();
    let one = |line: String| vec![words(line)];
    match step % KINDS {
        0 => one(format!("INCR {}", key("count"))),
        1 if round % 20 == 19 => one(format!("DEL {}", key("list"))),
        1 => one(format!("RPUSH {} {step}", key("list"))),
        2 => transaction([
            words(format!("SET {} {step}", key("a"))),
            words(format!("SET {} {step}", key("b"))),
            words(format!("INCR {}", key("count"))),
        ]),
        3 if round % 3 == 0 => one(format!("SREM {} {}", key("set"), (round + 7) % 40)),
        3 => one(format!("SADD {} {}", key("set"), round % 40)),
        4 => one(format!("ZADD {} {step} m{}", key("zset"), round % 30)),
        5 => one(format!("HSET {} f{} {step}", key("hash"), round % 25)),
        6 => one(format!("XADD {} MAXLEN = {KEPT} {}-1 f {step}", key("stream"), step + 1)),
        7 if round % 4 == 3 => one(format!("VREM {} e{}", key("vectors"), (round + 5) % 30)),
        7 => {
            let [x, y, z] = [1, 2, 3].map(|by| (round * by) % 17 + 1);
            let (vectors, element) = (key("vectors"), round % 30);
            one(format!("VADD {vectors} VALUES 3 {x} {y} {z} e{element} NOQUANT SETATTR {{\"i\":{step}}}"))
        }
        8 => transaction([
            words(format!("LMOVE {} {} RIGHT LEFT", key("list"), key("other"))),
            words(format!("LTRIM {} 0 {}", key("other"), KEPT - 1)),
        ]),
        _ => one(format!("SET {} {}", key("long"), "x".repeat((step % 977) as usize + 1))),
    }
}

fn transaction<const N: usize>(inner: [Vec<String>; N]) -> Vec<Vec<String>> {
    let word = |word: &str| vec![word.to_owned()];
    std::iter::once(word("MULTI")).chain(inner).chain([word("EXEC")]).collect()
}

/// What a writer's keys hold.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Steps done.
    pub steps: u64,
    count: u64,
    a: Option<u64>,
    long: usize,
    list: VecDeque<u64>,
    other: VecDeque<u64>,
    set: BTreeSet<u64>,
    zset: BTreeMap<String, u64>,
    hash: BTreeMap<String, u64>,
    stream: VecDeque<u64>,
    vectors: BTreeMap<String, u64>,
}

impl Model {
    /// Does the next step.
    pub fn step(&mut self) {
        let (step, round) = (self.steps, self.steps / KINDS);
        self.steps += 1;
        match step % KINDS {
            0 => self.count += 1,
            1 if round % 20 == 19 => self.list.clear(),
            1 => self.list.push_back(step),
            2 => {
                self.a = Some(step);
                self.count += 1;
            }
            3 if round.is_multiple_of(3) => drop(self.set.remove(&((round + 7) % 40))),
            3 => drop(self.set.insert(round % 40)),
            4 => drop(self.zset.insert(format!("m{}", round % 30), step)),
            5 => drop(self.hash.insert(format!("f{}", round % 25), step)),
            6 => {
                self.stream.push_back(step);
                self.stream.drain(..self.stream.len().saturating_sub(KEPT));
            }
            7 if round % 4 == 3 => drop(self.vectors.remove(&format!("e{}", (round + 5) % 30))),
            7 => drop(self.vectors.insert(format!("e{}", round % 30), step)),
            8 => {
                if let Some(moved) = self.list.pop_back() {
                    self.other.push_front(moved);
                }
                self.other.truncate(KEPT);
            }
            _ => self.long = (step % 977) as usize + 1,
        }
    }

    /// Whether [`observe`] found this.
    pub fn is(&self, found: &[String]) -> bool {
        // Looked at first, because most states differ there and the rest is long.
        let count = if self.count == 0 { "-".to_owned() } else { self.count.to_string() };
        found.first() == Some(&count) && self.show() == found
    }

    /// The keys as [`observe`] shows them.
    pub fn show(&self) -> Vec<String> {
        let number = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let list = |list: &VecDeque<u64>| list.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
        let pairs = |map: &BTreeMap<String, u64>| {
            map.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(" ")
        };
        let set: BTreeSet<String> = self.set.iter().map(u64::to_string).collect();
        vec![
            number(Some(self.count).filter(|count| *count > 0)),
            number(self.a),
            number(self.a),
            self.long.to_string(),
            list(&self.list),
            list(&self.other),
            set.into_iter().collect::<Vec<_>>().join(" "),
            pairs(&self.zset),
            pairs(&self.hash),
            list(&self.stream),
            pairs(&self.vectors),
        ]
    }
}

/// What a server holds of a writer's keys, which `call` asks.
///
/// # Errors
/// The connection ended, or a reply is of another type.
pub fn observe(call: &mut dyn FnMut(&[&str]) -> Result<Value>, writer: usize) -> Result<Vec<String>> {
    let mut ask = |line: &str| -> Result<Vec<String>> {
        let line = line.replace('%', &format!("w{writer}:"));
        let words: Vec<&str> = line.split(' ').collect();
        let mut texts = Vec::new();
        flatten(&call(&words)?, &mut texts)?;
        Ok(texts)
    };
    let mut shown = Vec::new();
    for line in ["GET %count", "GET %a", "GET %b", "STRLEN %long", "LRANGE %list 0 -1", "LRANGE %other 0 -1"] {
        shown.push(ask(line)?.join(" "));
    }
    let mut members = ask("SMEMBERS %set")?;
    members.sort_unstable();
    shown.push(members.join(" "));
    for line in ["ZRANGE %zset 0 -1 WITHSCORES", "HGETALL %hash"] {
        let words = ask(line)?;
        let mut pairs: Vec<String> = words.chunks(2).map(|pair| pair.join(" ")).collect();
        pairs.sort_unstable();
        shown.push(pairs.join(" "));
    }
    let entries = ask("XRANGE %stream - +")?;
    shown.push(entries.chunks(3).map(|entry| entry[2].clone()).collect::<Vec<_>>().join(" "));
    let mut vectors = Vec::new();
    let count: i64 = ask("VCARD %vectors")?.concat().parse()?;
    for element in 0..30 {
        let attributes = ask(&format!("VGETATTR %vectors e{element}"))?.concat();
        if attributes != "-" {
            let step = attributes.trim_start_matches("{\"i\":").trim_end_matches('}');
            vectors.push(format!("e{element} {step}"));
        }
    }
    anyhow::ensure!(count as usize == vectors.len(), "{count} vectors, but {} have attributes", vectors.len());
    vectors.sort_unstable();
    shown.push(vectors.join(" "));
    Ok(shown)
}

/// The words of a reply, however deep.
fn flatten(value: &Value, out: &mut Vec<String>) -> Result<()> {
    match value {
        Value::Bulk(bytes) | Value::Simple(bytes) => out.push(String::from_utf8_lossy(bytes).into_owned()),
        Value::Integer(number) => out.push(number.to_string()),
        Value::Null => out.push("-".to_owned()),
        Value::Array(values) => values.iter().try_for_each(|value| flatten(value, out))?,
        Value::NullArray => {}
        other => anyhow::bail!("an unexpected reply: {other:?}"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_never_that_of_another_number_of_steps_for_long() {
        let mut model = Model::default();
        let mut seen = model.show();
        let mut unchanged = 0;
        for _ in 0..2000 {
            model.step();
            unchanged = if model.show() == seen { unchanged + 1 } else { 0 };
            assert!(unchanged <= 3, "step {}", model.steps);
            seen = model.show();
        }
    }

    #[test]
    fn every_kind_of_step_is_a_command_or_a_transaction() {
        for step in 0..400 {
            let commands = commands(3, step);
            assert!(commands.len() == 1 || (commands[0] == ["MULTI"] && commands.last().unwrap() == &["EXEC"]));
        }
    }
}
