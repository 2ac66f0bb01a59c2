//! The snapshot format: Redis' RDB encoding as bytes in and out, without I/O.
