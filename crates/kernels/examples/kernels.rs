//! Nanoseconds per distance of every table of kernels, in cache: `cargo run --release --example kernels [dim]`.

#![expect(clippy::print_stdout, reason = "the figures are the output")]

use std::hint::black_box;
use std::time::Instant;

use quiver_kernels::available;

const ROUNDS: u32 = 1_000_000;

fn time<T>(name: &str, mut step: impl FnMut() -> T) {
    let start = Instant::now();
    for _ in 0..ROUNDS {
        black_box(step());
    }
    println!("  {name:<12} {:6.1} ns", start.elapsed().as_nanos() as f64 / f64::from(ROUNDS));
}

/// The first `len` elements that start on a cache line, as an index keeps them.
fn aligned<T>(data: &[T], len: usize) -> &[T] {
    &data[data.as_ptr().align_offset(64)..][..len]
}

fn main() {
    let dim = std::env::args().nth(1).and_then(|dim| dim.parse().ok()).unwrap_or(384);
    let (a, b) = (vec![0.5_f32; dim + 16], vec![0.25_f32; dim + 16]);
    let (x, y) = (vec![3_i8; dim + 64], vec![-5_i8; dim + 64]);
    let h = vec![0_u16; dim + 32];
    let h = aligned(&h, dim);
    let (a, b, x, y) = (aligned(&a, dim), aligned(&b, dim), aligned(&x, dim), aligned(&y, dim));
    for kernels in available() {
        println!("{:?}, {dim} dimensions", kernels.isa);
        time("dot_f32", || (kernels.dot_f32)(black_box(a), b));
        time("l2sq_f32", || (kernels.l2sq_f32)(black_box(a), b));
        time("dot_f16", || (kernels.dot_f16)(black_box(a), h));
        time("dot_bf16", || (kernels.dot_bf16)(black_box(a), h));
        time("hamming", || (kernels.hamming)(black_box(&x[..dim / 8]), &y[..dim / 8]));
        time("dot_i8", || (kernels.dot_i8)(black_box(x), y));
        time("dot_i8_x4", || (kernels.dot_i8_x4)(black_box(x), &[y; 4]));
    }
}
