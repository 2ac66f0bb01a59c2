//! Eviction: which keys go under which policy, what the stream says of it, and what is refused where nothing can go.
//!
//! The allocator of this program counts what each thread has, so that the engine meets true figures.
#![expect(unsafe_code, reason = "an allocator that counts")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::Ordering::Relaxed;

use common::{Harness, Replicated};

struct Counting;

thread_local! {
    static NET_BYTES: Cell<i64> = const { Cell::new(0) };
    static TAKEN: Cell<i64> = const { Cell::new(0) };
}

fn count(bytes: i64) {
    // A thread that ends frees its last bytes uncounted.
    let _ = NET_BYTES.try_with(|net| net.set(net.get() + bytes));
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's contract is the one of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: as above; the block came from `System`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn take_net_bytes() -> i64 {
    let now = NET_BYTES.get();
    now - TAKEN.replace(now)
}

/// What everything but the data is taken to use.
const BASE: u64 = 1 << 20;

/// A limit that the data reaches after some hundreds of keys.
const LIMIT: u64 = BASE + (512 << 10);

const OOM: &str = "-OOM command not allowed when used memory > 'maxmemory'.";

fn limited(harness: &mut Harness, policy: &str) {
    harness.worker.take_net_bytes = take_net_bytes;
    harness.engine.set_memory(BASE, 0);
    harness.expect(&[
        (&format!("config set maxmemory {LIMIT}"), "+OK"),
        (&format!("config set maxmemory-policy {policy} maxmemory-samples 10"), "+OK"),
    ]);
}

fn with_policy(policy: &str) -> Harness {
    let mut harness = Harness::new();
    limited(&mut harness, policy);
    harness
}

/// Writes keys with a value of 1000 bytes, each a second after the one before.
fn fill(harness: &mut Harness, name: &str, keys: std::ops::Range<usize>, tail: &str) {
    let value = "x".repeat(1000);
    for number in keys {
        harness.now_ms += 1000;
        assert_eq!(harness.run(&format!("set {name}:{number} {value} {tail}")), "+OK");
    }
}

fn evicted(harness: &Harness) -> u64 {
    harness.engine.stats.sum(|thread| thread.evicted.get())
}

/// How many of the keys are still there.
fn alive(harness: &mut Harness, name: &str, keys: std::ops::Range<usize>) -> usize {
    let alive = keys.filter(|number| harness.engine_has(&format!("{name}:{number}")));
    alive.count()
}

trait Has {
    fn engine_has(&mut self, key: &str) -> bool;
}

impl Has for Harness {
    fn engine_has(&mut self, key: &str) -> bool {
        self.run(&format!("exists {key}")) == ":1"
    }
}

#[test]
fn memory_stays_near_the_limit_and_the_least_recently_used_go() {
    let mut harness = with_policy("allkeys-lru");
    fill(&mut harness, "old", 0..300, "");
    assert_eq!(evicted(&harness), 0);
    for number in 0..50 {
        harness.now_ms += 1000;
        harness.run(&format!("get old:{number}"));
    }
    fill(&mut harness, "new", 0..290, "");
    assert!(evicted(&harness) > 50, "{}", evicted(&harness));
    // What a thread has not told yet, and one command.
    assert!(harness.engine.memory.excess(LIMIT as usize) < 17 << 10, "{}", harness.engine.memory.used());
    let (used, unused) = (alive(&mut harness, "old", 0..50), alive(&mut harness, "old", 50..100));
    assert!(used > 45 && unused < 20, "{used} of 50 used keys and {unused} of 50 unused ones are left");
}

#[test]
fn under_lrm_reading_does_not_save_a_key_and_writing_does() {
    let mut harness = with_policy("allkeys-lrm");
    fill(&mut harness, "old", 0..300, "");
    for number in 0..40 {
        harness.now_ms += 1000;
        harness.run(&format!("get old:{number}"));
        harness.run(&format!("append old:{} y", number + 40));
    }
    assert_eq!(harness.run("object idletime old:79"), ":0");
    assert_eq!(harness.run("object idletime old:39"), ":300");
    fill(&mut harness, "new", 0..290, "");
    let (read, written) = (alive(&mut harness, "old", 0..40), alive(&mut harness, "old", 40..80));
    assert!(read < 15 && written > 35, "{read} of 40 read keys and {written} of 40 written ones are left");
}

