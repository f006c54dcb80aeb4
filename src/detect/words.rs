//! What a card's decoder says, in words.

use super::{Activation, Detector, Form, Landmarker, Proposals, Size, priors::Sizes, suppress::Kind, values::Joined};
use crate::image_input::sample::{Fit, Sampling};

/// What it is about, and what is said of it.
type Said = (&'static str, String);

fn list(items: impl IntoIterator<Item = impl ToString>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

fn pair([a, b]: [f32; 2]) -> String {
    if a == b { a.to_string() } else { format!("{a}, {b}") }
}

impl Sampling {
    fn words(&self) -> String {
        let fit = match self.fit {
            Fit::Stretch([h, w]) => format!("{h} x {w}, the picture stretched"),
            Fit::Letterbox([h, w]) => format!("{h} x {w}, the picture in the middle"),
            Fit::Corner([h, w]) => format!("{h} x {w}, the picture at the upper left"),
            Fit::Region([h, w]) => format!("{h} x {w}, a part of the picture"),
            Fit::Sides([short, long, of]) => {
                format!("the shorter side to {short}, at most the longer one to {long}, then up to multiples of {of}")
            }
            Fit::Multiple(of) => format!("as large as the picture, sides are multiples of {of}"),
        };
        let order = if self.is_bgr { "blue, green, red" } else { "red, green, blue" };
        format!("{}: {fit}; {order}, mean {:?}, std {:?}", self.name, self.mean, self.std)
    }
}

impl Joined {
    fn words(&self) -> String {
        let columns = self.columns.as_ref().map(|columns| format!(" [{} .. {}]", columns.start, columns.end));
        let rows = if self.per_pixel > 1 { format!(" ({} rows a pixel)", self.per_pixel) } else { String::new() };
        list(&self.outputs) + &columns.unwrap_or_default() + &rows
    }
}

impl Detector {
    /// How a picture becomes the input, and results detections: what each is about, and what the
    /// card says of it in words.
    pub fn words(&self) -> Vec<(&'static str, String)> {
        let mut said = vec![("sampled", self.input.words())];
        if let Some(Proposals { input, finder }) = &self.proposals {
            said.extend(finder.of_priors());
            let (scores, boxes) = (finder.score.classes.words(), finder.boxes.values.words());
            let best = finder.score.per_level.map(|most| format!(", the best {most} of a level")).unwrap_or_default();
            let what = format!("{input}: at most {} by {scores}{best}; boxes {boxes}", finder.limit);
            said.push(("regions", format!("{what}, and of two that overlap by more than {} the better one", finder.suppress.iou)));
        }
        said.extend(self.of_priors());
        said.push(("scores", self.of_scores()));
        said.push(("boxes", self.of_boxes()));
        if let Some(points) = &self.points {
            let names = if self.point_names.is_empty() { String::new() } else { format!(" ({})", list(&self.point_names)) };
            said.push(("points", format!("{}{names} of {}, times {}", points.count, points.values.words(), points.scale)));
        }
        let class = if self.suppress.per_class { "of one class " } else { "" };
        let overlaps = match self.suppress.kind {
            Kind::None => "all stay".to_string(),
            Kind::Greedy => format!("the best of those {class}that overlap by more than {} stays", self.suppress.iou),
            Kind::Weighted => format!("the mean of those {class}that overlap by more than {} stays", self.suppress.iou),
        };
        said.push(("overlaps", format!("{overlaps}; at most {} in all", self.limit)));
        said
    }

    fn of_priors(&self) -> Option<Said> {
        let priors = self.priors.as_ref()?;
        let levels = priors.levels.iter().map(|level| {
            let sizes = match &level.sizes {
                Sizes::Stride(count) => format!("{count} of its size"),
                Sizes::Input(count) => format!("{count} of the input's size"),
                Sizes::Pixels(sizes) => format!("{} of their own sizes", sizes.len()),
            };
            format!("{} ({sizes})", level.stride)
        });
        let place = match priors.offset {
            0.0 => "each cell's corner".to_string(),
            0.5 => "each cell's middle".to_string(),
            share => format!("{share} of each cell"),
        };
        Some(("priors", format!("strides {}, at {place}", list(levels))))
    }

    fn of_scores(&self) -> String {
        let score = &self.score;
        let activation = match score.activation {
            Activation::None => "",
            Activation::Sigmoid(_) => "sigmoid of ",
            Activation::Softmax => "softmax of ",
        };
        let [class, object] = score.powers;
        let power = |by: f32| if by == 1.0 { String::new() } else { format!(" to the power {by}") };
        // Powers are of the product alone.
        let product = |values: &Joined| format!("{}, times {}{}", power(class), values.words(), power(object));
        let product = score.objectness.as_ref().map(product).unwrap_or_default();
        let which = if score.each { "each class" } else { "the best class" };
        let skipped = if score.skip_first { ", the first is none" } else { "" };
        let most = score.per_level.map(|most| format!(", the best {most} of a level")).unwrap_or_default();
        let values = score.classes.words();
        format!("{which} by {activation}{values}{product}{skipped}, above {}{most}", self.threshold)
    }

    fn of_boxes(&self) -> String {
        let how = match self.boxes.form {
            Form::Distances { bins: 1 } => "distances to the sides in strides".to_string(),
            Form::Distances { bins } => format!("distances to the sides in strides, of {bins} bins each"),
            Form::Corners { of_input: true } => "corners as shares of the input".to_string(),
            Form::Corners { of_input: false } => "corners in pixels".to_string(),
            Form::Center { tanh, size, of_input, scale, .. } => {
                let centre = if tanh { "tanh" } else { "linear" };
                let form = match size {
                    Size::Exp => "exp",
                    Size::Linear => "linear",
                    Size::Sigmoid => "sigmoid",
                };
                let of = if of_input { "input's" } else { "prior's" };
                format!("centre ({centre}) and size ({form}, of the {of}), times {}", pair(scale))
            }
        };
        format!("{how}: {}", self.boxes.values.words())
    }
}

impl Landmarker {
    /// How a part of a picture becomes the input, and results points, in words; see
    /// [`Detector::words`].
    pub fn words(&self) -> Vec<(&'static str, String)> {
        let moved = if self.region.shift == [0.0; 2] { String::new() } else { format!(", moved by {} sides", pair(self.region.shift)) };
        let detector = self.detector.as_ref().map(|name| format!(" of {name}")).unwrap_or_default();
        vec![
            ("sampled", self.input.words()),
            ("region", format!("the square on a box{detector}, its longer side times {}{moved}", self.region.scale)),
            ("points", format!("{} of {}", self.count, self.points.words())),
        ]
    }
}
