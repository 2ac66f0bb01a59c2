//! What the options of a schema and of a search do, each by itself.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::sync::Arc;

use quiver_query::ast::{Attributes, End, Kind, Knn, Node, Relation, Tag, Word};
use quiver_query::index::{Hits, Scorer, SearchOptions, Sort};
use quiver_query::text::Languages;
use quiver_query::{
    Document, Field, FieldKind, FieldValue, Index, Query, Schema, Value, VectorAlgorithm, VectorField, VectorType,
};
use quiver_vector::Metric;

fn field(name: &str, kind: FieldKind) -> Field {
    Field {
        path: name.into(),
        name: name.into(),
        kind,
        sortable: false,
        unnormalized: false,
        no_index: false,
        index_missing: false,
        index_empty: false,
    }
}

fn text(name: &str) -> Field {
    field(name, FieldKind::Text { weight: 1.0, no_stem: false, phonetic: None, suffixes: false })
}

fn tag(name: &str) -> Field {
    field(name, FieldKind::Tag { separator: b',', case_sensitive: false, suffixes: false })
}

fn vector(name: &str, component: VectorType, metric: Metric, dim: usize) -> Field {
    let algorithm = VectorAlgorithm::Hnsw { m: 16, ef_construction: 100, ef_runtime: 64, epsilon: 0.01 };
    field(name, FieldKind::Vector(VectorField { algorithm, component, dim, metric, initial_capacity: 0 }))
}

fn index(fields: Vec<Field>) -> Index {
    let schema = Schema {
        fields,
        language: "english".into(),
        stop_words: None,
        no_offsets: false,
        no_fields: false,
        no_frequencies: false,
        no_highlight: false,
    };
    Index::new(Arc::new(schema), Arc::new(Languages::default())).unwrap()
}

fn put(index: &mut Index, key: &str, fields: &[(u16, &str)]) {
    let fields = fields.iter().map(|(place, text)| (*place, FieldValue::Texts(vec![text.as_bytes().to_vec()])));
    let document = Document { score: 1.0, fields: fields.collect(), ..Document::default() };
    index.upsert(key.as_bytes(), &document, 1).unwrap();
}

fn node(kind: Kind) -> Query {
    Query { root: Node { kind, attributes: Attributes::default() }, knn: None }
}

fn word(text: &str) -> Query {
    node(Kind::Word { fields: u128::MAX, word: Word::Exact { text: text.into(), verbatim: false } })
}

fn keys(index: &Index, query: &Query, options: &SearchOptions<'_>) -> Vec<String> {
    let hits = index.search(query, options, &mut || true).unwrap();
    let keys = hits.hits.iter().map(|hit| String::from_utf8(index.key(hit.doc).unwrap().to_vec()).unwrap());
    keys.collect()
}

fn found(index: &Index, query: &Query) -> Vec<String> {
    keys(index, query, &SearchOptions { sort: Sort::Id, ..SearchOptions::default() })
}

#[test]
fn words_are_found_by_stem_synonym_and_sound() {
    let phonetic = FieldKind::Text { weight: 1.0, no_stem: true, phonetic: Some("dm:en".into()), suffixes: false };
    let mut index = index(vec![text("body"), field("name", phonetic)]);
    put(&mut index, "a", &[(0, "hiring workers"), (1, "Smith")]);
    put(&mut index, "b", &[(0, "the hire of a child"), (1, "Smyth")]);
    assert_eq!(found(&index, &word("hired")), ["a", "b"]);
    assert_eq!(found(&index, &word("smith")), ["a", "b"]);
    let attributes = Attributes { phonetic: Some(false), ..Attributes::default() };
    let query = Query { root: Node { attributes, ..word("smith").root }, knn: None };
    assert_eq!(found(&index, &query), ["a"]);
    let synonyms = |word: &str| if word == "kid" { vec!["child".to_owned()] } else { Vec::new() };
    let options = SearchOptions { synonyms: &synonyms, ..SearchOptions::default() };
    assert_eq!(keys(&index, &word("kid"), &options), ["b"]);
    assert_eq!(found(&index, &word("kid")), [""; 0]);
}

#[test]
fn empty_values_are_found_only_where_the_schema_says() {
    let fields =
        vec![Field { index_empty: true, ..text("a") }, text("b"), Field { index_empty: true, ..tag("c") }, tag("d")];
    let mut index = index(fields);
    put(&mut index, "k", &[(0, ""), (1, ""), (2, ""), (3, "")]);
    let empty = |fields| node(Kind::Word { fields, word: Word::Exact { text: String::new(), verbatim: true } });
    assert_eq!((found(&index, &empty(1)).len(), found(&index, &empty(2)).len()), (1, 0));
    let empty = |field| node(Kind::Tag { field, any: vec![Tag::Exact(Vec::new())] });
    assert_eq!((found(&index, &empty(2)).len(), found(&index, &empty(3)).len()), (1, 0));
}