#[test]
fn the_least_frequently_used_go() {
    let mut harness = with_policy("allkeys-lfu");
    fill(&mut harness, "old", 0..300, "");
    for number in 0..40 {
        for _ in 0..50 {
            harness.run(&format!("get old:{number}"));
        }
    }
    let frequency: i64 = harness.run("object freq old:0")[1..].parse().unwrap();
    assert!((6..20).contains(&frequency), "{frequency}");
    assert_eq!(
        harness.run("object idletime old:0"),
        "-ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between \
         policies at runtime LRU and LFU data will take some time to adjust."
    );
    fill(&mut harness, "new", 0..290, "");
    assert!(evicted(&harness) > 30);
    assert!(alive(&mut harness, "old", 0..40) > 36);
}

#[test]
fn volatile_policies_leave_keys_without_an_expiry() {
    for policy in ["volatile-lru", "volatile-lfu", "volatile-lrm", "volatile-random", "volatile-ttl"] {
        let mut harness = with_policy(policy);
        fill(&mut harness, "kept", 0..200, "");
        fill(&mut harness, "volatile", 0..500, "ex 100000");
        assert!(evicted(&harness) > 30, "{policy}");
        assert_eq!(alive(&mut harness, "kept", 0..200), 200, "{policy}");
    }
}

#[test]
fn the_keys_that_expire_soonest_go_first() {
    let mut harness = with_policy("volatile-ttl");
    for number in 0..550 {
        let seconds = 100_000 + number * 37 % 600;
        assert_eq!(harness.run(&format!("set k:{number} {} ex {seconds}", "x".repeat(1000))), "+OK");
    }
    let gone: Vec<usize> = (0..550).filter(|n| !harness.engine_has(&format!("k:{n}"))).map(|n| n * 37 % 600).collect();
    let mean = gone.iter().sum::<usize>() / gone.len();
    assert!(gone.len() > 50 && mean < 150, "{} keys went, of mean rank {mean}", gone.len());
}

#[test]
fn commands_that_need_memory_are_refused_where_nothing_can_go() {
    for policy in ["noeviction", "volatile-lru"] {
        let mut harness = with_policy(policy);
        let refused = (0..2000).position(|n| harness.run(&format!("set k:{n} {}", "x".repeat(1000))) == OOM);
        assert!(refused.is_some_and(|n| n > 100), "{policy}: {refused:?}");
        harness.expect(&[
            ("get nothing", "$-1"),
            ("append k:1 y", OOM),
            ("multi", "+OK"),
            ("get k:1", OOM),
            ("exec", "-EXECABORT Transaction discarded because of previous errors."),
            ("del k:2", ":1"),
            ("config set maxmemory 0", "+OK"),
            ("append k:1 y", ":1001"),
        ]);
    }
}

#[test]
fn an_eviction_is_a_unit_of_its_own_before_the_command() {
    let mut pair = Replicated::new();
    limited(&mut pair.primary, "allkeys-random");
    let value = "x".repeat(1000);
    let mut evictions = 0;
    for number in 0..560 {
        assert_eq!(pair.run(&format!("set k:{number} {value}")), "+OK");
        let (last, before) = pair.last.split_last().unwrap();
        assert_eq!(last[0], b"set");
        assert!(before.iter().all(|words| words[0] == b"DEL" && words.len() == 2));
        evictions += before.len() as u64;
    }
    assert!(evictions > 20);
    assert_eq!(evictions, evicted(&pair.primary));
    pair.run("config set lazyfree-lazy-eviction yes");
    for number in 0..60 {
        pair.run(&format!("set l:{number} {value}"));
        assert!(pair.last.iter().rev().skip(1).all(|words| words[0] == b"UNLINK"));
    }
    assert!(evicted(&pair.primary) > evictions);
}

#[test]
fn a_replica_leaves_evictions_to_its_primary_unless_told_otherwise() {
    let mut harness = with_policy("allkeys-lru");
    harness.expect(&[("config set replica-read-only no", "+OK")]);
    harness.engine.state.is_replica.store(true, Relaxed);
    fill(&mut harness, "k", 0..600, "");
    assert_eq!(evicted(&harness), 0);
    harness.expect(&[("config set replica-ignore-maxmemory no", "+OK"), ("set one more", "+OK")]);
    assert!(evicted(&harness) > 0);
}

