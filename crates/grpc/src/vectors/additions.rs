//! The commands that write rows: VADD for one, VMADD for several, and behind them what says when rows end.
//!
//! Several rows of one kind are one command, which the server links on all cores beside everybody else; a transaction is
//! needed where some rows come with attributes and some without, or where rows end.

use std::collections::HashMap;

use quiver_resp::{IntText, OwnedArgv, Value};

use super::write::Row;
use crate::pb::{IndexOptions, Quantization};

/// The commands that write `rows`, to be run as one: additions first.
pub(super) fn writes(collection: &str, rows: &[Row<'_>], index: &IndexOptions) -> Vec<OwnedArgv> {
    let key = collection.as_bytes();
    let mut commands: Vec<OwnedArgv> = runs(rows).map(|run| addition(key, run, index)).collect();
    let ends = |row: &Row<'_>| row.expires_at_ms.filter(|at_ms| *at_ms != 0);
    if rows.iter().any(|row| ends(row).is_some()) {
        // An element that is written twice is what was said last.
        let last: HashMap<&[u8], usize> = rows.iter().enumerate().map(|(at, row)| (row.id, at)).collect();
        let last = rows.iter().enumerate().filter(|(at, row)| last[row.id] == *at);
        commands.extend(last.filter_map(|(_, row)| {
            let at_ms = IntText::new(ends(row)?);
            Some(OwnedArgv::from_slices(&[b"VPEXPIREAT", key, at_ms.as_bytes(), b"ELEMENTS", b"1", row.id]))
        }));
    }
    commands
}

/// How many elements are new, by the replies to [`writes`].
pub(super) fn inserted(replies: &[Value], rows: &[Row<'_>]) -> u64 {
    let additions = &replies[..runs(rows).count()];
    additions.iter().filter_map(Value::as_i64).map(i64::unsigned_abs).sum()
}

/// Rows in a row that all have attributes, or all have none: what one command can say.
fn runs<'r, 'a>(rows: &'r [Row<'a>]) -> impl Iterator<Item = &'r [Row<'a>]> {
    rows.chunk_by(|a, b| a.attributes.is_some() == b.attributes.is_some())
}

fn addition(key: &[u8], rows: &[Row<'_>], index: &IndexOptions) -> OwnedArgv {
    let count = IntText::unsigned(rows.len() as u64);
    let mut argv = OwnedArgv::from_slices(&[if rows.len() == 1 { b"VADD".as_slice() } else { b"VMADD" }, key]);
    let option = |name: &[u8], number: u32, argv: &mut OwnedArgv| {
        if number > 0 {
            argv.push(name);
            argv.push(IntText::unsigned(number.into()).as_bytes());
        }
    };
    option(b"REDUCE", index.reduce_dim, &mut argv);
    if let [row] = rows {
        argv.push(b"FP32");
        argv.push(row.blob);
    } else {
        argv.push(count.as_bytes());
        argv.push(b"FP32");
        argv.push(&rows.iter().map(|row| row.blob).collect::<Vec<_>>().concat());
    }
    rows.iter().for_each(|row| argv.push(row.id));
    match index.quantization() {
        Quantization::Unspecified => {}
        Quantization::None => argv.push(b"NOQUANT"),
        Quantization::Q8 => argv.push(b"Q8"),
        Quantization::Binary => argv.push(b"BIN"),
    }
    option(b"EF", index.ef_construction, &mut argv);
    option(b"M", index.m, &mut argv);
    if rows.iter().any(|row| row.attributes.is_some()) {
        argv.push(b"SETATTR");
        rows.iter().for_each(|row| argv.push(row.attributes.unwrap_or_default().as_bytes()));
    }
    argv
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<'a>(id: &'a str, attributes: Option<&'a str>, expires_at_ms: Option<i64>) -> Row<'a> {
        Row { id: id.as_bytes(), blob: b"\0\0\x80\x3f", attributes, expires_at_ms }
    }

    fn said(rows: &[Row<'_>], index: IndexOptions) -> Vec<String> {
        let commands = writes("k", rows, &index);
        let word = |word: &[u8]| word.escape_ascii().to_string();
        commands.iter().map(|command| command.as_argv().iter().map(word).collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn one_row_is_a_vadd_and_several_are_one_vmadd() {
        let index = IndexOptions { m: 8, reduce_dim: 1, quantization: Quantization::Q8.into(), ef_construction: 9 };
        let one = r"VADD k REDUCE 1 FP32 \x00\x00\x80? a Q8 EF 9 M 8 SETATTR {}";
        assert_eq!(said(&[row("a", Some("{}"), None)], index), [one]);
        let two = r"VMADD k 2 FP32 \x00\x00\x80?\x00\x00\x80? a b";
        assert_eq!(said(&[row("a", None, None), row("b", None, Some(0))], IndexOptions::default()), [two]);
    }

    #[test]
    fn rows_without_attributes_among_others_keep_their_place_in_the_order() {
        let rows =
            [row("a", Some("{}"), Some(9)), row("a", Some(""), None), row("a", None, Some(7)), row("b", None, None)];
        let expected = [
            r"VMADD k 2 FP32 \x00\x00\x80?\x00\x00\x80? a a SETATTR {} ",
            r"VMADD k 2 FP32 \x00\x00\x80?\x00\x00\x80? a b",
            "VPEXPIREAT k 7 ELEMENTS 1 a",
        ];
        assert_eq!(said(&rows, IndexOptions::default()), expected);
        let replies = [Value::Integer(1), Value::Integer(1), Value::Array(vec![Value::Integer(1)])];
        assert_eq!(inserted(&replies, &rows), 2);
        assert_eq!(inserted(&[Value::Boolean(true)], &rows[..1]), 1);
    }
}
