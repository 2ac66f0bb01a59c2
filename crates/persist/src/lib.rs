//! Snapshots on disk: written, verified and loaded.
