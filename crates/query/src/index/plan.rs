//! From a query to the iterators that answer it.
//!
//! Intersections are led by what is rarest; a range of numbers or a circle that holds many more documents than that is
//! not listed but asked of each candidate. Unions that nothing follows are read through a window, others through a heap.

use std::cell::{Cell, Ref, RefCell};

use crate::ast::{Attributes, Kind, Knn, Node, Policy, Query, Tag, TextFields, Word};
use crate::error::QueryError;
use crate::index::bits::Bits;
use crate::index::clock::Clock;
use crate::index::cursor::Cursor;
use crate::index::dictionary::{Dictionary, TermId};
use crate::index::expand::expand_tag;
use crate::index::geo::Circle;
use crate::index::iterators::{And, Check, Docs, List, Nothing, Or, Proximity, Set, Term, Without};
use crate::index::postings::Shape;
use crate::index::profile::{Part, shown};
use crate::index::score::{Scorer, Scoring, TermScore};
use crate::index::search::{SearchOptions, apart};
use crate::index::shape::Geometry;
use crate::index::sorted;
use crate::index::vectors::VectorIndex;
use crate::index::{DocId, FieldIndex, Index, KindIndex};
use crate::limits;

/// A range or a circle is asked of candidates where it holds this many times more documents than there are of them:
/// a look at a column costs about as much as reading and sorting a few ids.
const CHECK_FACTOR: usize = 4;
/// A list of ids is sorted where there are fewer than one for so many documents, else a set of bits is filled.
const SPARSE: usize = 32;

/// Makes iterators of a query.
pub(super) struct Planner<'a> {
    index: &'a Index,
    pub(super) options: &'a SearchOptions<'a>,
    pub(super) clock: &'a Clock<'a>,
    scoring: Option<Scoring<'a>>,
    /// Scores are sums.
    pub(super) sums: bool,
    ranges: RefCell<Vec<Range>>,
    /// Terms so far.
    terms: Cell<usize>,
    /// Whether what is made now is the query as it was asked, to be watched where somebody wants to know.
    pub(super) is_watched: Cell<bool>,
}

/// What VECTOR_RANGE found.
#[derive(Debug)]
pub(super) struct Range {
    pub(super) name: Option<Vec<u8>>,
    /// By document.
    near: Vec<(DocId, f32)>,
}

impl Range {
    pub(super) fn distance(&self, doc: DocId) -> Option<f64> {
        let at = self.near.binary_search_by_key(&doc, |near| near.0).ok()?;
        Some(f64::from(self.near[at].1))
    }
}

/// What is wanted of iterators.
#[derive(Clone, Copy)]
struct Want {
    scores: bool,
    places: bool,
    /// Everything will be read in order.
    stream: bool,
}

type Iter<'a> = Box<dyn Docs + 'a>;
type Made<'a> = Result<Iter<'a>, QueryError>;

impl<'a> Planner<'a> {
    pub(super) fn new(
        index: &'a Index,
        options: &'a SearchOptions<'a>,
        clock: &'a Clock<'a>,
        scoring: Option<Scoring<'a>>,
    ) -> Self {
        let sums = scoring.is_some_and(|scoring| scoring.is_sum());
        let (ranges, terms, is_watched) = (RefCell::default(), Cell::new(0), Cell::new(options.profile.is_some()));
        Self { index, options, clock, scoring, sums, ranges, terms, is_watched }
    }

