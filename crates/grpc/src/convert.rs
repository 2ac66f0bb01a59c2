//! Vectors between their wire form and the FP32 blobs of the vector commands; ids and attributes checked.
//!
//! The wire form is little-endian components in one of five formats, or a list of floats. The server takes little-endian single precision,
//! so F32 passes through without a copy. Only finite components are accepted: one NaN would poison every distance it
//! meets.

use std::borrow::Cow;

use half::{bf16, f16};
use prost::bytes::Bytes;
use serde::de::IgnoredAny;
use thiserror::Error;

use crate::pb::{Dtype, Vector};

/// Why a vector of a request is unusable.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum VectorError {
    /// The dtype is `DTYPE_UNSPECIFIED` or one this server does not know.
    #[error("dtype {0} is not one of DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_F64, DTYPE_I8")]
    Dtype(i32),
    /// Both `packed` and `floats`, or `floats` of a dtype other than F32.
    #[error("floats stand alone: without packed, and with dtype DTYPE_F32 or none")]
    Twofold,
    /// No components.
    #[error("dim must be at least 1")]
    ZeroDim,
    /// `packed` has a length other than `dim` components take.
    #[error("packed holds {found} bytes where {dim} components take {expected}")]
    Length {
        /// Components announced.
        dim: u32,
        /// Bytes they take.
        expected: u64,
        /// Bytes there are.
        found: u64,
    },
    /// The component at this index is NaN, infinite or beyond single precision.
    #[error("component {0} is not a finite single-precision number")]
    NotFinite(usize),
}

/// The vector as a little-endian single-precision blob of `4 * dim` bytes.
///
/// # Errors
/// [`VectorError`]. Cost: O(dim); no allocation for F32.
pub fn fp32_blob(vector: &Vector) -> Result<Cow<'_, [u8]>, VectorError> {
    if !vector.floats.is_empty() {
        return of_floats(vector);
    }
    let packed: &[u8] = &vector.packed;
    match Dtype::try_from(vector.dtype) {
        Ok(Dtype::F32) => {
            check_shape(vector, 4)?;
            let components = packed.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
            first_not_finite(components).map_or(Ok(Cow::Borrowed(packed)), |index| Err(VectorError::NotFinite(index)))
        }
        Ok(Dtype::F16) => {
            check_shape(vector, 2)?;
            widen(packed.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()))
        }
        Ok(Dtype::Bf16) => {
            check_shape(vector, 2)?;
            widen(packed.as_chunks().0.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()))
        }
        Ok(Dtype::F64) => {
            check_shape(vector, 8)?;
            widen(packed.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes) as f32))
        }
        Ok(Dtype::I8) => {
            check_shape(vector, 1)?;
            widen(packed.iter().map(|byte| f32::from(byte.cast_signed())))
        }
        Ok(Dtype::Unspecified) | Err(_) => Err(VectorError::Dtype(vector.dtype)),
    }
}

/// A vector for a reply or a request, packed as F32.
#[must_use]
pub fn f32_vector(components: &[f32]) -> Vector {
    let packed: Vec<u8> = components.iter().flat_map(|component| component.to_le_bytes()).collect();
    let dim = u32::try_from(components.len()).expect("a vector fits a message, so its dimension fits u32");
    Vector { dtype: Dtype::F32.into(), dim, packed: Bytes::from(packed), floats: Vec::new() }
}

/// Number of components a vector says to have.
pub(crate) fn dim_of(vector: &Vector) -> u64 {
    if vector.floats.is_empty() { u64::from(vector.dim) } else { vector.floats.len() as u64 }
}

/// A checked blob of singles as components.
pub(crate) fn floats_of(blob: &[u8]) -> impl ExactSizeIterator<Item = f32> + Clone + '_ {
    blob.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes))
}

fn of_floats(vector: &Vector) -> Result<Cow<'_, [u8]>, VectorError> {
    let plain = matches!(Dtype::try_from(vector.dtype), Ok(Dtype::Unspecified | Dtype::F32));
    if !plain || !vector.packed.is_empty() {
        return Err(VectorError::Twofold);
    }
    let found = 4 * dim_of(vector);
    if vector.dim != 0 && 4 * u64::from(vector.dim) != found {
        return Err(VectorError::Length { dim: vector.dim, expected: 4 * u64::from(vector.dim), found });
    }
    widen(vector.floats.iter().copied())
}

/// Whether `attributes` is what filters can read: a JSON object, or empty to say none.
pub(crate) fn is_attributes(attributes: &str) -> bool {
    // The parser's own depth limit bounds the recursion.
    attributes.is_empty()
        || attributes.trim_ascii_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(attributes).is_ok()
}

fn check_shape(vector: &Vector, component_bytes: u64) -> Result<(), VectorError> {
    if vector.dim == 0 {
        return Err(VectorError::ZeroDim);
    }
    let (expected, found) = (u64::from(vector.dim) * component_bytes, vector.packed.len() as u64);
    if expected == found { Ok(()) } else { Err(VectorError::Length { dim: vector.dim, expected, found }) }
}

fn widen(components: impl ExactSizeIterator<Item = f32> + Clone) -> Result<Cow<'static, [u8]>, VectorError> {
    if let Some(index) = first_not_finite(components.clone()) {
        return Err(VectorError::NotFinite(index));
    }
    Ok(Cow::Owned(components.flat_map(f32::to_le_bytes).collect()))
}

