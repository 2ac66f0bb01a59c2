//! Inline commands: a line of words a person can type, with the quoting rules of `redis-cli`.
//!
//! `"..."` knows `\xHH \n \r \t \b \a` and `\c` for any other c; `'...'` knows only `\'`; a closing quote must be
//! followed by a space or the end. A NUL is an ordinary byte here (Redis, on C strings, never sees the line's end).

/// A quote was left open, or followed at once by another character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnbalancedQuotes;

/// Splits `line` into words; each word's bytes are appended to `text` and `word` is called with its range there.
///
/// # Errors
/// [`UnbalancedQuotes`]; words already reported stay reported.
pub fn split_inline(
    line: &[u8],
    text: &mut Vec<u8>,
    mut word: impl FnMut(std::ops::Range<usize>),
) -> Result<(), UnbalancedQuotes> {
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        // Vertical tab separates words only where none has begun.
        while let [0x0b, tail @ ..] = rest {
            rest = tail.trim_ascii_start();
        }
        if rest.is_empty() {
            return Ok(());
        }
        let start = text.len();
        rest = bare_word(rest, text)?;
        word(start..text.len());
    }
}

/// Reads up to a separator; a quote anywhere in the word ends it where it closes.
fn bare_word<'a>(mut rest: &'a [u8], text: &mut Vec<u8>) -> Result<&'a [u8], UnbalancedQuotes> {
    loop {
        match rest {
            [] | [b' ' | b'\n' | b'\r' | b'\t', ..] => return Ok(rest),
            [b'"', tail @ ..] => return closed(double_quoted(tail, text)?),
            [b'\'', tail @ ..] => return closed(single_quoted(tail, text)?),
            [byte, tail @ ..] => {
                text.push(*byte);
                rest = tail;
            }
        }
    }
}

fn double_quoted<'a>(mut rest: &'a [u8], text: &mut Vec<u8>) -> Result<&'a [u8], UnbalancedQuotes> {
    loop {
        match rest {
            [] => return Err(UnbalancedQuotes),
            [b'"', tail @ ..] => return Ok(tail),
            [b'\\', b'x', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                text.push(hex(*high) << 4 | hex(*low));
                rest = tail;
            }
            [b'\\', escaped, tail @ ..] => {
                text.push(unescape(*escaped));
                rest = tail;
            }
            [byte, tail @ ..] => {
                text.push(*byte);
                rest = tail;
            }
        }
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], text: &mut Vec<u8>) -> Result<&'a [u8], UnbalancedQuotes> {
    loop {
        match rest {
            [] => return Err(UnbalancedQuotes),
            [b'\'', tail @ ..] => return Ok(tail),
            [b'\\', b'\'', tail @ ..] => {
                text.push(b'\'');
                rest = tail;
            }
            [byte, tail @ ..] => {
                text.push(*byte);
                rest = tail;
            }
        }
    }
}

fn closed(rest: &[u8]) -> Result<&[u8], UnbalancedQuotes> {
    match rest {
        [] | [b' ' | b'\n' | b'\r' | b'\t' | 0x0b | 0x0c, ..] => Ok(rest),
        _ => Err(UnbalancedQuotes),
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, UnbalancedQuotes> {
        let (mut text, mut ranges) = (Vec::new(), Vec::new());
        split_inline(line, &mut text, |range| ranges.push(range))?;
        Ok(ranges.into_iter().map(|range| text[range].to_vec()).collect())
    }

    /// Each line was sent to Redis 8.0.2 behind `ECHO`-like commands; these are the words it saw.
    #[test]
    fn words_are_split_as_redis_splits_them() {
        let table: &[(&[u8], &[&[u8]])] = &[
            (b"", &[]),
            (b"   \t ", &[]),
            (b"  PING  ", &[b"PING"]),
            (b"echo a\tb", &[b"echo", b"a", b"b"]),
            (b"echo a\rb", &[b"echo", b"a", b"b"]),
            (b"echo a\x0bb", &[b"echo", b"a\x0bb"]),
            (b"echo a\x0cb", &[b"echo", b"a\x0cb"]),
            (b"echo a\"b\"", &[b"echo", b"ab"]),
            (b"echo ''", &[b"echo", b""]),
            (b"echo \"\" x", &[b"echo", b"", b"x"]),
            (b"echo \"\\x41\\n\\r\\t\\b\\a\\q\\\\\\\"\"", &[b"echo", b"A\n\r\t\x08\x07q\\\""]),
            (b"echo '\\x41\\'\\n'", &[b"echo", b"\\x41'\\n"]),
            (b"echo \"\\xzz\\x4\"", &[b"echo", b"xzzx4"]),
            (b"echo a\\nb", &[b"echo", b"a\\nb"]),
            (b"echo a\0b", &[b"echo", b"a\0b"]),
        ];
        for (line, words) in table {
            assert_eq!(split(line).unwrap(), *words, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn open_and_glued_quotes_are_unbalanced() {
        for line in ["\"PING", "'PING", "\"PING\"x", "echo 'a'b", "echo a'b c'd", "echo \"a\\", "'"] {
            assert_eq!(split(line.as_bytes()), Err(UnbalancedQuotes), "{line}");
        }
    }
}
