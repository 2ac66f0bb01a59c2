//! What a process has used, from `/proc`.
//!
//! CPU time comes from `/proc/PID/stat`: it covers every thread, ended ones too (Redis runs each VSIM on a thread of its
//! own, so summing the live threads would miss most of the work). The kernel's total is precise but shown in clock
//! ticks (10 ms): measure for a second or more. Memory comes from `smaps_rollup`, which walks the page tables;
//! `VmRSS` lags behind by a batch of pages per core.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// User and system time of process `pid` so far, all threads.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("{path}: has the server died?"))?;
    let ticks = parse_stat_ticks(&text).with_context(|| format!("{path} is not as proc(5) says"))?;
    Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

/// Resident bytes of process `pid`.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("{path}: has the server died?"))?;
    parse_rollup_rss(&text).with_context(|| format!("no Rss line in {path}"))
}

/// utime + stime. The program's name may contain spaces and brackets, so fields are counted after the last bracket.
fn parse_stat_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn parse_rollup_rss(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_ticks_are_found_behind_a_name_with_brackets() {
        let stat = "42 (a) S (b)) S 1 42 42 0 -1 4194304 100 0 0 0 130 25 0 0 20 0 6 0 900 1000 200";
        assert_eq!(parse_stat_ticks(stat), Some(155));
        assert_eq!(parse_stat_ticks("42 (short) S 1"), None);
    }

    #[test]
    fn resident_size_is_the_rss_line_in_bytes() {
        let rollup = "55d0-7ffe ---p 0 0:0 0 [rollup]\nRss:               14468 kB\nPss:    14433 kB\n";
        assert_eq!(parse_rollup_rss(rollup), Some(14_468 * 1024));
        assert_eq!(parse_rollup_rss("Pss: 1 kB\n"), None);
    }

    #[test]
    fn this_process_has_used_time_and_memory() {
        let pid = std::process::id();
        assert!(resident_bytes(pid).unwrap() > 100_000);
        assert!(cpu_time(pid).unwrap() < Duration::from_secs(3600));
        assert!(cpu_time(u32::MAX).is_err());
    }
}