#[test]
fn what_is_not_indexed_is_only_sorted_by() {
    let fields = vec![
        Field { no_index: true, sortable: true, ..text("a") },
        Field { no_index: true, sortable: true, ..field("n", FieldKind::Numeric) },
        Field { sortable: true, unnormalized: true, ..tag("t") },
    ];
    let mut index = index(fields);
    put(&mut index, "x", &[(0, "Zoo"), (1, "1"), (2, "B")]);
    put(&mut index, "y", &[(0, "apple"), (1, "2"), (2, "a")]);
    put(&mut index, "z", &[(2, "C")]);
    let end = |value| End { value, exclusive: false };
    assert_eq!(found(&index, &word("apple")), [""; 0]);
    assert_eq!(found(&index, &node(Kind::Numeric { field: 1, min: end(0.0), max: end(9.0) })), [""; 0]);
    let by = |field, descending| SearchOptions { sort: Sort::Field { field, descending }, ..SearchOptions::default() };
    assert_eq!(keys(&index, &node(Kind::All), &by(0, false)), ["y", "x", "z"]);
    assert_eq!(keys(&index, &node(Kind::All), &by(0, true)), ["x", "y", "z"]);
    assert_eq!(keys(&index, &node(Kind::All), &by(1, true)), ["y", "x", "z"]);
    assert_eq!(keys(&index, &node(Kind::All), &by(2, false)), ["x", "z", "y"]);
    let doc = index.find(b"x").unwrap();
    assert_eq!(index.sortable(doc, 0), Value::Text(b"zoo".to_vec()));
    assert_eq!((index.sortable(doc, 2), index.sortable(doc, 1)), (Value::Text(b"B".to_vec()), Value::Number(1.0)));
}

#[test]
fn only_named_keys_are_found_where_keys_are_named() {
    let mut index = index(vec![text("t")]);
    for key in ["a", "b", "c"] {
        put(&mut index, key, &[(0, "same")]);
    }
    let named = [b"c".to_vec(), b"a".to_vec(), b"a".to_vec(), b"none".to_vec()];
    let options = SearchOptions { in_keys: Some(&named), ..SearchOptions::default() };
    assert_eq!(keys(&index, &word("same"), &options), ["a", "c"]);
    assert_eq!(keys(&index, &node(Kind::All), &options), ["a", "c"]);
    let count = index.search(&node(Kind::All), &SearchOptions { limit: 0, ..options }, &mut || true).unwrap();
    assert_eq!((count.total, count.hits.len()), (2, 0));
}

#[test]
fn scores_are_normalised_by_the_best_and_stretched() {
    let mut index = index(vec![text("t")]);
    put(&mut index, "a", &[(0, "fox fox fox")]);
    put(&mut index, "b", &[(0, "fox and many other words that say nothing")]);
    put(&mut index, "c", &[(0, "dog")]);
    let scores = |scorer, offset| {
        let options = SearchOptions { scorer, offset, ..SearchOptions::default() };
        let hits = index.search(&word("fox"), &options, &mut || true).unwrap();
        hits.hits.iter().map(|hit| hit.score).collect::<Vec<_>>()
    };
    let plain = scores(Scorer::Bm25Std, 0);
    assert_eq!(scores(Scorer::Bm25StdNorm, 0), [1.0, plain[1] / plain[0]]);
    assert_eq!(scores(Scorer::Bm25StdNorm, 1), [plain[1] / plain[0]]);
    assert_eq!(scores(Scorer::Bm25StdTanh, 0), [(plain[0] / 4.0).tanh(), (plain[1] / 4.0).tanh()]);
}

#[test]
fn a_search_that_is_told_to_stop_says_so() {
    let mut index = index(vec![text("t")]);
    for i in 0..5000 {
        put(&mut index, &format!("k{i}"), &[(0, "same")]);
    }
    let mut asked = 0;
    let mut go_on = || {
        asked += 1;
        asked < 3
    };
    let options = SearchOptions { scorer: Scorer::TfIdf, ..SearchOptions::default() };
    let hits = index.search(&word("same"), &options, &mut go_on).unwrap();
    assert!(hits.timed_out && hits.total < 5000 && hits.hits.len() == 10);
    assert!(asked <= 4);
}

