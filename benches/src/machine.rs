//! What a result file says about where and when it was made.

use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// The machine, the moment and the source the figures belong to.
#[derive(Debug, Clone, Serialize)]
pub struct Provenance {
    /// UTC, `YYYY-MM-DDThh:mm:ssZ`.
    pub date: String,
    /// Git commit of the working directory, with `+` when files differ from it; "unknown" outside a repository.
    pub commit: String,
    /// Processor as the kernel names it.
    pub cpu: String,
    /// Instruction sets the figures depend on, of those we look for.
    pub cpu_features: Vec<String>,
    /// Cores of the machine.
    pub cores: usize,
    /// Memory of the machine in MiB.
    pub memory_mib: u64,
    /// Kernel release.
    pub kernel: String,
}

impl Provenance {
    /// Collects everything; what cannot be read is "unknown" or 0, never a reason to stop.
    pub fn collect() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let flags = proc_value(&cpuinfo, "flags").unwrap_or_default();
        let present = |feature: &&str| flags.split_whitespace().any(|flag| flag == *feature);
        Self {
            date: utc(now_s()),
            commit: commit(),
            cpu: proc_value(&cpuinfo, "model name").unwrap_or("unknown").to_owned(),
            cpu_features: ["avx2", "f16c", "avx512f", "avx512_vnni"]
                .iter()
                .filter(|f| present(f))
                .map(|f| (*f).to_owned())
                .collect(),
            // Not available_parallelism: this thread may be pinned already.
            cores: cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
            memory_mib: memory_mib(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .map_or("unknown".into(), |text| text.trim().to_owned()),
        }
    }

    /// `YYYYMMDD-hhmmss` of [`Provenance::date`], for file names.
    pub fn stamp(&self) -> String {
        let digits: String = self.date.chars().filter(char::is_ascii_digit).collect();
        format!("{}-{}", &digits[..8], &digits[8..])
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Gregorian date of a Unix time (Howard Hinnant's `civil_from_days`, years counted from March).
fn utc(unix_s: u64) -> String {
    let (days, second) = (unix_s / 86_400 + 719_468, unix_s % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(head) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".into() };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|files| !files.is_empty());
    if changed { head + "+" } else { head }
}

fn memory_mib() -> u64 {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = proc_value(&meminfo, "MemTotal").and_then(|value| value.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

/// The value of the first `name : value` line.
fn proc_value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_follow_the_gregorian_calendar() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(utc(1_767_225_599), "2025-12-31T23:59:59Z");
    }

    #[test]
    fn the_stamp_is_the_date_without_punctuation() {
        let provenance = Provenance { date: utc(951_782_400), ..Provenance::collect() };
        assert_eq!(provenance.stamp(), "20000229-000000");
    }
}
