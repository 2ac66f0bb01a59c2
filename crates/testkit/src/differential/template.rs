//! Command templates: `set <key> <value> [nx|xx] [get] [ex <seconds>|px <ms>]`.
//!
//! `<name>` is a word from a pool, `[a|b]` one of the alternatives or nothing, `{a|b}` one of the alternatives, and a
//! `+` behind a group or word repeats it one to three times. Anything else is literal.

use super::random::Rng;
use super::words;

/// A parsed part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Pool(String),
    /// Alternatives, each a sequence; optional when the flag is set.
    Choice(Vec<Vec<Self>>, bool),
    Repeat(Box<Self>),
}

/// A template ready to be filled in.
#[derive(Clone, Debug)]
pub struct Template(Vec<Part>);

impl Template {
    /// Parses the notation above.
    ///
    /// # Panics
    /// On unbalanced brackets: templates are part of the program.
    pub fn parse(text: &str) -> Self {
        let spaced: String =
            text.chars().flat_map(|c| if "[]{}|".contains(c) { vec![' ', c, ' '] } else { vec![c] }).collect();
        let spaced = spaced.replace("]  +", "]+").replace("] +", "]+").replace("} +", "}+");
        let mut tokens = spaced.split_whitespace().peekable();
        let parts = parse_sequence(&mut tokens);
        assert!(tokens.next().is_none(), "unbalanced template {text}");
        Self(parts)
    }

    /// The words of one command.
    pub fn fill(&self, rng: &mut Rng) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        fill_all(&self.0, rng, &mut out);
        out
    }
}

fn parse_sequence<'a>(tokens: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>) -> Vec<Part> {
    let mut parts = Vec::new();
    while let Some(token) = tokens.next_if(|token| !matches!(*token, "]" | "}" | "|" | "]+" | "}+")) {
        parts.push(match token {
            "[" | "{" => parse_choice(tokens, token == "["),
            _ => parse_word(token),
        });
    }
    parts
}

fn parse_choice<'a>(tokens: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>, optional: bool) -> Part {
    let mut alternatives = vec![parse_sequence(tokens)];
    loop {
        match tokens.next() {
            Some("|") => alternatives.push(parse_sequence(tokens)),
            Some("]" | "}") => return Part::Choice(alternatives, optional),
            Some("]+" | "}+") => return Part::Repeat(Box::new(Part::Choice(alternatives, optional))),
            other => panic!("unbalanced template at {other:?}"),
        }
    }
}

fn parse_word(token: &str) -> Part {
    if let Some(repeated) = token.strip_suffix(">+") {
        return Part::Repeat(Box::new(Part::Pool(repeated.trim_start_matches('<').to_owned())));
    }
    match token.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) {
        Some(pool) => Part::Pool(pool.to_owned()),
        None => Part::Literal(token.to_owned()),
    }
}

fn fill_all(parts: &[Part], rng: &mut Rng, out: &mut Vec<Vec<u8>>) {
    for part in parts {
        fill_part(part, rng, out);
    }
}

fn fill_part(part: &Part, rng: &mut Rng, out: &mut Vec<Vec<u8>>) {
    match part {
        Part::Literal(word) => out.push(word.clone().into_bytes()),
        Part::Pool(pool) => words::push(pool, rng, out),
        Part::Choice(alternatives, optional) => {
            if !optional || rng.one_in(3) {
                let chosen = rng.below(alternatives.len());
                fill_all(&alternatives[chosen], rng, out);
            }
        }
        Part::Repeat(inner) => {
            for _ in 0..=rng.below(3) {
                fill_part(inner, rng, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_give_only_what_their_notation_allows() {
        let template = Template::parse("set k v [nx|xx] {ex 1|px 2}+");
        let mut rng = Rng::new(1);
        let mut seen_option = false;
        for _ in 0..100 {
            let words: Vec<String> =
                template.fill(&mut rng).into_iter().map(|w| String::from_utf8(w).expect("ASCII")).collect();
            assert_eq!(words[..3], ["set", "k", "v"]);
            let has_option = words[3] == "nx" || words[3] == "xx";
            seen_option |= has_option;
            let rest = &words[3 + usize::from(has_option)..];
            assert!(rest.len() == 2 || rest.len() == 4 || rest.len() == 6, "{words:?}");
            assert!(rest.chunks(2).all(|pair| pair == ["ex", "1"] || pair == ["px", "2"]), "{words:?}");
        }
        assert!(seen_option);
    }

    #[test]
    #[should_panic(expected = "unbalanced")]
    fn unbalanced_templates_are_refused() {
        Template::parse("set [nx");
    }

    #[test]
    fn the_same_seed_gives_the_same_words() {
        let template = Template::parse("mset {<key> <value>}+ <int> <float>");
        assert_eq!(template.fill(&mut Rng::new(7)), template.fill(&mut Rng::new(7)));
    }
}
