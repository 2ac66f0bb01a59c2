//! Saved indexes, whole and damaged.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::sync::Arc;

use quiver_query::text::Languages;
use quiver_query::{Document, Field, FieldKind, FieldValue, Index, Schema, VectorAlgorithm, VectorField, VectorType};
use quiver_vector::Metric;

fn index() -> Index {
    let vector = |algorithm| {
        let (component, metric) = (VectorType::Float32, Metric::Cosine);
        FieldKind::Vector(VectorField { algorithm, component, dim: 2, metric, initial_capacity: 0 })
    };
    let hnsw = VectorAlgorithm::Hnsw { m: 4, ef_construction: 10, ef_runtime: 10, epsilon: 0.01 };
    let kinds = [
        FieldKind::Text { weight: 1.0, no_stem: false, phonetic: None, suffixes: false },
        FieldKind::Tag { separator: b',', case_sensitive: false, suffixes: false },
        FieldKind::Numeric,
        FieldKind::Geo,
        FieldKind::GeoShape { spherical: false },
        vector(hnsw),
        vector(VectorAlgorithm::Flat { block_size: 0 }),
    ];
    let fields = kinds.into_iter().map(|kind| Field {
        path: b"f".to_vec(),
        name: b"f".to_vec(),
        kind,
        sortable: true,
        unnormalized: false,
        no_index: false,
        index_missing: true,
        index_empty: false,
    });
    let schema = Schema {
        fields: fields.collect(),
        language: "english".into(),
        stop_words: None,
        no_offsets: false,
        no_fields: false,
        no_frequencies: false,
        no_highlight: false,
    };
    let mut index = Index::new(Arc::new(schema), Arc::new(Languages::default())).unwrap();
    for i in 0..12_u8 {
        let texts = |text: String| FieldValue::Texts(vec![text.into_bytes()]);
        let vectors = || FieldValue::Vectors(vec![vec![f32::from(i), 1.0]]);
        let mut fields = vec![
            (0, texts(format!("some words number{i} and words"))),
            (1, texts(format!("a,b{}", i % 3))),
            (2, FieldValue::Numbers(vec![f64::from(i), 7.5])),
            (3, texts(format!("{i},{i}"))),
            (4, texts(format!("POINT({i} {i})"))),
            (5, vectors()),
            (6, vectors()),
        ];
        fields.truncate(7 - usize::from(i) % 4);
        let document = Document { score: 0.5, language: None, payload: Some(vec![i]), fields };
        index.upsert(&[b'k', i], &document, u64::from(i)).unwrap();
    }
    index.remove(b"k\x03");
    index
}

fn save(index: &Index) -> Vec<u8> {
    let mut bytes = Vec::new();
    index.save(&mut |piece| bytes.extend_from_slice(piece));
    bytes
}

fn load(bytes: &[u8]) -> Result<Index, String> {
    let schema = Arc::clone(index().schema());
    Index::load(schema, Arc::new(Languages::default()), &mut &bytes[..]).map_err(|error| error.to_string())
}

#[test]
fn a_loaded_index_is_the_one_that_was_saved() {
    let index = index();
    let bytes = save(&index);
    let loaded = load(&bytes).unwrap();
    loaded.check().unwrap();
    assert_eq!(save(&loaded), bytes);
    for (doc, key) in index.documents() {
        let other = loaded.find(key).unwrap();
        assert_eq!((loaded.version(other), loaded.document_score(other)), (index.version(doc), 0.5));
        for field in 0..7 {
            assert_eq!(loaded.sortable(other, field), index.sortable(doc, field));
        }
    }
    let (mut a, mut b) = (index.statistics(), loaded.statistics());
    for statistics in [&mut a, &mut b] {
        let bytes = [
            &mut statistics.key_bytes,
            &mut statistics.document_bytes,
            &mut statistics.sortable_bytes,
            &mut statistics.inverted_bytes,
            &mut statistics.term_bytes,
            &mut statistics.tag_bytes,
            &mut statistics.numeric_bytes,
            &mut statistics.geo_bytes,
            &mut statistics.vector_bytes,
            &mut statistics.max_document,
        ];
        bytes.into_iter().for_each(|bytes| *bytes = 0);
        statistics.vectors.iter_mut().for_each(|vectors| vectors.bytes = 0);
    }
    assert_eq!(a, b);
}

#[test]
fn an_index_that_is_cut_is_refused() {
    let bytes = save(&index());
    for end in 0..bytes.len() {
        assert!(load(&bytes[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn a_damaged_index_is_refused_or_whole() {
    let bytes = save(&index());
    let mut refused = 0;
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= [1, 0x80, 0xff][at % 3];
        match load(&damaged) {
            Ok(index) => index.check().unwrap_or_else(|error| panic!("byte {at}: {error}")),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > bytes.len() / 3);
}
