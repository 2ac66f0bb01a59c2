//! Load generator and vector benchmark, for Quiver and its peers in the same run.
