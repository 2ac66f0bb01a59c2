//! HSCAN: <https://redis.io/docs/latest/commands/scan/> says what every such walk promises.

use quiver_resp::Argv;

use super::super::args::{ElementPage, ScanOptions, Scanned, empty_scan, scan_cursor};
use super::bulk;
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::types::hash::{Hash, ItemText};

pub(super) fn hscan(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let mut cursor = scan_cursor(argv.at(2))?;
    let key = ctx.first_key(argv);
    let as_of = ctx.ks.as_of();
    // As in Redis, the options of a scan of nothing are not looked at.
    let Some(hash) = ctx.ks.value::<Hash>(key)? else {
        empty_scan(&mut ctx.reply);
        return Ok(());
    };
    let options = ScanOptions::parse(argv, 3, Scanned::Hash)?;
    let mut page = ElementPage::new(options, ctx.reply.protocol());
    loop {
        cursor = hash.scan(cursor, as_of, &mut |field, value| {
            page.offer(ItemText::new(field).as_bytes(), |out| {
                bulk(out, field);
                if !options.no_values {
                    bulk(out, value);
                }
            });
        });
        if !page.goes_on(cursor) {
            break;
        }
    }
    page.reply(&mut ctx.reply, cursor, if options.no_values { 1 } else { 2 });
    Ok(())
}
