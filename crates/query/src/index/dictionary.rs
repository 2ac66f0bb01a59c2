//! Terms in their order, and the postings of each: the words of all TEXT fields, or the values of one TAG field.
//!
//! A term has a number, which documents keep to find their way back; a term without documents is gone.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::index::DocId;
use crate::index::postings::{Entry, Postings, Shape};

/// Number of a term in its dictionary; used again after the term is gone.
pub(crate) type TermId = u32;

/// A term and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Term {
    pub(crate) text: Arc<[u8]>,
    pub(crate) postings: Postings,
}

/// The terms.
#[derive(Debug)]
pub(crate) struct Dictionary {
    shape: Shape,
    order: BTreeMap<Arc<[u8]>, TermId>,
    terms: Vec<Term>,
    vacant: Vec<TermId>,
    sizes: Sizes,
}

/// What a dictionary takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Entries of all postings.
    pub(crate) records: usize,
    /// Blocks of all postings.
    pub(crate) blocks: usize,
    /// Bytes of all postings.
    pub(crate) bytes: usize,
    /// Of these, positions.
    pub(crate) position_bytes: usize,
    /// Bytes of the terms themselves.
    pub(crate) text_bytes: usize,
}

impl Dictionary {
    pub(crate) fn new(shape: Shape) -> Self {
        Self { shape, order: BTreeMap::new(), terms: Vec::new(), vacant: Vec::new(), sizes: Sizes::default() }
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// Terms.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    pub(crate) fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// Bytes allocated, more or less: a tree's nodes are two thirds full.
    pub(crate) fn memory_bytes(&self) -> usize {
        let node = (size_of::<Arc<[u8]>>() + size_of::<TermId>()) * 3 / 2;
        self.sizes.bytes + self.sizes.text_bytes + self.terms.capacity() * size_of::<Term>() + self.order.len() * node
    }

    /// A term by its text.
    pub(crate) fn find(&self, text: &[u8]) -> Option<(TermId, &Term)> {
        let &id = self.order.get(text)?;
        Some((id, self.terms.get(id as usize)?))
    }

    /// A term by its number.
    pub(crate) fn term(&self, id: TermId) -> Option<&Term> {
        self.terms.get(id as usize).filter(|term| !term.postings.is_empty())
    }

    /// Terms in their order, from one that is not before `start` on.
    pub(crate) fn from<'a>(&'a self, start: &[u8]) -> impl Iterator<Item = (TermId, &'a Term)> + use<'a> {
        let range = self.order.range::<[u8], _>((Bound::Included(start), Bound::Unbounded));
        range.filter_map(|(_, &id)| Some((id, self.terms.get(id as usize)?)))
    }

    /// Puts a document under a term, where it is not yet.
    pub(crate) fn insert(&mut self, text: &[u8], entry: &Entry<'_>) -> TermId {
        let id = match self.order.get(text) {
            Some(&id) => id,
            None => self.add(text.into()),
        };
        let shape = self.shape;
        self.change(id, |postings| postings.insert(shape, entry));
        self.sizes.records += 1;
        self.sizes.position_bytes += entry.positions.len();
        id
    }

    /// Takes a document from under a term.
    pub(crate) fn remove(&mut self, id: TermId, doc: DocId) {
        let shape = self.shape;
        if let Some(positions) = self.change(id, |postings| postings.remove(shape, doc)).flatten() {
            self.sizes.records -= 1;
            self.sizes.position_bytes -= positions;
        }
        if let Some(term) = self.terms.get_mut(id as usize).filter(|term| term.postings.is_empty()) {
            let text = std::mem::replace(&mut term.text, Arc::from([]));
            self.sizes.bytes -= term.postings.memory_bytes();
            term.postings = Postings::default();
            if self.order.remove(&text).is_some() {
                self.sizes.text_bytes -= text.len();
                self.vacant.push(id);
            }
        }
    }

    /// Puts a whole term in that comes after all there are, under the next number; calls `of_doc` with each of its
    /// documents and that number.
    /// # Errors
    /// A term without documents, or one that does not come after.
    pub(crate) fn restore(
        &mut self,
        text: Arc<[u8]>,
        postings: Postings,
        of_doc: &mut impl FnMut(DocId, TermId),
    ) -> Result<(), String> {
        let last = self.order.last_key_value().map(|(last, _)| last);
        if postings.is_empty() || last.is_some_and(|last| *last >= text) {
            return Err("a term without documents, or out of order".to_owned());
        }
        let id = self.terms.len() as TermId;
        for entry in postings.blocks().iter().flat_map(|block| block.entries(self.shape)) {
            self.sizes.position_bytes += entry.positions.len();
            of_doc(entry.doc, id);
        }
        self.sizes.text_bytes += text.len();
        self.sizes.records += postings.len();
        self.sizes.blocks += postings.blocks().len();
        self.sizes.bytes += postings.memory_bytes();
        self.order.insert(Arc::clone(&text), id);
        self.terms.push(Term { text, postings });
        Ok(())
    }

    /// What is wrong.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut sizes = Sizes::default();
        for (text, &id) in &self.order {
            let term = self.term(id).ok_or_else(|| format!("term {id} is gone"))?;
            if term.text != *text {
                return Err(format!("term {id} has another text"));
            }
            term.postings.check(self.shape).map_err(|error| format!("term {id}: {error}"))?;
            sizes.records += term.postings.len();
            sizes.blocks += term.postings.blocks().len();
            sizes.bytes += term.postings.memory_bytes();
            let entries = term.postings.blocks().iter().flat_map(|block| block.entries(self.shape));
            sizes.position_bytes += entries.map(|entry| entry.positions.len()).sum::<usize>();
            sizes.text_bytes += text.len();
        }
        if sizes != self.sizes {
            return Err(format!("sizes are {sizes:?}, counted {:?}", self.sizes));
        }
        if self.order.len() + self.vacant.len() != self.terms.len() {
            return Err("numbers of terms are lost".to_owned());
        }
        Ok(())
    }

