//! Whether a word looks like another: wildcards and edits.

/// Whether a text matches a pattern of `?` (one character) and `*` (any number); `\` before them takes their meaning.
/// Only the last star is ever tried again, so this costs no more than the product of both lengths.
pub fn matches_wildcard(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        let escaped = pattern.get(p) == Some(&b'\\') && p + 1 < pattern.len();
        let here = if escaped { pattern.get(p + 1) } else { pattern.get(p) };
        match here {
            Some(b'*') if !escaped => {
                star = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some(b'?') if !escaped => {
                p += 1;
                t = next_character(text, t);
                continue;
            }
            Some(&byte) if byte == text[t] => {
                p += if escaped { 2 } else { 1 };
                t += 1;
                continue;
            }
            _ => {}
        }
        let Some((behind, from)) = star else { return false };
        let from = next_character(text, from);
        star = Some((behind, from));
        (p, t) = (behind, from);
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

fn next_character(text: &[u8], at: usize) -> usize {
    let rest = text[at + 1..].iter().take_while(|byte| **byte & 0xc0 == 0x80).count();
    at + 1 + rest
}

/// Whether at most `distance` characters must be added, taken out or replaced to make one word of the other
/// (Levenshtein 1965).
pub fn within_distance(a: &str, b: &str, distance: usize) -> bool {
    edits(a, b).is_some_and(|edits| edits <= distance)
}

fn edits(a: &str, b: &str) -> Option<usize> {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for c in a.chars() {
        let mut diagonal = row[0];
        row[0] += 1;
        for (place, &other) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(c != other);
            diagonal = row[place + 1];
            row[place + 1] = replaced.min(diagonal + 1).min(row[place] + 1);
        }
    }
    row.pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_characters_and_runs() {
        for (pattern, text, expected) in [
            ("he?lo", "hello", true),
            ("he?lo", "helo", false),
            ("*", "", true),
            ("a*b*c", "axxbxxc", true),
            ("a*b*c", "axxbxx", false),
            ("*aab", "aaaab", true),
            ("f?r", "für", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("?", "", false),
        ] {
            assert_eq!(matches_wildcard(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_ends() {
        let (pattern, text) = (b"*a".repeat(2000), b"a".repeat(1999));
        assert!(!matches_wildcard(&pattern, &text));
    }

    #[test]
    fn edits_are_counted_in_characters() {
        for (a, b, distance) in [("kitten", "sitting", 3), ("grüße", "grusse", 3), ("", "abc", 3), ("same", "same", 0)]
        {
            assert!(within_distance(a, b, distance), "{a} {b}");
            assert!(distance == 0 || !within_distance(a, b, distance - 1), "{a} {b}");
        }
    }
}
