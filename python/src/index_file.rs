//! An index in a file of its own: every element with its name, vector and links.
//!
//! | part | bytes |
//! |---|---|
//! | magic and version | `QVINDEX\x01` |
//! | metric, storage | 1 each, as numbered below |
//! | dim, m, ef_construction, elements | u32 each |
//! | per element | slot u32, norm f32, name (u32 length, UTF-8), levels u8, per level count u32 and slots u32; vector |
//! | vector | f32 x dim; or scale f32, i8 x dim |
//! | CRC-64/NVME of all before | u64 |
//!
//! Little-endian throughout. Written under a temporary name and renamed, so that a crash leaves the old file. A file
//! is believed only as far as its checksum and [`Hnsw::from_nodes`] go; no length in it is allocated unread.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crc_fast::{CrcAlgorithm, Digest};
use quiver_vector::{Hnsw, Metric, Node, NodeVector, Params, Slot, Storage};

use crate::index::Named;

const MAGIC: &[u8; 8] = b"QVINDEX\x01";

/// Why an index could not be written or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Corrupt(String),
}

/// Writes `named` to `path`, all or nothing.
pub(crate) fn save(named: &Named, path: &Path) -> Result<(), FileError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let written = write(named, Path::new(&temporary)).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        let _already_failed = std::fs::remove_file(&temporary);
    }
    Ok(written?)
}

fn write(named: &Named, path: &Path) -> std::io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
    let mut bytes = MAGIC.to_vec();
    write_params(named.graph.params(), named.graph.len(), &mut bytes);
    for slot in named.graph.live_slots() {
        let node = named.graph.node(slot).expect("a live slot has a node");
        let name = named.names[slot as usize].as_deref().expect("a live slot has a name");
        write_node(&node, name, &mut bytes);
        digest.update(&bytes);
        out.write_all(&bytes)?;
        bytes.clear();
    }
    digest.update(&bytes); // The header of an empty index.
    out.write_all(&bytes)?;
    out.write_all(&digest.finalize().to_le_bytes())?;
    out.into_inner()?.sync_all()
}