#[test]
fn the_best_of_a_common_word_are_those_of_all() {
    let mut index = index(vec![text("t")]);
    let mut random = 1_u64;
    let mut below = |end: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % end
    };
    for round in 0..6_u64 {
        // The mean length changes, and with it the order of long and short documents.
        for i in 0..2000 {
            let key = format!("k{}", below(3000));
            if i % 7 == 0 {
                index.remove(key.as_bytes());
                continue;
            }
            let (common, other) = (below(6).pow(2) / 6, below(20 + round * 60));
            put(&mut index, &key, &[(0, &("common ".repeat(common as usize) + &"other ".repeat(other as usize)))]);
        }
        for word in [word("common"), word("other")] {
            let all = index.search(&word, &SearchOptions { limit: 9999, ..SearchOptions::default() }, &mut || true);
            let all = all.unwrap();
            for limit in [1, 10, 50] {
                let best = index.search(&word, &SearchOptions { limit, ..SearchOptions::default() }, &mut || true);
                let best = best.unwrap();
                assert_eq!((best.total, &best.hits[..]), (all.total, &all.hits[..limit]));
            }
        }
    }
    index.check().unwrap();
}

#[test]
fn more_fields_can_be_added() {
    let mut index = index(vec![text("a")]);
    put(&mut index, "k", &[(0, "one")]);
    let mut schema = (**index.schema()).clone();
    schema.fields.extend([Field { index_missing: true, ..text("b") }, tag("c")]);
    index.extend(Arc::new(schema)).unwrap();
    assert_eq!(found(&index, &node(Kind::Missing { field: 1 })), ["k"]);
    put(&mut index, "k", &[(0, "one"), (1, "two"), (2, "x,y")]);
    assert_eq!(found(&index, &node(Kind::Missing { field: 1 })), [""; 0]);
    let two = |fields| node(Kind::Word { fields, word: Word::Exact { text: "two".into(), verbatim: false } });
    assert_eq!((found(&index, &two(2)).len(), found(&index, &two(1)).len()), (1, 0));
    index.check().unwrap();
    index.extend(Arc::new(Schema { fields: vec![tag("other")], ..(**index.schema()).clone() })).unwrap_err();
}

#[test]
fn documents_are_prepared_side_by_side() {
    let index = index(vec![text("t"), vector("v", VectorType::Float32, Metric::L2, 4)]);
    let document = |i: u8| Document {
        score: 1.0,
        fields: vec![
            (0, FieldValue::Texts(vec![format!("word{i}").into_bytes()])),
            (1, FieldValue::Vectors(vec![vec![f32::from(i), 0.0, 0.0, 1.0]])),
        ],
        ..Document::default()
    };
    let mut index = index;
    index.upsert(b"old", &document(99), 1).unwrap();
    // All against the same state; the first key twice.
    let prepared: Vec<_> =
        (0..20).map(|i| index.prepare(format!("k{}", i % 19).as_bytes(), &document(i)).unwrap()).collect();
    let updated = [index.prepare(b"old", &document(50)).unwrap(), index.prepare(b"old", &document(51)).unwrap()];
    for one in prepared.into_iter().chain(updated) {
        index.commit(one, 2).unwrap();
        index.check().unwrap();
    }
    assert_eq!((index.len(), index.term_documents("word0"), index.term_documents("word19")), (20, 0, 1));
    assert_eq!((index.term_documents("word99"), index.term_documents("word51")), (0, 1));
    let same = index.prepare(b"old", &document(51)).unwrap();
    index.remove(b"old");
    index.commit(same, 3).unwrap_err();
    index.check().unwrap();
    assert!(index.touch(b"k3", 77) && index.version_of(b"k3") == Some(77) && !index.touch(b"old", 1));
}

#[test]
fn all_component_types_measure_alike() {
    let types = [
        VectorType::Float32,
        VectorType::Float64,
        VectorType::Float16,
        VectorType::BFloat16,
        VectorType::Int8,
        VectorType::Uint8,
    ];
    let numbers: Vec<[u8; 2]> = (0..50).map(|i| [i, 100 - i]).collect();
    let blob = |component, numbers: [u8; 2]| -> Vec<u8> {
        let bytes = |x: u8| match component {
            VectorType::Float32 => f32::from(x).to_le_bytes().to_vec(),
            VectorType::Float64 => f64::from(x).to_le_bytes().to_vec(),
            VectorType::Float16 => half::f16::from_f32(f32::from(x)).to_le_bytes().to_vec(),
            VectorType::BFloat16 => half::bf16::from_f32(f32::from(x)).to_le_bytes().to_vec(),
            VectorType::Int8 | VectorType::Uint8 => vec![x],
        };
        numbers.into_iter().flat_map(bytes).collect()
    };
    for metric in [Metric::L2, Metric::Cosine, Metric::InnerProduct] {
        let distances: Vec<Vec<f64>> = types
            .iter()
            .map(|&component| {
                let mut index = index(vec![vector("v", component, metric, 2)]);
                for (i, &numbers) in numbers.iter().enumerate() {
                    let fields = vec![(0, FieldValue::Texts(vec![blob(component, numbers)]))];
                    let document = Document { score: 1.0, fields, ..Document::default() };
                    index.upsert(format!("k{i}").as_bytes(), &document, 1).unwrap();
                }
                let short = Document { fields: vec![(0, FieldValue::Texts(vec![vec![0]]))], ..Document::default() };
                let error = index.upsert(b"short", &short, 1).unwrap_err().to_string();
                assert!(error.starts_with("Could not add vector with blob size 1 (expected size"), "{error}");
                let knn = Knn {
                    k: 10,
                    field: 0,
                    vector: blob(component, [20, 80]),
                    ef_runtime: None,
                    policy: None,
                    batch_size: None,
                    distance_as: b"d".to_vec(),
                };
                let query = Query { knn: Some(knn), ..node(Kind::All) };
                let hits = index.search(&query, &SearchOptions::default(), &mut || true).unwrap();
                hits.hits.iter().map(|hit| hit.distances[0].1).collect()
            })
            .collect();
        for other in &distances {
            let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-2 * a.abs() + 2e-3;
            assert!(other.len() == 10 && distances[0].iter().zip(other).all(near), "{metric:?} {distances:?}");
        }
    }
}

