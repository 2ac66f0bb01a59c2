//! Glob matching as plainly as it can be written, to hold the fast one against.

/// An element of a pattern.
enum Element {
    Star,
    /// The bytes it stands for.
    One(Box<[bool; 256]>),
}

/// Whether the whole text matches: a table over all prefixes of both.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let mut row = vec![false; text.len() + 1];
    row[0] = true;
    for element in elements(pattern) {
        match element {
            Element::Star => (1..row.len()).for_each(|i| row[i] |= row[i - 1]),
            Element::One(set) => {
                for i in (1..row.len()).rev() {
                    row[i] = row[i - 1] && set[usize::from(text[i - 1])];
                }
                row[0] = false;
            }
        }
    }
    row[text.len()]
}

fn elements(mut pattern: &[u8]) -> Vec<Element> {
    let only = |byte: u8| Element::One(Box::new(std::array::from_fn(|i| i == usize::from(byte))));
    let mut elements = Vec::new();
    while let Some((&first, rest)) = pattern.split_first() {
        pattern = rest;
        elements.push(match (first, rest) {
            (b'*', _) => Element::Star,
            (b'?', _) => Element::One(Box::new([true; 256])),
            (b'\\', [escaped, after @ ..]) => {
                pattern = after;
                only(*escaped)
            }
            (b'[', _) => {
                let (set, after) = class(rest);
                pattern = after;
                Element::One(set)
            }
            (literal, _) => only(literal),
        });
    }
    elements
}

/// The bytes of a class behind its bracket, and what follows it.
fn class(mut rest: &[u8]) -> (Box<[bool; 256]>, &[u8]) {
    let mut set = Box::new([false; 256]);
    let negated = rest.first() == Some(&b'^');
    if negated {
        rest = &rest[1..];
    }
    loop {
        rest = match rest {
            [] => break,
            [b']', after @ ..] => {
                rest = after;
                break;
            }
            [b'\\', byte, after @ ..] => {
                set[usize::from(*byte)] = true;
                after
            }
            [from, b'-', to, after @ ..] => {
                (*from.min(to)..=*from.max(to)).for_each(|byte| set[usize::from(byte)] = true);
                after
            }
            [byte, after @ ..] => {
                set[usize::from(*byte)] = true;
                after
            }
        };
    }
    if negated {
        set.iter_mut().for_each(|is_in| *is_in = !*is_in);
    }
    (set, rest)
}
