//! The bounded functions against Lua's own: the same results and the same errors, for whatever comes.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use mlua::{Error, Function, Lua, MultiValue, Table, Value};
use proptest::prelude::*;

/// A state with the libraries, and the functions it had before.
struct Pair {
    lua: Lua,
    native: Table,
}

impl Pair {
    fn new() -> Self {
        let lua = Lua::new();
        let source = "local saved = {unpack = unpack} \
                      for _, name in ipairs({'string', 'table'}) do \
                        saved[name] = {} \
                        for key, value in pairs(_G[name]) do saved[name][key] = value end \
                      end \
                      return saved";
        let native = lua.load(source).eval().unwrap();
        quiver_script::libraries::install(&lua).unwrap();
        Self { lua, native }
    }

    fn functions(&self, library: &str, name: &str) -> (Function, Function) {
        let native: Table = self.native.get(library).unwrap();
        let ours: Table = self.lua.globals().get(library).unwrap();
        (native.get(name).unwrap(), ours.get(name).unwrap())
    }

    fn text(&self, bytes: &[u8]) -> Value {
        Value::String(self.lua.create_string(bytes).unwrap())
    }
}

/// Results or the error, as something to compare.
fn outcome(called: mlua::Result<MultiValue>) -> Result<Vec<String>, String> {
    let shown = |value: &Value| match value {
        Value::String(text) => format!("{:?}", text.as_bytes().escape_ascii().to_string()),
        Value::Nil => "nil".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Number(number) => number.to_string(),
        other => other.type_name().to_owned(),
    };
    called.map(|values| values.iter().map(shown).collect()).map_err(|error| text_of(&error))
}

/// An error's first line.
fn text_of(error: &Error) -> String {
    match error {
        Error::CallbackError { cause, .. } => text_of(cause),
        Error::RuntimeError(text) => text.lines().next().unwrap_or("").to_owned(),
        other => other.to_string(),
    }
}

const PIECES: &[&str] = &["[ab]", "[^a]", "[a-z]", "[%w-]", "(a)", "()", "%bab", "%f[%w]", "[]a]", ".-", ".*"];

/// Patterns with as many special characters as plain ones.
fn pattern() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(&b"aab1. "[..]).prop_map(|byte| vec![byte]),
        3 => prop::sample::select(&b"%.[]()*+-?^$\0"[..]).prop_map(|byte| vec![byte]),
        2 => prop::sample::select(&b"awdslpuxcz.%1290bf]"[..]).prop_map(|byte| vec![b'%', byte]),
        1 => prop::sample::select(&PIECES[..]).prop_map(|piece| piece.as_bytes().to_vec()),
    ];
    prop::collection::vec(piece, 0..9).prop_map(|pieces| pieces.concat())
}