fn write_params(params: &Params, elements: usize, out: &mut Vec<u8>) {
    out.push(match params.metric {
        Metric::Cosine => 0,
        Metric::InnerProduct => 1,
        Metric::L2 => 2,
    });
    out.push(match params.storage {
        Storage::F32 => 0,
        Storage::I8 => 1,
        Storage::F16 => 2,
        Storage::Bf16 => 3,
        Storage::Binary => 4,
    });
    for value in [params.dim, params.m, params.ef_construction, elements] {
        out.extend(u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
    }
}

fn write_node(node: &Node<'_>, name: &str, out: &mut Vec<u8>) {
    out.extend(node.slot.to_le_bytes());
    out.extend(node.norm.to_le_bytes());
    out.extend((name.len() as u32).to_le_bytes());
    out.extend(name.as_bytes());
    out.push(node.links.len() as u8);
    for level in &node.links {
        out.extend((level.len() as u32).to_le_bytes());
        out.extend(level.iter().flat_map(|link| link.to_le_bytes()));
    }
    match &node.vector {
        NodeVector::F32(vector) => out.extend(vector.iter().flat_map(|value| value.to_le_bytes())),
        NodeVector::I8 { scale, code } => {
            out.extend(scale.to_le_bytes());
            out.extend(code.iter().map(|value| value.cast_unsigned()));
        }
        NodeVector::Bits(bits) => out.extend_from_slice(bits),
    }
}

/// Reads what [`save`] wrote.
pub(crate) fn load(path: &Path) -> Result<Named, FileError> {
    let bytes = std::fs::read(path)?;
    let (body, checksum) = bytes.split_last_chunk::<8>().ok_or_else(|| corrupt("not an index"))?;
    let body = body.strip_prefix(MAGIC).ok_or_else(|| corrupt("not an index"))?;
    let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
    digest.update(MAGIC);
    digest.update(body);
    if digest.finalize() != u64::from_le_bytes(*checksum) {
        return Err(corrupt("wrong checksum"));
    }
    let mut input = Input(body);
    let (params, elements) = read_params(&mut input)?;
    let (mut nodes, mut names, mut slots) = (Vec::new(), Vec::new(), HashMap::new());
    for _ in 0..elements {
        let (node, name) = read_node(&mut input, &params)?;
        if slots.insert(name.clone(), node.slot).is_some() {
            return Err(corrupt("two elements of one name"));
        }
        names.push((node.slot, name));
        nodes.push(node);
    }
    if !input.0.is_empty() {
        return Err(corrupt("bytes behind the last element"));
    }
    let graph = Hnsw::from_nodes(params, nodes).map_err(|error| FileError::Corrupt(error.to_string()))?;
    let mut by_slot = vec![None; graph.slots()];
    for (slot, name) in names {
        by_slot[slot as usize] = Some(name);
    }
    Ok(Named { graph, names: by_slot, slots })
}

fn read_params(input: &mut Input<'_>) -> Result<(Params, u32), FileError> {
    let metric = match input.u8()? {
        0 => Metric::Cosine,
        1 => Metric::InnerProduct,
        2 => Metric::L2,
        _ => return Err(corrupt("unknown metric")),
    };
    let storage = match input.u8()? {
        0 => Storage::F32,
        1 => Storage::I8,
        2 => Storage::F16,
        3 => Storage::Bf16,
        4 => Storage::Binary,
        _ => return Err(corrupt("unknown storage")),
    };
    let [dim, m, ef_construction] = [input.u32()? as usize, input.u32()? as usize, input.u32()? as usize];
    Ok((Params { dim, metric, storage, m, ef_construction }, input.u32()?))
}

fn read_node<'a>(input: &mut Input<'a>, params: &Params) -> Result<(Node<'a>, Box<str>), FileError> {
    let (slot, norm) = (input.u32()?, input.f32()?);
    let name_len = input.u32()? as usize;
    let name = std::str::from_utf8(input.take(name_len)?).map_err(|_| corrupt("a name is not UTF-8"))?;
    let mut links = Vec::new();
    for _ in 0..input.u8()? {
        let count = input.u32()? as usize;
        let level: Vec<Slot> = input.words(count)?.map(u32::from_le_bytes).collect();
        links.push(Cow::Owned(level));
    }
    let vector = match params.storage {
        // Halves come back exactly from the floats they are.
        Storage::F32 | Storage::F16 | Storage::Bf16 => {
            NodeVector::F32(Cow::Owned(input.words(params.dim)?.map(f32::from_le_bytes).collect()))
        }
        Storage::I8 => {
            let scale = input.f32()?;
            let code = input.take(params.dim)?.iter().map(|byte| byte.cast_signed()).collect();
            NodeVector::I8 { scale, code: Cow::Owned(code) }
        }
        Storage::Binary => NodeVector::Bits(Cow::Borrowed(input.take(params.dim.div_ceil(8))?)),
    };
    Ok((Node { slot, norm, vector, links }, name.into()))
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], FileError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or_else(|| corrupt("ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// The next `count` groups of four bytes.
    fn words(&mut self, count: usize) -> Result<impl Iterator<Item = [u8; 4]> + use<'a>, FileError> {
        let bytes = self.take(count.checked_mul(4).ok_or_else(|| corrupt("ends too early"))?)?;
        Ok(bytes.as_chunks::<4>().0.iter().copied())
    }

    fn u8(&mut self) -> Result<u8, FileError> {
        Ok(self.take(1)?[0])
    }

    fn u32(&mut self) -> Result<u32, FileError> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into().expect("four bytes were taken")))
    }

    fn f32(&mut self) -> Result<f32, FileError> {
        self.u32().map(f32::from_bits)
    }
}

fn corrupt(why: &str) -> FileError {
    FileError::Corrupt(why.to_owned())
}
