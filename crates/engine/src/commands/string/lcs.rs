//! LCS: the longest common subsequence by dynamic programming (Wagner, Fischer 1974), O(n x m).
//!
//! Only the length needs two rows; the text and the ranges need the whole matrix, which is bounded by
//! proto-max-bulk-len bytes.

use quiver_resp::Argv;

use super::super::args::{Options, integer, is};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;

/// A common run: where it lies in both strings, ends included.
struct Match {
    a: (usize, usize),
    b: (usize, usize),
}

pub(super) fn lcs(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    // As in Redis, a wrong type is told before a wrong option.
    let (a, b) = (operand(ctx, argv.at(1))?, operand(ctx, argv.at(2))?);
    let (mut len_only, mut ranges, mut with_len, mut min_len) = (false, false, false, 0);
    let mut options = Options::new(argv, 3);
    while let Some(word) = options.next() {
        if is(word, "LEN") {
            len_only = true;
        } else if is(word, "IDX") {
            ranges = true;
        } else if is(word, "WITHMATCHLEN") {
            with_len = true;
        } else if is(word, "MINMATCHLEN") {
            min_len = integer(options.value()?)?.max(0) as usize;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    if len_only && ranges {
        return Err(CommandError::text("ERR If you want both the length and indexes, please just use IDX."));
    }
    if len_only {
        ctx.reply.integer(length(&a, &b) as i64);
        return Ok(());
    }
    let cells = (a.len() as u64 + 1).saturating_mul(b.len() as u64 + 1);
    if cells.saturating_mul(4) > ctx.engine.config.proto_max_bulk_len() as u64 {
        return Err(CommandError::text("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"));
    }
    let (text, mut matches) = trace(&a, &b, &matrix(&a, &b));
    if !ranges {
        ctx.reply.bulk(&text);
        return Ok(());
    }
    matches.retain(|m| m.a.1 - m.a.0 + 1 >= min_len);
    ctx.reply.map(2);
    ctx.reply.bulk(b"matches");
    ctx.reply.array(matches.len());
    for m in &matches {
        ctx.reply.array(2 + usize::from(with_len));
        for (from, to) in [m.a, m.b] {
            ctx.reply.array(2);
            ctx.reply.integer(from as i64);
            ctx.reply.integer(to as i64);
        }
        if with_len {
            ctx.reply.integer((m.a.1 - m.a.0 + 1) as i64);
        }
    }
    ctx.reply.bulk(b"len");
    ctx.reply.integer(text.len() as i64);
    Ok(())
}

fn operand(ctx: &mut Ctx<'_>, name: &[u8]) -> Result<Vec<u8>, CommandError> {
    let key = ctx.key(name);
    let wrong = |_| CommandError::text("ERR The specified keys must contain string values");
    Ok(ctx.ks.string(key).map_err(wrong)?.map_or(Vec::new(), |text| text.as_bytes().to_vec()))
}

fn length(a: &[u8], b: &[u8]) -> usize {
    let mut row = vec![0usize; b.len() + 1];
    for x in a {
        let mut diagonal = 0;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if x == y { diagonal + 1 } else { above.max(row[j]) };
            diagonal = above;
        }
    }
    row[b.len()]
}

/// `matrix[i * (b.len() + 1) + j]`: length for the first `i` bytes of `a` and `j` of `b`.
fn matrix(a: &[u8], b: &[u8]) -> Vec<u32> {
    let width = b.len() + 1;
    let mut cells = vec![0u32; (a.len() + 1) * width];
    for (i, x) in a.iter().enumerate() {
        for (j, y) in b.iter().enumerate() {
            cells[(i + 1) * width + j + 1] = if x == y {
                cells[i * width + j] + 1
            } else {
                cells[i * width + j + 1].max(cells[(i + 1) * width + j])
            };
        }
    }
    cells
}

/// Walks back from the end; the runs come out last first, as Redis lists them.
fn trace(a: &[u8], b: &[u8], cells: &[u32]) -> (Vec<u8>, Vec<Match>) {
    let width = b.len() + 1;
    let (mut i, mut j) = (a.len(), b.len());
    let (mut text, mut matches) = (Vec::new(), Vec::<Match>::new());
    while i > 0 && j > 0 {
        if a[i - 1] == b[j - 1] {
            (i, j) = (i - 1, j - 1);
            text.push(a[i]);
            match matches.last_mut().filter(|m| m.a.0 == i + 1 && m.b.0 == j + 1) {
                Some(run) => (run.a.0, run.b.0) = (i, j),
                None => matches.push(Match { a: (i, i), b: (j, j) }),
            }
        } else if cells[(i - 1) * width + j] > cells[i * width + j - 1] {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    text.reverse();
    (text, matches)
}
