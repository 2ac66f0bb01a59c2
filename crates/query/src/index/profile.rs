//! What each part of a query did while it was answered: FT.PROFILE.
//!
//! The planner opens a [`Part`] for every part of a query and wraps the iterator it makes of it in one that counts and
//! times what is asked of it. A part's time has that of its children in it. Wrapped iterators hand documents over one by
//! one, so a query takes longer than otherwise, and finds the same.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::ast::{Kind, Node, Tag, Word};
use crate::index::iterators::Docs;
use crate::index::score::Explanation;
use crate::index::{DocId, SOUND, STEM};

/// A part of a query, and what it did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    /// What it is: `INTERSECT`, `TEXT`, ..
    pub kind: &'static str,
    /// Of a union, what it stands for: `PREFIX - hel`.
    pub union_of: Option<String>,
    /// The word, tag or range of a leaf.
    pub term: Option<String>,
    /// How vectors were searched.
    pub vector_mode: Option<&'static str>,
    /// Documents it may have at most, where a leaf knows.
    pub estimate: Option<usize>,
    /// How often it was asked for a document.
    pub reads: u64,
    /// What that took.
    pub ns: u64,
    /// Its parts.
    pub parts: Vec<Self>,
}

impl Part {
    /// A part with no more than a name.
    pub(super) fn of(kind: &'static str) -> Self {
        Self { kind, ..Self::default() }
    }

    /// A leaf.
    pub(super) fn leaf(kind: &'static str, term: String, estimate: usize) -> Self {
        Self { kind, term: Some(term), estimate: Some(estimate), ..Self::default() }
    }

    /// The part of a node.
    pub(super) fn of_node(node: &Node) -> Self {
        let union = |of: String| Self { kind: "UNION", union_of: Some(of), ..Self::default() };
        match &node.kind {
            Kind::All => Self::of("WILDCARD"),
            Kind::Nothing => Self::of("EMPTY"),
            Kind::Word { word, .. } => union(of_word(word)),
            Kind::Phrase { .. } | Kind::And(_) => Self::of("INTERSECT"),
            Kind::Or(_) => union("UNION".to_owned()),
            Kind::Not(_) => Self::of("NOT"),
            Kind::Optional(_) => Self::of("OPTIONAL"),
            Kind::Tag { any, .. } => union(of_tags(any)),
            Kind::Numeric { min, max, .. } => {
                Self { kind: "NUMERIC", term: Some(format!("{} - {}", min.value, max.value)), ..Self::default() }
            }
            Kind::Geo { longitude, latitude, radius_m, .. } => {
                Self { kind: "GEO", term: Some(format!("{longitude},{latitude} - {radius_m}")), ..Self::default() }
            }
            Kind::Shape { .. } => Self::of("GEOSHAPE"),
            Kind::VectorRange { .. } => {
                Self { kind: "METRIC - VECTOR DISTANCE", vector_mode: Some("RANGE_QUERY"), ..Self::default() }
            }
            Kind::Missing { .. } => Self::of("MISSING"),
        }
    }
}

fn of_word(word: &Word) -> String {
    match word {
        Word::Exact { .. } => "UNION".to_owned(),
        Word::Prefix(text) => format!("PREFIX - {text}"),
        Word::Suffix(text) => format!("SUFFIX - {text}"),
        Word::Infix(text) => format!("INFIX - {text}"),
        Word::Wildcard(pattern) => format!("WILDCARD - {}", String::from_utf8_lossy(pattern)),
        Word::Fuzzy { text, .. } => format!("FUZZY - {text}"),
    }
}

fn of_tags(any: &[Tag]) -> String {
    match any {
        [Tag::Prefix(text)] => format!("PREFIX - {}", String::from_utf8_lossy(text)),
        [Tag::Suffix(text)] => format!("SUFFIX - {}", String::from_utf8_lossy(text)),
        [Tag::Infix(text)] => format!("INFIX - {}", String::from_utf8_lossy(text)),
        [Tag::Wildcard(text)] => format!("WILDCARD - {}", String::from_utf8_lossy(text)),
        _ => "TAG".to_owned(),
    }
}

