//! The Python package quiverdb: client and in-process index.
