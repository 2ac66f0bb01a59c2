//! One of everything: commands that fill a server with all types in all their encodings and sizes.
//!
//! Used to hold files against each other: fill one server, let it save, load the file in another one, and compare what
//! both hold ([`dump`]). The same commands make the same content everywhere, except for vector graphs and what a server
//! does not know: commands that it refuses are left out by [`fill`], and counted.

mod dump;

use anyhow::Result;
use quiver_resp::Value;

pub use dump::{Dump, differences, dump};

use crate::differential::random::Rng;

/// Runs a command somewhere.
pub type Call<'a> = &'a mut dyn FnMut(&[Vec<u8>]) -> Result<Value>;

/// A time far ahead, ms: keys and fields that expire do not do so during a test.
const FAR_MS: u64 = 4_102_444_800_123;

/// How much there is of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// A file of a few kilobytes: every encoding, hardly larger than it must be.
    Small,
    /// Collections of thousands of elements.
    Large,
}

/// Sends all commands; gives how many the server refused.
///
/// # Errors
/// When the server cannot be reached.
pub fn fill(call: Call<'_>, size: Size) -> Result<usize> {
    let mut refused = 0;
    for words in commands(size) {
        let reply = call(&words)?;
        refused += usize::from(matches!(reply, Value::Error(_)));
    }
    Ok(refused)
}

/// The commands, in order.
pub fn commands(size: Size) -> Vec<Vec<Vec<u8>>> {
    let mut corpus = Corpus { commands: Vec::new(), rng: Rng::new(7), size };
    corpus.strings();
    corpus.lists();
    corpus.sets();
    corpus.sorted_sets();
    corpus.hashes();
    corpus.streams();
    corpus.vector_sets();
    corpus.other_databases();
    corpus.commands
}

struct Corpus {
    commands: Vec<Vec<Vec<u8>>>,
    rng: Rng,
    size: Size,
}

impl Corpus {
    /// A command of words split at spaces.
    fn line(&mut self, line: &str) {
        self.commands.push(line.split(' ').map(|word| word.as_bytes().to_vec()).collect());
    }

    fn words(&mut self, start: &str, rest: impl IntoIterator<Item = Vec<u8>>) {
        let words = start.split(' ').map(|word| word.as_bytes().to_vec()).chain(rest);
        self.commands.push(words.collect());
    }

    fn of_size(&self, small: usize, large: usize) -> usize {
        if self.size == Size::Small { small } else { large }
    }

