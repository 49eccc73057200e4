//! A small plot as SVG: lines through points over two axes that begin at zero, each with its label. Pure.

use std::fmt::Write as _;

/// Points of one kind, in the order of their abscissae.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    pub label: String,
    pub points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 60.0;

/// Steps of the upright axis, about.
const STEPS: f64 = 5.0;

/// More points than these are drawn as a line alone, and more abscissae are not marked one by one.
const DOTS_MAX: usize = 24;

/// Told apart by most eyes, also by those that see no red or green.
const COLORS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/// Draws the lines under a title; `axes` names the level axis and the upright one.
pub fn plot(title: &str, axes: (&str, &str), lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| &line.points);
    let frame = Frame::around(points());
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    text(&mut svg, (WIDTH / 2.0, TOP / 2.0), "middle", title);
    text(&mut svg, (frame.x(frame.right / 2.0), HEIGHT - 15.0), "middle", axes.0);
    text(&mut svg, (LEFT, TOP - 10.0), "end", axes.1);
    let mut level = 0.0;
    while level <= frame.top * 1.0001 {
        stroke(&mut svg, &[(0.0, level), (frame.right, level)].map(|at| frame.at(at)), "#ddd");
        text(&mut svg, (LEFT - 8.0, frame.y(level) + 4.0), "end", &short(level));
        level += frame.step;
    }
    for mark in marks(points().map(|point| point.0)) {
        stroke(&mut svg, &[(frame.x(mark), frame.y(0.0)), (frame.x(mark), frame.y(0.0) + 6.0)], "#444");
        text(&mut svg, (frame.x(mark), frame.y(0.0) + 22.0), "middle", &mark.to_string());
    }
    stroke(&mut svg, &[(0.0, frame.top), (0.0, 0.0), (frame.right, 0.0)].map(|at| frame.at(at)), "#444");
    for (at, line) in lines.iter().enumerate() {
        let (color, points): (_, Vec<_>) =
            (COLORS[at % COLORS.len()], line.points.iter().map(|p| frame.at(*p)).collect());
        stroke(&mut svg, &points, color);
        for (x, y) in points.iter().filter(|_| points.len() <= DOTS_MAX) {
            add(&mut svg, format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{color}\"/>"));
        }
        #[expect(clippy::cast_precision_loss, reason = "lines are few")]
        let y = TOP + 20.0 * at as f64;
        stroke(&mut svg, &[(WIDTH - RIGHT + 15.0, y), (WIDTH - RIGHT + 35.0, y)], color);
        text(&mut svg, (WIDTH - RIGHT + 42.0, y + 4.0), "start", &line.label);
    }
    svg + "</svg>\n"
}

/// What the level axis says: each abscissa, or of many round ones.
fn marks(abscissae: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut marks: Vec<f64> = abscissae.collect();
    marks.sort_by(f64::total_cmp);
    marks.dedup();
    let last = marks.last().copied().unwrap_or_default();
    if marks.len() <= DOTS_MAX {
        return marks;
    }
    let step = round_step(last / (2.0 * STEPS));
    std::iter::successors(Some(0.0), |mark| Some(mark + step)).take_while(|mark| *mark <= last).collect()
}

/// Where values are on the sheet.
struct Frame {
    right: f64,
    top: f64,
    step: f64,
}

impl Frame {
    /// Both axes begin at zero and reach somewhat beyond the last point.
    fn around<'p>(points: impl Iterator<Item = &'p (f64, f64)>) -> Self {
        let (right, top) = points.fold((1.0_f64, 0.0_f64), |(right, top), (x, y)| (right.max(*x), top.max(*y)));
        let step = round_step(top.max(1.0) / STEPS);
        Self { right: right * 1.05, top: step * (top.max(1.0) / step).ceil(), step }
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * value / self.right
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / self.top
    }

    fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (self.x(x), self.y(y))
    }
}

/// 1, 2 or 5 with zeros behind: the next that is no smaller.
fn round_step(step: f64) -> f64 {
    let power = 10.0_f64.powf(step.log10().floor());
    let of = [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power);
    of.into_iter().find(|round| *round >= step * 0.9999).unwrap_or(step)
}

/// `1.5M`, `200k`, `50`.
fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{}M", value / 1e6),
        value if value >= 1e3 => format!("{}k", value / 1e3),
        value => value.to_string(),
    }
}

fn stroke(svg: &mut String, points: &[(f64, f64)], color: &str) {
    let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let points = points.join(" ");
    add(svg, format_args!("<polyline points=\"{points}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.5\"/>"));
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, text: &str) {
    let text = escaped(text);
    add(svg, format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"));
}

fn add(svg: &mut String, element: std::fmt::Arguments<'_>) {
    // writing to a String cannot fail
    let _infallible = writeln!(svg, "{element}");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(label: &str, points: &[(f64, f64)]) -> Line {
        Line { label: label.to_owned(), points: points.to_vec() }
    }

    fn count(svg: &str, of: &str) -> usize {
        svg.matches(of).count()
    }

    #[test]
    fn every_point_and_label_is_there() {
        let lines = [
            line("1 partition", &[(1.0, 400_000.0), (2.0, 410_000.0), (4.0, 405_000.0)]),
            line("4 partitions", &[(1.0, 700_000.0), (2.0, 900_000.0), (4.0, 1_050_000.0)]),
        ];
        let svg = plot("a < b & c", ("segments", "rows/s"), &lines);
        assert_eq!((count(&svg, "<circle"), count(&svg, "<svg"), count(&svg, "</svg>")), (6, 1, 1));
        assert_eq!(count(&svg, "<text"), count(&svg, "</text>"));
        for label in
            ["a &lt; b &amp; c", ">segments<", ">rows/s<", ">1 partition<", ">4 partitions<", ">0<", ">1.5M<", ">4<"]
        {
            assert_eq!(count(&svg, label), 1, "{label}: {svg}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn more_is_higher_and_farther_right() {
        let frame = Frame::around([(1.0, 10.0), (8.0, 93.0)].iter());
        assert_eq!((frame.top, frame.step), (100.0, 20.0));
        assert!(frame.y(10.0) > frame.y(93.0) && frame.x(1.0) < frame.x(8.0));
        assert!(frame.x(8.0) < WIDTH - RIGHT && frame.y(93.0) > TOP);
    }

    #[test]
    fn of_many_points_the_line_is_drawn_and_round_marks() {
        let points: Vec<_> = (0..900).map(|second| (f64::from(second) / 30.0, 7.0)).collect();
        let svg = plot("", ("minutes", "MiB"), &[line("one", &points)]);
        assert_eq!(count(&svg, "<circle"), 0);
        assert_eq!(marks(points.iter().map(|point| point.0)), [0.0, 5.0, 10.0, 15.0, 20.0, 25.0]);
        assert_eq!(count(&svg, ">25<"), 1, "{svg}");
    }

    #[test]
    fn nothing_is_drawn_as_well() {
        for lines in [&[][..], &[line("none", &[])], &[line("none", &[(1.0, 0.0)])]] {
            let svg = plot("", ("", ""), lines);
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }

    #[test]
    fn steps_are_round() {
        assert_eq!([0.2, 1.0, 3.0, 18.6, 210_000.0].map(round_step), [0.2, 1.0, 5.0, 20.0, 500_000.0]);
        assert_eq!([0.0, 50.0, 200_000.0, 1_500_000.0].map(short), ["0", "50", "200k", "1.5M"]);
    }
}