#[test]
fn memory_that_waits_for_replicas_is_not_counted() {
    let mut harness = with_policy("noeviction");
    harness.engine.set_memory(LIMIT + 1000, 2000);
    harness.expect(&[("set k v", "+OK")]);
    harness.engine.set_memory(LIMIT + 1000, 0);
    harness.expect(&[("set k v", OOM)]);
}

#[test]
fn keys_of_every_database_go() {
    let mut harness = with_policy("allkeys-random");
    for db in [0, 3, 9] {
        harness.run(&format!("select {db}"));
        fill(&mut harness, "k", 0..400, "");
    }
    for db in [0, 3] {
        harness.run(&format!("select {db}"));
        let left = alive(&mut harness, "k", 0..400);
        assert!(left < 380, "{left} of 400 keys of database {db} are left");
    }
}

#[test]
fn a_search_for_a_few_volatile_keys_finds_them() {
    let mut harness = Harness::new();
    for number in 0..20_000 {
        harness.run(&format!("set k:{number} v"));
    }
    harness.run("set v:1 v ex 1000");
    harness.run("set v:2 v ex 1000");
    limited(&mut harness, "volatile-lru");
    harness.engine.set_memory(LIMIT + 100_000, 0);
    harness.expect(&[("get k:1", "'v'"), ("exists v:1 v:2", ":0"), ("set k:1 w", OOM), ("dbsize", ":20000")]);
}

#[test]
fn an_evicted_key_aborts_the_transaction_that_watches_it() {
    let mut harness = with_policy("allkeys-lru");
    harness.expect(&[("set watched v", "+OK"), ("watch watched", "+OK")]);
    harness.engine.set_memory(LIMIT + (1 << 20), 0);
    harness.expect(&[("multi", "+OK"), ("discard", "+OK"), ("exists watched", ":0")]);
}

#[test]
fn restore_brings_a_frequency_and_touch_ignores_no_touch() {
    let mut harness = with_policy("allkeys-lfu");
    harness.run("set k v");
    let dump = harness.run_words(&["dump", "k"]);
    let payload = &dump[dump.iter().position(|b| *b == b'\n').unwrap() + 1..dump.len() - 2];
    harness.run_words(&[b"restore".as_slice(), b"copy", b"0", payload, b"FREQ", b"77"]);
    harness.expect(&[
        ("object freq copy", ":77"),
        ("object freq nothing", "$-1"),
        ("config set maxmemory-policy allkeys-lru lfu-decay-time 1", "+OK"),
        ("client no-touch on", "+OK"),
        ("set k v", "+OK"),
    ]);
    harness.now_ms += 5000;
    harness.expect(&[("get k", "'v'"), ("object idletime k", ":5"), ("touch k", ":1"), ("object idletime k", ":0")]);
}

#[test]
fn the_largest_client_goes_when_buffers_are_over_their_limit() {
    let mut harness = Harness::new();
    let engine = &harness.engine;
    let clients: Vec<_> = (0..4).map(|n| engine.connect(format!("c:{n}"), String::new(), 0).unwrap()).collect();
    clients[3].no_evict.store(true, Relaxed);
    let held = |sizes: [u64; 4]| {
        for (client, bytes) in clients.iter().zip(sizes) {
            harness.engine.note_client_buffers(client, bytes);
        }
        clients.iter().map(|client| client.killed.load(Relaxed)).collect::<Vec<_>>()
    };
    assert_eq!(held([1 << 30, 0, 0, 0]), [false; 4], "there is no limit");
    held([0; 4]);
    harness.engine.config.set("maxmemory-clients", "1mb", true).unwrap();
    assert_eq!(held([300_000, 400_000, 200_000, 0]), [false; 4]);
    assert_eq!(held([300_000, 400_000, 200_000, 500_000]), [false, true, false, false]);
    assert_eq!(harness.engine.stats.evicted_clients.load(Relaxed), 1);
    for client in &clients {
        harness.engine.disconnect(client.id);
    }
    assert_eq!(harness.engine.memory.client_buffers(), 0);
    harness.expect(&[
        ("config set maxmemory-clients 5%", "+OK"),
        ("config get maxmemory-clients", "*2['maxmemory-clients' '5%']"),
        (
            "config set maxmemory-clients x",
            "-ERR CONFIG SET failed (possibly related to argument 'maxmemory-clients') - argument must be a memory or \
             percent value",
        ),
    ]);
}
