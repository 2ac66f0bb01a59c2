//! Putting prepared documents in, and taking documents out.

use crate::index::documents::Doc;
use crate::index::postings::Entry;
use crate::index::prepare::{Content, IndexingError, Prepared};
use crate::index::vectors;
use crate::index::{DocId, FieldIndex, Index, KindIndex};

impl Index {
    /// Puts a document in, in place of what was there under its key.
    /// # Errors
    /// No id is free, or no slot for a vector; then the document is not in the index.
    pub fn commit(&mut self, mut prepared: Prepared, version: u64) -> Result<DocId, IndexingError> {
        let found = self.documents.find(&prepared.key);
        let doc = found.or_else(|| self.documents.vacant()).ok_or_else(|| IndexingError::new("the index is full"))?;
        let old = found.and_then(|doc| self.documents.get(doc)).cloned();
        let mut new = Doc {
            key: old.as_ref().map_or_else(|| (&*prepared.key).into(), |old| old.key.clone()),
            version,
            digest: prepared.digest,
            payload: prepared.payload.take(),
            ..Doc::default()
        };
        let mut length = self.documents.length(doc);
        match (&prepared.texts, &old) {
            (None, Some(old)) if old.digest == prepared.digest => {
                new.words = old.words.clone();
                new.max_frequency = old.max_frequency;
            }
            (Some(texts), old) => {
                if let Some(old) = old {
                    old.words().for_each(|word| self.words.remove(word, doc));
                }
                let ids = texts.entries(doc).map(|(text, entry)| self.words.insert(text, &entry));
                new.words = Doc::pack(ids.collect());
                (new.max_frequency, length) = (texts.max_frequency, texts.length);
            }
            // The document was changed by others since this was prepared, which its texts were left out of.
            (None, _) => return Err(IndexingError::new("the document has changed meanwhile")),
        }
        let old_tags = old.as_ref().map_or(&[][..], |old| &old.tags);
        new.tags = self.set_tags(doc, old_tags, &prepared.fields);
        self.documents.set(doc, new, length, prepared.score);
        let result = self.set_fields(doc, &mut prepared);
        if result.is_err() {
            self.remove(&prepared.key);
        }
        result.map(|()| doc)
    }

    /// Counts a document's version up, whose fields did not change; whether there is one.
    pub fn touch(&mut self, key: &[u8], version: u64) -> bool {
        let found = self.documents.find(key);
        if let Some(doc) = found {
            self.documents.set_version(doc, version);
        }
        found.is_some()
    }

    /// Takes a document out; whether there was one.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let Some(id) = self.documents.find(key) else { return false };
        let Some(doc) = self.documents.remove(id) else { return false };
        doc.words().for_each(|word| self.words.remove(word, id));
        for &(field, tag) in &doc.tags {
            if let Some(KindIndex::Tag(tags)) = self.fields.get_mut(field as usize).map(|field| &mut field.kind) {
                tags.remove(tag, id);
            }
        }
        for (index, field) in self.fields.iter_mut().zip(&self.schema.fields) {
            // Freeing cannot fail: the slots are those of this document.
            let _ = set_field(index, !field.no_index, id, 0, &mut Content::Missing);
            index.set_sortable(id, None);
            if let Some(missing) = &mut index.missing {
                missing.remove(id);
            }
        }
        true
    }

    /// Takes all documents out.
    pub fn clear(&mut self) {
        // The schema was good once, so it is now.
        if let Ok(empty) = Self::new(self.schema.clone(), self.analyzer.clone()) {
            *self = empty;
        }
    }

    /// Puts a document under its tags; what it keeps of them.
    fn set_tags(&mut self, doc: DocId, old: &[(u16, u32)], contents: &[Content]) -> Box<[(u16, u32)]> {
        let (mut new, mut kept) = (Vec::new(), Vec::new());
        for ((place, content), (index, field)) in
            (0..).zip(contents).zip(self.fields.iter_mut().zip(&self.schema.fields))
        {
            let (Content::Tags(values), KindIndex::Tag(tags), false) = (content, &mut index.kind, field.no_index)
            else {
                continue;
            };
            for value in values {
                let known = tags.find(value).map(|(id, _)| id).filter(|id| old.contains(&(place, *id)));
                let entry = Entry { doc, frequency: 1, fields: 1, positions: &[] };
                let id = known.unwrap_or_else(|| tags.insert(value, &entry));
                if known.is_some() {
                    kept.push((place, id));
                }
                new.push((place, id));
            }
        }
        for &(place, id) in old.iter().filter(|tag| !kept.contains(tag)) {
            if let Some(KindIndex::Tag(tags)) = self.fields.get_mut(place as usize).map(|field| &mut field.kind) {
                tags.remove(id, doc);
            }
        }
        new.into()
    }

    fn set_fields(&mut self, doc: DocId, prepared: &mut Prepared) -> Result<(), IndexingError> {
        let hash = prepared.hash;
        let contents = prepared.fields.iter_mut().zip(&mut prepared.sortables);
        for ((index, field), (content, sortable)) in self.fields.iter_mut().zip(&self.schema.fields).zip(contents) {
            if let Some(missing) = &mut index.missing {
                match content {
                    Content::Missing => missing.insert(doc),
                    _ => missing.remove(doc),
                };
            }
            index.set_sortable(doc, sortable.take());
            set_field(index, !field.no_index, doc, hash, content)
                .map_err(|error| IndexingError::new(error.to_string()))?;
        }
        Ok(())
    }
}

/// Gives a document what it has in a field that is neither text nor tags.
fn set_field(
    index: &mut FieldIndex,
    indexed: bool,
    doc: DocId,
    hash: u64,
    content: &mut Content,
) -> Result<(), quiver_vector::Error> {
    match (&mut index.kind, content) {
        (KindIndex::Numeric(numbers), Content::Numbers(values)) => numbers.set(doc, values, indexed),
        (KindIndex::Numeric(numbers), _) => numbers.set(doc, &[], indexed),
        (KindIndex::Geo(geo), Content::Points(points)) if indexed => geo.set(doc, points),
        (KindIndex::Geo(geo), _) => geo.set(doc, &[]),
        (KindIndex::Shape(shapes), Content::Shapes(values)) if indexed => shapes.set(doc, std::mem::take(values)),
        (KindIndex::Shape(shapes), _) => shapes.set(doc, Vec::new()),
        (KindIndex::Vector(index), Content::Vectors(vectors)) if indexed => {
            return vectors::VectorIndex::commit(index, doc, hash, Some(vectors));
        }
        (KindIndex::Vector(index), _) => return index.commit(doc, hash, None),
        (KindIndex::Text | KindIndex::Tag(_), _) => {}
    }
    Ok(())
}

impl FieldIndex {
    pub(super) fn set_sortable(&mut self, doc: DocId, text: Option<Box<[u8]>>) {
        let Some(texts) = &mut self.sortable else { return };
        let at = doc as usize;
        if at >= texts.len() {
            if text.is_none() {
                return;
            }
            texts.resize(at + 1, None);
        }
        let size = |text: &Option<Box<[u8]>>| text.as_ref().map_or(0, |text| text.len());
        self.sortable_bytes = self.sortable_bytes + size(&text) - size(&texts[at]);
        texts[at] = text;
    }
}
