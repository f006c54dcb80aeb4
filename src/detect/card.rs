//! Reads the fields of a card that say how results are meant, and checks them against a network.

use super::{
    Activation, Boxes, Detector, Finder, Form, Landmarker, Points, Proposals, Score, Size,
    landmarks::Region,
    priors::{self, Level, Priors, Sizes},
    suppress::{Kind, Suppress},
    values::Joined,
};
use crate::{
    image_input::sample::{Fit, Sampling},
    json::Value,
    text::decimal,
};

/// Fields of a card that are read here.
pub(crate) const FIELDS: &[&str] = &[
    "input",
    "point_names",
    "priors",
    "score",
    "box",
    "points",
    "threshold",
    "nms",
    "limit",
    "region",
    "detector",
    // Pages have no detector of two stages.
    #[cfg(not(target_arch = "wasm32"))]
    "proposals",
];

/// The longest side of an input, in pixels, and of a prior.
const MOST_PIXELS: usize = 1 << 13;
/// Entries of a list.
const MOST_ENTRIES: usize = 256;
/// Points of a candidate.
const MOST_POINTS: usize = 1 << 10;
/// Detections in a picture.
const MOST_DETECTIONS: usize = 10_000;

/// An object of the card, by its place in it. Its methods give what stands under a field; the error
/// names the field. They are no generics, which the browser package would carry once for each type.
#[derive(Clone, Copy)]
struct Fields<'v> {
    key: &'static str,
    value: &'v Value<'v>,
}

fn shown(value: &Value<'_>) -> String {
    let text = value.to_string();
    let line: String = text.chars().take(60).collect();
    if line.len() < text.len() { line + "…" } else { line }
}

fn number(value: &Value<'_>) -> Option<f32> {
    value.number().map(|number| number as f32).filter(|number| number.is_finite())
}

impl<'v> Fields<'v> {
    /// The card itself, whose other fields are read elsewhere.
    fn card(value: &'v Value<'v>) -> Self {
        Self { key: "card", value }
    }

    /// The object of these fields under a field of the card.
    #[inline(never)]
    fn object(self, key: &'static str, known: &[&str]) -> Result<Self, String> {
        self.maybe(key, known)?.ok_or_else(|| format!("the card has no `{key}`"))
    }

    #[inline(never)]
    fn maybe(self, key: &'static str, known: &[&str]) -> Result<Option<Self>, String> {
        let Some(value) = self.value.get(key) else { return Ok(None) };
        let Value::Object(fields) = value else { return Err(self.wrong(key, value, "an object")) };
        match fields.iter().find(|(name, _)| !known.contains(&&**name)) {
            Some((name, _)) => Err(format!("{} is no field of {key}", shown(&Value::Text(name.clone())))),
            None => Ok(Some(Self { key, value })),
        }
    }

    #[inline(never)]
    fn wrong(self, field: &str, value: &Value<'_>, wanted: &str) -> String {
        format!("{}.{field} is {}, not {wanted}", self.key, shown(value))
    }

    fn has(self, field: &str) -> bool {
        self.value.get(field).is_some()
    }

    #[inline(never)]
    fn needed(self, field: &str) -> Result<&'v Value<'v>, String> {
        self.value.get(field).ok_or_else(|| format!("{} has no `{field}`", self.key))
    }

    /// A number from one to another.
    #[inline(never)]
    fn number(self, field: &str, usual: Option<f32>, [low, high]: [f32; 2]) -> Result<f32, String> {
        let value = match (self.value.get(field), usual) {
            (None, Some(usual)) => return Ok(usual),
            _ => self.needed(field)?,
        };
        let within = number(value).filter(|number| (low..=high).contains(number));
        within.ok_or_else(|| self.wrong(field, value, &format!("a number from {} to {}", decimal(low.into()), decimal(high.into()))))
    }

    /// A whole number from 1 on.
    #[inline(never)]
    fn whole(self, field: &str, usual: Option<usize>, most: usize) -> Result<usize, String> {
        match (self.value.get(field), usual) {
            (None, Some(usual)) => Ok(usual),
            _ => self.is_whole(field, self.needed(field)?, most),
        }
    }

