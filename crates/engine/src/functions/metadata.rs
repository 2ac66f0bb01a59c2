//! The first line of a library's source: `#!lua name=mylib`.

use quiver_resp::split_inline;

use crate::error::CommandError;

/// What the first line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Name of the library.
    pub name: Box<str>,
    /// Name of the engine.
    pub engine: Box<str>,
    /// Where the first line ends: the interpreter reads from there on, and counts lines right.
    pub body_at: usize,
}

/// Whether something may be the name of a library or a function.
pub fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

impl Metadata {
    /// Reads the first line of a source.
    ///
    /// # Errors
    /// It is missing or says something else than it should.
    pub fn parse(source: &[u8]) -> Result<Self, CommandError> {
        if !source.starts_with(b"#!") {
            return Err(CommandError::text("ERR Missing library metadata"));
        }
        const INVALID: CommandError = CommandError::text("ERR Invalid library metadata");
        let body_at = source.iter().position(|byte| *byte == b'\n').ok_or(INVALID)?;
        let line = &source[..body_at];
        let (mut text, mut ranges) = (Vec::new(), Vec::new());
        split_inline(line, &mut text, |range| ranges.push(range)).map_err(|_| INVALID)?;
        let mut words = ranges.into_iter().map(|range| &text[range]);
        let engine = words.next().ok_or(INVALID)?;
        let mut name: Option<&[u8]> = None;
        for word in words {
            let Some(value) = word.split_at_checked(5).filter(|(key, _)| key.eq_ignore_ascii_case(b"name=")) else {
                let text = format!("ERR Invalid metadata value given: {}", String::from_utf8_lossy(word));
                return Err(CommandError::owned(text));
            };
            if name.replace(value.1).is_some() {
                let why = "ERR Invalid metadata value, name argument was given multiple times";
                return Err(CommandError::text(why));
            }
        }
        let name = name.ok_or(CommandError::text("ERR Library name was not given"))?;
        if !is_name(name) {
            return Err(CommandError::text(
                "ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one \
                 character long",
            ));
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned().into_boxed_str();
        Ok(Self { name: text(name), engine: text(&engine[2..]), body_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(source: &str) -> String {
        Metadata::parse(source.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn the_first_line_names_engine_and_library() {
        let metadata = Metadata::parse(b"#!lua name=lib_1\nreturn 1").unwrap();
        assert_eq!((&*metadata.engine, &*metadata.name, metadata.body_at), ("lua", "lib_1", 16));
        assert_eq!(&*Metadata::parse(b"#!js  NAME=\"a\"  \n").unwrap().name, "a");
    }

    #[test]
    fn what_is_wrong_with_it_is_said() {
        assert_eq!(error("return 1"), "ERR Missing library metadata");
        assert_eq!(error("#!lua name=a"), "ERR Invalid library metadata");
        assert_eq!(error("#!lua name=\"a\n"), "ERR Invalid library metadata");
        assert_eq!(error("#!lua\n"), "ERR Library name was not given");
        assert_eq!(error("#!lua name=a nam=b\n"), "ERR Invalid metadata value given: nam=b");
        assert!(error("#!lua name=a name=b\n").ends_with("multiple times"));
        assert!(error("#!lua name=a-b\n").starts_with("ERR Library names can only"));
        assert!(error("#!lua name=\n").starts_with("ERR Library names can only"));
    }
}
