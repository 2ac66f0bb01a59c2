//! Compact encodings of hashes in files of old servers: ziplists (Redis 2.6 to 6.2) and zipmaps (before 2.6). Read only.
//!
//! ```text
//! ziplist: total bytes u32 LE | last entry's offset u32 LE | entries u16 LE (65535: count them) | entry ... | 0xff
//! entry:   bytes of the entry before (1, or 0xfe and 4 LE) | encoding | data
//! zipmap:  fields (254 and more: count them) | field length | field | value length | free bytes u8 | value | free ... | 0xff
//! length:  1 byte below 254, or 254 and 4 bytes LE
//! ```

use quiver_structures::listpack::Item;

const END: u8 = 0xff;

/// The elements of a ziplist; `None` when the bytes are not one.
pub(in crate::types) fn ziplist_items(bytes: &[u8]) -> Option<Vec<Item<'_>>> {
    let mut rest = bytes;
    let total = u32::from_le_bytes(take(&mut rest)?);
    let _tail = u32::from_le_bytes(take(&mut rest)?);
    let count = u16::from_le_bytes(take(&mut rest)?);
    if total as usize != bytes.len() {
        return None;
    }
    let mut items = Vec::new();
    while *rest.first()? != END {
        skip_back_link(&mut rest)?;
        items.push(ziplist_item(&mut rest)?);
    }
    let counted = count == u16::MAX || usize::from(count) == items.len();
    (rest.len() == 1 && counted).then_some(items)
}

/// Fields and values of a zipmap in turn; `None` when the bytes are not one.
pub(super) fn zipmap_items(bytes: &[u8]) -> Option<Vec<Item<'_>>> {
    let (&count, mut rest) = bytes.split_first()?;
    let mut items = Vec::new();
    while *rest.first()? != END {
        let len = zipmap_len(&mut rest)?;
        items.push(Item::Str(rest.split_off(..len)?));
        let len = zipmap_len(&mut rest)?;
        let [free] = take(&mut rest)?;
        items.push(Item::Str(rest.split_off(..len)?));
        rest.split_off(..usize::from(free))?;
    }
    let counted = count >= 254 || usize::from(count) * 2 == items.len();
    (rest.len() == 1 && counted).then_some(items)
}

fn skip_back_link(rest: &mut &[u8]) -> Option<()> {
    let [first] = take(rest)?;
    if first == 0xfe {
        take::<4>(rest)?;
    }
    Some(())
}

fn ziplist_item<'a>(rest: &mut &'a [u8]) -> Option<Item<'a>> {
    let [first] = take(rest)?;
    let int = match first {
        0x00..0x40 => return string(rest, usize::from(first & 0x3f)),
        0x40..0x80 => {
            let [low] = take(rest)?;
            return string(rest, usize::from(first & 0x3f) << 8 | usize::from(low));
        }
        0x80 => {
            let len = u32::from_be_bytes(take(rest)?);
            return string(rest, len as usize);
        }
        0xc0 => i16::from_le_bytes(take(rest)?).into(),
        0xd0 => i32::from_le_bytes(take(rest)?).into(),
        0xe0 => i64::from_le_bytes(take(rest)?),
        0xf0 => {
            let [a, b, c] = take(rest)?;
            (i32::from_le_bytes([0, a, b, c]) >> 8).into()
        }
        0xfe => i8::from_le_bytes(take(rest)?).into(),
        0xf1..=0xfd => i64::from(first & 0x0f) - 1,
        _ => return None,
    };
    Some(Item::Int(int))
}

fn zipmap_len(rest: &mut &[u8]) -> Option<usize> {
    match take(rest)? {
        [254] => Some(u32::from_le_bytes(take(rest)?) as usize),
        [255] => None,
        [len] => Some(len.into()),
    }
}

fn string<'a>(rest: &mut &'a [u8], len: usize) -> Option<Item<'a>> {
    rest.split_off(..len).map(Item::Str)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*head)
}
