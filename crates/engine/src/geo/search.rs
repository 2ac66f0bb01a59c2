//! Which cells of the grid a search has to look into, and which places it finds there.
//!
//! The shape is covered by the cell around its middle and the eight cells around that one, at a size where those are
//! enough. Cells that the shape's bounding box does not touch are left out.

use super::{Angle, Area, Cell, EARTH_RADIUS_M, LATITUDE_MAX, Place, STEPS_MAX, latitude_distance_m};

/// Half the circumference of the projection, in metres.
const MERCATOR_MAX: f64 = 20_037_726.37;

/// What is searched, around a middle; lengths in metres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// A circle.
    Circle {
        /// Its radius.
        radius: f64,
    },
    /// A box along the meridians.
    Box {
        /// From west to east.
        width: f64,
        /// From south to north.
        height: f64,
    },
}

/// A shape at its place.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// The middle.
    pub centre: Place,
    /// The shape.
    pub shape: Shape,
}

impl Search {
    /// Metres from the middle to a place inside; `None` when it is outside.
    pub fn distance_within(&self, place: Place) -> Option<f64> {
        match self.shape {
            Shape::Circle { radius } => Some(self.centre.distance_m(place)).filter(|distance| *distance <= radius),
            Shape::Box { width, height } => {
                if latitude_distance_m(place.latitude, self.centre.latitude) > height / 2.0 {
                    return None;
                }
                let beside = Place { longitude: self.centre.longitude, latitude: place.latitude };
                if place.distance_m(beside) > width / 2.0 {
                    return None;
                }
                Some(self.centre.distance_m(place))
            }
        }
    }

    /// The intervals of scores to look into, each from the first up to but without the second. Together they cover the
    /// shape, and no score is in two of them.
    pub fn scores(&self) -> Vec<(f64, f64)> {
        let bounds = self.bounds();
        let mut steps = self.steps();
        let mut cell = Cell::of(self.centre, steps, LATITUDE_MAX);
        if steps > 1 && !reaches(cell, &bounds) {
            steps -= 1;
            cell = Cell::of(self.centre, steps, LATITUDE_MAX);
        }
        let area = cell.area();
        // Where the middle cell itself ends outside of the box, nothing beyond that side is in it.
        let trim = steps >= 2;
        let (south, north) = (trim && area.latitude.0 < bounds.latitude.0, trim && area.latitude.1 > bounds.latitude.1);
        let (west, east) =
            (trim && area.longitude.0 < bounds.longitude.0, trim && area.longitude.1 > bounds.longitude.1);
        let around = [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];
        let mut cells: Vec<Cell> = Vec::new();
        for (x, y) in around {
            if x < 0 && west || x > 0 && east || y < 0 && south || y > 0 && north {
                continue;
            }
            let near = cell.moved(x, y);
            // Large cells meet themselves around the globe.
            if !cells.contains(&near) {
                cells.push(near);
            }
        }
        cells.into_iter().map(Cell::scores).collect()
    }

    /// The least box along the meridians that holds the shape.
    fn bounds(&self) -> Area {
        let (half_width, half_height) = match self.shape {
            Shape::Circle { radius } => (radius, radius),
            Shape::Box { width, height } => (width / 2.0, height / 2.0),
        };
        let Place { longitude, latitude } = self.centre;
        let latitude_delta = (half_height / EARTH_RADIUS_M).to_degrees_as_redis();
        // Meridians are closest to each other on the side of the nearer pole.
        let edge = if latitude < 0.0 { latitude - latitude_delta } else { latitude + latitude_delta };
        let longitude_delta = (half_width / EARTH_RADIUS_M / edge.to_radians_as_redis().cos()).to_degrees_as_redis();
        Area {
            longitude: (longitude - longitude_delta, longitude + longitude_delta),
            latitude: (latitude - latitude_delta, latitude + latitude_delta),
        }
    }

    /// How often to halve the globe for cells about as large as the shape.
    fn steps(&self) -> u32 {
        let mut range = match self.shape {
            Shape::Circle { radius } => radius,
            Shape::Box { width, height } => ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt(),
        };
        if range == 0.0 {
            return STEPS_MAX;
        }
        let mut steps = 1i32;
        while range < MERCATOR_MAX {
            range *= 2.0;
            steps += 1;
        }
        // The range has to fit into the cells around in most cases.
        steps -= 2;
        // Towards the poles cells are narrower than they seem.
        let latitude = self.centre.latitude.abs();
        steps -= i32::from(latitude > 66.0) + i32::from(latitude > 80.0);
        steps.clamp(1, STEPS_MAX as i32) as u32
    }
}

/// Whether the cells around a cell go as far as the box on all sides.
fn reaches(cell: Cell, bounds: &Area) -> bool {
    let (north, south) = (cell.moved(0, 1).area(), cell.moved(0, -1).area());
    let (east, west) = (cell.moved(1, 0).area(), cell.moved(-1, 0).area());
    north.latitude.1 >= bounds.latitude.1
        && south.latitude.0 <= bounds.latitude.0
        && east.longitude.1 >= bounds.longitude.1
        && west.longitude.0 <= bounds.longitude.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_inside_is_in_exactly_one_interval(
            lon in -179.0..179.0f64, lat in -84.0..84.0f64, size in 0.0..7.0f64, is_box: bool,
            x in -1.0..1.0f64, y in -1.0..1.0f64,
        ) {
            let centre = Place { longitude: lon, latitude: lat };
            let size = 10f64.powf(size);
            let shape = if is_box { Shape::Box { width: size, height: size } } else { Shape::Circle { radius: size } };
            let search = Search { centre, shape };
            let degrees = size / 111_000.0;
            // Shapes that reach around the globe or over a pole find less than all, in Redis too.
            prop_assume!(lat.abs() + degrees < 80.0 && lon.abs() + degrees * 6.0 < 180.0);
            let place = Place { longitude: lon + x * degrees * 6.0, latitude: lat + y * degrees };
            prop_assume!(place.is_covered());
            let (found, score) = (Place::of_score(place.score()), place.score());
            let hits = search.scores().iter().filter(|(low, high)| (*low..*high).contains(&score)).count();
            prop_assert!(hits <= 1);
            if search.distance_within(found).is_some() {
                prop_assert_eq!(hits, 1);
            }
        }
    }
}
