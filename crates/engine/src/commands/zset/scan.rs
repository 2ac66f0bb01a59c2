//! ZSCAN: <https://redis.io/docs/latest/commands/scan/> says what every such walk promises.

use quiver_resp::{Argv, DoubleText};

use super::super::args::{ElementPage, ScanOptions, Scanned, empty_scan, scan_cursor};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::types::zset::SortedSet;

pub(super) fn zscan(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let mut cursor = scan_cursor(argv.at(2))?;
    let key = ctx.first_key(argv);
    // As in Redis, the options of a scan of nothing are not looked at.
    let Some(set) = ctx.ks.value::<SortedSet>(key)? else {
        empty_scan(&mut ctx.reply);
        return Ok(());
    };
    let options = ScanOptions::parse(argv, 3, Scanned::Members)?;
    let (mut page, is_large) = (ElementPage::new(options, ctx.reply.protocol()), set.is_large());
    loop {
        cursor = set.scan(cursor, &mut |member, score| {
            page.offer(member, |out| {
                out.bulk(member);
                if is_large {
                    out.bulk(long_text(score).as_bytes());
                } else {
                    out.bulk(DoubleText::new(score).as_bytes());
                }
            });
        });
        if !page.goes_on(cursor) {
            break;
        }
    }
    page.reply(&mut ctx.reply, cursor, 2);
    Ok(())
}

/// A score with up to 17 digits (C's `%.17g`), as Redis spells those of large sets in this one place.
fn long_text(score: f64) -> String {
    if !score.is_finite() || score == 0.0 {
        return String::from_utf8_lossy(DoubleText::new(score).as_bytes()).into_owned();
    }
    let text = format!("{score:.16e}");
    let (mantissa, exponent) = text.split_once('e').expect("the form has an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent is an integer");
    if (-4..17).contains(&exponent) {
        let decimals = usize::try_from(16 - exponent).expect("the exponent is at most 16");
        let text = format!("{score:.decimals$}");
        return without_zeros(&text).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", without_zeros(mantissa), exponent.abs())
}

fn without_zeros(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

#[cfg(test)]
mod tests {
    use super::long_text;

    #[test]
    fn scores_of_large_sets_have_seventeen_digits() {
        for (score, text) in [
            (0.1, "0.10000000000000001"),
            (1.5, "1.5"),
            (-3.0, "-3"),
            (100000.0, "100000"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (1.25e-7, "1.2499999999999999e-07"),
            (0.0001, "0.0001"),
            (1e300, "1.0000000000000001e+300"),
            (f64::NEG_INFINITY, "-inf"),
            (-0.0, "-0"),
        ] {
            assert_eq!(long_text(score), text);
        }
    }
}