    #[inline(never)]
    fn is_whole(self, field: &str, value: &Value<'_>, most: usize) -> Result<usize, String> {
        let number = value.whole().filter(|number| (1..=most).contains(number));
        number.ok_or_else(|| self.wrong(field, value, &format!("a whole number from 1 to {most}")))
    }

    #[inline(never)]
    fn flag(self, field: &str) -> Result<bool, String> {
        match self.value.get(field) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(self.wrong(field, other, "true or false")),
        }
    }

    /// Which of some names stands there; the first, if none does.
    #[inline(never)]
    fn choice(self, field: &str, names: &[&str]) -> Result<usize, String> {
        let Some(value) = self.value.get(field) else { return Ok(0) };
        names.iter().position(|name| value.text() == Some(name)).ok_or_else(|| self.wrong(field, value, &names.join(" or ")))
    }

    #[inline(never)]
    fn list(self, field: &str) -> Result<&'v [Value<'v>], String> {
        self.is_list(field, self.needed(field)?)
    }

    #[inline(never)]
    fn is_list(self, field: &str, value: &'v Value<'v>) -> Result<&'v [Value<'v>], String> {
        value.list().filter(|items| (1..=MOST_ENTRIES).contains(&items.len())).ok_or_else(|| self.wrong(field, value, "a list"))
    }

    #[inline(never)]
    fn text(self, field: &str) -> Result<Option<String>, String> {
        let Some(value) = self.value.get(field) else { return Ok(None) };
        value.text().map(|text| Some(text.into())).ok_or_else(|| self.wrong(field, value, "a text"))
    }

    #[inline(never)]
    fn texts(self, field: &str) -> Result<Vec<String>, String> {
        let text = |item: &Value<'_>| item.text().map(str::to_string).ok_or_else(|| self.wrong(field, item, "a text"));
        self.list(field)?.iter().map(text).collect()
    }

    /// As many numbers as `into` has, into it; it stays as it is where there are none.
    #[inline(never)]
    fn numbers(self, field: &str, into: &mut [f32]) -> Result<(), String> {
        let Some(value) = self.value.get(field) else { return Ok(()) };
        let count = into.len();
        let wrong = || self.wrong(field, value, &format!("{count} numbers"));
        let items = value.list().filter(|items| items.len() == count).ok_or_else(wrong)?;
        for (to, item) in into.iter_mut().zip(items) {
            *to = number(item).ok_or_else(wrong)?;
        }
        Ok(())
    }

    /// Lists of numbers above 0.
    #[inline(never)]
    fn levels(self, field: &str) -> Result<Vec<Vec<f32>>, String> {
        self.list(field)?.iter().map(|level| self.above_zero(field, level)).collect()
    }

    #[inline(never)]
    fn above_zero(self, field: &str, value: &'v Value<'v>) -> Result<Vec<f32>, String> {
        let most = MOST_PIXELS as f32;
        let above = |item: &Value<'_>| {
            number(item).filter(|v| *v > 0.0 && *v <= most).ok_or_else(|| self.wrong(field, item, "above 0 and at most 8192"))
        };
        self.is_list(field, value)?.iter().map(above).collect()
    }

    /// Which results' columns a field of it names.
    #[inline(never)]
    fn joined(self, key: &'static str) -> Result<Joined, String> {
        let joined = self.object(key, &["outputs", "channels", "per_pixel"])?;
        let columns = match joined.value.get("channels") {
            None => None,
            Some(channels) => match channels.list() {
                Some([from, to]) => from.whole().zip(to.whole()).filter(|(from, to)| from < to).map(|(from, to)| from..to),
                _ => None,
            }
            .ok_or_else(|| joined.wrong("channels", channels, "two whole numbers, the second one larger"))
            .map(Some)?,
        };
        Ok(Joined { outputs: joined.texts("outputs")?, columns, per_pixel: joined.whole("per_pixel", Some(1), MOST_ENTRIES)? })
    }
}

