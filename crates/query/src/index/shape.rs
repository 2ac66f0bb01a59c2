//! Points and polygons in the plane, and how they stand to each other.
//!
//! Shapes come as well-known text, `POINT(x y)` and `POLYGON((x y, ...), (hole), ...)`. Boxes around them are compared
//! first. Edges are straight in longitude and latitude, too, where a field is SPHERICAL: for shapes the size of a country
//! the difference to great circles is small, but it is there.

use std::collections::BTreeMap;

use crate::ast::Relation;
use crate::index::DocId;
use crate::index::clock::Clock;

/// Points of a shape at most: comparing two costs their product.
const POINTS: usize = 4096;

type Point = [f64; 2];

/// A point, or a polygon with its holes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Geometry {
    /// Closed rings, the outer one first; a point is a ring of one.
    pub(crate) rings: Vec<Vec<Point>>,
    low: Point,
    high: Point,
}

/// The shapes of a field.
#[derive(Debug, Default)]
pub(crate) struct ShapeIndex {
    shapes: BTreeMap<DocId, Vec<Geometry>>,
}

impl ShapeIndex {
    /// Gives a document its shapes, or none.
    pub(crate) fn set(&mut self, doc: DocId, shapes: Vec<Geometry>) {
        if shapes.is_empty() {
            self.shapes.remove(&doc);
        } else {
            self.shapes.insert(doc, shapes);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (DocId, &[Geometry])> {
        self.shapes.iter().map(|(doc, shapes)| (*doc, &shapes[..]))
    }

    /// Documents of which a shape stands in a relation to this one.
    pub(crate) fn search(&self, shape: &Geometry, relation: Relation, clock: &Clock<'_>) -> Vec<DocId> {
        let shapes = self.shapes.iter().take_while(|_| clock.tick());
        let related = shapes.filter(|(_, shapes)| shapes.iter().any(|other| other.stands(relation, shape)));
        related.map(|(doc, _)| *doc).collect()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let points = self.shapes.values().flatten().flat_map(|shape| &shape.rings).map(Vec::len).sum::<usize>();
        points * size_of::<Point>() + self.shapes.len() * (size_of::<DocId>() + size_of::<Vec<Geometry>>())
    }
}

impl Geometry {
    /// A shape out of well-known text.
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|_| "Invalid WKT: not UTF-8".to_owned())?.trim();
        let invalid = || format!("Invalid WKT: {}", text.chars().take(64).collect::<String>());
        let (name, rest) = text.split_at(text.find('(').ok_or_else(invalid)?);
        let body = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).ok_or_else(invalid)?;
        let rings = match name.trim().to_ascii_uppercase().as_str() {
            "POINT" => vec![points(body).filter(|points| points.len() == 1).ok_or_else(invalid)?],
            "POLYGON" => {
                let rings = body
                    .split('(')
                    .skip(1)
                    .map(|ring| points(ring.trim_end().trim_end_matches(',').trim_end().strip_suffix(')')?));
                rings.collect::<Option<Vec<_>>>().filter(|rings| !rings.is_empty()).ok_or_else(invalid)?
            }
            _ => return Err(invalid()),
        };
        Self::new(rings).ok_or_else(invalid)
    }

    /// A shape of closed rings; `None` if they are none, or too many points.
    pub(crate) fn new(rings: Vec<Vec<Point>>) -> Option<Self> {
        let all = || rings.iter().flatten();
        let closed = |ring: &Vec<Point>| ring.len() >= 4 && ring.first() == ring.last();
        let point = rings.len() == 1 && rings[0].len() == 1;
        if rings.is_empty() || !(point || rings.iter().all(closed)) || all().count() > POINTS {
            return None;
        }
        if all().flatten().any(|x| !x.is_finite()) {
            return None;
        }
        let (mut low, mut high) = ([f64::INFINITY; 2], [f64::NEG_INFINITY; 2]);
        for point in all() {
            for i in 0..2 {
                (low[i], high[i]) = (low[i].min(point[i]), high[i].max(point[i]));
            }
        }
        Some(Self { rings, low, high })
    }

    /// Whether this stands in a relation to another shape.
    fn stands(&self, relation: Relation, other: &Self) -> bool {
        match relation {
            Relation::Within => other.covers(self),
            Relation::Contains => self.covers(other),
            Relation::Intersects => self.touches(other),
            Relation::Disjoint => !self.touches(other),
        }
    }

    fn touches(&self, other: &Self) -> bool {
        if (0..2).any(|i| self.low[i] > other.high[i] || other.low[i] > self.high[i]) {
            return false;
        }
        self.side(other.rings[0][0]) != Side::Outside
            || other.side(self.rings[0][0]) != Side::Outside
            || self.edges().any(|a| other.edges().any(|b| !crossings(a, b).is_empty()))
    }

    /// Whether no point of another shape lies outside this one.
    fn covers(&self, other: &Self) -> bool {
        if (0..2).any(|i| self.low[i] > other.low[i] || self.high[i] < other.high[i]) {
            return false;
        }
        if other.rings.iter().flatten().any(|point| self.side(*point) == Side::Outside) {
            return false;
        }
        // An edge leaves this shape only where it meets one of its edges: between those places it is in or out.
        let inside = other.edges().all(|edge| {
            let mut places: Vec<f64> = self.edges().flat_map(|own| crossings(edge, own)).chain([0.0, 1.0]).collect();
            places.sort_unstable_by(f64::total_cmp);
            places.windows(2).all(|pair| self.side(between(edge, (pair[0] + pair[1]) / 2.0)) != Side::Outside)
        });
        // A hole of this one may lie within the other without meeting its edges.
        let holes = self.rings.iter().skip(1).flat_map(|ring| ring.windows(2));
        inside && holes.map(|edge| between([edge[0], edge[1]], 0.5)).all(|point| other.side(point) != Side::Inside)
    }

    fn edges(&self) -> impl Iterator<Item = [Point; 2]> + '_ {
        self.rings.iter().flat_map(|ring| ring.windows(2)).map(|pair| [pair[0], pair[1]])
    }

    /// Where a point lies.
    fn side(&self, point: Point) -> Side {
        if let [ring] = &self.rings[..]
            && let [only] = ring[..]
        {
            return if only == point { Side::Edge } else { Side::Outside };
        }
        let mut inside = false;
        for [a, b] in self.edges() {
            if cross(a, b, point) == 0.0 && within_box(a, b, point) {
                return Side::Edge;
            }
            if (a[1] > point[1]) != (b[1] > point[1])
                && point[0] < (b[0] - a[0]) * (point[1] - a[1]) / (b[1] - a[1]) + a[0]
            {
                inside = !inside;
            }
        }
        if inside { Side::Inside } else { Side::Outside }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Inside,
    Edge,
    Outside,
}

