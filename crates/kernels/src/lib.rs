//! Distances between vectors: SIMD kernels, each with a scalar twin.
