//! Just enough of the .npy format for the repository's data sets: version 1, C order, `<f2` and `<i4`.

use std::path::Path;

/// A data set of unit vectors with the nearest neighbours of its queries.
pub(crate) struct DataSet {
    /// Dimensions.
    pub(crate) dim: usize,
    /// Vectors to index.
    pub(crate) base: Vec<Vec<f32>>,
    /// Vectors to ask for.
    pub(crate) queries: Vec<Vec<f32>>,
    /// For every query the rows of `base` nearest to it, nearest first.
    pub(crate) truth: Vec<Vec<u32>>,
}

impl DataSet {
    /// Reads `base.npy`, `query.npy` and `gt.npy` of a folder.
    pub(crate) fn load(folder: &Path) -> Self {
        let halves = |name| rows(&folder.join(name), "<f2", |b: [u8; 2]| half(u16::from_le_bytes(b)));
        let (base, queries) = (halves("base.npy"), halves("query.npy"));
        let truth = rows(&folder.join("gt.npy"), "<i4", |b: [u8; 4]| u32::from_le_bytes(b));
        Self { dim: base[0].len(), base, queries, truth }
    }
}

fn rows<T, const N: usize>(path: &Path, dtype: &str, convert: impl Fn([u8; N]) -> T) -> Vec<Vec<T>> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00", "{}: not .npy version 1", path.display());
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..start]).expect("an ASCII header");
    assert!(header.contains(dtype) && header.contains("'fortran_order': False"), "{header}");
    let shape = header.split_once("'shape': (").and_then(|(_, rest)| rest.split_once(')')).expect("a shape").0;
    let columns: usize = shape.split(", ").nth(1).expect("two dimensions").parse().expect("a number");
    let values = bytes[start..].as_chunks::<N>().0;
    let row = |row: &[[u8; N]]| row.iter().map(|&value| convert(value)).collect();
    values.chunks_exact(columns).map(row).collect()
}

/// IEEE half precision; the data sets hold no infinities or NaN.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023) / 1024.0);
    sign * if exponent == 0 { fraction * 2.0_f32.powi(-14) } else { (1.0 + fraction) * 2.0_f32.powi(exponent - 15) }
}
