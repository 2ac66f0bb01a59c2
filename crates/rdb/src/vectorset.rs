//! The value of a vector set as Redis 8.0 stores it: module type `vectorset`, encoding version 0.
//!
//! The layout was found by observation: sets with known vectors were saved by Redis 8.0.2 and the items compared with
//! what `VINFO`, `VLINKS` and `VEMB` say; payloads made by hand were restored to see what the server insists on.
//! Every number is an unsigned item, every blob a string item:
//!
//! ```text
//! dim                     dimensions of a stored vector (after the projection, if there is one)
//! count                   elements
//! quantisation | m << 8   0 f32, 1 int8, 2 one bit; m is the graph's M (0 is read as 16)
//! flags                   1: a projection follows, 2: elements carry attributes
//! [ input_dim, matrix ]   f32 little-endian, dim rows of input_dim; stored = normalised(matrix x input)
//! count times:
//!   name
//!   [ attributes ]        JSON text, empty if the element has none; present in all elements or in none
//!   vector                the normalised vector, see below
//!   n                     how many numbers follow
//!   id                    1.., unique in the set, never reused; not dense after removals
//!   level                 top level of the node, 0 for most
//!   (level + 1) times, from level 0 up: links, links_max, then `links` ids
//!   norm | range << 32    two f32 by their bits
//! ```
//!
//! - `f32`: dim floats, little-endian. `int8`: dim signed bytes, round(127 x / range) with halves away from zero, where
//!   `range` is the greatest magnitude among the normalised components. One bit: 64-bit words, little-endian, bit
//!   i % 64 of word i / 64 set if x > 0, the last word padded with zeros.
//! - `norm` is the length of the vector before normalisation (after the projection); of the zero vector it is 1.
//! - `range` means something for `int8` only; the other kinds have stray bits there.
//! - `links_max` is 2M on level 0 and M above. Redis 8.0.2 was seen to take any value, to raise smaller ones, and to
//!   ignore numbers between the last level and the end of the `n`, except that the last place is fixed by the levels.
//! - The entry point is not stored: any node of the highest level serves. Elements come newest first, and Redis turns
//!   the order round with each load.
//! - Redis refuses links to ids that are not in the set and duplicate ids. It does not check that links are mutual,
//!   distinct, or of the right level, nor that names are unique; a careful reader must.
//!
//! Deliberately not here: the graph's rules. [`VectorSetReader`] returns elements of the right shape; whoever builds
//! the index checks ids, names and links against each other, and that norms are finite.

use crate::module::{self, ModuleReader, ModuleWriter};
use crate::{Error, Reader, Writer};

/// The id of the module type.
pub const MODULE_ID: u64 = module::id("vectorset", 0);

/// More dimensions than any embedding has; bounds what a damaged header can ask for.
const DIM_MAX: u64 = 1 << 20;
/// The greatest M that `VADD` takes.
const M_MAX: u64 = 4096;
/// What an M of 0 stands for.
const M_DEFAULT: u16 = 16;
/// Levels thin out by a constant factor: no real graph comes near.
const LEVEL_MAX: u64 = 255;
/// Numbers of one element: 256 levels with 4096 links would fit.
const NUMBERS_MAX: u64 = 1 << 21;

const FLAG_PROJECTION: u64 = 1;
const FLAG_ATTRIBUTES: u64 = 2;

/// How the components of the vectors are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantisation {
    /// `NOQUANT`: 4 bytes each.
    F32,
    /// `Q8`: 1 byte each.
    Int8,
    /// `BIN`: 1 bit each.
    Binary,
}

impl Quantisation {
    /// Bytes of a stored vector of `dim` components.
    pub fn vector_len(self, dim: usize) -> usize {
        match self {
            Self::F32 => dim * 4,
            Self::Int8 => dim,
            Self::Binary => dim.div_ceil(64) * 8,
        }
    }

    fn code(self) -> u64 {
        match self {
            Self::F32 => 0,
            Self::Int8 => 1,
            Self::Binary => 2,
        }
    }

    fn from_code(code: u64) -> Option<Self> {
        [Self::F32, Self::Int8, Self::Binary].into_iter().find(|kind| kind.code() == code)
    }
}

/// The head of the value.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorSetHeader {
    /// Components of a stored vector.
    pub dim: usize,
    /// Elements that follow. Only a claim when read: do not allocate for it.
    pub count: u64,
    /// How components are stored.
    pub quantisation: Quantisation,
    /// The graph's M.
    pub m: u16,
    /// Elements carry attributes (empty ones where an element has none).
    pub has_attributes: bool,
    /// The projection applied to incoming vectors (`REDUCE`).
    pub projection: Option<Projection>,
}

/// The random projection of `REDUCE`.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    /// Components of an incoming vector.
    pub input_dim: usize,
    /// `dim` rows of `input_dim` components, row by row.
    pub matrix: Vec<f32>,
}

