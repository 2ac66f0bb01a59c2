//! The identities of a stream: the id it has, and the one it had before this instance was promoted.

/// Who wrote the stream, and until where somebody else did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The id of the stream now: 40 hexadecimal digits.
    pub id: String,
    /// The id before the promotion, and the offset behind its last byte.
    pub before: Option<(String, u64)>,
}

/// How a replica that comes with an id and an offset is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resume {
    /// From this offset on.
    From(u64),
    /// With a snapshot first.
    Full,
}

impl History {
    /// A stream that begins here.
    pub fn new(id: String) -> Self {
        Self { id, before: None }
    }

    /// A promoted replica goes on under an id of its own from `end` on; those who followed the old one may follow.
    pub fn promote(&mut self, id: String, end: u64) {
        self.before = Some((std::mem::replace(&mut self.id, id), end));
    }

    /// Decides for a replica that has everything before `next` (an offset as in [`crate::Backlog`]) of the stream `id`.
    pub fn resume(&self, id: &str, next: u64, backlog: Option<(u64, u64)>) -> Resume {
        let known = id == self.id || self.before.as_ref().is_some_and(|(old, end)| old == id && next <= *end);
        match backlog {
            Some((start, end)) if known && (start..=end).contains(&next) => Resume::From(next),
            _ => Resume::Full,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_known_stream_with_its_bytes_at_hand_goes_on() {
        let mut history = History::new("a".repeat(40));
        let held = Some((100, 200));
        assert_eq!(history.resume(&"a".repeat(40), 100, held), Resume::From(100));
        assert_eq!(history.resume(&"a".repeat(40), 200, held), Resume::From(200));
        for (id, next, held) in [("a", 99, held), ("a", 201, held), ("b", 150, held), ("a", 150, None)] {
            assert_eq!(history.resume(&id.repeat(40), next, held), Resume::Full);
        }
        history.promote("c".repeat(40), 150);
        assert_eq!(history.resume(&"a".repeat(40), 150, held), Resume::From(150));
        assert_eq!(history.resume(&"a".repeat(40), 151, held), Resume::Full);
        assert_eq!(history.resume(&"c".repeat(40), 180, held), Resume::From(180));
    }
}
