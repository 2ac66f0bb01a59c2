//! Replication as a state machine: bytes and time in, bytes and actions out.
