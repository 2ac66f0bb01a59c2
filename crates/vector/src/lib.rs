//! The vector index: HNSW and flat search as a library with no server in it.
