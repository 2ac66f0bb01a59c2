//! The deterministic engine: keyspace, types, command table, sessions.