    fn noise(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.rng.next() as u8).collect()
    }

    fn strings(&mut self) {
        for number in ["0", "-1", "127", "-128", "128", "32767", "-32769", "2147483647", "-2147483648", "2147483648"] {
            self.line(&format!("SET int:{number} {number}"));
        }
        self.line("SET int:max 9223372036854775807");
        self.line("SET int:not 007");
        self.line("SET text:short hello");
        self.words("SET text:empty", [Vec::new()]);
        self.words("SET text:44", [vec![b'a'; 44]]);
        self.words("SET text:lzf", [b"abcdefgh".repeat(40)]);
        let (medium, long) = (self.of_size(100, 5000), self.of_size(300, 200_000));
        let noise = self.noise(medium);
        self.words("SET text:noise", [noise]);
        self.words("SET text:long", [b"all work and no play ".repeat(long / 21)]);
        self.line(&format!("SET text:expires v PXAT {FAR_MS}"));
        self.line("APPEND text:appended abc");
        self.line("APPEND text:appended def");
        self.line("SETBIT bits 1000 1");
        self.line("PFADD hll a b c d e");
        let many = self.of_size(20, 5000);
        self.words("PFADD hll:many", (0..many).map(|i| format!("member:{i}").into_bytes()));
    }

    fn lists(&mut self) {
        self.line("RPUSH list:small a b 1 -2 300 70000 -5000000000 9223372036854775807");
        self.words("RPUSH list:nodes", (0..self.of_size(30, 3000)).map(|i| format!("{i:060}").into_bytes()));
        self.words("RPUSH list:long", [vec![b'x'; 9000], b"short".to_vec(), vec![b'y'; 70_000]]);
        // Elements that stand for themselves, without a listpack around them; needs DEBUG, else they are in one.
        self.line("DEBUG QUICKLIST-PACKED-THRESHOLD 100b");
        self.words("RPUSH list:plain", [vec![b'p'; 200], b"short".to_vec(), vec![b'q'; 300]]);
        self.line("DEBUG QUICKLIST-PACKED-THRESHOLD 0");
        let lengths = [63, 64, 127, 128, 4095, 4096];
        self.words("RPUSH list:lengths", lengths.map(|len| vec![b'l'; len]));
    }

    fn sets(&mut self) {
        self.line("SADD set:16 1 2 3 -5");
        self.line("SADD set:32 1 70000 -70000");
        self.line("SADD set:64 1 5000000000 -5000000000");
        self.words("SADD set:ints", (0..self.of_size(40, 2000)).map(|i| (i * 3).to_string().into_bytes()));
        self.line("SADD set:words a b 1 ccc");
        self.words("SADD set:table", (0..self.of_size(130, 5000)).map(|i| format!("m{i}").into_bytes()));
        self.words("SADD set:wide", [vec![b'w'; 70], b"x".to_vec()]);
    }

    fn sorted_sets(&mut self) {
        self.line("ZADD zset:small 1 a 2.5 b -inf c +inf d 0.1 e -0.0 f 1e300 g 3 7");
        let many = self.of_size(130, 5000);
        let pairs = (0..many).flat_map(|i| [format!("{}", (i * 37 % 101) as f64 / 8.0), format!("member:{i}")]);
        self.words("ZADD zset:large", pairs.map(String::into_bytes));
        self.words("ZADD zset:wide", [b"1".to_vec(), vec![b'w'; 70]]);
        self.line("GEOADD geo 13.361389 38.115556 Palermo 15.087269 37.502669 Catania");
    }

    fn hashes(&mut self) {
        self.line("HSET hash:small a 1 b two c -300 d 5000000000");
        let many = self.of_size(20, 5000);
        let pairs = (0..many).flat_map(|i| [format!("f{i}"), format!("value {}", i * i)]);
        self.words("HSET hash:table", pairs.map(String::into_bytes));
        self.words("HSET hash:wide", [b"f".to_vec(), vec![b'v'; 70], b"g".to_vec(), b"1".to_vec()]);
        self.line("HSET hash:expires a 1 b 2 c 3");
        self.line(&format!("HPEXPIREAT hash:expires {FAR_MS} FIELDS 1 b"));
        self.words("HSET hash:expires-wide", [b"f".to_vec(), vec![b'v'; 70], b"g".to_vec(), b"1".to_vec()]);
        self.line(&format!("HPEXPIREAT hash:expires-wide {FAR_MS} FIELDS 1 f"));
        self.line(&format!("HPEXPIREAT hash:expires-wide {} FIELDS 1 g", FAR_MS + 5000));
    }

    fn streams(&mut self) {
        self.line("XADD stream:small 1-1 a 1 b 2");
        self.line("XADD stream:small 1-2 a 3 b 4");
        self.line("XADD stream:small 5-0 other field-of-its-own more -77");
        self.line("XDEL stream:small 1-2");
        self.line("XGROUP CREATE stream:empty g $ MKSTREAM");
        self.line("XADD stream:emptied 7-7 a 1");
        self.line("XDEL stream:emptied 7-7");
        for i in 1..=self.of_size(12, 1000) {
            self.line(&format!("XADD stream:groups {i}-{} f value:{i} n {i}", i % 3 + 1));
        }
        self.line("XGROUP CREATE stream:groups g 0");
        self.line("XGROUP CREATE stream:groups idle $ ENTRIESREAD 3");
        self.line("XGROUP CREATECONSUMER stream:groups g lazy");
        self.line("XREADGROUP GROUP g one COUNT 4 STREAMS stream:groups >");
        self.line("XREADGROUP GROUP g two COUNT 3 STREAMS stream:groups >");
        self.line("XACK stream:groups g 2-3");
        self.line("XDEL stream:groups 3-1 4-2");
        self.line("XTRIM stream:groups MINID 2");
    }

    fn vector_sets(&mut self) {
        let count = self.of_size(6, 200);
        for (name, options) in [("f32", "NOQUANT"), ("q8", "Q8"), ("bin", "BIN")] {
            for i in 0..count {
                let vector: Vec<String> = (0..8).map(|_| format!("{:.4}", self.rng.unit())).collect();
                self.line(&format!("VADD vset:{name} VALUES 8 {} element:{i} {options}", vector.join(" ")));
            }
        }
        for i in 0..count {
            let vector: Vec<String> = (0..12).map(|_| format!("{:.4}", self.rng.unit())).collect();
            self.line(&format!("VADD vset:reduced REDUCE 4 VALUES 12 {} element:{i} NOQUANT", vector.join(" ")));
        }
        self.line(r#"VSETATTR vset:q8 element:1 {"year":1984}"#);
        self.line("VREM vset:f32 element:2");
    }

    fn other_databases(&mut self) {
        self.line("SELECT 3");
        self.line("SET in:3 three");
        self.line("SADD in:3:set x y z");
        self.line(&format!("PEXPIREAT in:3:set {FAR_MS}"));
        self.line("SELECT 15");
        self.line("HSET in:15 f v");
        self.line("SELECT 0");
    }
}
