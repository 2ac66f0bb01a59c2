//! Proof that an index is what it says it is; for tests, and after loading.

use crate::index::cursor::Cursor;
use crate::index::dictionary::Dictionary;
use crate::index::{END, Index, KindIndex};

impl Index {
    /// Compares everything with everything: what documents keep of themselves with what the indexes have of them.
    /// # Errors
    /// The first thing found wrong.
    pub fn check(&self) -> Result<(), String> {
        self.documents.check()?;
        self.check_terms("words", &self.words, |doc| doc.words().collect())?;
        for (place, (index, field)) in (0..).zip(self.fields.iter().zip(&self.schema.fields)) {
            let named = |error: String| format!("field {}: {error}", field.name.escape_ascii());
            match &index.kind {
                KindIndex::Text => {}
                KindIndex::Tag(tags) => self
                    .check_terms("tags", tags, |doc| {
                        doc.tags.iter().filter(|tag| tag.0 == place).map(|tag| tag.1).collect()
                    })
                    .map_err(named)?,
                KindIndex::Numeric(numbers) => {
                    numbers.check().map_err(named)?;
                    let ids = 0..self.documents.ids() as u32;
                    let values: usize = ids.map(|doc| numbers.values(doc).count()).sum();
                    if !field.no_index && values != numbers.order().len() {
                        return Err(named(format!(
                            "{values} numbers of documents, {} in order",
                            numbers.order().len()
                        )));
                    }
                }
                KindIndex::Geo(geo) => geo.check().map_err(named)?,
                KindIndex::Shape(shapes) => {
                    if shapes.iter().any(|(doc, _)| !self.documents.live().contains(doc)) {
                        return Err(named("a shape of no document".to_owned()));
                    }
                }
                KindIndex::Vector(vectors) => {
                    vectors.check().map_err(named)?;
                    if vectors.nodes().any(|(doc, _, _)| !self.documents.live().contains(doc)) {
                        return Err(named("a vector of no document".to_owned()));
                    }
                }
            }
            if let Some(missing) = &index.missing
                && missing.iter().any(|doc| !self.documents.live().contains(doc))
            {
                return Err(named("missing in no document".to_owned()));
            }
        }
        Ok(())
    }

    fn check_terms(
        &self,
        what: &str,
        terms: &Dictionary,
        of_doc: impl Fn(&super::documents::Doc) -> Vec<u32>,
    ) -> Result<(), String> {
        terms.check()?;
        let mut records = 0;
        for id in self.documents.live().iter() {
            let Some(doc) = self.documents.get(id) else { continue };
            for term in of_doc(doc) {
                records += 1;
                let found = terms.term(term).map(|term| Cursor::new(&term.postings, terms.shape(), false).seek(id));
                if found != Some(id) || id == END {
                    return Err(format!("{what}: document {id} is not under its term {term}"));
                }
            }
        }
        let entries = terms.sizes().records;
        if records != entries {
            return Err(format!("{what}: documents have {records} terms, postings {entries} documents"));
        }
        Ok(())
    }
}
