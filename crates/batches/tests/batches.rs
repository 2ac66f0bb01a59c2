//! Batches through the IPC format, whole, cut and damaged.

#![expect(clippy::unwrap_used, reason = "tests, where a panic is the failure")]

use std::sync::Arc;

use arrow_array::types::{Float16Type, Float32Type, Int32Type};
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, FixedSizeListArray, Float32Array, Float64Array, Int8Array, Int64Array,
    PrimitiveArray, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field};
use half::f16;
use quiver_batches::{BatchError, Columns, Decoder, Elements, Found, Page, Stream};

const ROWS_MAX: usize = 100;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

fn vectors(rows: &[[f32; 2]]) -> ArrayRef {
    let rows = rows.iter().map(|row| Some(row.map(Some)));
    Arc::new(FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(rows, 2))
}

fn ids(names: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(names.to_vec()))
}

fn encoded(batches: &[RecordBatch]) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batches[0].schema()).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.into_inner().unwrap()
}

fn read(bytes: &[u8], piece: usize) -> Result<Elements, BatchError> {
    let (mut decoder, mut elements) = (Decoder::default(), Elements::default());
    for bytes in bytes.chunks(piece) {
        decoder.read(bytes.to_vec(), |batch| elements.append(batch, ROWS_MAX))?;
    }
    decoder.finish()?;
    Ok(elements)
}

fn of(columns: Vec<(&str, ArrayRef)>) -> Result<Elements, BatchError> {
    read(&encoded(&[batch(columns)]), usize::MAX)
}

