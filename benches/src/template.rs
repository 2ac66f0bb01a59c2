//! Requests as templates: RESP bytes made once, with decimal numbers written into place for every request.
//!
//! A request then costs one copy and a dozen digit writes, a fraction of what the server spends on it.

use anyhow::{Result, ensure};

/// Digits of the number that `__rand__` stands for.
const RAND_DIGITS: usize = 12;
/// Fields of one hash in the hash workloads.
const FIELDS_PER_HASH: u64 = 16;
/// Byte that values are made of.
const VALUE_FILL: u8 = b'x';

/// Sizes of what the placeholders stand for.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Bytes of a key, prefix included.
    pub key: usize,
    /// Bytes of a value.
    pub value: usize,
}

/// What a reply must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// `+OK`.
    Ok,
    /// A bulk string of that many fill bytes.
    Value(usize),
    /// Any integer.
    Integer,
    /// Anything but an error.
    Any,
}

impl Expect {
    /// Whether `reply`, complete and in RESP2, is as expected.
    pub fn accepts(self, reply: &[u8]) -> bool {
        match self {
            Self::Ok => reply == b"+OK\r\n",
            Self::Integer => reply.first() == Some(&b':'),
            Self::Any => reply.first() != Some(&b'-'),
            Self::Value(length) => {
                let body = reply.len().saturating_sub(length + 2);
                reply.first() == Some(&b'$') && body >= 4 && (length == 0 || reply[body] == VALUE_FILL)
            }
        }
    }
}

/// A number in decimal somewhere in a request: `number / divide % modulo`, zero-padded.
#[derive(Debug, Clone)]
struct Patch {
    offset: usize,
    width: usize,
    divide: u64,
    modulo: u64,
}

/// One command with places for the number of the key.
#[derive(Debug, Clone)]
pub struct Template {
    bytes: Vec<u8>,
    patches: Vec<Patch>,
    /// What its replies look like.
    pub expect: Expect,
}

impl Template {
    /// `SET key value`.
    pub fn set(sizes: Sizes) -> Result<Self> {
        Self::custom("SET __key__ __value__", sizes, Expect::Ok)
    }

    /// `GET key`, of a key written by [`Template::set`].
    pub fn get(sizes: Sizes) -> Result<Self> {
        Self::custom("GET __key__", sizes, Expect::Value(sizes.value))
    }

    /// `HSET hash field value`, 16 fields to a hash.
    pub fn hset(sizes: Sizes) -> Result<Self> {
        Self::custom("HSET __hash__ __field__ __value__", sizes, Expect::Integer)
    }

    /// `HGET hash field`, of a field written by [`Template::hset`].
    pub fn hget(sizes: Sizes) -> Result<Self> {
        Self::custom("HGET __hash__ __field__", sizes, Expect::Value(sizes.value))
    }

    /// `INCR counter`.
    pub fn incr(sizes: Sizes) -> Result<Self> {
        Self::custom("INCR count:__rand__", sizes, Expect::Integer)
    }

    /// A command line with the placeholders `__key__`, `__value__`, `__hash__`, `__field__` and `__rand__`.
    pub fn custom(line: &str, sizes: Sizes, expect: Expect) -> Result<Self> {
        ensure!(sizes.key >= 8 && sizes.key <= 1024, "keys are 8 to 1024 bytes, not {}", sizes.key);
        let words: Vec<&str> = line.split_whitespace().collect();
        ensure!(!words.is_empty(), "the command is empty");
        let mut template = Self { bytes: Vec::new(), patches: Vec::new(), expect };
        template.bytes.extend(format!("*{}\r\n", words.len()).bytes());
        for word in words {
            template.push_word(word, sizes);
        }
        Ok(template)
    }

    /// Appends the request for `number` to `output`.
    pub fn render(&self, number: u64, output: &mut Vec<u8>) {
        let start = output.len();
        output.extend_from_slice(&self.bytes);
        for patch in &self.patches {
            let digits = &mut output[start + patch.offset..][..patch.width];
            write_decimal(number / patch.divide % patch.modulo, digits);
        }
    }

