//! Key/value traffic: which key the next request names.

use anyhow::{Result, ensure};

use crate::driver::Traffic;
use crate::reply;
use crate::template::Template;

/// Every number from 0 once, for filling a server.
#[derive(Debug)]
pub struct Fill {
    template: Template,
    next: u64,
    end: u64,
}

impl Fill {
    /// `template` for the numbers `0..count`.
    pub fn new(template: Template, count: u64) -> Self {
        Self { template, next: 0, end: count }
    }
}

impl Traffic for Fill {
    fn request(&mut self, output: &mut Vec<u8>) -> Option<u32> {
        if self.next == self.end {
            return None;
        }
        self.template.render(self.next, output);
        self.next += 1;
        Some(0)
    }

    fn reply(&mut self, _tag: u32, reply: &[u8]) -> Result<()> {
        verify(&self.template, reply)
    }
}

/// Uniformly random keys without end; a share of the requests may come from a second template.
#[derive(Debug)]
pub struct Random {
    templates: Vec<Template>,
    second_per_mille: u64,
    keys: u64,
    state: u64,
}

impl Random {
    /// Only `template`, over keys `0..keys`.
    pub fn new(template: Template, keys: u64) -> Self {
        Self { templates: vec![template], second_per_mille: 0, keys, state: 0x9e37_79b9_7f4a_7c15 }
    }

    /// `per_mille` of 1000 requests from `second`, the rest from `first`.
    pub fn mixed(first: Template, second: Template, per_mille: u64, keys: u64) -> Self {
        Self { templates: vec![first, second], second_per_mille: per_mille, ..Self::new_empty(keys) }
    }

    fn new_empty(keys: u64) -> Self {
        Self { templates: Vec::new(), second_per_mille: 0, keys, state: 0x9e37_79b9_7f4a_7c15 }
    }

    /// SplitMix64 (Steele, Lea, Flood 2014): the same sequence for every server.
    fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Traffic for Random {
    fn request(&mut self, output: &mut Vec<u8>) -> Option<u32> {
        let random = self.next_u64();
        let key = ((u128::from(random) * u128::from(self.keys)) >> 64) as u64;
        // The high bits chose the key, the low ones choose the command.
        let choice = usize::from((random & 0xffff_ffff) % 1000 < self.second_per_mille);
        self.templates[choice].render(key, output);
        Some(choice as u32)
    }

    fn reply(&mut self, tag: u32, reply: &[u8]) -> Result<()> {
        verify(&self.templates[tag as usize], reply)
    }
}

fn verify(template: &Template, reply: &[u8]) -> Result<()> {
    let expect = template.expect;
    ensure!(expect.accepts(reply), "expected {expect:?}, the server answered {}", reply::excerpt(reply));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::Sizes;

    const SIZES: Sizes = Sizes { key: 16, value: 3 };

    #[test]
    fn filling_names_every_key_once() {
        let mut fill = Fill::new(Template::get(SIZES).unwrap(), 3);
        let mut output = Vec::new();
        while fill.request(&mut output).is_some() {}
        let text = String::from_utf8(output).unwrap();
        assert_eq!(text.matches("key:").count(), 3);
        assert!((0..3).all(|number| text.contains(&format!("key:{number:012}"))));
    }

    #[test]
    fn a_mix_holds_its_share_and_its_range() {
        let mut random = Random::mixed(Template::get(SIZES).unwrap(), Template::set(SIZES).unwrap(), 100, 10);
        let mut output = Vec::new();
        let writes = (0..10_000).filter(|_| random.request(&mut output) == Some(1)).count();
        assert!((900..1100).contains(&writes), "{writes}");
        assert!(!String::from_utf8(output).unwrap().contains("key:000000000010"));
    }

    #[test]
    fn a_reply_to_another_command_is_an_error() {
        let mut random = Random::new(Template::get(SIZES).unwrap(), 1);
        assert!(random.reply(0, b"$3\r\nxxx\r\n").is_ok());
        assert!(random.reply(0, b"$-1\r\n").is_err());
    }
}
