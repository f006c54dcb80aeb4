//! Charts of the benches.

use anyhow::{Result, anyhow};
use ghostnet::{device::Roofline, plan::Kernel};
use ghostnet_cli::report::{
    chart::{CHARACTER, FAINT, GRID, INK, MARGIN, WIDTH, colour, cut, text, tick, trimmed},
    text::{bytes, number},
};
use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, VPos},
};

type Drawn = Result<(), Box<dyn std::error::Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A document of `height` pixels with a title, a line below it, and what `draw` adds.
fn document(title: &str, subtitle: &str, height: i32, draw: impl FnOnce(&Area<'_>) -> Drawn) -> Result<String> {
    let mut svg = String::new();
    let drawn = || -> Drawn {
        let area = SVGBackend::with_string(&mut svg, (WIDTH as u32, height as u32)).into_drawing_area();
        area.fill(&WHITE)?;
        area.draw(&Text::new(cut(title, 90), (MARGIN, MARGIN), text(22, INK, HPos::Left, VPos::Top)))?;
        area.draw(&Text::new(cut(subtitle, 140), (MARGIN, MARGIN + 30), text(14, FAINT, HPos::Left, VPos::Top)))?;
        draw(&area)?;
        Ok(area.present()?)
    };
    drawn().map_err(|error| anyhow!("the chart cannot be drawn: {error}"))?;
    Ok(svg)
}

/// A layer below the roof.
pub struct Point {
    pub name: String,
    pub kernel: Kernel,
    /// Operations per byte.
    pub intensity: f64,
    pub gflops: f64,
    /// Of all of the network's time: the area of the point.
    pub share: f64,
}

/// Points that get their names written: those that take most of the time.
const NAMED: usize = 8;

/// A logarithmic axis from `low` to `high` over pixels `from` to `to`.
struct Axis {
    low: f64,
    high: f64,
    from: i32,
    to: i32,
}

impl Axis {
    fn new(values: impl Iterator<Item = f64> + Clone, [from, to]: [i32; 2]) -> Self {
        let positive = values.filter(|v| v.is_finite() && *v > 0.0);
        let (low, high) = (positive.clone().fold(f64::MAX, f64::min), positive.fold(f64::MIN_POSITIVE, f64::max));
        let (low, high) = if low < high { (low / 1.3, high * 1.3) } else { (0.1, 10.0) };
        Self { low, high, from, to }
    }

    fn at(&self, value: f64) -> i32 {
        let share = (value / self.low).ln() / (self.high / self.low).ln();
        self.from + (share * f64::from(self.to - self.from)).round() as i32
    }

    /// 1, 2 and 5 times each power of ten on the axis; fewer where that would crowd it.
    fn ticks(&self) -> Vec<f64> {
        let decades = (self.high / self.low).log10();
        let steps: &[f64] = if decades < 3.5 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let powers = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
        let all = powers.flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)));
        all.filter(|v| (self.low..=self.high).contains(v)).collect()
    }
}

/// The roof and every layer below it, on logarithmic axes.
pub fn roofline(title: &str, subtitle: &str, roof: &Roofline, points: &[Point]) -> Result<String> {
    let height = 700;
    let x = Axis::new(points.iter().map(|p| p.intensity), [MARGIN + 56, WIDTH - MARGIN - 8]);
    let y = Axis::new(points.iter().map(|p| p.gflops).chain([roof.gflops]), [height - MARGIN - 64, MARGIN + 104]);
    document(title, subtitle, height, |area| {
        let mut order: Vec<&Point> = points.iter().filter(|p| p.intensity > 0.0 && p.gflops > 0.0).collect();
        order.sort_by(|a, b| b.share.total_cmp(&a.share));
        let mut chart = Chart { area, x, y, taken: Vec::new() };
        chart.grid()?;
        chart.roof(roof)?;
        chart.circles(&order)?;
        chart.names(&order)?;
        chart.legend(&order)
    })
}

