//! Project chores: test, demo, codegen, tidy, datasets.

fn main() {}
