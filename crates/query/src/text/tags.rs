//! Values of a TAG field: cut at one separator, freed of blanks at both ends, folded unless case matters.

use std::borrow::Cow;

use super::fold;

/// The values in `text`, in their order; empty ones are left out.
pub fn tags(text: &[u8], separator: u8, case_sensitive: bool) -> impl Iterator<Item = Cow<'_, [u8]>> {
    text.split(move |&byte| byte == separator)
        .map(<[u8]>::trim_ascii)
        .filter(|tag| !tag.is_empty())
        .map(move |tag| if case_sensitive { Cow::Borrowed(tag) } else { fold_tag(tag) })
}

/// The lower case of a tag: of its characters where it is UTF-8, else of its ASCII letters.
pub fn fold_tag(tag: &[u8]) -> Cow<'_, [u8]> {
    match std::str::from_utf8(tag) {
        Ok(text) => match fold(Cow::Borrowed(text)) {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        },
        Err(_) => Cow::Owned(tag.to_ascii_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_keep_blanks_and_punctuation_inside() {
        let all: Vec<_> = tags(b" New York,, Los-Angeles! , \xff\x41", b',', false).collect();
        assert_eq!(all, [&b"new york"[..], b"los-angeles!", b"\xff\x61"]);
    }

    #[test]
    fn case_stays_where_it_matters() {
        let all: Vec<_> = tags("A;B,c;Ä".as_bytes(), b';', true).collect();
        assert_eq!(all, [&b"A"[..], b"B,c", "Ä".as_bytes()]);
    }
}