/// A term of a dictionary as it is shown: stems behind `+`, sounds behind `<`.
pub(super) fn shown(term: &[u8]) -> String {
    match term.split_first() {
        Some((&STEM, stem)) => format!("+{}", String::from_utf8_lossy(stem)),
        Some((&SOUND, sound)) => format!("<{}", String::from_utf8_lossy(sound)),
        _ => String::from_utf8_lossy(term).into_owned(),
    }
}

/// What is written down of one answer.
#[derive(Debug, Default)]
pub struct Recorder {
    parts: RefCell<Vec<Recorded>>,
    /// Parts that are being made, innermost last.
    open: RefCell<Vec<usize>>,
}

#[derive(Debug)]
struct Recorded {
    part: Part,
    within: Option<usize>,
    tally: Rc<Tally>,
}

#[derive(Debug, Default)]
struct Tally {
    reads: Cell<u64>,
    ns: Cell<u64>,
}

impl Tally {
    fn add(&self, reads: u64, ns: u64) {
        self.reads.set(self.reads.get() + reads);
        self.ns.set(self.ns.get() + ns);
    }
}

/// A recorder, and what tells the time.
#[derive(Clone, Copy)]
pub struct Profile<'a> {
    /// Where to write.
    pub recorder: &'a Recorder,
    /// Nanoseconds from whenever.
    pub now_ns: &'a dyn Fn() -> u64,
}

impl Recorder {
    /// Forgets everything, because the question is asked again.
    pub fn clear(&self) {
        self.parts.borrow_mut().clear();
        self.open.borrow_mut().clear();
    }

    /// The parts of what was asked: one for each query.
    pub fn parts(&self) -> Vec<Part> {
        let recorded = self.parts.borrow();
        let mut parts: Vec<Option<Part>> = Vec::new();
        for Recorded { part, tally, .. } in recorded.iter() {
            parts.push(Some(Part { reads: tally.reads.get(), ns: tally.ns.get(), ..part.clone() }));
        }
        let mut roots = Vec::new();
        // A part is behind the one it is in, so all that is in it has come when its turn does.
        for at in (0..recorded.len()).rev() {
            let Some(mut part) = parts[at].take() else { continue };
            part.parts.reverse();
            if part.kind == "UNION" && part.parts.len() == 1 {
                part = part.parts.remove(0);
            }
            match recorded[at].within.and_then(|within| parts[within].as_mut()) {
                Some(within) => within.parts.push(part),
                None => roots.push(part),
            }
        }
        roots.reverse();
        roots
    }

    fn begin(&self, part: Part) -> usize {
        let (mut parts, mut open) = (self.parts.borrow_mut(), self.open.borrow_mut());
        parts.push(Recorded { part, within: open.last().copied(), tally: Rc::default() });
        open.push(parts.len() - 1);
        parts.len() - 1
    }

    fn tally(&self, at: usize) -> Rc<Tally> {
        self.parts.borrow().get(at).map(|recorded| Rc::clone(&recorded.tally)).unwrap_or_default()
    }
}

impl<'a> Profile<'a> {
    /// Does what a part of a query stands for; parts that begin inside are its own. What it took, and where it is noted.
    pub(super) fn part<T>(self, part: Part, make: impl FnOnce() -> T) -> (T, Noted<'a>) {
        let (at, begun_ns) = (self.recorder.begin(part), (self.now_ns)());
        let made = make();
        self.recorder.open.borrow_mut().pop();
        let noted = Noted { tally: self.recorder.tally(at), now_ns: self.now_ns };
        noted.tally.add(0, (self.now_ns)().saturating_sub(begun_ns));
        (made, noted)
    }
}

