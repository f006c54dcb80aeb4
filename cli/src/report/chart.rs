//! A profile as an SVG: a bar per step, longest first, coloured by kernel.

use super::text::{fit, number, one_line};
use anyhow::{Result, anyhow};
use ghostnet::{kernels, plan::Kernel};
use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

/// A step.
pub struct Bar {
    /// Its name.
    pub name: String,
    /// Its colour.
    pub kernel: Kernel,
    /// Its length.
    pub ms: f64,
}

/// A profile.
pub struct Chart {
    /// What was measured.
    pub title: String,
    /// Where.
    pub subtitle: String,
    /// The steps, in any order.
    pub bars: Vec<Bar>,
}

/// Steps beyond these are summed up: a chart longer than two screens is not read.
const MOST_BARS: usize = 60;

/// Of every chart.
pub const WIDTH: i32 = 1100;
/// Around everything.
pub const MARGIN: i32 = 24;
const ROW: i32 = 20;
/// Of a character at the size of the labels, by the widest of the usual sans-serif fonts.
pub const CHARACTER: i32 = 7;
/// Right of the longest bar, for its time and share.
const VALUE: i32 = 120;

/// Text.
pub const INK: RGBColor = RGBColor(32, 33, 36);
/// Text of less weight.
pub const FAINT: RGBColor = RGBColor(95, 99, 104);
/// Lines behind the data.
pub const GRID: RGBColor = RGBColor(224, 224, 224);

/// Told apart by people with any colour vision as far as a dozen can be; the most frequent kernels
/// have the most different ones.
const COLOURS: [(Kernel, RGBColor); 15] = [
    (kernels::ghost::KERNEL, RGBColor(0, 114, 178)),
    (kernels::depthwise::KERNEL, RGBColor(230, 159, 0)),
    (kernels::separable::KERNEL, RGBColor(0, 158, 115)),
    (kernels::squeeze_excite::KERNEL, RGBColor(204, 121, 167)),
    (kernels::pointwise::KERNEL, RGBColor(86, 180, 233)),
    (kernels::conv2d::KERNEL, RGBColor(213, 94, 0)),
    (kernels::linear::KERNEL, RGBColor(120, 94, 160)),
    (kernels::pool::KERNEL, RGBColor(148, 103, 60)),
    (kernels::elementwise::KERNEL, RGBColor(150, 190, 60)),
    (kernels::relayout::KERNEL, RGBColor(110, 110, 110)),
    (kernels::preprocess::KERNEL, RGBColor(190, 170, 50)),
    (kernels::softmax_top_k::KERNEL, RGBColor(60, 60, 120)),
    (kernels::resize::KERNEL, RGBColor(240, 200, 200)),
    (kernels::sample::KERNEL, RGBColor(0, 90, 90)),
    (kernels::decode::KERNEL, RGBColor(150, 20, 70)),
];

/// A kernel's colour; grey for one that has none yet.
pub fn colour(kernel: Kernel) -> RGBColor {
    COLOURS.iter().find(|(of, _)| *of == kernel).map_or(FAINT, |(_, colour)| *colour)
}

/// A text's size, colour and which of its points is at its position.
pub fn text(size: i32, colour: RGBColor, h: HPos, v: VPos) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&colour).pos(Pos::new(h, v))
}

/// The chart as an SVG document.
pub fn svg(chart: Chart) -> Result<String> {
    let mut document = String::new();
    draw(chart, &mut document).map_err(|error| anyhow!("the chart cannot be drawn: {error}"))?;
    Ok(document)
}