/// A chart on two axes under construction.
struct Chart<'a, 'b> {
    area: &'a Area<'b>,
    x: Axis,
    y: Axis,
    /// The boxes of what is written or drawn already, [left, right, top, bottom].
    taken: Vec<[i32; 4]>,
}

/// Larger for a larger share of the time.
fn radius(point: &Point) -> i32 {
    3 + (point.share.max(0.0).sqrt() * 40.0).round() as i32
}

impl Chart<'_, '_> {
    fn write(&self, words: String, at: (i32, i32), size: i32, ink: RGBColor, h: HPos, v: VPos) -> Drawn {
        Ok(self.area.draw(&Text::new(words, at, text(size, ink, h, v)))?)
    }

    fn place(&self, point: &Point) -> (i32, i32) {
        (self.x.at(point.intensity), self.y.at(point.gflops))
    }

    /// Lines at the axes' ticks, and what the axes are.
    fn grid(&self) -> Drawn {
        let (x, y) = (&self.x, &self.y);
        let (left, right, top, bottom) = (x.from, x.to, y.to, y.from);
        for value in x.ticks() {
            self.area.draw(&PathElement::new([(x.at(value), top), (x.at(value), bottom)], GRID))?;
            self.write(trimmed(value), (x.at(value), bottom + 6), 13, FAINT, HPos::Center, VPos::Top)?;
        }
        for value in y.ticks() {
            self.area.draw(&PathElement::new([(left, y.at(value)), (right, y.at(value))], GRID))?;
            self.write(trimmed(value), (left - 6, y.at(value)), 13, FAINT, HPos::Right, VPos::Center)?;
        }
        self.write("operations per byte read or written".into(), ((left + right) / 2, bottom + 26), 14, INK, HPos::Center, VPos::Top)?;
        self.write("GFLOP/s".into(), (left - 6, top - 8), 14, INK, HPos::Right, VPos::Bottom)
    }

    /// The name of a line of the roof.
    fn roof_name(&mut self, words: String, (px, py): (i32, i32), h: HPos, v: VPos) -> Drawn {
        let long = words.chars().count() as i32 * CHARACTER;
        let from = if matches!(h, HPos::Right) { px - long } else { px };
        let above = if matches!(v, VPos::Bottom) { py - 16 } else { py };
        self.taken.push([from, from + long, above, above + 16]);
        self.write(words, (px, py), 13, INK, h, v)
    }

    fn roof(&mut self, roof: &Roofline) -> Drawn {
        // The roof of the largest copy and of the fastest: memory and cache.
        let largest = roof.copies.iter().max_by_key(|c| c.bytes);
        let fastest = roof.copies.iter().max_by(|a, b| a.gb_per_s.total_cmp(&b.gb_per_s));
        let mut lines: Vec<_> = fastest.into_iter().chain(largest).collect();
        lines.dedup();
        for (at, copy) in lines.into_iter().enumerate() {
            let ridge = (roof.gflops / copy.gb_per_s).clamp(self.x.low, self.x.high);
            let rising = |v: f64| v * copy.gb_per_s;
            let start = self.x.low.max(self.y.low / copy.gb_per_s).min(ridge);
            self.area.draw(&PathElement::new(
                [(self.x.at(start), self.y.at(rising(start))), (self.x.at(ridge), self.y.at(rising(ridge).min(roof.gflops)))],
                INK.stroke_width(2),
            ))?;
            let words = format!("{} GB/s, {} copied", number(copy.gb_per_s), bytes(copy.bytes));
            let place = (start * ridge).sqrt();
            let (px, py) = (self.x.at(place), self.y.at(rising(place)));
            // Above the upper line, below the lower.
            match at {
                0 => self.roof_name(words, (px - 6, py - 3), HPos::Right, VPos::Bottom)?,
                _ => self.roof_name(words, (px + 6, py + 3), HPos::Left, VPos::Top)?,
            }
        }
        let start = fastest.map_or(self.x.low, |c| (roof.gflops / c.gb_per_s).clamp(self.x.low, self.x.high));
        self.area.draw(&PathElement::new(
            [(self.x.at(start), self.y.at(roof.gflops)), (self.x.to, self.y.at(roof.gflops))],
            INK.stroke_width(2),
        ))?;
        let words = format!("{} GFLOP/s from registers", number(roof.gflops));
        self.roof_name(words, (self.x.to, self.y.at(roof.gflops) - 5), HPos::Right, VPos::Bottom)
    }

