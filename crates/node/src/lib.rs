//! One running instance: engine, clock, disk, replica links, and the handle to it.
