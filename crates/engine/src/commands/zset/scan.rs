//! ZSCAN: <https://redis.io/docs/latest/commands/scan/> says what every such walk promises.

use quiver_resp::{Argv, DoubleText, Encoder, IntText};

use super::super::args::{ScanOptions, scan_cursor};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::glob;
use crate::types::zset::SortedSet;

pub(super) fn zscan(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let mut cursor = scan_cursor(argv.at(2))?;
    let key = ctx.first_key(argv);
    // As in Redis, the options of a scan of nothing are not looked at.
    let Some(set) = ctx.ks.value::<SortedSet>(key)? else {
        write_reply(&mut ctx.reply, 0, 0, &[]);
        return Ok(());
    };
    let options = ScanOptions::parse(argv, 3)?;
    if options.no_values {
        return Err(CommandError::text("ERR NOVALUES option can only be used in HSCAN"));
    }
    let mut elements = Vec::new();
    let mut out = Encoder::new(&mut elements, ctx.reply.protocol());
    let (mut seen, mut matched) = (0, 0);
    // Empty buckets must not make a call long: ten per element asked for, as in Redis.
    for _ in 0..options.count.saturating_mul(10) {
        cursor = set.scan(cursor, &mut |member, score| {
            seen += 1;
            if options.pattern.is_none_or(|pattern| glob::matches(pattern, member)) {
                matched += 1;
                out.bulk(member);
                out.bulk(DoubleText::new(score).as_bytes());
            }
        });
        if cursor == 0 || seen >= options.count {
            break;
        }
    }
    write_reply(&mut ctx.reply, cursor, matched * 2, &elements);
    Ok(())
}

fn write_reply(reply: &mut Encoder<'_>, cursor: u64, count: usize, elements: &[u8]) {
    reply.array(2);
    reply.bulk(IntText::unsigned(cursor).as_bytes());
    reply.array(count);
    reply.raw(elements);
}
