//! Whatever operation fails and wherever the power is cut: what was acknowledged is there, and nothing that was not done.

use std::ops::ControlFlow;
use std::path::Path;

use proptest::prelude::*;
use quiver_engine::Engine;
use quiver_engine::digest::Digest;

use quiver_persist::log::{DiskFault, MemoryDisk};
use quiver_persist::{SaveOptions, save_on};

use crate::common::{bytes_of, digest, loaded, save_options, set};
use crate::driver::{DIR, Instance, disk_with, load};

/// Commands of all kinds, with rewrites among them.
const SCRIPT: &[&str] = &[
    "SET a 1",
    "INCR a",
    "RPUSH list x y z",
    "rewrite",
    "SADD set 1 2 3",
    "MULTI ; INCR a ; LPOP list ; SELECT 3 ; SET b 5 ; EXEC",
    "SPOP set",
    "ZADD scores 1.5 one 2.5 two",
    "rewrite",
    "HSET hash field value",
    "SELECT 0",
    "VADD vectors VALUES 3 0.5 0.25 1 element",
    "DEL list",
    "EXPIRE a 100",
    "XADD stream 1-1 field value",
    "rewrite",
    "VREM vectors element",
    "INCRBYFLOAT a 0.5",
];

/// Runs the script; what fails is not acknowledged, and a broken log is made anew.
fn run_script(disk: &MemoryDisk) -> Option<Instance> {
    let mut instance = Instance::start(disk).ok()?;
    for line in SCRIPT {
        if *line == "rewrite" {
            // A failure leaves the old files.
            let _ = instance.rewrite();
        } else {
            instance.run(line);
        }
        if instance.needs_base {
            let _ = instance.rewrite();
        }
    }
    Some(instance)
}

/// What a disk holds must be what the instance held after some command, none earlier than the last acknowledged one.
/// Where no instance started it is what was there `before`.
fn assert_nothing_is_lost(left: &MemoryDisk, instance: Option<&Instance>, before: &Digest, what: &str) {
    let loaded = load(left).unwrap_or_else(|error| panic!("{what}: the start is refused: {error}"));
    let found = digest(&loaded.0);
    let Some(instance) = instance else { return assert_eq!(found, *before, "{what}, before the start") };
    let states = &instance.history[instance.acknowledged..];
    assert!(states.contains(&found), "{what}: {} of {} acknowledged", instance.acknowledged, instance.history.len());
}

fn operations_of_the_script() -> u64 {
    let disk = disk_with(None);
    let instance = run_script(&disk).expect("nothing fails");
    assert_eq!(instance.acknowledged, instance.history.len() - 1, "everything was acknowledged");
    disk.operations()
}

#[test]
fn whichever_operation_fails_nothing_acknowledged_is_lost_and_the_log_recovers() {
    let operations = operations_of_the_script();
    assert!(operations > 60, "{operations}");
    let nothing = digest(&Engine::standalone());
    for at in 1..=operations {
        let disk = disk_with(Some(DiskFault::Once(at)));
        let instance = run_script(&disk);
        let what = format!("operation {at} fails");
        assert_nothing_is_lost(
            &disk.after_power_cut(),
            instance.as_ref(),
            &nothing,
            &format!("{what}, then the power is cut"),
        );
        assert_nothing_is_lost(&disk.after_crash(), instance.as_ref(), &nothing, &format!("{what}, then a crash"));
        if let Some(mut instance) = instance {
            assert!(!instance.needs_base || instance.rewrite().is_ok(), "{what}");
            instance.run("SET last 1");
            assert_eq!(instance.acknowledged, instance.history.len() - 1, "{what}: the log is good again");
        }
    }
}

#[test]
fn wherever_the_power_is_cut_nothing_acknowledged_is_lost() {
    let nothing = digest(&Engine::standalone());
    for at in 1..=operations_of_the_script() {
        let disk = disk_with(Some(DiskFault::PowerOff(at)));
        let instance = run_script(&disk);
        let what = format!("the power is cut at operation {at}");
        assert_nothing_is_lost(&disk.after_power_cut(), instance.as_ref(), &nothing, &what);
        assert_nothing_is_lost(&disk.after_crash(), instance.as_ref(), &nothing, &format!("killed at operation {at}"));
    }
}

#[test]
fn whichever_operation_of_a_save_fails_the_file_is_the_old_one_or_the_new_one() {
    let path = Path::new(DIR).join("dump.rdb");
    let (old, new) = (Engine::standalone(), Engine::standalone());
    set(&old, 0, b"old", b"1", None);
    set(&new, 0, b"new", b"2", None);
    (0..3000).for_each(|i| set(&new, 0, format!("key:{i}").as_bytes(), &[b'v'; 100], None));
    let save = |disk: &MemoryDisk| {
        let options = SaveOptions { sync_every_bytes: Some(64 << 10), compress: false, ..save_options() };
        save_on(disk, &new, &path, &options, |_| None, &mut |_| ControlFlow::Continue(()))
    };
    let disk = disk_with(None);
    save(&disk).expect("nothing fails");
    let operations = disk.operations();
    assert!(operations > 10, "{operations}");
    for at in 1..=operations {
        for fault in [DiskFault::Once(at), DiskFault::PowerOff(at)] {
            let disk = disk_with(Some(fault));
            disk.put(&path, bytes_of(&old));
            assert!(save(&disk).is_err(), "{fault:?}: it says so");
            for left in [disk.after_power_cut(), disk.after_crash()] {
                let content = left.content(&path).expect("there always is a file");
                let found = digest(&loaded(&content).0);
                let is_new = found == digest(&new);
                assert!(found == digest(&old) || is_new, "{fault:?}");
                assert!(!is_new || at == operations, "{fault:?}: only the last step fails behind the rename");
            }
            assert!(save(&disk).is_ok() || matches!(fault, DiskFault::PowerOff(_)), "the next one succeeds");
        }
    }
}

/// A cycle of many: some commands, a cut, a start on what is left.
#[derive(Clone, Debug)]
struct Cycle {
    commands: Vec<usize>,
    cut_after: u64,
    killed: bool,
}

fn cycles() -> impl Strategy<Value = Vec<Cycle>> {
    let cycle = (prop::collection::vec(0..SCRIPT.len(), 1..24), 1u64..140, any::<bool>());
    let cycle = cycle.prop_map(|(commands, cut_after, killed)| Cycle { commands, cut_after, killed });
    prop::collection::vec(cycle, 10)
}

proptest! {
    // 20 histories of 10 cycles.
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]

    #[test]
    fn two_hundred_power_cuts_in_a_row_lose_nothing_acknowledged(cycles in cycles()) {
        let mut disk = disk_with(None);
        let mut before = digest(&Engine::standalone());
        for Cycle { commands, cut_after, killed } in cycles {
            disk.set_fault(Some(DiskFault::PowerOff(disk.operations() + cut_after)));
            let instance = Instance::start(&disk).ok().map(|mut instance| {
                for at in commands {
                    match SCRIPT[at] {
                        "rewrite" => drop(instance.rewrite()),
                        line => instance.run(line),
                    }
                }
                instance
            });
            let left = if killed { disk.after_crash() } else { disk.after_power_cut() };
            assert_nothing_is_lost(&left, instance.as_ref(), &before, "a cycle");
            before = digest(&load(&left).expect("as a line before").0);
            disk = left;
        }
    }
}