    /// What the ranges around vectors have found.
    pub(super) fn ranges(&self) -> Ref<'_, Vec<Range>> {
        self.ranges.borrow()
    }

    /// The documents of a query; `stream`: all will be read in order.
    pub(super) fn root(&self, node: &Node, stream: bool) -> Result<Iter<'a>, QueryError> {
        let places = self.scoring.is_some_and(|scoring| scoring.scorer().needs_places());
        let docs = self.bounded(node, Want { scores: self.scoring.is_some(), places, stream })?;
        Ok(match self.options.in_keys {
            None => docs,
            Some(keys) => {
                let mut ids: Vec<DocId> = keys.iter().filter_map(|key| self.index.find(key)).collect();
                ids.sort_unstable();
                ids.dedup();
                self.all_of(vec![Box::new(List::new(ids, 0.0)), docs])
            }
        })
    }

    /// The documents of a query as a set.
    pub(super) fn set(&self, node: &Node) -> Result<Bits, QueryError> {
        let unscored = Want { scores: false, places: false, stream: true };
        let keys =
            self.options.in_keys.map(|keys| keys.iter().filter_map(|key| self.index.find(key)).collect::<Bits>());
        let mut docs = self.bounded(node, unscored)?;
        let mut set = docs.as_set().unwrap_or_default();
        if set.len() == 0 {
            docs.batches(false, &mut |docs, _| {
                set.insert_all(docs);
                self.clock.ticks(docs.len())
            });
        }
        if let Some(keys) = keys {
            set.intersect(&keys);
        }
        Ok(set)
    }

    /// The score of the document here, where scores are wanted.
    pub(super) fn score(&self, docs: &mut dyn Docs) -> f64 {
        let Some(scoring) = &self.scoring else { return 0.0 };
        let (sum, apart) = (docs.score(), apart(scoring, docs));
        scoring.finish(docs.doc(), sum, apart)
    }

    /// [`Self::docs`], or why not.
    fn bounded(&self, node: &Node, want: Want) -> Result<Iter<'a>, QueryError> {
        self.terms.set(0);
        let docs = self.docs(node, want)?;
        if self.terms.get() > limits::TERMS {
            return Err(QueryError::new(format!("Query stands for more than {} terms", limits::TERMS)));
        }
        Ok(docs)
    }

    /// The score of a document whose terms come to `sum`, for scorers that ask for no places.
    #[inline]
    pub(super) fn finish(&self, doc: DocId, sum: f64) -> f64 {
        match &self.scoring {
            Some(scoring) if !self.sums => scoring.finish(doc, sum, 1.0),
            _ => sum,
        }
    }

    /// Makes the iterator of a part of the query, watched where somebody wants to know what it does.
    fn part(&self, part: impl FnOnce() -> Part, make: impl FnOnce() -> Made<'a>) -> Made<'a> {
        let Some(profile) = self.options.profile.filter(|_| self.is_watched.get()) else { return make() };
        let (docs, noted) = profile.part(part(), make);
        docs.map(|docs| noted.watch(docs))
    }

    /// Searches vectors, as a part of its own with the filter in it.
    pub(super) fn vectors<T>(
        &self,
        query: &Query,
        knn: &Knn,
        search: impl FnOnce() -> Result<T, QueryError>,
        count: impl FnOnce(&T) -> usize,
    ) -> Result<T, QueryError> {
        let Some(profile) = self.options.profile else { return search() };
        let mode = match (&query.root.kind, knn.policy) {
            (Kind::All, _) if self.options.in_keys.is_none() => "STANDARD_KNN",
            (_, Some(Policy::Batches)) => "HYBRID_BATCHES",
            _ => "HYBRID_ADHOC_BF",
        };
        let part = Part { vector_mode: Some(mode), ..Part::of("VECTOR") };
        let (found, noted) = profile.part(part, search);
        found.inspect(|found| noted.count(count(found)))
    }

    fn docs(&self, node: &Node, want: Want) -> Made<'a> {
        self.part(|| Part::of_node(node), || self.made(node, want))
    }

    fn made(&self, node: &Node, want: Want) -> Made<'a> {
        let weight = node.attributes.weight.unwrap_or(1.0);
        let inner = Want { stream: false, ..want };
        Ok(match &node.kind {
            Kind::All => Box::new(Set::new(self.index.documents.live(), self.other(weight))),
            Kind::Nothing => Box::new(Nothing),
            Kind::Word { fields, word } => self.word(*fields, word, &node.attributes, want),
            Kind::Phrase { fields, words } => self.phrase(*fields, words, &node.attributes, want),
            Kind::And(nodes) => self.and(nodes, &node.attributes, inner)?,
            Kind::Or(nodes) => {
                let mut children = Vec::with_capacity(nodes.len());
                nodes.iter().try_for_each(|node| self.alternative(node, want, &mut children))?;
                self.any_of(children, weight, want)
            }
            Kind::Not(node) => {
                let not = self.docs(node, Want { scores: false, places: false, stream: true })?;
                Box::new(Without::new(self.index.documents.live(), not))
            }
            Kind::Optional(_) => self.and(std::slice::from_ref(node), &Attributes::default(), inner)?,
            Kind::Tag { field, any } => self.tags(*field, any, weight, want)?,
            Kind::Numeric { .. } | Kind::Geo { .. } => self.listed(node)?,
            Kind::Shape { field, relation, wkt } => {
                let KindIndex::Shape(shapes) = &self.field(*field)?.kind else { return Err(mistaken()) };
                let shape = Geometry::parse(wkt).map_err(QueryError::new)?;
                let found = shapes.search(&shape, *relation, self.clock);
                Box::new(List::new(found, self.other(weight)))
            }
            Kind::VectorRange { field, radius, vector, epsilon, distance_as } => {
                let (index, vector) = self.index.vector_query(*field, vector)?;
                let found = index.within(&vector, *radius, *epsilon, self.clock);
                let mut near = found.map_err(|error| QueryError::new(error.to_string()))?;
                near.sort_unstable_by_key(|near| near.0);
                let docs = near.iter().map(|near| near.0).collect();
                self.ranges.borrow_mut().push(Range { name: distance_as.clone(), near });
                Box::new(List::new(docs, self.other(weight)))
            }
            Kind::Missing { field } => match &self.field(*field)?.missing {
                Some(missing) => Box::new(Set::new(missing, self.other(weight))),
                None => return Err(QueryError::new("the field was not declared with INDEXMISSING")),
            },
        })
    }

    /// A part of a union. One that is a union itself is taken apart, as only the sum of all will be asked for.
    fn alternative(&self, node: &Node, want: Want, children: &mut Vec<Iter<'a>>) -> Result<(), QueryError> {
        match &node.kind {
            Kind::Or(nodes) if want.stream && !want.places && node.attributes.weight.is_none() => {
                nodes.iter().try_for_each(|node| self.alternative(node, want, children))
            }
            Kind::Word { fields, word } if want.stream && !want.places && node.attributes.weight.is_none() => {
                let terms = self.index.expand(word, *fields, &node.attributes, self.options, self.clock);
                children.extend(terms.iter().map(|(id, fields)| self.term(&self.index.words, *id, *fields, 1.0, want)));
                Ok(())
            }
            _ => {
                children.push(self.docs(node, want)?);
                Ok(())
            }
        }
    }

    fn and(&self, nodes: &[Node], attributes: &Attributes, want: Want) -> Result<Iter<'a>, QueryError> {
        let proximity = self.proximity(attributes);
        let want = Want { places: want.places || proximity != Proximity::Any, ..want };
        let weight = attributes.weight.unwrap_or(1.0);
        let (mut all, mut later, mut without, mut optional) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for node in nodes {
            match &node.kind {
                Kind::Not(not) => {
                    let want = Want { scores: false, places: false, stream: false };
                    without.push(self.part(|| Part::of_node(node), || self.docs(not, want))?);
                }
                // Without scores, whether it matches makes no difference.
                Kind::Optional(child) if want.scores => {
                    optional.push(self.part(|| Part::of_node(node), || self.optional(child, node, want))?);
                }
                Kind::Optional(_) => {}
                Kind::Numeric { .. } | Kind::Geo { .. } => later.push((self.count(node)?, node)),
                _ => all.push(self.docs(node, want)?),
            }
        }
        later.sort_by_key(|(count, _)| *count);
        let mut checks = Vec::new();
        for (count, node) in later {
            let least = all.iter().map(|docs| docs.cost()).min();
            if least.is_some_and(|least| count > least.saturating_mul(CHECK_FACTOR)) {
                checks.push(self.check(node)?);
            } else {
                all.push(self.part(|| Part { estimate: Some(count), ..Part::of_node(node) }, || self.listed(node))?);
            }
        }
        if all.is_empty() {
            all.push(Box::new(Set::new(self.index.documents.live(), 0.0)));
        }
        if let ([_], true) = (&all[..], checks.is_empty() && without.is_empty() && optional.is_empty() && weight == 1.0)
            && let Some(only) = all.pop()
        {
            return Ok(only);
        }
        Ok(Box::new(And::new(all, checks, without, optional, proximity, weight, self.clock)))
    }

    /// What `~child` adds; the weight may stand at either.
    fn optional(&self, child: &Node, node: &Node, want: Want) -> Result<Iter<'a>, QueryError> {
        let docs = self.docs(child, want)?;
        Ok(match node.attributes.weight {
            Some(weight) if weight != 1.0 => self.any_of(vec![docs], weight, want),
            _ => docs,
        })
    }

    fn proximity(&self, attributes: &Attributes) -> Proximity {
        let in_order = attributes.in_order.unwrap_or(false) || self.options.in_order;
        match attributes.slop.or(self.options.slop) {
            _ if self.index.schema.no_offsets => Proximity::Any,
            Some(slop) => Proximity::Within(slop, in_order),
            None if in_order => Proximity::Within(u32::MAX, true),
            None => Proximity::Any,
        }
    }

    fn phrase(&self, fields: TextFields, words: &[Word], attributes: &Attributes, want: Want) -> Iter<'a> {
        let plain = Attributes { phonetic: attributes.phonetic, ..Attributes::default() };
        let inner = Want { places: true, stream: false, ..want };
        let children: Vec<_> = words.iter().map(|word| self.word(fields, word, &plain, inner)).collect();
        let proximity = if self.index.schema.no_offsets { Proximity::Any } else { Proximity::Row };
        let weight = attributes.weight.unwrap_or(1.0);
        if children.is_empty() {
            return Box::new(Nothing);
        }
        Box::new(And::new(children, Vec::new(), Vec::new(), Vec::new(), proximity, weight, self.clock))
    }

    fn word(&self, fields: TextFields, word: &Word, attributes: &Attributes, want: Want) -> Iter<'a> {
        let mut terms = self.index.expand(word, fields, attributes, self.options, self.clock);
        let weight = attributes.weight.unwrap_or(1.0);
        let words = &self.index.words;
        match (terms.pop(), terms.is_empty()) {
            (None, _) => Box::new(Nothing),
            (Some((id, fields)), true) => self.term(words, id, fields, weight, want),
            (Some(last), false) => {
                terms.push(last);
                let children = terms.iter().map(|(id, fields)| self.term(words, *id, *fields, 1.0, want)).collect();
                self.any_of(children, weight, want)
            }
        }
    }

    fn tags(&self, field: u16, any: &[Tag], weight: f64, want: Want) -> Result<Iter<'a>, QueryError> {
        let KindIndex::Tag(tags) = &self.field(field)?.kind else { return Err(mistaken()) };
        let mut ids: Vec<TermId> = any.iter().flat_map(|tag| expand_tag(tags, tag, self.options, self.clock)).collect();
        ids.sort_unstable();
        ids.dedup();
        let want = Want { places: false, ..want };
        Ok(match ids[..] {
            [] => Box::new(Nothing),
            [id] => self.term(tags, id, TextFields::MAX, weight, want),
            _ => {
                let children = ids.iter().map(|id| self.term(tags, *id, TextFields::MAX, 1.0, want)).collect();
                self.any_of(children, weight, want)
            }
        })
    }

    fn term(&self, terms: &'a Dictionary, id: TermId, fields: TextFields, weight: f64, want: Want) -> Iter<'a> {
        self.terms.set(self.terms.get() + 1);
        let term = terms.term(id).filter(|_| self.terms.get() <= limits::TERMS);
        let Some(term) = term else { return Box::new(Nothing) };
        let every = 1_u128.checked_shl(self.index.texts.len() as u32).map_or(TextFields::MAX, |bit| bit - 1);
        let fields = if fields & every == every { TextFields::MAX } else { fields };
        let score = match &self.scoring {
            Some(scoring) if want.scores => scoring.term(term.postings.len(), weight),
            _ => TermScore::none(&self.index.documents),
        };
        let placed = want.places && terms.shape() == Shape::Text;
        let cursor = Cursor::new(&term.postings, terms.shape(), placed || fields != TextFields::MAX);
        let docs = Box::new(Term::new(cursor, fields, placed, score));
        match self.options.profile.filter(|_| self.is_watched.get()) {
            None => docs,
            Some(profile) => {
                let kind = if terms.shape() == Shape::Text { "TEXT" } else { "TAG" };
                let part = Part::leaf(kind, shown(&term.text), term.postings.len());
                profile.part(part, || ()).1.watch(docs)
            }
        }
    }

    fn any_of(&self, children: Vec<Iter<'a>>, weight: f64, want: Want) -> Iter<'a> {
        let largest = self.scoring.is_some_and(|scoring| scoring.scorer() == Scorer::DisMax);
        if want.stream && !want.places {
            Box::new(Or::stream(children, largest, weight, want.scores))
        } else {
            Box::new(Or::new(children, largest, weight))
        }
    }

    fn all_of(&self, children: Vec<Iter<'a>>) -> Iter<'a> {
        Box::new(And::new(children, Vec::new(), Vec::new(), Vec::new(), Proximity::Any, 1.0, self.clock))
    }

    /// What a match scores that is no term.
    fn other(&self, weight: f64) -> f64 {
        self.scoring.map_or(0.0, |scoring| scoring.other(weight))
    }

    fn field(&self, field: u16) -> Result<&'a FieldIndex, QueryError> {
        self.index.fields.get(field as usize).ok_or_else(mistaken)
    }

    /// How many documents a range or a circle holds at most.
    fn count(&self, node: &Node) -> Result<usize, QueryError> {
        Ok(match self.area(node)? {
            Area::Range(numbers, range) => numbers.order().count(range),
            Area::Circle(geo, circle) => geo.count(circle),
        })
    }

    /// A range or a circle as a question.
    fn check(&self, node: &Node) -> Result<Check<'a>, QueryError> {
        let score = self.other(node.attributes.weight.unwrap_or(1.0));
        let matches: Box<dyn Fn(DocId) -> bool + 'a> = match self.area(node)? {
            Area::Range(numbers, range) => Box::new(move |doc| numbers.matches(doc, range)),
            Area::Circle(geo, circle) => Box::new(move |doc| geo.matches(doc, circle)),
        };
        let watched = self.options.profile.filter(|_| self.is_watched.get());
        let matches = match watched {
            None => matches,
            Some(profile) => {
                let part = Part { estimate: Some(self.count(node)?), ..Part::of_node(node) };
                profile.part(part, || ()).1.watch_check(matches)
            }
        };
        Ok(Check { matches, score })
    }

    /// The documents of a range or a circle.
    fn listed(&self, node: &Node) -> Result<Iter<'a>, QueryError> {
        let area = self.area(node)?;
        let (score, count) = (self.other(node.attributes.weight.unwrap_or(1.0)), self.count(node)?);
        let sparse = count < self.index.documents.ids() / SPARSE;
        let (mut list, mut set) = (Vec::with_capacity(if sparse { count } else { 0 }), Bits::default());
        let mut take = |docs: &[DocId]| {
            match (&area, sparse) {
                (Area::Range(..), true) => list.extend_from_slice(docs),
                (Area::Range(..), false) => docs.iter().for_each(|doc| {
                    set.insert(*doc);
                }),
                (Area::Circle(geo, circle), _) => {
                    for doc in docs.iter().filter(|doc| geo.matches(**doc, *circle)) {
                        if sparse {
                            list.push(*doc);
                        } else {
                            set.insert(*doc);
                        }
                    }
                }
            }
            docs.iter().all(|_| self.clock.tick())
        };
        match &area {
            Area::Range(numbers, range) => numbers.order().read(*range, &mut take),
            Area::Circle(geo, circle) => geo.read(*circle, &mut take),
        }
        if !sparse {
            return Ok(Box::new(Set::new(set, score)));
        }
        list.sort_unstable();
        list.dedup();
        Ok(Box::new(List::new(list, score)))
    }

    fn area(&self, node: &Node) -> Result<Area<'a>, QueryError> {
        match &node.kind {
            Kind::Numeric { field, min, max } => match &self.field(*field)?.kind {
                KindIndex::Numeric(numbers) => {
                    // A field that is not indexed matches nothing, though its column knows numbers.
                    let indexed = self.index.schema.fields.get(*field as usize).is_some_and(|field| !field.no_index);
                    let min = if indexed { *min } else { crate::ast::End { value: f64::INFINITY, exclusive: true } };
                    Ok(Area::Range(numbers, sorted::Range { min, max: *max }))
                }
                _ => Err(mistaken()),
            },
            Kind::Geo { field, longitude, latitude, radius_m } => match &self.field(*field)?.kind {
                KindIndex::Geo(geo) => {
                    Ok(Area::Circle(geo, Circle { center: [*longitude, *latitude], radius_m: *radius_m }))
                }
                _ => Err(mistaken()),
            },
            _ => Err(mistaken()),
        }
    }
}

