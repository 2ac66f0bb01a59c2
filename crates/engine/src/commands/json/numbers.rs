//! JSON.NUMINCRBY, NUMMULTBY and NUMPOWBY.

use quiver_resp::{Argv, Protocol};

use super::{no_path_or, parse_path, parse_value, update};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::types::json::Node;

/// What is done with a number: to integers where the result is one, else to floats.
struct Operation {
    integers: fn(i64, i64) -> Option<i64>,
    floats: fn(f64, f64) -> f64,
    event: &'static str,
}

pub(super) fn numincrby(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let add = Operation { integers: i64::checked_add, floats: |a, b| a + b, event: "json.numincrby" };
    calculate(ctx, argv, &add)
}

pub(super) fn nummultby(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let multiply = Operation { integers: i64::checked_mul, floats: |a, b| a * b, event: "json.nummultby" };
    calculate(ctx, argv, &multiply)
}

pub(super) fn numpowby(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let integers = |base: i64, power: i64| base.checked_pow(u32::try_from(power).ok()?);
    calculate(ctx, argv, &Operation { integers, floats: f64::powf, event: "json.numpowby" })
}

fn calculate(ctx: &mut Ctx<'_>, argv: Argv<'_>, operation: &Operation) -> CommandResult {
    let (path, by) = (parse_path(argv.at(2))?, parse_value(argv.at(3))?);
    let by_float = float(&by).ok_or(CommandError::text("ERR the operand is not a number"))?;
    let results = update(ctx, argv, &path, operation.event, |node, _| {
        let Some(old) = float(node) else { return Ok(None) };
        let exact = match (&*node, &by) {
            (Node::Int(old), Node::Int(by)) => (operation.integers)(*old, *by),
            _ => None,
        };
        let new = match exact {
            Some(exact) => Node::Int(exact),
            None => Node::Float((operation.floats)(old, by_float)),
        };
        if matches!(new, Node::Float(value) if !value.is_finite()) {
            return Err(CommandError::text("ERR result is not a number"));
        }
        *node = new.clone();
        Ok(Some((new, true)))
    })?;
    if path.is_legacy && results.iter().all(Option::is_none) {
        return Err(no_path_or(argv, 2, "does not contains a number"));
    }
    if ctx.session.protocol == Protocol::Resp3 {
        ctx.reply.array(results.len());
        for result in &results {
            match result {
                Some(Node::Int(value)) => ctx.reply.integer(*value),
                Some(Node::Float(value)) => ctx.reply.double(*value),
                _ => ctx.reply.null(),
            }
        }
        return Ok(());
    }
    let text = match results.iter().rev().flatten().next().filter(|_| path.is_legacy) {
        Some(last) => last.to_text(),
        None => Node::Array(results.into_iter().map(|result| result.unwrap_or(Node::Null)).collect()).to_text(),
    };
    ctx.reply.bulk(&text);
    Ok(())
}

fn float(node: &Node) -> Option<f64> {
    match node {
        Node::Int(value) => Some(*value as f64),
        Node::Float(value) => Some(*value),
        _ => None,
    }
}
