//! Reader of `.npy` files (NumPy format 1.0-3.0), as far as the datasets need it.
//!
//! Source: the format page `numpy.lib.format`. Magic, version, header length, a Python dict literal with exactly
//! `descr`, `fortran_order` and `shape`, then the elements in C order.
//!
//! Supported: two-dimensional little-endian `<f2`, `<f4` (read as f32) and `<i4`. Everything else is an error that says
//! what was found; Fortran order, structured types and pickles are refused on purpose.

use std::path::{Path, PathBuf};

use half::f16;
use thiserror::Error;

/// Why a file is not one of the arrays a dataset is made of.
#[derive(Debug, Error)]
pub enum NpyError {
    /// The file could not be read at all.
    #[error("{path}: {source}")]
    Io {
        /// The file asked for.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The first six bytes are not NumPy's.
    #[error("not an .npy file: the magic bytes are missing")]
    Magic,
    /// A version of the format that does not exist yet.
    #[error("unknown .npy format version {0}")]
    Version(u8),
    /// The header is cut short or not the dict it must be.
    #[error("bad .npy header: {0}")]
    Header(String),
    /// An element type other than the caller's.
    #[error("elements are {found:?}, expected {expected}")]
    Type {
        /// `descr` of the file.
        found: String,
        /// What the caller reads.
        expected: &'static str,
    },
    /// Column-major data.
    #[error("fortran_order is True: save the array in C order")]
    FortranOrder,
    /// The bytes after the header do not match the shape.
    #[error("shape {rows} x {columns} needs {needed} bytes of data, the file has {found}")]
    Length {
        /// First dimension.
        rows: usize,
        /// Second dimension.
        columns: usize,
        /// Bytes the shape calls for.
        needed: usize,
        /// Bytes present.
        found: usize,
    },
}

/// A matrix in C order: row `i` is `data[i * columns..][..columns]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix<T> {
    /// First dimension.
    pub rows: usize,
    /// Second dimension.
    pub columns: usize,
    /// `rows * columns` elements.
    pub data: Vec<T>,
}

impl<T> Matrix<T> {
    /// Row `index`; panics when there is none.
    pub fn row(&self, index: usize) -> &[T] {
        &self.data[index * self.columns..][..self.columns]
    }
}

/// The `<f2`, `<f4` or `|u1` matrix in `path`, as f32.
pub fn read_f32(path: &Path) -> Result<Matrix<f32>, NpyError> {
    parse_f32(&read(path)?)
}

/// The `<i4` matrix in `path`.
pub fn read_i32(path: &Path) -> Result<Matrix<i32>, NpyError> {
    parse_i32(&read(path)?)
}

/// Rows and columns of the matrix in `path`.
pub fn shape(path: &Path) -> Result<(usize, usize), NpyError> {
    let bytes = read(path)?;
    let (header, _) = split(&bytes)?;
    Ok((header.rows, header.columns))
}

/// [`read_f32`] of bytes already in memory.
pub fn parse_f32(bytes: &[u8]) -> Result<Matrix<f32>, NpyError> {
    let (header, data) = split(bytes)?;
    match header.descr.as_str() {
        "<f2" => header.matrix(data, |b: [u8; 2]| f16::from_le_bytes(b).to_f32()),
        "<f4" => header.matrix(data, f32::from_le_bytes),
        "|u1" => header.matrix(data, |[byte]| f32::from(byte)),
        _ => Err(NpyError::Type { found: header.descr, expected: "<f2, <f4 or |u1" }),
    }
}

/// [`read_i32`] of bytes already in memory.
pub fn parse_i32(bytes: &[u8]) -> Result<Matrix<i32>, NpyError> {
    let (header, data) = split(bytes)?;
    match header.descr.as_str() {
        "<i4" => header.matrix(data, i32::from_le_bytes),
        _ => Err(NpyError::Type { found: header.descr, expected: "<i4" }),
    }
}

struct Header {
    descr: String,
    rows: usize,
    columns: usize,
}

