//! Counters over sliding windows: `sum(3600,60)`, `count(3600,60)` and `avg(3600,60)` are features of the last 3600
//! seconds, counted in tiles of 60.
//!
//! FEAT.INCR adds to the tile of an event's time, so late events count where they belong and repeated reads cost nothing
//! but an addition for each tile. The field holds the tiles there are, newest last: number of the tile (its time by its
//! length), events, sum.
//!
//! ```text
//! 28333333:2:7.5 28333334:1:-1
//! ```
//!
//! The window reaches from the tile of the present back by its length: it slides by tiles. Words that are no tiles are
//! passed over, as what somebody else may have written.

use std::fmt::Write as _;

use crate::number::{parse_f64, parse_i64};

/// Most tiles of a window.
const TILES_MAX: i64 = 1024;

/// What is told of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fold {
    Sum,
    Count,
    Average,
}

/// A window and its tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::commands) struct Window {
    pub(super) fold: Fold,
    pub(super) window_s: i64,
    pub(super) tile_s: i64,
}

/// Events of a piece of time.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Tile {
    number: i64,
    events: i64,
    sum: f64,
}

impl Window {
    /// Reads `sum(window,tile)`, both in seconds.
    pub(super) fn parse(word: &[u8]) -> Option<Self> {
        let word = std::str::from_utf8(word).ok()?.strip_suffix(')')?;
        let (fold, numbers) = word.split_once('(')?;
        let fold = match fold.to_ascii_lowercase().as_str() {
            "sum" => Fold::Sum,
            "count" => Fold::Count,
            "avg" => Fold::Average,
            _ => return None,
        };
        let (window, tile) = numbers.split_once(',')?;
        let (window_s, tile_s) = (parse_i64(window.as_bytes())?, parse_i64(tile.as_bytes())?);
        let whole = tile_s > 0 && window_s > 0 && window_s <= 1 << 35 && window_s % tile_s == 0;
        (whole && window_s / tile_s <= TILES_MAX).then_some(Self { fold, window_s, tile_s })
    }

    /// The word that says it.
    pub(super) fn name(self) -> String {
        let fold = match self.fold {
            Fold::Sum => "sum",
            Fold::Count => "count",
            Fold::Average => "avg",
        };
        format!("{fold}({},{})", self.window_s, self.tile_s)
    }

    fn tile_of(self, at_ms: i64) -> i64 {
        at_ms.div_euclid(self.tile_s * 1000)
    }

    /// The number of the first tile of a window that ends with this one.
    fn first_before(self, last: i64) -> i64 {
        last.saturating_sub(self.window_s / self.tile_s - 1)
    }

    /// The field with an event added; as it was when the event is too old for the newest of its tiles.
    pub(super) fn add(self, field: &[u8], at_ms: i64, by: f64) -> Vec<u8> {
        let mut tiles: Vec<Tile> = tiles(field).collect();
        let number = self.tile_of(at_ms);
        match tiles.binary_search_by_key(&number, |tile| tile.number) {
            Ok(at) => {
                tiles[at].events = tiles[at].events.saturating_add(1);
                tiles[at].sum = (tiles[at].sum + by).clamp(f64::MIN, f64::MAX);
            }
            Err(at) => tiles.insert(at, Tile { number, events: 1, sum: by }),
        }
        let first = self.first_before(tiles.last().map_or(0, |tile| tile.number));
        tiles.retain(|tile| tile.number >= first);
        let mut text = String::new();
        for tile in &tiles {
            let gap = if text.is_empty() { "" } else { " " };
            let _ = write!(text, "{gap}{}:{}:{}", tile.number, tile.events, tile.sum);
        }
        text.into_bytes()
    }

    /// What the window that ends now tells; `None` for the average of nothing.
    pub(super) fn tell(self, field: &[u8], now_ms: i64) -> Option<f64> {
        let last = self.tile_of(now_ms);
        let first = self.first_before(last);
        let seen = tiles(field).filter(|tile| (first..=last).contains(&tile.number));
        let (events, sum) = seen.fold((0, 0.0), |(events, sum), tile| (events + tile.events, sum + tile.sum));
        match self.fold {
            Fold::Sum => Some(sum),
            Fold::Count => Some(events as f64),
            Fold::Average => (events > 0).then(|| sum / events as f64),
        }
    }
}

/// The tiles of a field, in order; words that are none, or not in order, are passed over.
fn tiles(field: &[u8]) -> impl Iterator<Item = Tile> {
    let mut last = i64::MIN;
    let words = field.split(|byte| *byte == b' ').take(4 * TILES_MAX as usize);
    words.filter_map(move |word| {
        let mut parts = word.splitn(3, |byte| *byte == b':');
        let (number, events) = (parse_i64(parts.next()?)?, parse_i64(parts.next()?)?);
        let sum = parse_f64(parts.next()?).filter(|sum| sum.is_finite())?;
        let tile = Tile { number, events, sum };
        (number > last && (1..=1 << 53).contains(&events)).then(|| {
            last = number;
            tile
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(word: &str) -> Window {
        Window::parse(word.as_bytes()).unwrap()
    }

    #[test]
    fn windows_are_whole_numbers_of_tiles() {
        for word in ["sum(60,10)", "count(60,60)", "avg(3600,60)"] {
            assert_eq!(window(word).name(), word);
        }
        for word in
            ["sum(60,7)", "sum(60)", "sum(0,1)", "sum(60,0)", "max(60,10)", "sum(9999,1)", "sum(60,-1)", "sum60,1)"]
        {
            assert_eq!(Window::parse(word.as_bytes()), None, "{word}");
        }
    }

    #[test]
    fn events_count_in_their_tiles_however_late() {
        let sum = window("sum(60,10)");
        let mut field = Vec::new();
        for (at_s, by) in [(5, 1.0), (15, 2.0), (55, 4.0), (14, 8.0)] {
            field = sum.add(&field, at_s * 1000, by);
        }
        assert_eq!(field, b"0:1:1 1:2:10 5:1:4");
        assert_eq!(sum.tell(&field, 59_999), Some(15.0));
        assert_eq!(sum.tell(&field, 60_000), Some(14.0));
        assert_eq!(sum.tell(&field, 9_999), Some(1.0), "what is to come does not count");
        assert_eq!(sum.tell(&field, 1_000_000), Some(0.0));
        assert_eq!(window("count(60,10)").tell(&field, 59_999), Some(4.0));
        assert_eq!(window("avg(60,10)").tell(&field, 59_999), Some(3.75));
        assert_eq!(window("avg(60,10)").tell(&field, 1_000_000), None);
        field = sum.add(&field, 300_000, 1.0);
        assert_eq!(field, b"30:1:1");
        assert_eq!(sum.add(&field, 1000, 5.0), field, "too old for the newest");
    }

    #[test]
    fn words_that_are_no_tiles_are_passed_over() {
        let sum = window("sum(60,10)");
        assert_eq!(sum.tell(b"x 1 1:1 1:1:nan 2:0:5 3:1:7 2:1:9 3:1:1 :: ", 59_000), Some(7.0));
        assert!(!sum.add(b"junk", i64::MIN, 1.0).is_empty());
    }
}