#[test]
fn shapes_are_found_by_how_they_stand() {
    let mut index = index(vec![field("area", FieldKind::GeoShape { spherical: false })]);
    put(&mut index, "in", &[(0, "POINT(1 1)")]);
    put(&mut index, "out", &[(0, "POLYGON((9 9, 9 10, 10 10, 9 9))")]);
    let square = b"POLYGON((0 0, 0 2, 2 2, 2 0, 0 0))".to_vec();
    let ask = |relation| node(Kind::Shape { field: 0, relation, wkt: square.clone() });
    assert_eq!(found(&index, &ask(Relation::Within)), ["in"]);
    assert_eq!(found(&index, &ask(Relation::Disjoint)), ["out"]);
    let error = index.search(
        &node(Kind::Shape { field: 0, relation: Relation::Within, wkt: b"nonsense".to_vec() }),
        &SearchOptions::default(),
        &mut || true,
    );
    assert!(error.unwrap_err().to_string().starts_with("Invalid WKT"));
}

/// Share of the true nearest that are found, for a filter that lets one in `every` pass.
fn recall(index: &Index, vectors: &[Vec<f32>], every: usize) -> f64 {
    let (mut hit, mut all) = (0_usize, 0_usize);
    for query in vectors.iter().step_by(vectors.len() / 40) {
        let mut near: Vec<(f32, usize)> = (0..vectors.len())
            .step_by(every)
            .map(|i| (vectors[i].iter().zip(query).map(|(a, b)| (a - b) * (a - b)).sum(), i))
            .collect();
        near.sort_by(|a, b| a.0.total_cmp(&b.0));
        let root = if every == 1 { Kind::All } else { Kind::Tag { field: 1, any: vec![Tag::Exact(b"yes".to_vec())] } };
        let knn = Knn {
            k: 10,
            field: 0,
            vector: query.iter().flat_map(|x| x.to_le_bytes()).collect(),
            ef_runtime: None,
            policy: None,
            batch_size: None,
            distance_as: b"d".to_vec(),
        };
        let query = Query { knn: Some(knn), ..node(root) };
        let hits: Hits = index.search(&query, &SearchOptions::default(), &mut || true).unwrap();
        assert_eq!(hits.total, 10);
        let found: Vec<&[u8]> = hits.hits.iter().map(|hit| index.key(hit.doc).unwrap()).collect();
        hit += near[..10].iter().filter(|(_, i)| found.contains(&i.to_string().as_bytes())).count();
        all += 10;
    }
    hit as f64 / all as f64
}

#[test]
fn filtered_neighbours_keep_their_recall() {
    let mut random = 1_u64;
    let mut uniform = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    let vectors: Vec<Vec<f32>> = (0..1500).map(|_| (0..8).map(|_| uniform()).collect()).collect();
    for every in [1, 10, 100] {
        let mut index = index(vec![vector("v", VectorType::Float32, Metric::L2, 8), tag("t")]);
        for (i, vector) in vectors.iter().enumerate() {
            let tag = if i % every == 0 { b"yes".to_vec() } else { b"no".to_vec() };
            let fields = vec![(0, FieldValue::Vectors(vec![vector.clone()])), (1, FieldValue::Texts(vec![tag]))];
            index.upsert(i.to_string().as_bytes(), &Document { score: 1.0, fields, ..Document::default() }, 1).unwrap();
        }
        let recall = recall(&index, &vectors, every);
        assert!(recall > 0.93, "one in {every}: {recall}");
    }
}
