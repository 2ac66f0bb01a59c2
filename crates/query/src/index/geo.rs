//! Points on the globe, found by latitude: within a distance, points lie in a band of it, and what is in the band is
//! measured.

use crate::ast::End;
use crate::index::DocId;
use crate::index::sorted::{Column, Range, Sorted};

/// Metres; the one GEODIST uses.
const EARTH_RADIUS: f64 = 6_372_797.560_856;
/// Degrees of longitude and latitude a point may have; as for GEOADD.
pub(crate) const LONGITUDE_MAX: f64 = 180.0;
pub(crate) const LATITUDE_MAX: f64 = 85.051_128_78;

/// The points of a GEO field, as longitude and latitude.
#[derive(Debug, Default)]
pub(crate) struct GeoIndex {
    latitudes: Sorted,
    points: Column<[f64; 2]>,
}

/// A circle on the globe.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circle {
    pub(crate) center: [f64; 2],
    pub(crate) radius_m: f64,
}

impl Circle {
    fn band(&self) -> Range {
        // A little wider than the circle, so that rounding loses nothing: all in it is measured.
        let half = (self.radius_m / EARTH_RADIUS).to_degrees() * (1.0 + 1e-9) + 1e-9;
        let end = |value| End { value, exclusive: false };
        Range { min: end(self.center[1] - half), max: end(self.center[1] + half) }
    }

    /// Whether a point lies within.
    pub(crate) fn contains(&self, point: [f64; 2]) -> bool {
        distance_m(self.center, point) <= self.radius_m
    }
}

/// Metres between two points, by the haversine formula.
pub(crate) fn distance_m(a: [f64; 2], b: [f64; 2]) -> f64 {
    let [longitude_a, latitude_a] = a.map(f64::to_radians);
    let [longitude_b, latitude_b] = b.map(f64::to_radians);
    let u = ((latitude_b - latitude_a) / 2.0).sin();
    let v = ((longitude_b - longitude_a) / 2.0).sin();
    2.0 * EARTH_RADIUS * (u * u + latitude_a.cos() * latitude_b.cos() * v * v).sqrt().min(1.0).asin()
}

impl GeoIndex {
    /// Gives a document its points, or none.
    pub(crate) fn set(&mut self, doc: DocId, points: &[[f64; 2]]) {
        let before: Vec<_> = self.points.values(doc).collect();
        for point in before {
            self.latitudes.remove(point[1], doc);
        }
        for point in points {
            self.latitudes.insert(point[1], doc);
        }
        self.points.set(doc, points);
    }

    pub(crate) fn points(&self, doc: DocId) -> impl Iterator<Item = [f64; 2]> + '_ {
        self.points.values(doc)
    }

    /// Documents a circle may hold, at most.
    pub(crate) fn count(&self, circle: Circle) -> usize {
        self.latitudes.count(circle.band())
    }

    /// Whether one of a document's points lies within.
    pub(crate) fn matches(&self, doc: DocId, circle: Circle) -> bool {
        self.points.values(doc).any(|point| circle.contains(point))
    }

    /// Calls `take` with documents that may lie within, of which [`Self::matches`] tells those that do.
    pub(crate) fn read(&self, circle: Circle, take: impl FnMut(&[DocId]) -> bool) {
        self.latitudes.read(circle.band(), take);
    }

    /// Points there are.
    pub(crate) fn len(&self) -> usize {
        self.latitudes.len()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.latitudes.memory_bytes() + self.points.memory_bytes()
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        self.latitudes.check()?;
        for (latitude, doc) in self.latitudes.iter() {
            if !self.points.values(doc).any(|point| point[1] == latitude) {
                return Err(format!("document {doc} has no point at latitude {latitude}"));
            }
        }
        Ok(())
    }
}

/// The numbers of a NUMERIC field.
#[derive(Debug, Default)]
pub(crate) struct NumericIndex {
    order: Sorted,
    values: Column<f64>,
}

impl NumericIndex {
    /// Gives a document its numbers, or none. `indexed`: whether ranges will find them.
    pub(crate) fn set(&mut self, doc: DocId, values: &[f64], indexed: bool) {
        if self.values.values(doc).eq(values.iter().copied()) {
            return;
        }
        if indexed {
            let before: Vec<f64> = self.values.values(doc).collect();
            for value in before {
                self.order.remove(value, doc);
            }
            for &value in values {
                self.order.insert(value, doc);
            }
        }
        self.values.set(doc, values);
    }

    /// Gives many documents their numbers, in an index that has none.
    pub(crate) fn restore(&mut self, columns: &[(DocId, Vec<f64>)], indexed: bool) {
        if indexed {
            let pairs = columns.iter().flat_map(|(doc, values)| values.iter().map(|value| (*value, *doc)));
            self.order = Sorted::from_pairs(pairs.collect());
        }
        for (doc, values) in columns {
            self.values.set(*doc, values);
        }
    }

    pub(crate) fn first(&self, doc: DocId) -> Option<f64> {
        self.values.first(doc)
    }

    pub(crate) fn values(&self, doc: DocId) -> impl Iterator<Item = f64> + '_ {
        self.values.values(doc)
    }

    pub(crate) fn matches(&self, doc: DocId, range: Range) -> bool {
        self.values.values(doc).any(|value| range.contains(value))
    }

    pub(crate) fn order(&self) -> &Sorted {
        &self.order
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.order.memory_bytes() + self.values.memory_bytes()
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        self.order.check()?;
        match self.order.iter().find(|(value, doc)| !self.values.values(*doc).any(|other| other == *value)) {
            Some((value, doc)) => Err(format!("document {doc} has no number {value}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_geodist() {
        let (palermo, catania) = ([13.361389, 38.115556], [15.087269, 37.502669]);
        assert!((distance_m(palermo, catania) - 166_274.15).abs() < 0.5);
    }

    #[test]
    fn a_circle_holds_what_is_near_on_both_sides_of_the_date_line() {
        let mut index = GeoIndex::default();
        index.set(1, &[[179.9, 0.0]]);
        index.set(2, &[[-179.9, 0.0], [10.0, 50.0]]);
        index.set(3, &[[170.0, 0.0]]);
        let circle = Circle { center: [180.0, 0.0], radius_m: 20_000.0 };
        let mut found: Vec<DocId> = Vec::new();
        index.read(circle, |docs| {
            found.extend(docs.iter().filter(|doc| index.matches(**doc, circle)));
            true
        });
        found.sort_unstable();
        assert_eq!(found, [1, 2]);
        index.set(2, &[]);
        assert_eq!((index.len(), index.check()), (2, Ok(())));
    }
}
