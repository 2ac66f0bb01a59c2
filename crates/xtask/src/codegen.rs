//! `codegen`: compiles `proto/` into `crates/grpc/src/generated/`, or checks that what is committed there is current.
//!
//! The generated files are committed so that a build needs neither protoc nor a build script. protox compiles the
//! schemas in Rust; tonic-prost-build turns the descriptors into messages, clients and servers. Beside the code lies the
//! descriptor set that the reflection service serves, without source locations: they would triple it.
//! Does not touch the standard `google.rpc` types: those come from `tonic-types`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use prost::Message as _;

/// The schema files that are compiled, below `proto/`.
const SCHEMAS: &[&str] = &[
    "arrow/flight/protocol/Flight.proto",
    "grpc/health/v1/health.proto",
    "quiver/v1/admin.proto",
    "quiver/v1/cache.proto",
    "quiver/v1/commands.proto",
    "quiver/v1/features.proto",
    "quiver/v1/index.proto",
    "quiver/v1/search.proto",
    "quiver/v1/types.proto",
    "quiver/v1/vectors.proto",
];
/// The files that result, below `crates/grpc/src/generated/`.
const GENERATED: [&str; 4] = ["arrow.flight.protocol.rs", "grpc.health.v1.rs", "quiver.v1.rs", "descriptor.bin"];

/// Writes the generated gRPC code, or with `check` compares it with what is committed.
///
/// # Errors
/// A schema does not compile, a file cannot be written, or (with `check`) a committed file is stale.
pub(crate) fn codegen(check: bool) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let fresh = tempfile::tempdir().context("no temporary folder")?;
    generate(&root.join("proto"), fresh.path())?;
    let committed = root.join("crates/grpc/src/generated");
    for name in GENERATED {
        let (from, to) = (fresh.path().join(name), committed.join(name));
        let new = fs::read(&from).with_context(|| format!("{name} was not generated"))?;
        if check {
            let old = fs::read(&to).unwrap_or_default();
            ensure!(old == new, "{} is not what proto/ generates: run `cargo xtask codegen`", shown(&to));
        } else {
            fs::create_dir_all(&committed)?;
            fs::write(&to, new).with_context(|| format!("cannot write {}", shown(&to)))?;
        }
    }
    Ok(())
}

/// Compiles the schemas found in `protos` and leaves the generated files in `out`.
fn generate(protos: &Path, out: &Path) -> Result<()> {
    let mut compiler = protox::Compiler::new([protos])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(SCHEMAS.iter().map(|name| protos.join(name)))?;
    let mut descriptors = compiler.file_descriptor_set();
    tonic_prost_build::configure()
        .out_dir(out)
        .bytes(".") // ids and packed vectors are slices of the received message, not copies
        .extern_path(".google.rpc", "::tonic_types::pb")
        .emit_rerun_if_changed(false)
        .compile_fds(descriptors.clone())?;
    for file in &mut descriptors.file {
        file.source_code_info = None;
    }
    fs::write(out.join("descriptor.bin"), descriptors.encode_to_vec())?;
    Ok(())
}

/// The path as a developer would type it, relative to the workspace.
fn shown(path: &Path) -> String {
    let path: PathBuf = path.components().skip_while(|part| part.as_os_str() != "crates").collect();
    path.display().to_string()
}
