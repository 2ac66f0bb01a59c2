//! Lua 5.1's patterns, matched by a backtracking matcher that can be stopped and that has a bounded stack.
//!
//! The language is that of the reference manual, section 5.4.1, with 5.1's own habits: a NUL ends the pattern, `%z`
//! stands for one, and errors are raised only when matching comes to the faulty place. What is different from the
//! stock matcher: every step is counted, so that an exponential pattern ends when its script is to end, and the depth of
//! the recursion, which is that of the pattern's items, is bounded as in later Lua versions.

use mlua::{Error, Lua, Result, Value};

use super::args::failure;
use super::pace::Pace;

/// Most captures of a pattern.
const CAPTURES_MAX: usize = 32;

/// Most items that have to be given back in turn. Lua 5.2 allows 200.
const DEPTH_MAX: usize = 400;

const ESCAPE: u8 = b'%';

/// What a capture holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    Unfinished,
    Position,
    Length(usize),
}

#[derive(Clone, Copy, Debug)]
struct Capture {
    start: usize,
    extent: Extent,
}

/// A capture as it is given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Captured<'s> {
    /// A part of the subject.
    Text(&'s [u8]),
    /// A place in the subject, counted from 1.
    Position(usize),
}

impl Captured<'_> {
    /// As Lua has it.
    pub(crate) fn into_value(self, lua: &Lua) -> Result<Value> {
        Ok(match self {
            Self::Text(text) => Value::String(lua.create_string(text)?),
            Self::Position(place) => Value::Integer(place as i64),
        })
    }
}

/// A match being tried: subject, pattern and the captures so far.
pub(crate) struct Matcher<'s, 'p> {
    lua: &'s Lua,
    subject: &'s [u8],
    pattern: &'p [u8],
    pace: Pace<'s>,
    captures: [Capture; CAPTURES_MAX],
    level: usize,
    depth: usize,
    /// Functions between this and the script.
    callers: usize,
}

/// The place behind a match, or none.
type Found = Result<Option<usize>>;

/// The pattern as the matcher sees it: up to the first NUL.
pub(crate) fn visible(pattern: &[u8]) -> &[u8] {
    let end = pattern.iter().position(|byte| *byte == 0).unwrap_or(pattern.len());
    &pattern[..end]
}

/// Whether a pattern is nothing but text.
pub(crate) fn is_plain(pattern: &[u8]) -> bool {
    !visible(pattern).iter().any(|byte| b"^$*+?.([%-".contains(byte))
}