fn floats(elements: &Elements) -> Vec<f32> {
    elements.vectors.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

#[test]
fn rows_of_several_batches_are_read_however_the_stream_is_cut() {
    let one = batch(vec![("id", ids(&["a", "b"])), ("vector", vectors(&[[1.0, 2.0], [3.0, 4.0]]))]);
    let two = batch(vec![("id", ids(&["c"])), ("vector", vectors(&[[5.0, 6.0]]))]);
    let bytes = encoded(&[one, two]);
    for piece in [1, 3, 64, bytes.len()] {
        let elements = read(&bytes, piece).unwrap();
        assert_eq!((elements.len(), elements.dim), (3, 2));
        assert_eq!(elements.ids, [b"a", b"b", b"c"]);
        assert_eq!(floats(&elements), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(elements.vector(2), [5.0_f32.to_le_bytes(), 6.0_f32.to_le_bytes()].concat());
        assert_eq!(elements.attributes, [None, None, None]);
    }
}

#[test]
fn vectors_of_every_precision_become_singles() {
    let of_values = |values: ArrayRef| -> ArrayRef {
        let field = Arc::new(Field::new("item", values.data_type().clone(), true));
        Arc::new(FixedSizeListArray::try_new(field, 2, values, None).unwrap())
    };
    let halves: PrimitiveArray<Float16Type> = [1.5, -2.0].into_iter().map(|v| Some(f16::from_f32(v))).collect();
    let columns: [(ArrayRef, [f32; 2]); 3] = [
        (of_values(Arc::new(halves)), [1.5, -2.0]),
        (of_values(Arc::new(Float64Array::from(vec![0.25, 3.0]))), [0.25, 3.0]),
        (of_values(Arc::new(Int8Array::from(vec![-128, 127]))), [-128.0, 127.0]),
    ];
    for (column, expected) in columns {
        assert_eq!(floats(&of(vec![("id", ids(&["a"])), ("vector", column)]).unwrap()), expected);
    }
}

#[test]
fn ids_may_be_integers_binary_or_dictionaries() {
    let dictionary: DictionaryArray<Int32Type> = ["x", "x"].into_iter().collect();
    let columns: [(ArrayRef, [&[u8]; 2]); 3] = [
        (Arc::new(Int64Array::from(vec![7, -8])), [b"7", b"-8"]),
        (Arc::new(arrow_array::BinaryArray::from_vec(vec![b"\xff", b"b"])), [b"\xff", b"b"]),
        (Arc::new(dictionary), [b"x", b"x"]),
    ];
    for (column, expected) in columns {
        let read = of(vec![("id", column), ("vector", vectors(&[[1.0, 0.0], [0.0, 1.0]]))]).unwrap();
        assert_eq!(read.ids, expected);
    }
}

#[test]
fn other_columns_become_attributes_and_nulls_leave_them_out() {
    let genre: DictionaryArray<Int32Type> = vec![Some("jazz"), None].into_iter().collect();
    let read = of(vec![
        ("id", ids(&["a", "b"])),
        ("vector", vectors(&[[1.0, 0.0], [0.0, 1.0]])),
        ("attributes", Arc::new(StringArray::from(vec![Some(r#"{"given":1,"year":0}"#), None]))),
        ("year", Arc::new(Int64Array::from(vec![Some(1979), None]))),
        ("rating", Arc::new(Float32Array::from(vec![0.1, f32::NAN]))),
        ("seen", Arc::new(BooleanArray::from(vec![true, false]))),
        ("genre", Arc::new(genre)),
        ("at", Arc::new(TimestampMicrosecondArray::from(vec![1_500, -1]))),
        ("expires_at", Arc::new(Int64Array::from(vec![Some(5), None]))),
    ])
    .unwrap();
    let object = |at: usize| serde_json::from_str::<serde_json::Value>(read.attributes[at].as_ref().unwrap()).unwrap();
    let first = serde_json::json!({"given": 1, "year": 1979, "rating": 0.1, "seen": true, "genre": "jazz", "at": 1});
    assert_eq!(object(0), first);
    assert_eq!(object(1), serde_json::json!({"seen": false, "at": -1}));
    assert_eq!(read.expires_at_ms, [Some(5), None]);
}

#[test]
fn what_does_not_fit_is_named_with_what_was_expected_and_what_came() {
    let good = || vectors(&[[1.0, 0.0]]);
    let list = |values: ArrayRef, dim| -> ArrayRef {
        let field = Arc::new(Field::new("item", values.data_type().clone(), true));
        Arc::new(FixedSizeListArray::try_new(field, dim, values, None).unwrap())
    };
    let cases: Vec<(Vec<(&str, ArrayRef)>, &str)> = vec![
        (vec![("vector", good())], "column id: expected a string, binary, an integer"),
        (vec![("id", ids(&["a"]))], "column vector: expected a fixed size list of"),
        (vec![("id", Arc::new(BooleanArray::from(vec![true]))), ("vector", good())], "got Boolean"),
        (vec![("id", ids(&["a"])), ("vector", ids(&["x"]))], "got Utf8"),
        (
            vec![("id", ids(&["a"])), ("vector", list(Arc::new(Int64Array::from(vec![1])), 1))],
            "column vector: expected",
        ),
        (vec![("id", ids(&[""])), ("vector", good())], "column id, row 0: must not be null or empty"),
        (vec![("id", ids(&["a"])), ("vector", vectors(&[[0.0, f32::NAN]]))], "column vector, row 0: component 1"),
        (
            vec![("id", ids(&["a"])), ("vector", list(Arc::new(Float32Array::from(vec![None, Some(1.0)])), 2))],
            "must not hold a null",
        ),
        (
            vec![("id", ids(&["a"])), ("vector", good()), ("attributes", Arc::new(Int64Array::from(vec![1])))],
            "column attributes: expected a string (a JSON object), got Int64",
        ),
        (
            vec![("id", ids(&["a"])), ("vector", good()), ("attributes", ids(&["[1]"]))],
            "column attributes, row 0: must be a JSON object",
        ),
        (vec![("id", ids(&["a"])), ("vector", good()), ("tags", good())], "column tags: expected a string, a number"),
        (
            vec![("id", ids(&["a"])), ("vector", good()), ("expires_at", ids(&["x"]))],
            "column expires_at: expected a timestamp, or int64 in milliseconds since 1970, got Utf8",
        ),
    ];
    for (columns, expected) in cases {
        let error = of(columns).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let one = batch(vec![("id", ids(&["a"])), ("vector", good())]);
    let mut elements = Elements { dim: 3, ..Elements::default() };
    assert_eq!(elements.append(&one, ROWS_MAX), Err(BatchError::Dim { expected: 3, got: 2 }));
    assert_eq!(Elements::default().append(&one, 0), Err(BatchError::TooManyRows { max: 0 }));
}

#[test]
fn a_stream_that_is_cut_or_damaged_is_an_error_and_no_panic() {
    let bytes = encoded(&[batch(vec![("id", ids(&["a", "b"])), ("vector", vectors(&[[1.0, 2.0], [3.0, 4.0]]))])]);
    for len in (1..bytes.len() - 8).step_by(3) {
        assert!(read(&bytes[..len], usize::MAX).map_or(true, |read| read.is_empty()), "cut at {len}");
    }
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            // Whatever it says: it ends, and what it yields keeps its shape.
            if let Ok(read) = read(&damaged, usize::MAX) {
                assert_eq!(read.vectors.len(), 4 * read.dim * read.len());
            }
        }
    }
}

#[test]
fn a_page_is_read_back_as_it_was_written() {
    let page = Page { dim: Some(2), attributes: true, expiry: true, binary_ids: true };
    let columns = Columns {
        ids: vec![b"a".to_vec(), b"\xff".to_vec()],
        vectors: vec![1.0, 2.0, 3.0, 4.0],
        attributes: vec![None, Some("{}".into())],
        expires_at_ms: vec![Some(7), None],
    };
    let batch = page.batch(columns.clone()).unwrap();
    let stream = Stream::new(page.schema());
    let (mut decoder, mut elements) = (Decoder::default(), Elements::default());
    for message in [stream.schema().unwrap(), stream.batch(&batch).unwrap()] {
        decoder.message(&message.header, &message.body, |batch| elements.append(batch, ROWS_MAX)).unwrap();
    }
    assert_eq!((elements.ids, elements.attributes), (columns.ids.clone(), columns.attributes.clone()));
    assert_eq!(elements.expires_at_ms, columns.expires_at_ms);
    assert!(stream.schema_bytes().unwrap().starts_with(&[0xff; 4]));

    let error = Page { binary_ids: false, ..page }.batch(columns).unwrap_err();
    assert!(error.to_string().contains("column id, row 1: is no text"), "{error}");
}

#[test]
fn hits_become_a_batch() {
    let found = Found {
        queries: vec![0, 1],
        ids: vec![b"a".to_vec(), b"b".to_vec()],
        scores: vec![1.0, 0.5],
        attributes: vec![None, None],
    };
    let batch = found.batch(false).unwrap();
    assert_eq!((batch.num_rows(), batch.schema().field(2).data_type()), (2, &DataType::Float32));
}