/// What columns answer.
enum Area<'a> {
    Range(&'a crate::index::geo::NumericIndex, sorted::Range),
    Circle(&'a crate::index::geo::GeoIndex, Circle),
}

impl Index {
    /// The index of a vector field, and a vector it can be asked about.
    pub(super) fn vector_query(&self, field: u16, blob: &[u8]) -> Result<(&VectorIndex, Vec<f32>), QueryError> {
        let (Some(declared), Some(KindIndex::Vector(index))) =
            (self.schema.fields.get(field as usize), self.fields.get(field as usize).map(|field| &field.kind))
        else {
            return Err(mistaken());
        };
        let crate::schema::FieldKind::Vector(vector) = &declared.kind else { return Err(mistaken()) };
        let expected = vector.dim * vector.component.size();
        if blob.len() != expected {
            return Err(QueryError::new(format!(
                "Error parsing vector similarity query: query vector blob size ({}) does not match index's expected \
                 size ({expected}).",
                blob.len()
            )));
        }
        Ok((index, vector.component.read(blob)))
    }

    /// Whether a query can be answered, without answering it.
    /// # Errors
    /// As [`Index::search`].
    pub fn validate(&self, query: &Query) -> Result<(), QueryError> {
        if let Some(knn) = &query.knn {
            self.vector_query(knn.field, &knn.vector)?;
        }
        self.validate_node(&query.root)
    }

    fn validate_node(&self, node: &Node) -> Result<(), QueryError> {
        match &node.kind {
            Kind::And(nodes) | Kind::Or(nodes) => nodes.iter().try_for_each(|node| self.validate_node(node)),
            Kind::Not(node) | Kind::Optional(node) => self.validate_node(node),
            Kind::VectorRange { field, vector, .. } => self.vector_query(*field, vector).map(|_| ()),
            Kind::Shape { wkt, .. } => Geometry::parse(wkt).map(|_| ()).map_err(QueryError::new),
            _ => Ok(()),
        }
    }
}

fn mistaken() -> QueryError {
    QueryError::new("the query asks a field what another kind of field answers")
}
