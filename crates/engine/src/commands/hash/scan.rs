//! HSCAN: <https://redis.io/docs/latest/commands/scan/> says what every such walk promises.

use quiver_resp::{Argv, Encoder};

use super::super::args::{ScanOptions, scan_cursor};
use super::bulk;
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::glob;
use crate::types::hash::Hash;
use crate::types::hash::ItemText;

pub(super) fn hscan(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let mut cursor = scan_cursor(argv.at(2))?;
    let key = ctx.first_key(argv);
    let as_of = ctx.ks.as_of();
    // As in Redis, the options of a scan of nothing are not looked at.
    let Some(hash) = ctx.ks.value::<Hash>(key)? else {
        write_reply(&mut ctx.reply, 0, 0, &[]);
        return Ok(());
    };
    let options = ScanOptions::parse(argv, 3)?;
    let mut elements = Vec::new();
    let mut out = Encoder::new(&mut elements, ctx.reply.protocol());
    let (mut seen, mut matched) = (0, 0);
    // Empty buckets must not make a call long: ten per element asked for, as in Redis.
    for _ in 0..options.count.saturating_mul(10) {
        cursor = hash.scan(cursor, as_of, &mut |field, value| {
            seen += 1;
            if options.pattern.is_none_or(|pattern| glob::matches(pattern, ItemText::new(field).as_bytes())) {
                matched += 1;
                bulk(&mut out, field);
                if !options.no_values {
                    bulk(&mut out, value);
                }
            }
        });
        if cursor == 0 || seen >= options.count {
            break;
        }
    }
    let per_match = if options.no_values { 1 } else { 2 };
    write_reply(&mut ctx.reply, cursor, matched * per_match, &elements);
    Ok(())
}

fn write_reply(reply: &mut Encoder<'_>, cursor: u64, count: usize, elements: &[u8]) {
    reply.array(2);
    reply.bulk(quiver_resp::IntText::unsigned(cursor).as_bytes());
    reply.array(count);
    reply.raw(elements);
}