impl Header {
    fn matrix<T, const N: usize>(self, data: &[u8], element: impl Fn([u8; N]) -> T) -> Result<Matrix<T>, NpyError> {
        let Self { rows, columns, .. } = self;
        let needed = rows.saturating_mul(columns).saturating_mul(N);
        if data.len() != needed {
            return Err(NpyError::Length { rows, columns, needed, found: data.len() });
        }
        let (chunks, _) = data.as_chunks::<N>();
        Ok(Matrix { rows, columns, data: chunks.iter().map(|chunk| element(*chunk)).collect() })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, NpyError> {
    std::fs::read(path).map_err(|source| NpyError::Io { path: path.to_owned(), source })
}

fn split(bytes: &[u8]) -> Result<(Header, &[u8]), NpyError> {
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or(NpyError::Magic)?;
    let short = || NpyError::Header("the file ends inside it".into());
    let (version, rest) = rest.split_first_chunk::<2>().ok_or_else(short)?;
    let (length, rest) = match version[0] {
        1 => rest.split_first_chunk::<2>().map(|(n, rest)| (usize::from(u16::from_le_bytes(*n)), rest)),
        2 | 3 => rest.split_first_chunk::<4>().map(|(n, rest)| (u32::from_le_bytes(*n) as usize, rest)),
        other => return Err(NpyError::Version(other)),
    }
    .ok_or_else(short)?;
    let (header, data) = rest.split_at_checked(length).ok_or_else(short)?;
    let text = std::str::from_utf8(header).map_err(|_| NpyError::Header("not text".into()))?;
    Ok((parse_header(text)?, data))
}

fn parse_header(text: &str) -> Result<Header, NpyError> {
    let missing = |what: &str| NpyError::Header(format!("no {what} in {:?}", text.trim()));
    let descr = field(text, "descr").and_then(quoted).ok_or_else(|| missing("descr"))?;
    match field(text, "fortran_order") {
        Some(rest) if rest.starts_with("False") => {}
        Some(_) => return Err(NpyError::FortranOrder),
        None => return Err(missing("fortran_order")),
    }
    let shape = field(text, "shape")
        .and_then(|rest| rest.strip_prefix('('))
        .and_then(|rest| rest.split_once(')'))
        .map(|(inside, _)| inside)
        .ok_or_else(|| missing("shape"))?;
    let sizes: Vec<&str> = shape.split(',').map(str::trim).filter(|size| !size.is_empty()).collect();
    let [rows, columns] = sizes[..] else {
        return Err(NpyError::Header(format!("shape ({shape}) is not two-dimensional")));
    };
    let size = |text: &str| text.parse().map_err(|_| NpyError::Header(format!("shape ({shape}) is not numbers")));
    Ok(Header { descr: descr.to_owned(), rows: size(rows)?, columns: size(columns)? })
}

/// The text after `'name':`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("'{name}'"))?;
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}

fn quoted(text: &str) -> Option<&str> {
    Some(text.strip_prefix('\'')?.split_once('\'')?.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn npy(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn header(descr: &str, order: &str, shape: &str) -> String {
        format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}   \n")
    }

    #[test]
    fn half_precision_rows_come_back_as_f32() {
        let data: Vec<u8> = [1.0f32, -0.5, 2.0, 0.25].iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect();
        let matrix = parse_f32(&npy(&header("<f2", "False", "(2, 2)"), &data)).unwrap();
        assert_eq!((matrix.rows, matrix.columns), (2, 2));
        assert_eq!(matrix.row(1), [2.0, 0.25]);
    }

    #[test]
    fn integers_keep_their_sign() {
        let data: Vec<u8> = [7i32, -1, 65_536].iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(parse_i32(&npy(&header("<i4", "False", "(1, 3)"), &data)).unwrap().data, [7, -1, 65_536]);
    }

    #[test]
    fn each_refusal_names_what_was_found() {
        let message = |bytes: &[u8]| parse_f32(bytes).unwrap_err().to_string();
        assert!(message(b"PK\x03\x04").contains("magic"));
        assert!(message(&npy(&header("<f8", "False", "(1, 1)"), &[0; 8])).contains("<f8"));
        assert!(message(&npy(&header("<f4", "True", "(1, 1)"), &[0; 4])).contains("fortran_order"));
        assert!(message(&npy(&header("<f4", "False", "(4,)"), &[0; 16])).contains("two-dimensional"));
        assert!(message(&npy(&header("<f4", "False", "(2, 2)"), &[0; 15])).contains("needs 16 bytes"));
        assert!(message(&npy("{}", &[])).contains("no descr"));
    }

    #[test]
    fn a_shape_beyond_memory_is_an_error_before_any_allocation() {
        let huge = header("<f4", "False", "(18446744073709551615, 18446744073709551615)");
        assert!(matches!(parse_f32(&npy(&huge, &[0; 4])), Err(NpyError::Length { .. })));
    }

    proptest! {
        #[test]
        fn any_prefix_of_a_file_is_an_error(cut in any::<prop::sample::Index>()) {
            let whole = npy(&header("<f4", "False", "(3, 4)"), &[0; 48]);
            prop_assert!(parse_f32(&whole[..cut.index(whole.len())]).is_err());
        }
    }
}