    /// The points, large ones first, so that small ones are not hidden.
    fn circles(&mut self, order: &[&Point]) -> Drawn {
        for point in order {
            let (at, radius) = (self.place(point), radius(point));
            self.area.draw(&Circle::new(at, radius, colour(point.kernel).mix(0.75).filled()))?;
            self.area.draw(&Circle::new(at, radius, WHITE))?;
            self.taken.push([at.0 - radius, at.0 + radius, at.1 - radius, at.1 + radius]);
        }
        Ok(())
    }

    /// Names of the points that take most of the time. A name stands where it hides neither a point
    /// nor another name, or not at all.
    fn names(&mut self, order: &[&Point]) -> Drawn {
        let (left, right, top, bottom) = (self.x.from, self.x.to, self.y.to, self.y.from);
        let mut names: Vec<[i32; 4]> = Vec::new();
        for point in order.iter().take(NAMED) {
            let ((px, py), r) = (self.place(point), radius(point));
            let long = point.name.chars().count() as i32 * CHARACTER;
            let free = |[from, to, up, down]: [i32; 4]| {
                from > left
                    && to < right
                    && up > top
                    && down < bottom
                    && self.taken.iter().all(|t| from > t[1] || to < t[0] || up > t[3] || down < t[2])
            };
            let beside = [px + r + 4, px - r - 4 - long].map(|from| (from, py));
            let around = [24, 44, 64, 84, 104].into_iter().flat_map(|d| [-d, d].map(|d| (px - long / 2, py + d)));
            let boxed = |(from, middle): (i32, i32)| ([from, from + long, middle - 8, middle + 8], middle);
            // A line to the point, where the name is not beside it, crosses no other name.
            let clear = |middle: i32| names.iter().all(|t| px < t[0] || px > t[1] || middle.max(py) < t[2] || middle.min(py) > t[3]);
            let fits = |(label, middle): &([i32; 4], i32)| free(*label) && clear(*middle);
            let Some((label, middle)) = beside.into_iter().chain(around).map(boxed).find(fits) else { continue };
            self.taken.push(label);
            names.push(label);
            if middle != py {
                let toward = (py - middle).signum();
                self.area.draw(&PathElement::new([(px, middle + 8 * toward), (px, py - r * toward)], FAINT))?;
            }
            self.write(point.name.clone(), (label[0], middle), 13, INK, HPos::Left, VPos::Center)?;
        }
        Ok(())
    }

    /// The kernels' colours.
    fn legend(&self, order: &[&Point]) -> Drawn {
        let mut kernels: Vec<Kernel> = Vec::new();
        for point in order {
            if !kernels.contains(&point.kernel) {
                kernels.push(point.kernel);
            }
        }
        let mut at = MARGIN;
        for kernel in kernels {
            let label = kernel.to_string();
            self.area.draw(&Circle::new((at + 6, MARGIN + 66), 6, colour(kernel).filled()))?;
            let long = label.chars().count() as i32 * CHARACTER;
            self.write(label, (at + 18, MARGIN + 66), 14, INK, HPos::Left, VPos::Center)?;
            at += 18 + long + 18;
        }
        self.write("area: share of a run's time".into(), (WIDTH - MARGIN, MARGIN + 66), 13, FAINT, HPos::Right, VPos::Center)
    }
}

/// A ghost module against the plain convolution.
pub struct Speedup {
    pub name: String,
    pub speedup: f64,
    /// By multiply-adds alone.
    pub promise: f64,
    /// As `speedup`, of the module in two dispatches.
    pub in_two: f64,
    /// What stands right of the bar.
    pub label: String,
    /// A sum rather than a module.
    pub total: bool,
}