/// The fields that are read here, as they stand, of a card that is right so far.
pub(crate) fn decoder(card: &Value<'_>) -> Result<String, String> {
    // In a page a module of its own reads them.
    if !cfg!(all(target_arch = "wasm32", not(feature = "web_detect"))) {
        Finder::from_json(card)?;
    }
    let Value::Object(fields) = card else { return Ok(String::new()) };
    let own = fields.iter().filter(|(name, _)| FIELDS.contains(&&**name));
    let own: Vec<String> = own.map(|(name, value)| format!("\"{name}\":{value}")).collect();
    Ok(format!("{{{}}}", own.join(",")))
}

impl Finder {
    /// What the JSON of a decoder says, if there is one.
    pub(crate) fn of(decoder: Option<&str>) -> Result<Option<Self>, String> {
        let Some(decoder) = decoder else { return Ok(None) };
        let json = Value::parse(decoder).map_err(|what| format!("the card's decoder: {what}"))?;
        Self::from_json(&json).map(Some)
    }

    fn from_json(card: &Value<'_>) -> Result<Self, String> {
        // Boxes are what only a detector gives.
        match card.get("box") {
            Some(_) => Detector::from_json(card).map(Box::new).map(Self::Detector),
            None if card.get("task").is_some_and(|task| task.text() == Some("detect")) => Err("the card has no `box`".into()),
            None => Landmarker::from_json(card).map(Self::Landmarker),
        }
    }

    pub(crate) fn input(&self) -> &Sampling {
        match self {
            Self::Detector(detector) => &detector.input,
            Self::Landmarker(landmarker) => &landmarker.input,
        }
    }
}

const ANY: [f32; 2] = [-1e30, 1e30];
const SHARE: [f32; 2] = [0.0, 1.0];

fn input(card: Fields<'_>, of_region: bool) -> Result<Sampling, String> {
    let input = card.object("input", &["name", "layout", "size", "order", "mean", "std", "fit", "pad", "filter"])?;
    let size = input.needed("size")?;
    let fit = match (size, size.list()) {
        (Value::Object(_), _) if !of_region => {
            let size = input.object("size", &["short", "long", "multiple"])?;
            let multiple = size.whole("multiple", None, MOST_PIXELS)?;
            match size.has("short") || size.has("long") {
                true => Fit::Sides([size.whole("short", None, MOST_PIXELS)?, size.whole("long", None, MOST_PIXELS)?, multiple]),
                false => Fit::Multiple(multiple),
            }
        }
        (_, Some([h, w])) => {
            let size = [input.is_whole("size", h, MOST_PIXELS)?, input.is_whole("size", w, MOST_PIXELS)?];
            match input.choice("fit", &["stretch", "letterbox", "corner", "region"])? {
                _ if of_region => Fit::Region(size),
                0 => Fit::Stretch(size),
                1 => Fit::Letterbox(size),
                2 => Fit::Corner(size),
                _ => return Err("input.fit: a region is for landmarks".into()),
            }
        }
        _ => return Err(input.wrong("size", size, "[height, width]")),
    };
    input.choice("filter", &["bilinear"])?;
    let [mut mean, mut std, mut pad] = [[0.0; 3], [1.0; 3], [0.0; 3]];
    for (field, into) in [("mean", &mut mean), ("std", &mut std), ("pad", &mut pad)] {
        input.numbers(field, into)?;
    }
    if std.iter().any(|std| *std <= 0.0) {
        return Err(input.wrong("std", input.needed("std")?, "three numbers above 0"));
    }
    Ok(Sampling {
        name: input.text("name")?.unwrap_or_else(|| "input".into()),
        is_nhwc: input.choice("layout", &["nchw", "nhwc"])? == 1,
        is_bgr: input.choice("order", &["rgb", "bgr"])? == 1,
        mean,
        std,
        fit,
        pad,
    })
}