impl<'s, 'p, 'g> Matcher<'s, 'p> {
    /// A matcher of one pattern against one subject; an anchor is the caller's to take off.
    pub(crate) fn new(lua: &'s Lua, subject: &'s [u8], pattern: &'p [u8]) -> Self {
        let none = Capture { start: 0, extent: Extent::Unfinished };
        let pattern = visible(pattern);
        Self {
            lua,
            subject,
            pattern,
            pace: Pace::new(lua),
            captures: [none; CAPTURES_MAX],
            level: 0,
            depth: 0,
            callers: 0,
        }
    }

    /// Tells how many functions of a library stand between the running one and the script.
    pub(crate) fn within(self, callers: usize) -> Self {
        Self { callers, ..self }
    }

    #[cold]
    fn fault(&self, text: &str) -> Error {
        failure(self.lua, self.callers, text)
    }

    /// The first match between two places.
    ///
    /// # Errors
    /// The pattern is wrong, or the script is to end.
    pub(crate) fn search(&mut self, from: usize, to: usize) -> Result<Option<(usize, usize)>> {
        for at in from..=to {
            if let Some(end) = self.try_at(at)? {
                return Ok(Some((at, end)));
            }
        }
        Ok(None)
    }

    /// Appends all captures of a match; one without any counts as a whole when `or_whole` says so.
    ///
    /// # Errors
    /// One of them is unfinished.
    pub(crate) fn push_captures(
        &self,
        (start, end): (usize, usize),
        or_whole: bool,
        out: &mut Vec<Value>,
    ) -> Result<()> {
        let count = if self.level == 0 && or_whole { 1 } else { self.level };
        (0..count).try_for_each(|index| {
            out.push(self.captured(index, start, end)?.into_value(self.lua)?);
            Ok(())
        })
    }

    /// Matches from `at` on; gives the place behind the match.
    pub(crate) fn try_at(&mut self, at: usize) -> Found {
        (self.level, self.depth) = (0, 0);
        self.matches(at, 0)
    }

    /// One capture of the last match, which spans `start..end`.
    pub(crate) fn captured(&self, index: usize, start: usize, end: usize) -> Result<Captured<'s>> {
        if index >= self.level {
            return match index {
                0 => Ok(Captured::Text(&self.subject[start..end])),
                _ => Err(self.fault("invalid capture index")),
            };
        }
        let Capture { start, extent } = self.captures[index];
        match extent {
            Extent::Unfinished => Err(self.fault("unfinished capture")),
            Extent::Position => Ok(Captured::Position(start + 1)),
            Extent::Length(length) => Ok(Captured::Text(&self.subject[start..start + length])),
        }
    }

    /// The whole match.
    pub(crate) fn whole(&self, start: usize, end: usize) -> Captured<'s> {
        Captured::Text(&self.subject[start..end])
    }

    /// The pattern's byte at a place; 0 behind its end.
    fn p(&self, at: usize) -> u8 {
        self.pattern.get(at).copied().unwrap_or(0)
    }

    fn matches(&mut self, s: usize, p: usize) -> Found {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.fault("pattern too complex"));
        }
        let found = self.items(s, p);
        self.depth -= 1;
        found
    }

    /// Matches items one behind the other; only those that may have to be given back recurse.
    fn items(&mut self, mut s: usize, mut p: usize) -> Found {
        loop {
            self.pace.step(1)?;
            match (self.p(p), self.p(p + 1)) {
                (b'(', b')') => return self.start_capture(s, p + 2, Extent::Position),
                (b'(', _) => return self.start_capture(s, p + 1, Extent::Unfinished),
                (b')', _) => return self.end_capture(s, p + 1),
                (ESCAPE, b'b') => match self.balance(s, p + 2)? {
                    Some(end) => (s, p) = (end, p + 4),
                    None => return Ok(None),
                },
                (ESCAPE, b'f') => match self.frontier(s, p + 2)? {
                    Some(end) => p = end,
                    None => return Ok(None),
                },
                (ESCAPE, digit) if digit.is_ascii_digit() => match self.back_reference(s, digit)? {
                    Some(end) => (s, p) = (end, p + 2),
                    None => return Ok(None),
                },
                (0, _) => return Ok(Some(s)),
                (b'$', 0) => return Ok((s == self.subject.len()).then_some(s)),
                _ => {
                    let end = self.class_end(p)?;
                    let one = self.matches_one(s, p, end);
                    match self.p(end) {
                        b'?' => {
                            if one && let Some(found) = self.matches(s + 1, end + 1)? {
                                return Ok(Some(found));
                            }
                            p = end + 1;
                        }
                        b'*' => return self.longest(s, p, end),
                        b'+' => return if one { self.longest(s + 1, p, end) } else { Ok(None) },
                        b'-' => return self.shortest(s, p, end),
                        _ if one => (s, p) = (s + 1, end),
                        _ => return Ok(None),
                    }
                }
            }
        }
    }

    fn longest(&mut self, s: usize, p: usize, end: usize) -> Found {
        let mut count = 0;
        while self.matches_one(s + count, p, end) {
            count += 1;
            self.pace.step(1)?;
        }
        loop {
            if let Some(found) = self.matches(s + count, end + 1)? {
                return Ok(Some(found));
            }
            if count == 0 {
                return Ok(None);
            }
            count -= 1;
        }
    }

    fn shortest(&mut self, mut s: usize, p: usize, end: usize) -> Found {
        loop {
            if let Some(found) = self.matches(s, end + 1)? {
                return Ok(Some(found));
            }
            if !self.matches_one(s, p, end) {
                return Ok(None);
            }
            s += 1;
        }
    }

    fn start_capture(&mut self, s: usize, p: usize, extent: Extent) -> Found {
        if self.level >= CAPTURES_MAX {
            return Err(self.fault("too many captures"));
        }
        self.captures[self.level] = Capture { start: s, extent };
        self.level += 1;
        let found = self.matches(s, p)?;
        if found.is_none() {
            self.level -= 1;
        }
        Ok(found)
    }

    fn end_capture(&mut self, s: usize, p: usize) -> Found {
        let open = self.captures[..self.level].iter().rposition(|capture| capture.extent == Extent::Unfinished);
        let open = open.ok_or_else(|| self.fault("invalid pattern capture"))?;
        self.captures[open].extent = Extent::Length(s - self.captures[open].start);
        let found = self.matches(s, p)?;
        if found.is_none() {
            self.captures[open].extent = Extent::Unfinished;
        }
        Ok(found)
    }

    fn back_reference(&self, s: usize, digit: u8) -> Found {
        let index = usize::from(digit).wrapping_sub(usize::from(b'1'));
        let capture = self.captures[..self.level].get(index);
        match capture.map(|capture| (capture.start, capture.extent)) {
            None | Some((_, Extent::Unfinished)) => Err(self.fault("invalid capture index")),
            Some((_, Extent::Position)) => Ok(None),
            Some((start, Extent::Length(length))) => {
                self.pace.step(length as u64 / 16)?;
                let same = self.subject[s..].starts_with(&self.subject[start..start + length]);
                Ok(same.then_some(s + length))
            }
        }
    }

    /// `%bxy`: from an x to the y that closes it.
    fn balance(&self, s: usize, p: usize) -> Found {
        let (open, close) = (self.p(p), self.p(p + 1));
        if open == 0 || close == 0 {
            return Err(self.fault("unbalanced pattern"));
        }
        if self.subject.get(s) != Some(&open) {
            return Ok(None);
        }
        let mut depth = 1;
        for (at, byte) in self.subject.iter().enumerate().skip(s + 1) {
            self.pace.step(1)?;
            if *byte == close {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some(at + 1));
                }
            } else if *byte == open {
                depth += 1;
            }
        }
        Ok(None)
    }

    /// `%f[set]`: between a byte that is not in the set and one that is. Both ends of the subject count as NUL.
    fn frontier(&self, s: usize, p: usize) -> Found {
        if self.p(p) != b'[' {
            return Err(self.fault("missing '[' after '%f' in pattern"));
        }
        let end = self.class_end(p)?;
        let before = if s == 0 { 0 } else { self.subject[s - 1] };
        let behind = self.subject.get(s).copied().unwrap_or(0);
        let between = !self.in_set(before, p, end - 1) && self.in_set(behind, p, end - 1);
        Ok(between.then_some(end))
    }

    /// The place behind the single-character class at `p`.
    fn class_end(&self, p: usize) -> Result<usize> {
        match self.p(p) {
            ESCAPE if self.p(p + 1) == 0 => Err(self.fault("malformed pattern (ends with '%')")),
            ESCAPE => Ok(p + 2),
            b'[' => {
                let mut at = p + 1 + usize::from(self.p(p + 1) == b'^');
                // The first byte is part of the set even where it is a bracket.
                loop {
                    let byte = self.p(at);
                    if byte == 0 {
                        return Err(self.fault("malformed pattern (missing ']')"));
                    }
                    at += 1;
                    if byte == ESCAPE && self.p(at) != 0 {
                        at += 1;
                    }
                    if self.p(at) == b']' {
                        return Ok(at + 1);
                    }
                }
            }
            _ => Ok(p + 1),
        }
    }

    #[inline]
    fn matches_one(&self, s: usize, p: usize, end: usize) -> bool {
        let Some(byte) = self.subject.get(s).copied() else { return false };
        match self.pattern[p] {
            b'.' => true,
            ESCAPE => in_class(byte, self.pattern[p + 1]),
            b'[' => self.in_set(byte, p, end - 1),
            literal => literal == byte,
        }
    }

    /// Whether a byte is in the set whose brackets stand at `p` and `close`.
    fn in_set(&self, byte: u8, mut p: usize, close: usize) -> bool {
        let negated = self.p(p + 1) == b'^';
        p += 1 + usize::from(negated);
        while p < close {
            let first = self.p(p);
            if first == ESCAPE {
                if in_class(byte, self.p(p + 1)) {
                    return !negated;
                }
                p += 2;
            } else if self.p(p + 1) == b'-' && p + 2 < close {
                if (first..=self.p(p + 2)).contains(&byte) {
                    return !negated;
                }
                p += 3;
            } else {
                if first == byte {
                    return !negated;
                }
                p += 1;
            }
        }
        negated
    }
}

/// Whether a byte is in the class that a letter stands for; any other byte stands for itself.
fn in_class(byte: u8, class: u8) -> bool {
    let inside = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => matches!(byte, b' ' | 9..=13),
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return class == byte,
    };
    inside != class.is_ascii_uppercase()
}

/// Where `needle` begins in `haystack`, from `from` on.
pub(crate) fn find_plain(haystack: &[u8], needle: &[u8], from: usize, pace: &Pace<'_>) -> Result<Option<usize>> {
    let Some(first) = needle.first() else { return Ok(Some(from)) };
    let mut at = from;
    while at + needle.len() <= haystack.len() {
        let last = haystack.len() - needle.len();
        let Some(next) = haystack[at..=last].iter().position(|byte| byte == first) else { return Ok(None) };
        at += next;
        let same = haystack[at..].iter().zip(needle).take_while(|(a, b)| a == b).count();
        if same == needle.len() {
            return Ok(Some(at));
        }
        pace.step(1 + (next as u64 + same as u64) / 16)?;
        at += 1;
    }
    Ok(None)
}