/// A bar per module, with a mark where its multiply-adds say that it should end.
pub fn speedups(title: &str, subtitle: &str, rows: &[Speedup]) -> Result<String> {
    const ROW: i32 = 20;
    const LABEL: i32 = 170;
    let (top, bars) = (MARGIN + 112, rows.len() as i32);
    let bottom = top + bars * ROW;
    let longest = rows.iter().map(|r| r.speedup.max(r.promise).max(r.in_two)).filter(|v| v.is_finite()).fold(1.0, f64::max);
    let left = MARGIN + rows.iter().map(|r| r.name.chars().count()).max().unwrap_or(0) as i32 * CHARACTER + 10;
    let x_of = |value: f64| left + (value / longest * f64::from(WIDTH - MARGIN - LABEL - left)).round() as i32;
    let (faster, slower, total) = (RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115));
    document(title, subtitle, bottom + 40, |area| {
        let write = |words: String, at: (i32, i32), size: i32, ink: RGBColor, h: HPos, v: VPos| {
            area.draw(&Text::new(words, at, text(size, ink, h, v)))
        };
        let legend = MARGIN + 66;
        let mut at = MARGIN;
        for (label, ink) in [("faster than the convolution", faster), ("slower", slower), ("totals", total)] {
            area.draw(&Rectangle::new([(at, legend - 6), (at + 12, legend + 6)], ink.filled()))?;
            write(label.into(), (at + 18, legend), 14, INK, HPos::Left, VPos::Center)?;
            at += 36 + label.len() as i32 * CHARACTER;
        }
        area.draw(&Rectangle::new([(at + 4, legend - 7), (at + 8, legend + 7)], INK.filled()))?;
        write("what multiply-adds promise".into(), (at + 18, legend), 14, INK, HPos::Left, VPos::Center)?;

        at += 36 + 26 * CHARACTER;
        area.draw(&Circle::new((at + 6, legend), 4, INK))?;
        write("in two dispatches".into(), (at + 18, legend), 14, INK, HPos::Left, VPos::Center)?;

        let step = tick(longest);
        for value in (0..=8).map(|n| f64::from(n) * step).filter(|v| *v <= longest) {
            area.draw(&PathElement::new([(x_of(value), top - 6), (x_of(value), bottom)], GRID))?;
            write(format!("{} x", trimmed(value)), (x_of(value), top - 10), 13, FAINT, HPos::Center, VPos::Bottom)?;
        }
        write("speedup of promise, time".into(), (WIDTH - MARGIN, top - 10), 13, FAINT, HPos::Right, VPos::Bottom)?;
        for (row, y) in rows.iter().zip((top..).step_by(ROW as usize)) {
            let middle = y + ROW / 2;
            write(row.name.clone(), (left - 8, middle), 14, INK, HPos::Right, VPos::Center)?;
            let ink = match (row.total, row.speedup >= 1.0) {
                (true, _) => total,
                (_, true) => faster,
                _ => slower,
            };
            let end = x_of(row.speedup.min(longest)).max(left + 1);
            area.draw(&Rectangle::new([(left, y + 3), (end, y + ROW - 3)], ink.filled()))?;
            let mark = x_of(row.promise.min(longest));
            area.draw(&Rectangle::new([(mark - 3, y + 1), (mark + 3, y + ROW - 1)], WHITE.filled()))?;
            area.draw(&Rectangle::new([(mark - 2, y + 2), (mark + 2, y + ROW - 2)], INK.filled()))?;
            let two = (x_of(row.in_two.min(longest)), middle);
            area.draw(&Circle::new(two, 4, WHITE.filled()))?;
            area.draw(&Circle::new(two, 4, INK))?;
            write(row.label.clone(), (WIDTH - MARGIN, middle), 13, FAINT, HPos::Right, VPos::Center)?;
        }
        // Equal to the plain convolution.
        area.draw(&PathElement::new([(x_of(1.0), top - 6), (x_of(1.0), bottom)], INK))?;
        write("1 x: the plain 1x1 convolution's time".into(), (x_of(1.0), bottom + 8), 13, FAINT, HPos::Center, VPos::Top)?;
        Ok(())
    })
}