fn priors(card: Fields<'_>) -> Result<Option<Priors>, String> {
    let Some(fields) = card.maybe("priors", &["strides", "offset", "size", "repeat", "sizes", "clamp", "anchors"])? else {
        return Ok(None);
    };
    let strides = fields.list("strides")?;
    let mut priors = Priors {
        levels: Vec::new(),
        offset: fields.number("offset", Some(0.0), SHARE)?,
        clamp: fields.flag("clamp")?,
        cells_of_grid: fields.has("sizes"),
        stride_of_grid: false,
    };
    let sizes: Vec<Sizes> = if priors.cells_of_grid {
        fields.levels("sizes")?.into_iter().map(|level| Sizes::Pixels(level.into_iter().map(|side| [side; 2]).collect())).collect()
    } else if let Some(anchors) = fields.maybe("anchors", &["sizes", "ratios", "round", "corner"])? {
        let round = anchors.flag("round")?;
        priors.stride_of_grid = anchors.flag("corner")?;
        let ratios = anchors.above_zero("ratios", anchors.needed("ratios")?)?;
        let anchor = |ratio: f32, size: f32| {
            // torchvision rounds where the halves end.
            let side = |side: f32| if round { 2.0 * (side / 2.0).round_ties_even() } else { side };
            [side(size / ratio.sqrt()), side(size * ratio.sqrt())]
        };
        let level =
            |sizes: Vec<f32>| Sizes::Pixels(ratios.iter().flat_map(|&ratio| sizes.iter().map(move |&size| anchor(ratio, size))).collect());
        anchors.levels("sizes")?.into_iter().map(level).collect()
    } else {
        let of_input = fields.choice("size", &["stride", "input"])? == 1;
        let size = |count: usize| if of_input { Sizes::Input(count) } else { Sizes::Stride(count) };
        match fields.has("repeat") {
            true => fields
                .list("repeat")?
                .iter()
                .map(|count| fields.is_whole("repeat", count, MOST_ENTRIES).map(size))
                .collect::<Result<_, _>>()?,
            false => strides.iter().map(|_| size(1)).collect(),
        }
    };
    if sizes.len() != strides.len() {
        return Err(format!("priors of {} levels for {} strides", sizes.len(), strides.len()));
    }
    for (stride, sizes) in strides.iter().zip(sizes) {
        priors.levels.push(Level { stride: fields.is_whole("strides", stride, MOST_PIXELS)?, sizes });
    }
    Ok(Some(priors))
}

fn score(card: Fields<'_>) -> Result<Score, String> {
    let known = ["classes", "objectness", "powers", "activation", "clip", "skip_first", "select", "per_level"];
    let score = card.object("score", &known)?;
    let clip = score.number("clip", Some(f32::INFINITY), [0.0, f32::INFINITY])?;
    let mut powers = [1.0; 2];
    score.numbers("powers", &mut powers)?;
    Ok(Score {
        classes: score.joined("classes")?,
        activation: match score.choice("activation", &["none", "sigmoid", "softmax"])? {
            0 => Activation::None,
            1 => Activation::Sigmoid(clip),
            _ => Activation::Softmax,
        },
        skip_first: score.flag("skip_first")?,
        objectness: if score.has("objectness") { Some(score.joined("objectness")?) } else { None },
        powers,
        each: score.choice("select", &["best", "each"])? == 1,
        per_level: if score.has("per_level") { Some(score.whole("per_level", None, MOST_DETECTIONS)?) } else { None },
    })
}

fn boxes(card: Fields<'_>) -> Result<Boxes, String> {
    let known = ["form", "values", "scale", "bins", "center", "size", "size_of", "max", "per_class", "least"];
    let boxes = card.object("box", &known)?;
    boxes.needed("form")?;
    let (form, others): (_, &[&str]) = match boxes.choice("form", &["distances", "center", "corners"])? {
        0 => {
            boxes.choice("scale", &["stride"])?;
            (Form::Distances { bins: boxes.whole("bins", Some(1), MOST_ENTRIES)? }, &["center", "size", "size_of", "max"])
        }
        1 => {
            let mut scale = [1.0; 2];
            boxes.numbers("scale", &mut scale)?;
            boxes.needed("size")?;
            let form = Form::Center {
                tanh: boxes.choice("center", &["linear", "tanh"])? == 1,
                size: [Size::Exp, Size::Linear, Size::Sigmoid][boxes.choice("size", &["exp", "linear", "sigmoid"])?],
                of_input: boxes.choice("size_of", &["prior", "input"])? == 1,
                scale,
                max: boxes.number("max", Some(f32::INFINITY), ANY)?,
            };
            (form, &["bins"])
        }
        _ => (Form::Corners { of_input: boxes.choice("scale", &["pixels", "input"])? == 1 }, &["bins", "center", "size", "size_of", "max"]),
    };
    match others.iter().find(|field| boxes.has(field)) {
        Some(other) => Err(format!("box.{other} is for another form of boxes")),
        None => Ok(Boxes {
            values: boxes.joined("values")?,
            form,
            per_class: boxes.flag("per_class")?,
            least: boxes.number("least", Some(f32::NEG_INFINITY), [0.0, MOST_PIXELS as f32])?,
        }),
    }
}

