//! `--check-system`: what of this machine makes servers with much memory slow or fail, in words.

use std::process::ExitCode;

use crate::logs::say;

/// Looks at the settings that matter and says what is wrong; fails when something is.
pub(crate) fn check() -> ExitCode {
    let findings = [overcommit(), huge_pages(), clock()];
    let mut sound = true;
    for (name, problem) in findings {
        let verdict = problem.as_deref().unwrap_or("OK");
        sound &= problem.is_none();
        if say(&format!("[{name}] {verdict}")) != ExitCode::SUCCESS {
            return ExitCode::FAILURE;
        }
    }
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

type Finding = (&'static str, Option<String>);

fn read(path: &str) -> String {
    // A machine without the setting has no trouble with it.
    std::fs::read_to_string(path).unwrap_or_default()
}

fn overcommit() -> Finding {
    let problem = (read("/proc/sys/vm/overcommit_memory").trim() == "2").then(|| {
        "vm.overcommit_memory is 2: the system refuses memory that is reserved and not used; 0 or 1 is better."
            .to_owned()
    });
    ("overcommit", problem)
}

fn huge_pages() -> Finding {
    let problem = read("/sys/kernel/mm/transparent_hugepage/enabled").contains("[always]").then(|| {
        "transparent huge pages are always on: they cost memory and latency; 'madvise' is better \
         (/sys/kernel/mm/transparent_hugepage/enabled)."
            .to_owned()
    });
    ("transparent-huge-pages", problem)
}

fn clock() -> Finding {
    let source = read("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    let problem = matches!(source.trim(), "hpet" | "acpi_pm" | "xen")
        .then(|| format!("the clock {} is slow to read; 'tsc' or 'kvm-clock' is better.", source.trim()));
    ("clock", problem)
}
