//! Curves of queries/s over recall as a picture (SVG): speed on a logarithmic axis, up and to the right is better.

use std::fmt::Write as _;

use crate::stats::CurvePoint;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 520.0;
/// Of the area with the curves: left, top, right, bottom.
const FRAME: [f64; 4] = [80.0, 50.0, 680.0, 440.0];
/// Recall at the left edge.
const RECALL_MIN: f64 = 0.85;

/// Told apart by people who do not see all colours (after Okabe and Ito).
const COLORS: [&str; 8] = ["#d55e00", "#e69f00", "#cc79a7", "#000000", "#0072b2", "#56b4e9", "#009e73", "#7f7f7f"];

/// One contender.
#[derive(Debug)]
pub struct Curve {
    /// In the legend.
    pub name: String,
    /// Drawn bolder.
    pub own: bool,
    /// By ascending effort.
    pub points: Vec<CurvePoint>,
}

/// A picture.
#[derive(Debug)]
pub struct Plot {
    /// Above the curves.
    pub title: String,
    /// Machine and date, below them.
    pub caption: String,
    /// In the order of the legend.
    pub curves: Vec<Curve>,
}

impl Plot {
    /// The picture as a file.
    pub fn svg(&self) -> String {
        let [left, top, right, bottom] = FRAME;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
             font-size=\"13\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
        );
        text(&mut svg, left, top - 20.0, "start", &self.title);
        text(&mut svg, left, HEIGHT - 12.0, "start", &self.caption);
        text(&mut svg, f64::midpoint(left, right), bottom + 40.0, "middle", "recall");
        let scale = self.scale();
        self.grid(&mut svg, scale);
        for (i, curve) in self.curves.iter().enumerate() {
            let color = COLORS[i % COLORS.len()];
            draw(&mut svg, curve, color, scale);
            let y = top + 12.0 + 22.0 * i as f64;
            line(&mut svg, [right + 15.0, y - 4.0, right + 40.0, y - 4.0], color, if curve.own { 3.5 } else { 1.5 });
            text(&mut svg, right + 48.0, y, "start", &curve.name);
        }
        svg.push_str("</svg>\n");
        svg
    }

    /// Lowest and highest speed shown: whole steps of 1, 2 and 5 around the curves.
    fn scale(&self) -> (f64, f64) {
        let speeds = || {
            let points = self.curves.iter().flat_map(|curve| curve.points.iter());
            points.filter(|point| point.recall >= RECALL_MIN).map(|point| point.queries_per_s)
        };
        let low = speeds().fold(f64::INFINITY, f64::min).clamp(1.0, 1e9);
        let high = speeds().fold(low * 2.0, f64::max).clamp(2.0, 1e9);
        let below = ticks().filter(|tick| *tick <= low).last().unwrap_or(1.0);
        (below, ticks().find(|tick| *tick >= high).unwrap_or(1e9))
    }

    fn grid(&self, svg: &mut String, scale: (f64, f64)) {
        let [left, top, right, bottom] = FRAME;
        for tick in ticks().filter(|tick| (scale.0..=scale.1).contains(tick)) {
            let y = y_of(tick, scale);
            line(svg, [left, y, right, y], "#dddddd", 1.0);
            text(svg, left - 8.0, y + 4.0, "end", &format!("{tick}"));
        }
        for recall in [0.85, 0.9, 0.95, 0.99, 1.0] {
            let x = x_of(recall);
            line(svg, [x, top, x, bottom], "#dddddd", 1.0);
            text(svg, x, bottom + 18.0, "middle", &format!("{recall}"));
        }
    }
}

/// 1, 2, 5, 10, 20, 50 and so on.
fn ticks() -> impl Iterator<Item = f64> {
    (0..=9).flat_map(|exponent| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(exponent)))
}

/// The square root spreads what is near one, where the differences are.
fn x_of(recall: f64) -> f64 {
    let [left, _, right, _] = FRAME;
    right - (right - left) * ((1.0 - recall) / (1.0 - RECALL_MIN)).max(0.0).sqrt()
}

fn y_of(speed: f64, (low, high): (f64, f64)) -> f64 {
    let [_, top, _, bottom] = FRAME;
    bottom - (bottom - top) * (speed / low).ln() / (high / low).ln()
}

fn draw(svg: &mut String, curve: &Curve, color: &str, scale: (f64, f64)) {
    let shown = curve.points.iter().filter(|point| point.recall >= RECALL_MIN);
    let places: Vec<(f64, f64)> = shown.map(|point| (x_of(point.recall), y_of(point.queries_per_s, scale))).collect();
    let width = if curve.own { 3.0 } else { 1.5 };
    for pair in places.windows(2) {
        line(svg, [pair[0].0, pair[0].1, pair[1].0, pair[1].1], color, width);
    }
    for (x, y) in places {
        // Writing to a String cannot fail.
        let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{width:.1}\" fill=\"{color}\"/>");
    }
}

fn line(svg: &mut String, [x1, y1, x2, y2]: [f64; 4], color: &str, width: f64) {
    let _ = writeln!(
        svg,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{color}\" stroke-width=\"{width}\"/>"
    );
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, content: &str) {
    let content = content.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{content}</text>");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(recall: f64, queries_per_s: f64) -> CurvePoint {
        CurvePoint { recall, queries_per_s }
    }

    #[test]
    fn faster_is_higher_and_better_recall_is_further_right_inside_the_frame() {
        let curve = Curve { name: "a<b".into(), own: true, points: vec![point(0.9, 30_000.0), point(1.0, 900.0)] };
        let plot = Plot { title: "t".into(), caption: "c".into(), curves: vec![curve] };
        let scale = plot.scale();
        assert_eq!(scale, (500.0, 50_000.0));
        assert!(y_of(30_000.0, scale) < y_of(900.0, scale) && x_of(0.9) < x_of(1.0));
        let [left, top, right, bottom] = FRAME;
        assert!((left..=right).contains(&x_of(0.9)) && (top..=bottom).contains(&y_of(900.0, scale)));
        assert!(plot.svg().contains("a&lt;b"));
    }

    #[test]
    fn a_plot_of_nothing_is_a_picture_too() {
        let plot = Plot { title: String::new(), caption: String::new(), curves: Vec::new() };
        assert!(plot.svg().ends_with("</svg>\n"));
    }
}