fn subject() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(&b"aaabb1. \0%("[..]), 0..14)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn find_and_match_are_luas(subject in subject(), pattern in pattern(), init in -3i64..6, plain in any::<bool>()) {
        let pair = Pair::new();
        for name in ["find", "match"] {
            let (native, ours) = pair.functions("string", name);
            let args = || {
                MultiValue::from_iter([
                    pair.text(&subject),
                    pair.text(&pattern),
                    Value::Number(init as f64),
                    Value::Boolean(plain && name == "find"),
                ])
            };
            prop_assert_eq!(outcome(native.call(args())), outcome(ours.call(args())), "{}", name);
        }
    }

    #[test]
    fn gsub_is_luas(subject in subject(), pattern in pattern(), replacement in pattern(), most in -1i64..5) {
        let pair = Pair::new();
        let (native, ours) = pair.functions("string", "gsub");
        let args = || {
            let most = if most < 0 { Value::Nil } else { Value::Number(most as f64) };
            MultiValue::from_iter([pair.text(&subject), pair.text(&pattern), pair.text(&replacement), most])
        };
        prop_assert_eq!(outcome(native.call(args())), outcome(ours.call(args())));
    }

    #[test]
    fn gsub_with_a_function_is_luas(subject in subject(), pattern in pattern()) {
        let pair = Pair::new();
        let (native, ours) = pair.functions("string", "gsub");
        let source = "return function(...) local s = '<' for i = 1, select('#', ...) do s = s .. tostring((select(i, ...))) .. ',' end \
                      if #s > 9 then return nil end return s end";
        let function: Function = pair.lua.load(source).eval().unwrap();
        let args = || MultiValue::from_iter([pair.text(&subject), pair.text(&pattern), Value::Function(function.clone())]);
        prop_assert_eq!(outcome(native.call(args())), outcome(ours.call(args())));
    }

    #[test]
    fn gmatch_is_luas(subject in subject(), pattern in pattern()) {
        let pair = Pair::new();
        let (native, ours) = pair.functions("string", "gmatch");
        let all = |gmatch: Function| -> Vec<Result<Vec<String>, String>> {
            let next: Function = gmatch.call((pair.text(&subject), pair.text(&pattern))).unwrap();
            let mut all: Vec<_> = (0..20).map(|_| outcome(next.call(()))).collect();
            // Who goes on after an error is at the same place again here, and behind it there.
            all.truncate(all.iter().position(Result::is_err).map_or(all.len(), |at| at + 1));
            all
        };
        prop_assert_eq!(all(native), all(ours));
    }

    #[test]
    fn concat_is_luas(items in prop::collection::vec(prop_oneof![
        any::<i32>().prop_map(f64::from), any::<f64>().prop_map(|n| n), Just(0.1), Just(1e15), Just(-0.0)
    ], 0..6), i in -1i64..5, j in -1i64..8, separator in "[a-z]{0,2}") {
        let pair = Pair::new();
        let (native, ours) = pair.functions("table", "concat");
        let list = pair.lua.create_sequence_from(items).unwrap();
        let args = || (list.clone(), separator.as_str(), i, j);
        prop_assert_eq!(outcome(native.call(args())), outcome(ours.call(args())));
    }

    #[test]
    fn sort_is_luas(numbers in prop::collection::vec(-50i32..50, 0..40), long in any::<bool>()) {
        let pair = Pair::new();
        let (native, ours) = pair.functions("table", "sort");
        // Long lists are sorted in other ways than short ones.
        let repeat = if long { 6000 / numbers.len().max(1) } else { 1 };
        let numbers = numbers.repeat(repeat);
        for texts in [false, true] {
            let sorted = |sort: &Function| {
                let list = pair.lua.create_table().unwrap();
                for (at, number) in numbers.iter().enumerate() {
                    let value = if texts { pair.text(number.to_string().as_bytes()) } else { Value::Number(f64::from(*number)) };
                    list.raw_set(at + 1, value).unwrap();
                }
                sort.call::<()>(list.clone()).unwrap();
                list.sequence_values::<String>().map(Result::unwrap).collect::<Vec<_>>()
            };
            prop_assert_eq!(sorted(&native), sorted(&ours));
        }
    }

    #[test]
    fn rep_is_luas(text in "[a-c]{0,3}", count in -2.5f64..20.0) {
        let pair = Pair::new();
        let (native, ours) = pair.functions("string", "rep");
        prop_assert_eq!(outcome(native.call((text.as_str(), count))), outcome(ours.call((text.as_str(), count))));
    }
}

#[test]
fn unpack_is_luas_where_luas_is_safe() {
    let pair = Pair::new();
    let native: Function = pair.native.get("unpack").unwrap();
    let ours: Function = pair.lua.globals().get("unpack").unwrap();
    let list = pair.lua.create_sequence_from([1, 2, 3]).unwrap();
    for (i, j) in [(1, 3), (2, 3), (3, 1), (-1, 4), (0, 0), (1, 7000)] {
        let args = || (list.clone(), i, j);
        assert_eq!(outcome(native.call(args())), outcome(ours.call(args())), "{i}..{j}");
    }
    for (i, j) in [(1.0, 1e8), (0.0, 2147483647.0), (-2147483648.0, 2147483647.0), (1.0, 1e300)] {
        let error = outcome(ours.call((list.clone(), i, j)));
        assert!(
            error.as_ref().is_err_and(|text| text.ends_with("too many results to unpack")) || error == Ok(vec![]),
            "{error:?}"
        );
    }
}

#[test]
fn what_would_take_all_memory_is_refused() {
    let pair = Pair::new();
    for source in [
        "return string.rep('x', 2^30)",
        "return string.rep(string.rep('x', 2^20), 2^20)",
        "return (string.gsub(string.rep('a', 2^20), 'a', string.rep('b', 2^10)))",
        "local t = {} for i = 1, 1000 do t[i] = string.rep('x', 2^20) end return table.concat(t)",
        "local s = string.rep('x', 2^20) return cjson.encode({s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, {s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, {s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, {s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s}}}})",
        "return struct.pack('c0c0c0', string.rep('x', 2^25), string.rep('x', 2^25), 'x')",
    ] {
        let ended = pair.lua.load(source).eval::<Value>();
        assert!(ended.is_err_and(|error| error.to_string().contains("not enough memory")), "{source}");
    }
}

#[test]
fn deep_patterns_are_refused() {
    let pair = Pair::new();
    for source in [
        "return string.match(string.rep('a', 300000), string.rep('a?', 300000))",
        "return string.match(string.rep('x', 300000), string.rep('x-', 150000))",
    ] {
        let ended = pair.lua.load(source).eval::<Value>();
        assert!(ended.is_err_and(|error| error.to_string().contains("pattern too complex")), "{source}");
    }
}
