//! Scripts that do not end by themselves, take all memory, or try to stay.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod common;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::{Harness, show};
use quiver_engine::Engine;

/// Longest a killed script may go on, by the requirement; a loaded machine included.
const SOON: Duration = Duration::from_millis(100);

/// Runs a script on a thread of its own until it is killed; its reply, and how long it took to end.
fn run_and_kill(script: &str) -> (String, Duration) {
    let harness = Harness::new();
    harness.engine.config.set("busy-reply-threshold", "20", true).unwrap();
    let engine = Arc::clone(&harness.engine);
    let text = script.to_owned();
    let running = thread::spawn(move || {
        let mut harness = harness;
        let reply = harness.eval(&text);
        (reply, Instant::now())
    });
    wait_until_busy(&engine);
    let mut other = Harness::of(&engine);
    assert_eq!(other.run("PING"), BUSY);
    assert_eq!(other.run("GET k"), BUSY);
    let killed = Instant::now();
    assert_eq!(other.run("SCRIPT KILL"), "+OK");
    let (reply, ended) = running.join().unwrap();
    assert_eq!(other.run("PING"), "+PONG");
    (reply, ended.saturating_duration_since(killed))
}

const BUSY: &str = "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";

fn wait_until_busy(engine: &Engine) {
    let begun = Instant::now();
    while !engine.scripts.is_busy() {
        assert!(begun.elapsed() < Duration::from_secs(10), "the script is never noticed");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn endless_scripts_are_killed_whatever_they_catch() {
    let scripts = [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "while true do xpcall(function() while true do end end, function() while true do end end) end",
        "while true do pcall(redis.call, 'GET', 'k') end",
        "local co = coroutine.create(function() while true do end end) while true do coroutine.resume(co) end",
        "local co = coroutine.wrap(function() while true do pcall(function() while true do end end) end end) co() while true do end",
        "local t = setmetatable({}, {__index = function(t, k) return t[k + 1] end}) while true do pcall(function() return t[1] end) end",
        "local function f() return f() end return f()",
        "table.sort({5, 4, 3, 2, 1}, function() while true do end end)",
        "string.gsub('abc', '.', function() while true do end end)",
        "while true do loadstring('return ' .. tostring(math.random()))() end",
        "repeat until false",
    ];
    for script in scripts {
        let (reply, took) = run_and_kill(script);
        assert!(reply.starts_with("-ERR Script killed by user with SCRIPT KILL. script: "), "{script}: {reply}");
        assert!(took < SOON, "{script}: {took:?}");
    }
}

#[test]
fn a_script_that_has_written_cannot_be_killed() {
    let harness = Harness::new();
    harness.engine.config.set("busy-reply-threshold", "10", true).unwrap();
    let engine = Arc::clone(&harness.engine);
    let running = thread::spawn(move || {
        let mut harness = harness;
        harness.eval("redis.call('SET', 'k', 1) local n = 0 while n < 5e7 do n = n + 1 end return 'ended'")
    });
    wait_until_busy(&engine);
    let mut other = Harness::of(&engine);
    assert!(other.run("SCRIPT KILL").starts_with("-UNKILLABLE Sorry the script already executed write commands"));
    assert_eq!(other.run("SHUTDOWN"), BUSY);
    assert_eq!(running.join().unwrap(), "'ended'");
    assert_eq!(other.run("GET k"), "'1'");
    assert_eq!(other.run("SCRIPT KILL"), "-NOTBUSY No scripts in execution right now.");
}

#[test]
fn memory_is_limited_and_the_next_script_has_all_of_it() {
    let mut harness = Harness::new();
    harness.engine.config.set("lua-memory-limit", "16777216", true).unwrap();
    let bombs = [
        "local t = {} while true do t[#t + 1] = {} end",
        "local s = 'x' while true do s = s .. s end",
        "local t = {} for i = 1, 1e9 do t[i] = i end",
        "local t = {} while true do pcall(function() while true do t[#t + 1] = tostring(#t) end end) error('out') end",
        "local s = string.rep('x', 1e6) local t = {} for i = 1, 1e6 do t[i] = s .. i end",
        "return redis.call('ECHO', string.rep('x', 3e7))",
    ];
    for bomb in bombs {
        let reply = harness.eval(bomb);
        assert!(reply.contains("not enough memory") || reply.contains("out script"), "{bomb}: {reply}");
        assert_eq!(harness.eval("local t = {} for i = 1, 1e5 do t[i] = i end return #t"), ":100000", "after {bomb}");
    }
}

#[test]
fn deep_nesting_is_an_error_and_not_the_end() {
    let mut harness = Harness::new();
    for script in [
        "local function f() return 1 + f() end return f()".to_owned(),
        "local t = {} local r = t for i = 1, 100000 do t[1] = {} t = t[1] end return r".to_owned(),
        "local t = {} t[1] = t return t".to_owned(),
        "local t = {} t.map = t return t".to_owned(),
        format!("return {}1{}", "(".repeat(10_000), ")".repeat(10_000)),
        format!("return {}{}", "{".repeat(10_000), "}".repeat(10_000)),
        "local s = 'return 1' for i = 1, 300 do s = 'return loadstring(' .. string.format('%q', s) .. ')()' if #s > 1e6 then break end end return loadstring(s)()".to_owned(),
        "error({})".to_owned(),
        "error(setmetatable({}, {__tostring = function() error('x') end}))".to_owned(),
        // With any depth the checks of a debug build of Lua's own `pcall` fail, which has no room for its first result.
        "local function f(n) return n == 0 or (pcall(f, n - 1)) end return tostring(f(150))".to_owned(),
        "local function f(a) return string.gsub(a, '.', f) end return f('x')".to_owned(),
        "return string.find(string.rep('a', 300000), string.rep('a?', 30) .. 'b')".to_owned(),
    ] {
        let start: String = script.chars().take(60).collect();
        let reply = harness.run_words(&[b"EVAL".as_slice(), script.as_bytes(), b"0"]);
        assert!(!reply.is_empty(), "{start}");
        assert_eq!(harness.eval("return 'alive'"), "'alive'", "after {start}");
    }
}

#[test]
fn a_script_leaves_nothing_behind() {
    let mut harness = Harness::new();
    let traces = [
        "x = 1",
        "_G.x = 1",
        "rawset(_G, 'x', 1)",
        "string.x = 1",
        "rawset(string, 'x', 1)",
        "table.insert(string, 'x')",
        "table.insert(_G, 'x')",
        "setmetatable(_G, nil)",
        "setmetatable(_G, {})",
        "getmetatable(_G).__index = function() return 1 end",
        "getmetatable('').__index = nil",
        "getmetatable('').x = 1",
        "getmetatable('').__index.x = 1",
        "for k, v in pairs(_G) do if type(v) == 'table' then v.x = 1 end end",
        "local f, t = pairs(string) t.x = 1",
        "local f, t = pairs(_G) rawset(t, 'x', 1)",
        "local f, t = ipairs(string) rawset(t, 1, 1)",
        "local k, v = next(_G) _G[k] = nil",
        "collectgarbage('stop')",
        "collectgarbage('setpause', 1)",
        "redis.setresp(3)",
        "math.randomseed(7)",
        "KEYS.x = 1 ARGV.x = 1",
        "setmetatable(KEYS, {__index = function() return 'x' end})",
        "table.sort(string, function() return true end)",
        "loadstring('x = 1')()",
        "loadstring('local f = ... f.x = 1')(redis)",
        "coroutine.wrap(function() x = 1 end)()",
    ];
    let probe = "local n = {} for k, v in pairs(_G) do n[#n + 1] = k .. type(v) .. tostring(type(v) == 'table' and v ~= _G and \
                 rawget(v, 'x')) end for k in pairs(string) do n[#n + 1] = k end table.sort(n) \
                 return {table.concat(n, ' '), type(redis.call('HGETALL', 'h')[1]), tostring(string[1]), \
                 tostring(rawget(_G, 1)), tostring(KEYS[1]), tostring(rawget(getmetatable(''), 'x'))}";
    harness.run("HSET h f v");
    let before = harness.eval(probe);
    assert!(before.starts_with("['"), "{before}");
    for trace in traces {
        harness.eval(trace);
        assert_eq!(harness.eval(probe), before, "after {trace}");
    }
}

#[test]
fn what_a_script_changed_is_one_unit_of_effects() {
    use parking_lot::Mutex;
    use quiver_engine::effects::{Effects, Sink};

    #[derive(Default)]
    struct Units(Mutex<Vec<Vec<(u32, String)>>>);
    impl Sink for Units {
        fn append(&self, effects: &Effects) {
            let unit = |unit: Vec<(u32, &[u8])>| unit.iter().map(|(db, bytes)| (*db, show(bytes))).collect();
            self.0.lock().extend(effects.units().map(|ops| unit(ops.collect())));
        }
    }
    let mut harness = Harness::new();
    let units = Arc::new(Units::default());
    harness.engine.set_sink(Some(Arc::clone(&units) as Arc<dyn Sink>), || ());
    harness.eval(
        "redis.call('SET', 'a', 1) redis.call('SELECT', 2) redis.call('INCR', 'b') return redis.call('GET', 'b')",
    );
    harness.eval("return redis.call('GET', 'a')");
    harness.eval("redis.call('SET', 'a', 2) error('late')");
    harness.eval("redis.set_repl(redis.REPL_NONE) redis.call('SET', 'c', 1) redis.set_repl(redis.REPL_ALL) redis.call('SET', 'd', 1)");
    let unit = |ops: &[(u32, &str)]| ops.iter().map(|(db, text)| (*db, (*text).to_owned())).collect::<Vec<_>>();
    assert_eq!(
        *units.0.lock(),
        [
            unit(&[(0, "['SET' 'a' '1']"), (2, "['INCR' 'b']")]),
            unit(&[(0, "['SET' 'a' '2']")]),
            unit(&[(0, "['SET' 'd' '1']")]),
        ]
    );
}