/// A network's time and accuracy.
pub struct Measured {
    pub family: &'static str,
    pub name: String,
    pub ms: f64,
    /// Percent.
    pub top1: f64,
}

/// Told apart by people with any colour vision (Okabe and Ito).
const FAMILIES: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(86, 180, 233),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(213, 94, 0),
];

/// A line for each family, of its networks by time, on a logarithmic axis.
pub fn measured(title: &str, subtitle: &str, points: &[Measured]) -> Result<String> {
    let height = 620;
    let (left, right, top, bottom) = (MARGIN + 56, WIDTH - MARGIN - 60, MARGIN + 104, height - MARGIN - 48);
    let x = Axis::new(points.iter().map(|p| p.ms), [left, right]);
    let values = || points.iter().map(|p| p.top1);
    let (low, high) = (values().fold(f64::MAX, f64::min).floor() - 1.0, values().fold(0.0, f64::max).ceil() + 1.0);
    let y = |value: f64| bottom - ((value - low) / (high - low) * f64::from(bottom - top)).round() as i32;
    let mut families: Vec<&str> = points.iter().map(|p| p.family).collect();
    families.dedup();
    document(title, subtitle, height, |area| {
        let write = |words: String, at: (i32, i32), size: i32, ink: RGBColor, h: HPos, v: VPos| {
            area.draw(&Text::new(words, at, text(size, ink, h, v)))
        };
        for value in x.ticks() {
            area.draw(&PathElement::new([(x.at(value), top), (x.at(value), bottom)], GRID))?;
            write(trimmed(value), (x.at(value), bottom + 6), 13, FAINT, HPos::Center, VPos::Top)?;
        }
        for value in (low as i32..=high as i32).filter(|value| value % 2 == 0).map(f64::from) {
            area.draw(&PathElement::new([(left, y(value)), (right, y(value))], GRID))?;
            write(trimmed(value), (left - 6, y(value)), 13, FAINT, HPos::Right, VPos::Center)?;
        }
        write("ms a run".into(), ((left + right) / 2, bottom + 26), 14, INK, HPos::Center, VPos::Top)?;
        write("top-1 %".into(), (left - 6, top - 8), 14, INK, HPos::Right, VPos::Bottom)?;
        let place = |p: &Measured| (x.at(p.ms), y(p.top1));
        // The boxes of what is drawn already, [left, right, top, bottom].
        let mut taken: Vec<[i32; 4]> = points.iter().map(place).map(|(px, py)| [px - 5, px + 5, py - 5, py + 5]).collect();
        let mut at = MARGIN;
        for (family, ink) in families.iter().zip(FAMILIES) {
            area.draw(&Circle::new((at + 6, MARGIN + 66), 6, ink.filled()))?;
            write(family.to_string(), (at + 18, MARGIN + 66), 14, INK, HPos::Left, VPos::Center)?;
            at += 36 + family.len() as i32 * CHARACTER;
            let mut of: Vec<&Measured> = points.iter().filter(|p| p.family == *family).collect();
            of.sort_by(|a, b| a.ms.total_cmp(&b.ms));
            let places: Vec<(i32, i32)> = of.iter().map(|p| place(p)).collect();
            area.draw(&PathElement::new(places.clone(), ink.stroke_width(2)))?;
            for (point, (px, py)) in of.iter().zip(places) {
                area.draw(&Circle::new((px, py), 5, ink.filled()))?;
                let long = point.name.chars().count() as i32 * CHARACTER;
                let around =
                    [(8, 4), (8, -18), (-8 - long, -18), (-8 - long, 4)].map(|(dx, dy)| [px + dx, px + dx + long, py + dy, py + dy + 14]);
                let free = |of: &&[i32; 4]| taken.iter().all(|t| of[0] > t[1] || of[1] < t[0] || of[2] > t[3] || of[3] < t[2]);
                let label = *around.iter().find(free).unwrap_or(&around[0]);
                taken.push(label);
                write(point.name.clone(), (label[0], label[2]), 12, ink, HPos::Left, VPos::Top)?;
            }
        }
        Ok(())
    })
}