/// A detector's first stage: like a detector, but of one class alone and without a threshold.
fn proposals(card: Fields<'_>) -> Result<Option<Proposals>, String> {
    let Some(fields) = card.maybe("proposals", &["input", "priors", "score", "box", "nms", "limit"])? else { return Ok(None) };
    let wrong = |what: String| format!("proposals: {what}");
    let nms = fields.object("nms", &["iou"]).map_err(wrong)?;
    let finder = Detector {
        input: input(card, false)?,
        point_names: Vec::new(),
        threshold: 0.0,
        suppress: Suppress { kind: Kind::Greedy, iou: nms.number("iou", None, SHARE)?, per_class: true },
        limit: fields.whole("limit", None, MOST_DETECTIONS)?,
        priors: priors(fields).map_err(wrong)?,
        score: score(fields).map_err(wrong)?,
        boxes: boxes(fields).map_err(wrong)?,
        points: None,
        proposals: None,
    };
    if finder.score.each || finder.boxes.per_class {
        return Err(wrong("they are of one class: no score.select or box.per_class".into()));
    }
    match finder.priors {
        None => Err(wrong("there are no `priors`".into())),
        Some(_) => {
            let input = fields.text("input")?.ok_or_else(|| wrong("there is no `input`, which takes them".into()))?;
            Ok(Some(Proposals { input, finder: Box::new(finder) }))
        }
    }
}

impl Detector {
    /// Reads the fields of a card of the task `detect`; the error names the field.
    pub(crate) fn from_json(json: &Value<'_>) -> Result<Self, String> {
        let card = Fields::card(json);
        let (boxes, priors, score) = (boxes(card)?, priors(card)?, score(card)?);
        let points = match card.maybe("points", &["values", "count", "scale"])? {
            None => None,
            Some(points) => Some(Points {
                values: points.joined("values")?,
                count: points.whole("count", None, MOST_POINTS)?,
                scale: points.number("scale", Some(1.0), ANY)?,
            }),
        };
        let proposals = proposals(card)?;
        if boxes.per_class && proposals.is_none() {
            return Err("box.per_class is for boxes against `proposals`".into());
        }
        match (&proposals, &priors) {
            (Some(_), Some(_)) => return Err("boxes are against `proposals` or against `priors`, not both".into()),
            (Some(_), None) if score.per_level.is_some() || !matches!(boxes.form, Form::Center { .. }) => {
                return Err("boxes against `proposals` have the form center and no score.per_level".into());
            }
            (None, None) if points.is_some() || score.per_level.is_some() || !matches!(boxes.form, Form::Corners { .. }) => {
                return Err("the card has no `priors`, against which boxes and points are".into());
            }
            _ => {}
        }
        let nms = card.object("nms", &["kind", "iou", "per_class"])?;
        let kind = [Kind::Greedy, Kind::Weighted, Kind::None][nms.choice("kind", &["greedy", "weighted", "none"])?];
        let usual = if kind == Kind::None { Some(1.0) } else { None };
        if let Some(other) = ["region", "detector"].iter().find(|field| card.has(field)) {
            return Err(format!("`{other}` is for landmarks, and the card is a detector's"));
        }
        Ok(Self {
            input: input(card, false)?,
            point_names: if card.has("point_names") { card.texts("point_names")? } else { Vec::new() },
            threshold: card.number("threshold", None, SHARE)?,
            suppress: Suppress { kind, iou: nms.number("iou", usual, SHARE)?, per_class: nms.flag("per_class")? },
            limit: card.whole("limit", Some(100), MOST_DETECTIONS)?,
            priors,
            score,
            boxes,
            points,
            proposals,
        })
    }