    fn push_word(&mut self, word: &str, sizes: Sizes) {
        let mut text = word.as_bytes().to_vec();
        let mut patch = None;
        if word == "__value__" {
            text = vec![VALUE_FILL; sizes.value];
        } else if word == "__key__" {
            (text, patch) = numbered("key:", sizes.key - 4, 1, u64::MAX);
        } else if word == "__hash__" {
            (text, patch) = numbered("hash:", sizes.key - 5, FIELDS_PER_HASH, u64::MAX);
        } else if word == "__field__" {
            (text, patch) = numbered("field:", 2, 1, FIELDS_PER_HASH);
        } else if let Some((prefix, suffix)) = word.split_once("__rand__") {
            (text, patch) = numbered(prefix, RAND_DIGITS, 1, u64::MAX);
            text.extend(suffix.bytes());
        }
        self.bytes.extend(format!("${}\r\n", text.len()).bytes());
        if let Some(patch) = patch {
            self.patches.push(Patch { offset: self.bytes.len() + patch.offset, ..patch });
        }
        self.bytes.extend(text);
        self.bytes.extend(b"\r\n");
    }
}

/// `argv` as a RESP array of bulk strings.
pub fn encode(argv: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", argv.len()).into_bytes();
    for word in argv {
        bytes.extend(format!("${}\r\n", word.len()).bytes());
        bytes.extend(*word);
        bytes.extend(b"\r\n");
    }
    bytes
}

fn numbered(prefix: &str, width: usize, divide: u64, modulo: u64) -> (Vec<u8>, Option<Patch>) {
    let mut text = prefix.as_bytes().to_vec();
    text.resize(prefix.len() + width, b'0');
    (text, Some(Patch { offset: prefix.len(), width, divide, modulo }))
}

fn write_decimal(mut number: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes { key: 16, value: 3 };

    fn rendered(template: &Template, number: u64) -> String {
        let mut output = b"before".to_vec();
        template.render(number, &mut output);
        String::from_utf8(output).unwrap().split_off(6)
    }

    #[test]
    fn keys_and_values_have_the_sizes_asked_for() {
        let set = Template::set(SIZES).unwrap();
        assert_eq!(rendered(&set, 42), "*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000042\r\n$3\r\nxxx\r\n");
    }

    #[test]
    fn hash_fields_are_sixteen_to_a_hash() {
        let hget = Template::hget(SIZES).unwrap();
        assert!(rendered(&hget, 35).ends_with("$16\r\nhash:00000000002\r\n$8\r\nfield:03\r\n"));
    }

    #[test]
    fn a_custom_line_keeps_text_around_the_number() {
        let zadd = Template::custom("ZADD board __rand__ user:__rand__:x", SIZES, Expect::Integer).unwrap();
        assert!(rendered(&zadd, 7).ends_with("$12\r\n000000000007\r\n$19\r\nuser:000000000007:x\r\n"));
        assert!(Template::custom("  ", SIZES, Expect::Any).is_err());
    }

    #[test]
    fn a_template_renders_what_the_encoder_encodes() {
        let get = Template::get(SIZES).unwrap();
        assert_eq!(rendered(&get, 5).as_bytes(), encode(&[b"GET", b"key:000000000005"]));
    }

    #[test]
    fn replies_are_held_to_what_was_written() {
        assert!(Expect::Value(3).accepts(b"$3\r\nxxx\r\n"));
        for wrong in [&b"$-1\r\n"[..], b"$2\r\nxx\r\n", b"$3\r\nyyy\r\n", b"-ERR\r\n", b"+OK\r\n"] {
            assert!(!Expect::Value(3).accepts(wrong), "{wrong:?}");
        }
        assert!(
            !Expect::Ok.accepts(b"-OOM\r\n") && !Expect::Integer.accepts(b"+OK\r\n") && !Expect::Any.accepts(b"-E\r\n")
        );
    }
}
