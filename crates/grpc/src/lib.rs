//! The gRPC embeddings API.
