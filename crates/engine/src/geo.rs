//! Geography: places as 52-bit numbers that keep near things near, and distances on a sphere.
//!
//! A place is a cell of a grid over the part of the globe that the Mercator projection shows (EPSG:900913). Halving
//! longitude and latitude in turn gives one bit each (G. Niemeyer's geohash); 26 halvings of both are 52 bits, which a
//! double holds exactly, so that places can be scores of a sorted set and a cell of any size is an interval of scores.
//! Distances are great circles by the haversine formula. Constants and the order of operations are Redis', because
//! replies show the digits that come of them.

pub mod search;

/// Longitudes there are.
pub const LONGITUDE_MAX: f64 = 180.0;
/// Latitudes the projection shows.
pub const LATITUDE_MAX: f64 = 85.051_128_78;

/// Radius of the sphere, in metres.
const EARTH_RADIUS_M: f64 = 6_372_797.560_856;
/// Halvings of both coordinates in a score.
pub(crate) const STEPS_MAX: u32 = 26;

/// A place, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// East is positive.
    pub longitude: f64,
    /// North is positive.
    pub latitude: f64,
}

impl Place {
    /// Whether the grid covers the place.
    pub fn is_covered(&self) -> bool {
        let Self { longitude, latitude } = *self;
        (-LONGITUDE_MAX..=LONGITUDE_MAX).contains(&longitude) && (-LATITUDE_MAX..=LATITUDE_MAX).contains(&latitude)
    }

    /// The score that stands for the place.
    pub fn score(&self) -> f64 {
        Cell::of(*self, STEPS_MAX, LATITUDE_MAX).bits as f64
    }

    /// The middle of the cell a score stands for. Scores that were never a place give some place all the same.
    pub fn of_score(score: f64) -> Self {
        let area = Cell { bits: bits_of(score), steps: STEPS_MAX }.area();
        let middle = |(min, max): (f64, f64), limit: f64| ((min + max) / 2.0).clamp(-limit, limit);
        Self { longitude: middle(area.longitude, LONGITUDE_MAX), latitude: middle(area.latitude, LATITUDE_MAX) }
    }

    /// The eleven characters of the place's geohash as geohash.org writes it, where latitudes go up to the poles.
    pub fn geohash(&self) -> [u8; 11] {
        const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        let bits = Cell::of(*self, STEPS_MAX, 90.0).bits;
        // 52 bits fill ten characters; the eleventh says nothing.
        std::array::from_fn(|i| if i < 10 { ALPHABET[(bits >> (52 - (i + 1) * 5)) as usize & 31] } else { b'0' })
    }

    /// Metres to another place.
    pub fn distance_m(&self, other: Self) -> f64 {
        let (lon_1, lon_2) = (self.longitude.to_radians_as_redis(), other.longitude.to_radians_as_redis());
        let v = ((lon_2 - lon_1) / 2.0).sin();
        if v == 0.0 {
            return latitude_distance_m(self.latitude, other.latitude);
        }
        let (lat_1, lat_2) = (self.latitude.to_radians_as_redis(), other.latitude.to_radians_as_redis());
        let u = ((lat_2 - lat_1) / 2.0).sin();
        let a = u * u + lat_1.cos() * lat_2.cos() * v * v;
        2.0 * EARTH_RADIUS_M * a.sqrt().asin()
    }
}

/// Metres along a meridian.
fn latitude_distance_m(from: f64, to: f64) -> f64 {
    EARTH_RADIUS_M * (to.to_radians_as_redis() - from.to_radians_as_redis()).abs()
}

/// Degrees and radians by one factor, as C code does it: the standard library's own conversions round elsewhere.
trait Angle {
    fn to_radians_as_redis(self) -> f64;
    fn to_degrees_as_redis(self) -> f64;
}

const RADIANS_PER_DEGREE: f64 = std::f64::consts::PI / 180.0;

impl Angle for f64 {
    fn to_radians_as_redis(self) -> f64 {
        self * RADIANS_PER_DEGREE
    }
    fn to_degrees_as_redis(self) -> f64 {
        self / RADIANS_PER_DEGREE
    }
}

/// A cell of the grid: `steps` bits of latitude on the even places of `bits`, as many of longitude on the odd ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) bits: u64,
    pub(crate) steps: u32,
}

/// Smallest and greatest coordinates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Area {
    pub(crate) longitude: (f64, f64),
    pub(crate) latitude: (f64, f64),
}

impl Cell {
    /// The cell around a place, on a grid that ends at some latitude.
    fn of(place: Place, steps: u32, latitude_max: f64) -> Self {
        let cells = (1u64 << steps) as f64;
        let share = |degrees: f64, max: f64| ((degrees - -max) / (max - -max) * cells) as u32;
        let latitude = share(place.latitude, latitude_max);
        let longitude = share(place.longitude, LONGITUDE_MAX);
        Self { bits: spread(latitude) | spread(longitude) << 1, steps }
    }