fn draw(chart: Chart, document: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let Chart { title, subtitle, mut bars } = chart;
    let total: f64 = bars.iter().map(|bar| bar.ms).sum();
    let share = |ms: f64| if total > 0.0 { 100.0 * ms / total } else { 0.0 };
    let steps = bars.len();
    let mut kernels: Vec<(Kernel, f64)> = Vec::new();
    for bar in &bars {
        match kernels.iter_mut().find(|(kernel, _)| *kernel == bar.kernel) {
            Some((_, ms)) => *ms += bar.ms,
            None => kernels.push((bar.kernel, bar.ms)),
        }
    }
    kernels.sort_by(|a, b| b.1.total_cmp(&a.1));
    bars.sort_by(|a, b| b.ms.total_cmp(&a.ms));
    let rest: Vec<Bar> = bars.split_off(bars.len().min(MOST_BARS));

    // The legend first: how many lines it takes decides where everything else is.
    let mut legend = Vec::new();
    let (mut x, mut line) = (MARGIN, 0);
    for (kernel, ms) in &kernels {
        let label = format!("{kernel} {:.1} %", share(*ms));
        let needs = 18 + label.chars().count() as i32 * CHARACTER + 18;
        if x + needs > WIDTH - MARGIN {
            (x, line) = (MARGIN, line + 1);
        }
        legend.push((x, line, *kernel, label));
        x += needs;
    }
    let legend_top = MARGIN + 66;
    let top = legend_top + (line + 1) * 20 + 28;
    let bottom = top + bars.len() as i32 * ROW;
    let notes = if rest.is_empty() { 1 } else { 2 };
    let height = bottom + 12 + notes * 18 + MARGIN / 2;

    let area = SVGBackend::with_string(document, (WIDTH as u32, height as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let write = |words: String, at: (i32, i32), style: TextStyle<'static>| area.draw(&Text::new(words, at, style));
    write(cut(&format!("Time per step: {title}"), 90), (MARGIN, MARGIN), text(22, INK, HPos::Left, VPos::Top))?;
    write(cut(&subtitle, 140), (MARGIN, MARGIN + 30), text(14, FAINT, HPos::Left, VPos::Top))?;
    for (x, line, kernel, label) in legend {
        let y = legend_top + line * 20;
        area.draw(&Rectangle::new([(x, y - 6), (x + 12, y + 6)], colour(kernel).filled()))?;
        write(label, (x + 18, y), text(14, INK, HPos::Left, VPos::Center))?;
    }

    let longest_name = bars.iter().map(|bar| bar.name.chars().count()).max().unwrap_or(0).min(46);
    let left = MARGIN + longest_name as i32 * CHARACTER + 10;
    let span = f64::from(WIDTH - MARGIN - VALUE - left);
    let longest = bars.first().map_or(0.0, |bar| bar.ms);
    let x_of = |ms: f64| left + if longest > 0.0 { (ms / longest * span).round() as i32 } else { 0 };
    let step = tick(longest);
    for at in 0..=8 {
        let ms = f64::from(at) * step;
        if ms > longest || (at > 0 && step == 0.0) {
            break;
        }
        area.draw(&PathElement::new([(x_of(ms), top - 6), (x_of(ms), bottom)], GRID))?;
        write(format!("{} ms", trimmed(ms)), (x_of(ms), top - 10), text(13, FAINT, HPos::Center, VPos::Bottom))?;
    }
    for (bar, y) in bars.iter().zip((top..).step_by(ROW as usize)) {
        let middle = y + ROW / 2;
        write(cut(&bar.name, longest_name), (left - 8, middle), text(14, INK, HPos::Right, VPos::Center))?;
        let end = x_of(bar.ms).max(left + 1);
        area.draw(&Rectangle::new([(left, y + 3), (end, y + ROW - 3)], colour(bar.kernel).filled()))?;
        let value = format!("{} ms, {:.1} %", number(bar.ms), share(bar.ms));
        // The grid would run through the digits.
        let under = value.chars().count() as i32 * CHARACTER + 8;
        area.draw(&Rectangle::new([(end + 2, y + 2), (end + under, y + ROW - 2)], WHITE.filled()))?;
        write(value, (end + 6, middle), text(13, FAINT, HPos::Left, VPos::Center))?;
    }
    let mut y = bottom + 12;
    if !rest.is_empty() {
        let ms: f64 = rest.iter().map(|bar| bar.ms).sum();
        let words = format!("{} more steps: {} ms, {:.1} %", rest.len(), number(ms), share(ms));
        write(words, (MARGIN, y), text(14, INK, HPos::Left, VPos::Top))?;
        y += 18;
    }
    let words = format!("{steps} steps, {} ms; each timed by itself, for comparing steps: the sum is not the time of a run", number(total));
    write(words, (MARGIN, y), text(14, FAINT, HPos::Left, VPos::Top))?;
    area.present()?;
    Ok(())
}

/// `text` without control characters, in at most `width` of them.
pub fn cut(text: &str, width: usize) -> String {
    fit(&one_line(text), width)
}

/// A round distance of four to eight marks up to `longest`.
pub fn tick(longest: f64) -> f64 {
    if longest <= 0.0 {
        return 0.0;
    }
    let power = 10f64.powf((longest / 8.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|step| longest / step <= 8.0).unwrap_or(longest)
}

/// A number without zeros at its end.
pub fn trimmed(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_times_can_be_drawn() {
        let bar = |ms| Bar { name: "a <b> & \"c\"".into(), kernel: kernels::ghost::KERNEL, ms };
        for times in [vec![], vec![0.0], vec![1e-9, 0.5, 1e6], vec![1.0; 200]] {
            let bars: Vec<Bar> = times.into_iter().map(bar).collect();
            let drawn = svg(Chart { title: "t & t".into(), subtitle: "<s>".into(), bars }).unwrap();
            assert!(drawn.starts_with("<svg") && drawn.trim_end().ends_with("</svg>") && !drawn.contains("<b>") && !drawn.contains("NaN"));
        }
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!([0.37, 1.0, 7.9, 8.1, 100.0].map(|ms| trimmed(tick(ms))), ["0.05", "0.2", "1", "2", "20"]);
    }
}