    fn add(&mut self, text: Arc<[u8]>) -> TermId {
        self.sizes.text_bytes += text.len();
        let term = Term { text: Arc::clone(&text), postings: Postings::default() };
        let id = match self.vacant.pop() {
            Some(id) => {
                self.terms[id as usize] = term;
                id
            }
            None => {
                self.terms.push(term);
                self.terms.len() as TermId - 1
            }
        };
        self.order.insert(text, id);
        id
    }

    fn change<T>(&mut self, id: TermId, change: impl FnOnce(&mut Postings) -> T) -> Option<T> {
        let postings = &mut self.terms.get_mut(id as usize)?.postings;
        let before = (postings.memory_bytes(), postings.blocks().len());
        let result = change(postings);
        self.sizes.bytes = self.sizes.bytes + postings.memory_bytes() - before.0;
        self.sizes.blocks = self.sizes.blocks + postings.blocks().len() - before.1;
        Some(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(doc: DocId) -> Entry<'static> {
        Entry { doc, frequency: 1, fields: 1, positions: &[] }
    }

    #[test]
    fn a_term_lives_as_long_as_its_documents() {
        let mut words = Dictionary::new(Shape::Ids);
        let (a, b) = (words.insert(b"a", &entry(1)), words.insert(b"b", &entry(1)));
        words.insert(b"a", &entry(2));
        assert_eq!((words.len(), words.sizes().records), (2, 3));
        words.remove(b, 1);
        words.remove(a, 1);
        assert!(words.find(b"b").is_none() && words.term(b).is_none());
        assert_eq!(words.insert(b"c", &entry(3)), b);
        assert_eq!(words.from(b"b").map(|(_, term)| term.text.to_vec()).collect::<Vec<_>>(), [b"c".to_vec()]);
        words.check().unwrap();
        words.remove(a, 2);
        words.remove(b, 3);
        words.check().unwrap();
        assert_eq!(words.sizes(), Sizes::default());
    }
}
