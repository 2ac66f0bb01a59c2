//! BITOP: strings combined bit by bit. Shorter ones count as filled up with zero bytes.

use quiver_resp::Argv;

use super::super::args::is;
use super::store_raw;
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::Text;
use crate::notify::Class;

/// How strings are combined. X is the first of them, Y any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    /// In all.
    And,
    /// In any.
    Or,
    /// In an odd number.
    Xor,
    /// Not in the only one.
    Not,
    /// In X and in no Y.
    Diff,
    /// In some Y and not in X.
    Diff1,
    /// In X and in some Y.
    AndOr,
    /// In exactly one.
    One,
}

const OPERATIONS: &[(&str, Operation)] = &[
    ("AND", Operation::And),
    ("OR", Operation::Or),
    ("XOR", Operation::Xor),
    ("NOT", Operation::Not),
    ("DIFF", Operation::Diff),
    ("DIFF1", Operation::Diff1),
    ("ANDOR", Operation::AndOr),
    ("ONE", Operation::One),
];

pub(super) fn bitop(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let named = OPERATIONS.iter().find(|(name, _)| is(argv.at(1), name));
    let (name, operation) = *named.ok_or(CommandError::Syntax)?;
    let sources = argv.from(3);
    match operation {
        Operation::Not if sources.len() != 1 => {
            return Err(CommandError::text("ERR BITOP NOT must be called with a single source key."));
        }
        Operation::Diff | Operation::Diff1 | Operation::AndOr if sources.len() < 2 => {
            return Err(CommandError::owned(format!("ERR BITOP {name} must be called with at least two source keys.")));
        }
        _ => {}
    }
    let mut sum = Sum::new(operation);
    for name in sources {
        let key = ctx.key(name);
        let text = ctx.ks.string(key)?;
        sum.add(text.as_ref().map_or(&b""[..], Text::as_bytes));
    }
    let (key, result) = (ctx.key(argv.at(2)), sum.finish());
    let len = result.len();
    if len > 0 {
        store_raw(ctx, key, result);
        ctx.ks.notify(Class::STRING, "set", key.name);
    } else if ctx.ks.delete(key) {
        ctx.ks.notify(Class::GENERIC, "del", key.name);
    }
    ctx.reply.integer(len as i64);
    Ok(())
}

/// The strings combined so far.
struct Sum {
    operation: Operation,
    /// The first string, or all of them where the first is like the others.
    x: Option<Vec<u8>>,
    /// DIFF, DIFF1, ANDOR: bits of any other.
    y: Vec<u8>,
    /// ONE: bits seen more than once.
    repeated: Vec<u8>,
}

impl Sum {
    fn new(operation: Operation) -> Self {
        Self { operation, x: None, y: Vec::new(), repeated: Vec::new() }
    }

    fn add(&mut self, bytes: &[u8]) {
        let Some(x) = &mut self.x else {
            self.x = Some(bytes.to_vec());
            return;
        };
        let len = x.len().max(bytes.len());
        x.resize(len, 0);
        match self.operation {
            Operation::And => {
                combine(x, bytes, |a, b| a & b);
                x[bytes.len()..].fill(0);
            }
            Operation::Or => combine(x, bytes, |a, b| a | b),
            Operation::Xor => combine(x, bytes, |a, b| a ^ b),
            Operation::Diff | Operation::Diff1 | Operation::AndOr => {
                self.y.resize(len, 0);
                combine(&mut self.y, bytes, |a, b| a | b);
            }
            Operation::One => {
                self.repeated.resize(len, 0);
                let both = x.iter().zip(bytes).map(|(a, b)| a & b);
                self.repeated.iter_mut().zip(both).for_each(|(repeated, both)| *repeated |= both);
                combine(x, bytes, |a, b| a | b);
            }
            Operation::Not => {}
        }
    }

    fn finish(self) -> Vec<u8> {
        let Self { operation, x, y, repeated } = self;
        let mut x = x.unwrap_or_default();
        match operation {
            Operation::Not => x.iter_mut().for_each(|byte| *byte = !*byte),
            Operation::Diff => combine(&mut x, &y, |x, y| x & !y),
            Operation::Diff1 => combine(&mut x, &y, |x, y| !x & y),
            Operation::AndOr => combine(&mut x, &y, |x, y| x & y),
            Operation::One => combine(&mut x, &repeated, |one, repeated| one & !repeated),
            Operation::And | Operation::Or | Operation::Xor => {}
        }
        x
    }
}

/// Byte by byte here, many bytes at a time in the machine code.
fn combine(sum: &mut [u8], bytes: &[u8], with: impl Fn(u8, u8) -> u8) {
    sum.iter_mut().zip(bytes).for_each(|(a, b)| *a = with(*a, *b));
}