    /// What the cell covers.
    pub(crate) fn area(self) -> Area {
        let cells = (1u64 << self.steps) as f64;
        let span = |number: u32, max: f64| {
            let edge = |number: f64| -max + number / cells * (max - -max);
            (edge(f64::from(number)), edge(f64::from(number) + 1.0))
        };
        Area { longitude: span(gather(self.bits >> 1), LONGITUDE_MAX), latitude: span(gather(self.bits), LATITUDE_MAX) }
    }

    /// The scores of the places inside: from the first, up to but without the second.
    pub(crate) fn scores(self) -> (f64, f64) {
        let shift = 52 - self.steps * 2;
        ((self.bits << shift) as f64, (self.bits.wrapping_add(1) << shift) as f64)
    }

    /// The cell so many columns east and rows north; the grid goes on at its other side.
    pub(crate) fn moved(self, east: i64, north: i64) -> Self {
        let mask = (1u32 << self.steps) - 1;
        let step = |number: u32, by: i64| if by == 0 { number } else { (i64::from(number) + by) as u32 & mask };
        let (longitude, latitude) = (step(gather(self.bits >> 1), east), step(gather(self.bits), north));
        Self { bits: spread(latitude) | spread(longitude) << 1, steps: self.steps }
    }
}

/// A score as bits, whatever it is: negative ones wrap, as a conversion in C does on the usual machines.
fn bits_of(score: f64) -> u64 {
    const TOO_GREAT: f64 = 18_446_744_073_709_551_616.0;
    if score < TOO_GREAT / 2.0 {
        score as i64 as u64
    } else if score < TOO_GREAT {
        score as u64
    } else {
        0
    }
}

/// Moves the bits of a number to the even places.
fn spread(number: u32) -> u64 {
    let mut bits = u64::from(number);
    for (shift, mask) in [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ] {
        bits = (bits | bits << shift) & mask;
    }
    bits
}

/// The number whose bits are on the even places.
fn gather(bits: u64) -> u32 {
    let mut bits = bits & 0x5555_5555_5555_5555;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff),
    ] {
        bits = (bits | bits >> shift) & mask;
    }
    bits as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Replies of Redis 8.0.2.
    #[test]
    fn palermo_and_catania_are_where_redis_has_them() {
        let palermo = Place { longitude: 13.361389, latitude: 38.115556 };
        let catania = Place { longitude: 15.087269, latitude: 37.502669 };
        assert_eq!(palermo.score(), 3_479_099_956_230_698.0);
        assert_eq!(catania.score(), 3_479_447_370_796_909.0);
        let (palermo, catania) = (Place::of_score(palermo.score()), Place::of_score(catania.score()));
        assert_eq!((palermo.longitude, palermo.latitude), (13.361389338970184, 38.1155563954963));
        assert_eq!(&palermo.geohash(), b"sqc8b49rny0");
        assert_eq!(format!("{:.4}", palermo.distance_m(catania)), "166274.1516");
    }

    proptest! {
        #[test]
        fn bits_spread_and_gather(number: u32) {
            prop_assert_eq!(gather(spread(number)), number);
            prop_assert_eq!(gather(spread(number) << 1), 0);
        }

        #[test]
        fn a_place_is_in_its_cell_and_comes_back_near(longitude in -180.0..180.0f64, latitude in -85.0..85.0f64) {
            let place = Place { longitude, latitude };
            for steps in 1..=STEPS_MAX {
                let cell = Cell::of(place, steps, LATITUDE_MAX);
                let (low, high) = cell.scores();
                prop_assert!((low..high).contains(&place.score()));
                let area = cell.area();
                prop_assert!(area.longitude.0 <= longitude && longitude <= area.longitude.1);
                prop_assert!(area.latitude.0 <= latitude && latitude <= area.latitude.1);
            }
            prop_assert!(Place::of_score(place.score()).distance_m(place) < 1.0);
        }

        #[test]
        fn distances_do_not_depend_on_direction(a in -180.0..180.0f64, b in -85.0..85.0f64, c in -180.0..180.0f64, d in -85.0..85.0f64) {
            let (from, to) = (Place { longitude: a, latitude: b }, Place { longitude: c, latitude: d });
            let there = from.distance_m(to);
            prop_assert!((there - to.distance_m(from)).abs() <= 1e-6 * there.max(1.0));
        }

        #[test]
        fn no_score_is_refused(bits: u64) {
            let score = f64::from_bits(bits);
            prop_assume!(!score.is_nan());
            prop_assert!(Place::of_score(score).is_covered());
        }
    }
}