/// One element; reading refills it so that its allocations last for the whole set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VectorSetElement {
    /// Name, unique in the set.
    pub name: Vec<u8>,
    /// JSON text, empty for none.
    pub attributes: Vec<u8>,
    /// [`Quantisation::vector_len`] bytes.
    pub vector: Vec<u8>,
    /// Node id, from 1.
    pub id: u64,
    /// Length of the vector before normalisation.
    pub norm: f32,
    /// What 127 stands for under [`Quantisation::Int8`], else 0.
    pub range: f32,
    /// Neighbours, level by level.
    pub links: Links,
}

/// Neighbour ids of one node, in one allocation for all levels. A node has at least level 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links {
    ids: Vec<u64>,
    levels: Vec<Level>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Level {
    end: usize,
    max: u64,
}

impl Links {
    /// Adds the next level up, with room for `max` neighbours.
    pub fn push_level(&mut self, ids: impl IntoIterator<Item = u64>, max: u64) {
        self.ids.extend(ids);
        self.levels.push(Level { end: self.ids.len(), max });
    }

    /// The neighbours on each level and the room for them, from level 0 up.
    pub fn levels(&self) -> impl ExactSizeIterator<Item = (&[u64], u64)> {
        (0..self.levels.len()).map(|i| {
            let start = if i == 0 { 0 } else { self.levels[i - 1].end };
            (&self.ids[start..self.levels[i].end], self.levels[i].max)
        })
    }

    /// Forgets all levels.
    pub fn clear(&mut self) {
        self.ids.clear();
        self.levels.clear();
    }
}

/// Appends a vector set: header, elements, end.
#[derive(Debug)]
#[must_use = "a module value must be finished"]
pub struct VectorSetWriter<'w, 'a> {
    items: ModuleWriter<'w, 'a>,
    vector_len: usize,
    has_attributes: bool,
}

impl<'w, 'a> VectorSetWriter<'w, 'a> {
    /// Begins the value; the type byte [`crate::code::MODULE_2`] and the key are already written.
    pub fn begin(writer: &'w mut Writer<'a>, header: &VectorSetHeader) -> Self {
        let mut items = ModuleWriter::begin(writer, MODULE_ID);
        items.unsigned(header.dim as u64);
        items.unsigned(header.count);
        items.unsigned(header.quantisation.code() | u64::from(header.m) << 8);
        let projection = if header.projection.is_some() { FLAG_PROJECTION } else { 0 };
        let attributes = if header.has_attributes { FLAG_ATTRIBUTES } else { 0 };
        items.unsigned(projection | attributes);
        if let Some(projection) = &header.projection {
            assert_eq!(projection.matrix.len(), header.dim * projection.input_dim, "a row per stored component");
            items.unsigned(projection.input_dim as u64);
            let matrix: Vec<u8> = projection.matrix.iter().flat_map(|x| x.to_le_bytes()).collect();
            items.string(&matrix);
        }
        let vector_len = header.quantisation.vector_len(header.dim);
        Self { items, vector_len, has_attributes: header.has_attributes }
    }

    /// Goes on with a value of which header and elements were written before; who does so counts the elements.
    pub fn go_on(writer: &'w mut Writer<'a>, vector_len: usize, has_attributes: bool) -> Self {
        Self { items: ModuleWriter::go_on(writer), vector_len, has_attributes }
    }

    /// Bytes written so far, those from before this value included.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether nothing is written; not so once the value has begun.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next element.
    ///
    /// # Panics
    /// If it does not have the shape that the header announced: the file would not load.
    pub fn element(&mut self, element: &VectorSetElement) {
        assert_eq!(element.vector.len(), self.vector_len, "vectors have the announced dimension");
        assert!(element.id > 0 && !element.links.levels.is_empty(), "a node has an id and level 0");
        self.items.string(&element.name);
        if self.has_attributes {
            self.items.string(&element.attributes);
        }
        self.items.raw_string(&element.vector);
        self.numbers(element);
    }

    /// Ends the value, of which as many elements must have been written as the header announced.
    pub fn finish(self) {
        self.items.finish();
    }

    fn numbers(&mut self, element: &VectorSetElement) {
        let levels = element.links.levels();
        self.items.unsigned((3 + 2 * levels.len() + element.links.ids.len()) as u64);
        self.items.unsigned(element.id);
        self.items.unsigned(levels.len() as u64 - 1);
        for (ids, max) in levels {
            self.items.unsigned(ids.len() as u64);
            self.items.unsigned(max);
            for &id in ids {
                self.items.unsigned(id);
            }
        }
        self.items.unsigned(u64::from(element.norm.to_bits()) | u64::from(element.range.to_bits()) << 32);
    }
}

/// Reads a vector set: header, elements, end.
#[derive(Debug)]
pub struct VectorSetReader<'r, 'a> {
    items: ModuleReader<'r, 'a>,
    header: VectorSetHeader,
    left: u64,
    numbers: Vec<u64>,
}