    /// Whether there are the results that the card reads, for an input of `[h, w]`, by what
    /// `lengths` says of each one's shape, and as many classes as `labels`, if there are any.
    pub(crate) fn check(
        &self,
        lengths: &dyn Fn(&str) -> Result<Vec<usize>, String>,
        size: [usize; 2],
        labels: usize,
    ) -> Result<(), String> {
        let [rows, columns] = self.score.classes.check(lengths)?;
        let width = |what: &str, values: &Joined, wanted: usize, name: &str| match values.check(lengths)? {
            [has, _] if has != rows => Err(format!("{rows} candidates have classes, {has} have {what}")),
            [_, columns] if columns != wanted => Err(format!("{name} reads {columns} channels, {wanted} are needed")),
            _ => Ok(()),
        };
        let classes = if self.boxes.per_class { columns } else { 1 };
        let per_box = classes * if let Form::Distances { bins } = self.boxes.form { 4 * bins } else { 4 };
        width("boxes", &self.boxes.values, per_box, "box.values")?;
        if let Some(values) = &self.score.objectness {
            width("objectness", values, 1, "score.objectness")?;
        }
        if let Some(Points { values, count, .. }) = &self.points {
            width("points", values, 2 * count, "points.values")?;
            if !self.point_names.is_empty() && self.point_names.len() != *count {
                return Err(format!("{} point_names for {count} points", self.point_names.len()));
            }
        }
        if let Some(Proposals { finder, .. }) = &self.proposals {
            finder.check(lengths, size, 0).map_err(|what| format!("proposals: {what}"))?;
            if finder.limit != rows {
                return Err(format!("{} proposals for {rows} rows of classes", finder.limit));
            }
        }
        if let Some(priors) = &self.priors {
            let count = priors.counts(size).into_iter().fold(0usize, usize::saturating_add);
            if count > priors::MOST {
                return Err(format!("{count} priors, at most {} are possible", priors::MOST));
            }
            if count != rows {
                return Err(format!("{count} priors for {rows} candidates of an input of {} x {}", size[0], size[1]));
            }
        }
        match columns - usize::from(self.score.skip_first) {
            0 => Err("no class is left besides the first".into()),
            classes if labels == 0 || classes == labels => Ok(()),
            classes => Err(format!("{labels} labels for {classes} classes")),
        }
    }
}

impl Landmarker {
    /// Reads the fields of a card of the task `landmarks`; the error names the field.
    pub(crate) fn from_json(json: &Value<'_>) -> Result<Self, String> {
        let card = Fields::card(json);
        let points = card.object("points", &["values", "count", "scale"])?;
        points.choice("scale", &["region"])?;
        let mut region = Region { scale: 1.0, shift: [0.0; 2] };
        if let Some(fields) = card.maybe("region", &["from", "square", "scale", "shift"])? {
            fields.choice("from", &["box"])?;
            fields.choice("square", &["longer"])?;
            region.scale = fields.number("scale", Some(1.0), [1e-3, 1e3])?;
            fields.numbers("shift", &mut region.shift)?;
        }
        let others = ["priors", "score", "box", "threshold", "nms", "limit", "point_names"];
        if let Some(other) = others.iter().find(|field| card.has(field)) {
            return Err(format!("`{other}` is for detectors, and the card is for landmarks"));
        }
        Ok(Self {
            input: input(card, true)?,
            count: points.whole("count", None, MOST_POINTS)?,
            detector: card.text("detector")?,
            region,
            points: points.joined("values")?,
        })
    }

    /// As [`Detector::check`].
    pub(crate) fn check(&self, lengths: &dyn Fn(&str) -> Result<Vec<usize>, String>) -> Result<(), String> {
        let [rows, columns] = self.points.check(lengths)?;
        match rows.saturating_mul(columns) {
            values if values < 2 * self.count => {
                Err(format!("{} points are {} values, the results have {values}", self.count, 2 * self.count))
            }
            _ => Ok(()),
        }
    }
}