fn points(text: &str) -> Option<Vec<Point>> {
    let point = |text: &str| {
        let mut numbers = text.split_ascii_whitespace().map(|number| number.parse::<f64>().ok());
        let point = [numbers.next()??, numbers.next()??];
        numbers.next().is_none().then_some(point)
    };
    text.split(',').map(point).collect()
}

fn between([a, b]: [Point; 2], place: f64) -> Point {
    [a[0] + (b[0] - a[0]) * place, a[1] + (b[1] - a[1]) * place]
}

/// Twice the area of a triangle, positive where it turns left.
fn cross(a: Point, b: Point, c: Point) -> f64 {
    (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
}

fn within_box(a: Point, b: Point, point: Point) -> bool {
    (0..2).all(|i| point[i] >= a[i].min(b[i]) && point[i] <= a[i].max(b[i]))
}

/// Where along `a` it meets `b`, as parts of its length: nowhere, once, or at both ends of what they share.
fn crossings(a: [Point; 2], b: [Point; 2]) -> Vec<f64> {
    let ([p, q], [r, s]) = (a, b);
    let (d1, d2) = (cross(r, s, p), cross(r, s, q));
    let (d3, d4) = (cross(p, q, r), cross(p, q, s));
    if d1 == 0.0 && d2 == 0.0 {
        let ends = [r, s].into_iter().filter(|point| within_box(p, q, *point)).map(|point| along(a, point));
        let own =
            [(p, 0.0), (q, 1.0)].into_iter().filter(|(point, _)| within_box(r, s, *point)).map(|(_, place)| place);
        return ends.chain(own).collect();
    }
    let apart = d1 * d2 > 0.0 || d3 * d4 > 0.0 || d1 == d2;
    if apart { Vec::new() } else { vec![(d1 / (d1 - d2)).clamp(0.0, 1.0)] }
}

fn along([a, b]: [Point; 2], point: Point) -> f64 {
    let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
    let part = if dx.abs() > dy.abs() { (point[0] - a[0]) / dx } else { (point[1] - a[1]) / dy };
    if part.is_finite() { part } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> Geometry {
        Geometry::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn squares_and_points_stand_as_they_look() {
        let large = shape("POLYGON((0 0, 0 10, 10 10, 10 0, 0 0))");
        let small = shape("POLYGON ((2 2, 2 4, 4 4, 4 2, 2 2))");
        let across = shape("POLYGON((8 8, 8 12, 12 12, 12 8, 8 8))");
        let far = shape("POLYGON((20 20, 20 30, 30 30, 30 20, 20 20))");
        let ring = shape("POLYGON((0 0, 0 10, 10 10, 10 0, 0 0), (1 1, 1 5, 5 5, 5 1, 1 1))");
        let point = shape("POINT(3 3)");
        assert!(small.stands(Relation::Within, &large) && large.stands(Relation::Contains, &small));
        assert!(!large.stands(Relation::Within, &small) && !across.stands(Relation::Within, &large));
        assert!(across.stands(Relation::Intersects, &large) && far.stands(Relation::Disjoint, &large));
        assert!(small.stands(Relation::Intersects, &large) && large.stands(Relation::Intersects, &small));
        assert!(point.stands(Relation::Within, &large) && !point.stands(Relation::Within, &ring));
        assert!(!small.stands(Relation::Within, &ring) && small.stands(Relation::Disjoint, &ring));
        assert!(large.stands(Relation::Within, &large) && !large.stands(Relation::Within, &ring));
    }

    #[test]
    fn what_is_no_shape_is_refused() {
        for text in ["", "POINT", "POINT(1)", "POINT(1 2 3)", "POLYGON((0 0, 1 1, 0 0))", "LINE(0 0)", "POINT(1 nan)"] {
            assert!(Geometry::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
