//! Data structures of the keyspace: entry table, listpack, lock stripes.