impl<'r, 'a> VectorSetReader<'r, 'a> {
    /// Begins the value: the type byte and the key are already read.
    ///
    /// # Errors
    /// If it is another module's value, or its header is out of bounds.
    pub fn begin(reader: &'r mut Reader<'a>) -> Result<Self, Error> {
        let (id, items) = ModuleReader::begin(reader)?;
        if id != MODULE_ID {
            return Err(items.invalid("the value belongs to an unknown module or version"));
        }
        Self::after_id(items)
    }

    /// As [`VectorSetReader::begin`], for a caller that has looked at the id itself.
    ///
    /// # Errors
    /// If the header is out of bounds.
    pub fn after_id(mut items: ModuleReader<'r, 'a>) -> Result<Self, Error> {
        let header = read_header(&mut items)?;
        Ok(Self { items, left: header.count, header, numbers: Vec::new() })
    }

    /// The head of the value.
    pub fn header(&self) -> &VectorSetHeader {
        &self.header
    }

    /// Refills `element` with the next one; false, and `element` unchanged, after the last.
    ///
    /// # Errors
    /// If the element is damaged; it is then in an unspecified state.
    pub fn next(&mut self, element: &mut VectorSetElement) -> Result<bool, Error> {
        if self.left == 0 {
            return Ok(false);
        }
        self.left -= 1;
        self.items.string_into(&mut element.name)?;
        element.attributes.clear();
        if self.header.has_attributes {
            self.items.string_into(&mut element.attributes)?;
        }
        self.items.string_into(&mut element.vector)?;
        if element.vector.len() != self.header.quantisation.vector_len(self.header.dim) {
            return Err(self.items.invalid("vector set: a vector has the wrong size"));
        }
        self.read_numbers()?;
        if parse_numbers(&self.numbers, self.header.quantisation, element).is_none() {
            return Err(self.items.invalid("vector set: the links of an element are inconsistent"));
        }
        Ok(true)
    }

    /// Ends the value.
    ///
    /// # Errors
    /// If anything follows the last element.
    ///
    /// # Panics
    /// If elements are left.
    pub fn finish(self) -> Result<(), Error> {
        assert_eq!(self.left, 0, "all elements are read before the end");
        self.items.finish()
    }

    fn read_numbers(&mut self) -> Result<(), Error> {
        let n = self.items.at_most(NUMBERS_MAX, "vector set: an element has too many links")?;
        self.numbers.clear();
        for _ in 0..n {
            self.numbers.push(self.items.unsigned()?);
        }
        Ok(())
    }
}

fn read_header(items: &mut ModuleReader<'_, '_>) -> Result<VectorSetHeader, Error> {
    let dim = items.at_most(DIM_MAX, "vector set: too many dimensions")?;
    let count = items.unsigned()?;
    let kind = items.unsigned()?;
    let flags = items.unsigned()?;
    let quantisation =
        Quantisation::from_code(kind & 0xff).ok_or_else(|| items.invalid("vector set: unknown quantisation"))?;
    let m = match kind >> 8 {
        0 => M_DEFAULT,
        m @ 1..=M_MAX => m as u16,
        _ => return Err(items.invalid("vector set: M is out of range")),
    };
    if dim == 0 || flags > (FLAG_PROJECTION | FLAG_ATTRIBUTES) {
        return Err(items.invalid("vector set: no dimensions or unknown flags"));
    }
    let projection = if flags & FLAG_PROJECTION != 0 { Some(read_projection(items, dim)?) } else { None };
    Ok(VectorSetHeader { dim, count, quantisation, m, has_attributes: flags & FLAG_ATTRIBUTES != 0, projection })
}

fn read_projection(items: &mut ModuleReader<'_, '_>, dim: usize) -> Result<Projection, Error> {
    let input_dim = items.at_most(DIM_MAX, "vector set: too many input dimensions")?;
    let bytes = items.string()?;
    let (floats, rest) = bytes.as_chunks::<4>();
    if input_dim == 0 || !rest.is_empty() || floats.len() != dim * input_dim {
        return Err(items.invalid("vector set: the projection matrix has the wrong size"));
    }
    Ok(Projection { input_dim, matrix: floats.iter().map(|x| f32::from_le_bytes(*x)).collect() })
}

/// Splits the numbers of an element into its fields; none if they do not add up.
fn parse_numbers(numbers: &[u64], quantisation: Quantisation, element: &mut VectorSetElement) -> Option<()> {
    element.links.clear();
    let (&[id, level], mut rest) = numbers.split_first_chunk()?;
    if id == 0 || level > LEVEL_MAX {
        return None;
    }
    element.id = id;
    for _ in 0..=level {
        let (&[count, max], tail) = rest.split_first_chunk()?;
        let (ids, tail) = tail.split_at_checked(usize::try_from(count).ok()?)?;
        element.links.push_level(ids.iter().copied(), max);
        rest = tail;
    }
    let &scales = rest.first()?;
    element.norm = f32::from_bits(scales as u32);
    let has_range = quantisation == Quantisation::Int8;
    element.range = if has_range { f32::from_bits((scales >> 32) as u32) } else { 0.0 };
    Some(())
}