/// Where reads of a part are counted.
pub(super) struct Noted<'a> {
    tally: Rc<Tally>,
    now_ns: &'a dyn Fn() -> u64,
}

impl<'a> Noted<'a> {
    /// Counts reads that took no time of their own.
    pub(super) fn count(&self, reads: usize) {
        self.tally.add(reads as u64, 0);
    }

    /// One read.
    fn read<T>(&self, read: impl FnOnce() -> T) -> T {
        let begun_ns = (self.now_ns)();
        let value = read();
        self.tally.add(1, (self.now_ns)().saturating_sub(begun_ns));
        value
    }

    /// An iterator whose reads are counted.
    pub(super) fn watch(self, docs: Box<dyn Docs + 'a>) -> Box<dyn Docs + 'a> {
        Box::new(Watched { docs, noted: self })
    }

    /// A question about documents whose answers are counted.
    pub(super) fn watch_check(self, matches: Box<dyn Fn(DocId) -> bool + 'a>) -> Box<dyn Fn(DocId) -> bool + 'a> {
        Box::new(move |doc| self.read(|| matches(doc)))
    }
}

/// An iterator that is watched.
struct Watched<'a> {
    docs: Box<dyn Docs + 'a>,
    noted: Noted<'a>,
}

impl Docs for Watched<'_> {
    fn doc(&self) -> DocId {
        self.docs.doc()
    }

    fn advance(&mut self) -> DocId {
        self.noted.read(|| self.docs.advance())
    }

    fn seek(&mut self, target: DocId) -> DocId {
        self.noted.read(|| self.docs.seek(target))
    }

    fn cost(&self) -> usize {
        self.docs.cost()
    }

    fn score(&mut self) -> f64 {
        self.docs.score()
    }

    fn explain(&mut self) -> Explanation {
        self.docs.explain()
    }

    fn fields(&self) -> u128 {
        self.docs.fields()
    }

    fn places(&mut self, field: u32, out: &mut Vec<u32>) {
        self.docs.places(field, out);
    }

    fn apart(&mut self) -> f64 {
        self.docs.apart()
    }

    fn known(&self) -> Option<usize> {
        self.docs.known()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::END;
    use crate::index::iterators::List;

    #[test]
    fn parts_stand_within_those_that_were_open_and_count_their_reads() {
        let (recorder, time) = (Recorder::default(), Cell::new(0));
        let now_ns = || time.replace(time.get() + 10);
        let profile = Profile { recorder: &recorder, now_ns: &now_ns };
        let (mut docs, _) = profile.part(Part::of("INTERSECT"), || {
            let (docs, noted) = profile.part(Part::leaf("TEXT", "a".into(), 3), || List::new(vec![1, 4, 9], 1.0));
            profile.part(Part::of("EMPTY"), || ());
            noted.watch(Box::new(docs))
        });
        assert_eq!((docs.seek(4), docs.advance(), docs.advance()), (4, 9, END));
        let [root] = &recorder.parts()[..] else { panic!("one query was asked") };
        assert_eq!(
            root.parts.iter().map(|part| (part.kind, part.reads)).collect::<Vec<_>>(),
            [("TEXT", 3), ("EMPTY", 0)]
        );
        assert!(root.ns > root.parts[1].ns && root.parts[0].ns > root.parts[1].ns);
    }

    #[test]
    fn a_union_of_one_is_that_one() {
        let (recorder, now_ns) = (Recorder::default(), || 0);
        let profile = Profile { recorder: &recorder, now_ns: &now_ns };
        let node = Node { kind: Kind::Or(Vec::new()), attributes: crate::ast::Attributes::default() };
        profile.part(Part::of_node(&node), || profile.part(Part::leaf("TEXT", shown(b"\xfekid"), 1), || ()).0);
        assert_eq!(recorder.parts(), [Part::leaf("TEXT", "+kid".into(), 1)]);
    }
}
