//! Glob patterns as KEYS, SCAN MATCH and CONFIG GET know them: `* ? [a-z] [^a] \x`.
//!
//! Iterative with one backtrack point (the last star), so the cost is O(pattern x text) and there is no recursion.

/// Whether `text` matches `pattern`.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    matches_folded(pattern, text, false)
}

/// Whether `text` matches `pattern`, ASCII case ignored.
pub fn matches_ignore_case(pattern: &[u8], text: &[u8]) -> bool {
    matches_folded(pattern, text, true)
}

/// Whether the pattern is the match-all `*`.
pub fn is_all(pattern: &[u8]) -> bool {
    pattern == b"*"
}

/// Nothing matches behind more stars than this: Redis, whose cost grows with them, stops there.
const STARS_MAX: usize = 1000;

fn matches_folded(pattern: &[u8], text: &[u8], fold: bool) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    let mut stars = 0;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p + 1, t));
            p += 1;
            stars += usize::from(pattern.get(p).is_some_and(|next| *next != b'*'));
            if stars > STARS_MAX {
                return false;
            }
            continue;
        }
        if let Some(next) = match_one(pattern, p, text[t], fold) {
            p = next;
            t += 1;
            continue;
        }
        let Some((after_star, from)) = star else { return false };
        star = Some((after_star, from + 1));
        p = after_star;
        t = from + 1;
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Matches one byte against the pattern element at `p`; gives the position behind the element.
fn match_one(pattern: &[u8], p: usize, byte: u8, fold: bool) -> Option<usize> {
    let same = |a: u8, b: u8| if fold { a.eq_ignore_ascii_case(&b) } else { a == b };
    match *pattern.get(p)? {
        b'?' => Some(p + 1),
        b'[' => match_class(pattern, p + 1, byte, fold),
        b'\\' if p + 1 < pattern.len() => same(pattern[p + 1], byte).then_some(p + 2),
        literal => same(literal, byte).then_some(p + 1),
    }
}

/// Matches a class whose first byte behind `[` is at `p`. An unclosed class ends with the pattern.
fn match_class(pattern: &[u8], mut p: usize, byte: u8, fold: bool) -> Option<usize> {
    let lower = |b: u8| if fold { b.to_ascii_lowercase() } else { b };
    let negated = pattern.get(p) == Some(&b'^');
    if negated {
        p += 1;
    }
    let mut found = false;
    loop {
        match pattern.get(p) {
            None => break,
            Some(b']') => {
                p += 1;
                break;
            }
            Some(b'\\') if p + 1 < pattern.len() => {
                found |= pattern[p + 1] == byte;
                p += 2;
            }
            Some(&from) if p + 2 < pattern.len() && pattern[p + 1] == b'-' => {
                let (low, high) = (from.min(pattern[p + 2]), from.max(pattern[p + 2]));
                found |= (lower(low)..=lower(high)).contains(&lower(byte));
                p += 3;
            }
            Some(&literal) => {
                found |= lower(literal) == lower(byte);
                p += 1;
            }
        }
    }
    (found != negated).then_some(p)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_redis_documents() {
        for (pattern, text, expected) in [
            ("h?llo", "hello", true),
            ("h*llo", "heeeello", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[a-b]llo", "hbllo", true),
            ("h\\?llo", "h?llo", true),
            ("h\\?llo", "hello", false),
            ("*", "", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("[abc", "b", true),
            ("", "", true),
            ("", "a", false),
            ("a**", "a", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
        assert!(matches_ignore_case(b"MAX*", b"maxmemory"));
    }

    #[test]
    fn many_stars_stay_polynomial() {
        let pattern = b"a*".repeat(64);
        let text = b"a".repeat(4000);
        assert!(!matches(&[pattern.as_slice(), b"b"].concat(), &text));
    }
}