fn first_not_finite(mut components: impl Iterator<Item = f32>) -> Option<usize> {
    components.position(|component| !component.is_finite())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vector(dtype: Dtype, dim: u32, packed: Vec<u8>) -> Vector {
        Vector { dtype: dtype.into(), dim, packed: packed.into(), floats: vec![] }
    }

    fn floats(blob: &[u8]) -> Vec<f32> {
        blob.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }

    #[test]
    fn f32_passes_through_without_a_copy() {
        let given = f32_vector(&[1.0, -2.5]);
        assert!(matches!(fp32_blob(&given), Ok(Cow::Borrowed(blob)) if floats(blob) == [1.0, -2.5]));
    }

    #[test]
    fn the_other_formats_widen_to_single_precision() {
        let values = [1.0_f32, -2.5, 0.0, 384.0];
        let packed_f16 = values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect();
        let packed_bf16 = values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect();
        let packed_f64 = values.iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect();
        assert_eq!(floats(&fp32_blob(&vector(Dtype::I8, 3, vec![1, 0x80, 0xff])).unwrap()), [1.0, -128.0, -1.0]);
        for (dtype, packed) in [(Dtype::F16, packed_f16), (Dtype::Bf16, packed_bf16), (Dtype::F64, packed_f64)] {
            assert_eq!(floats(&fp32_blob(&vector(dtype, 4, packed)).unwrap()), values, "{dtype:?}");
        }
    }

    #[test]
    fn a_shape_that_disagrees_with_the_bytes_is_refused() {
        let three_bytes = vector(Dtype::F32, 1, vec![0; 3]);
        assert_eq!(fp32_blob(&three_bytes), Err(VectorError::Length { dim: 1, expected: 4, found: 3 }));
        let claims_much = vector(Dtype::F64, u32::MAX, vec![0; 8]);
        assert!(matches!(fp32_blob(&claims_much), Err(VectorError::Length { expected: 34_359_738_360, .. })));
        assert_eq!(fp32_blob(&vector(Dtype::F32, 0, vec![])), Err(VectorError::ZeroDim));
    }

    #[test]
    fn floats_stand_in_for_packed_bytes_and_not_beside_them() {
        let given = Vector { floats: vec![1.0, -2.5], ..Vector::default() };
        assert_eq!(floats(&fp32_blob(&given).unwrap()), [1.0, -2.5]);
        assert!(fp32_blob(&Vector { dim: 2, dtype: Dtype::F32.into(), ..given.clone() }).is_ok());
        let other_dim = Vector { dim: 3, ..given.clone() };
        assert_eq!(fp32_blob(&other_dim), Err(VectorError::Length { dim: 3, expected: 12, found: 8 }));
        assert_eq!(fp32_blob(&Vector { packed: vec![0; 8].into(), ..given.clone() }), Err(VectorError::Twofold));
        assert_eq!(fp32_blob(&Vector { dtype: Dtype::F16.into(), ..given.clone() }), Err(VectorError::Twofold));
        assert_eq!(fp32_blob(&Vector { floats: vec![f32::NAN], ..given }), Err(VectorError::NotFinite(0)));
    }

    #[test]
    fn an_unnamed_or_unknown_dtype_is_refused() {
        assert_eq!(fp32_blob(&vector(Dtype::Unspecified, 1, vec![0; 4])), Err(VectorError::Dtype(0)));
        assert_eq!(fp32_blob(&Vector { dtype: 99, ..f32_vector(&[1.0]) }), Err(VectorError::Dtype(99)));
    }

    #[test]
    fn what_is_not_finite_in_single_precision_is_refused_by_index() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(fp32_blob(&f32_vector(&[0.0, bad])), Err(VectorError::NotFinite(1)));
        }
        let too_large = 1e300_f64.to_le_bytes().to_vec();
        assert_eq!(fp32_blob(&vector(Dtype::F64, 1, too_large)), Err(VectorError::NotFinite(0)));
        let half_nan = f16::NAN.to_le_bytes().to_vec();
        assert_eq!(fp32_blob(&vector(Dtype::F16, 1, half_nan)), Err(VectorError::NotFinite(0)));
    }

    #[test]
    fn attributes_are_a_json_object_or_empty() {
        for good in ["", "{}", r#" {"year": 1980, "tags": ["a"]} "#] {
            assert!(is_attributes(good), "{good}");
        }
        for bad in ["x", "[1]", "3", "{", r#"{"a":}"#, "{} {}", &"{\"a\":".repeat(100_000)] {
            assert!(!is_attributes(bad), "{bad:.20}");
        }
    }

    proptest! {
        #[test]
        fn any_dtype_dim_and_bytes_give_a_blob_of_dim_floats_or_an_error(
            dtype in -1..7_i32, dim in 0..40_u32, packed in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let given = Vector { dtype, dim, packed: packed.into(), floats: vec![] };
            if let Ok(blob) = fp32_blob(&given) {
                prop_assert_eq!(blob.len(), 4 * dim as usize);
                prop_assert!(floats(&blob).iter().all(|component| component.is_finite()));
            }
        }
    }
}
