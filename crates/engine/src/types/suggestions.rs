//! Suggestions: the dictionaries of FT.SUGADD, saved as RediSearch saves them.

use quiver_query::suggest;
use quiver_rdb::module::{self, ModuleReader, ModuleWriter};
use quiver_rdb::{Reader, Writer, code};

use crate::codec;
use crate::digest::Digest;
use crate::object::{Collection, Object, in_object};

/// The type's id in RDB files.
pub const MODULE_ID: u64 = module::id("trietype0", 1);

/// Completions with their scores.
#[derive(Clone, Debug, Default)]
pub struct Suggestions(pub suggest::Suggestions);

impl Collection for Suggestions {
    const TYPE_NAME: &'static str = "trietype0";
    const MODULE_ID: Option<u64> = Some(MODULE_ID);

    fn encoding(&self) -> &'static str {
        "raw"
    }
    fn memory_bytes(&self) -> usize {
        /// An entry with its folded text, in a tree.
        const ENTRY_BYTES: usize = 96;
        self.0.iter().map(|(text, _, payload)| ENTRY_BYTES + text.len() * 2 + payload.map_or(0, <[u8]>::len)).sum()
    }
    fn len(&self) -> usize {
        self.0.len()
    }
    fn duplicate(&self) -> Self {
        self.clone()
    }
    fn digest(&self) -> Digest {
        let mut sum = Digest::of(&[b"suggestions"]);
        for (text, score, payload) in self.0.iter() {
            sum.add(Digest::of(&[text, &score.to_le_bytes(), payload.unwrap_or_default()]));
        }
        sum
    }
    fn rdb_kind(&self) -> u8 {
        code::MODULE_2
    }
    fn write_part(&self, writer: &mut Writer<'_>, _: &mut usize, _: usize) -> bool {
        let mut items = ModuleWriter::begin(writer, MODULE_ID);
        items.unsigned(self.0.len() as u64);
        for (text, score, payload) in self.0.iter() {
            // Strings end with a NUL there.
            items.string(&[text, b"\0"].concat());
            items.double(f64::from(score));
            items.string(&[payload.unwrap_or_default(), b"\0"].concat());
        }
        items.finish();
        true
    }
    fn reads(kind: u8) -> bool {
        kind == code::MODULE_2
    }
    fn read(reader: &mut Reader<'_>, _: u8) -> codec::Result<Self> {
        let (_, mut items) = ModuleReader::begin(reader)?;
        let mut suggestions = suggest::Suggestions::default();
        for _ in 0..items.unsigned()? {
            let (text, score, payload) = (items.string()?, items.double()?, items.string()?);
            let (Some((0, text)), Some((0, payload)), true) =
                (text.split_last(), payload.split_last(), score.is_finite())
            else {
                return Err(items.invalid("suggestion that is none"));
            };
            suggestions.add(text, score as f32, false, (!payload.is_empty()).then_some(payload));
        }
        items.finish()?;
        Ok(Self(suggestions))
    }
    in_object!(Suggestions);
}
