//! Reads the fields of a card that say how results are meant, and checks them against a network.

use super::{
    Activation, Boxes, Detector, Form, Landmarker, Points, Score, Size,
    landmarks::Region,
    priors::{self, Level, Priors, Sizes},
    suppress::{Kind, Suppress},
    values::Joined,
};
use crate::{
    graph::{Graph, Shape},
    image_input::sample::{Fit, Sampling},
    json::Value,
    tensor::Element,
    text::{Sides, decimal},
};

/// Fields of a card that are read here.
pub(crate) const FIELDS: [&str; 11] =
    ["input", "point_names", "priors", "score", "box", "points", "threshold", "nms", "limit", "region", "detector"];

/// The longest side of an input, in pixels, and of a prior.
const MOST_PIXELS: usize = 1 << 13;
/// Entries of a list.
const MOST_ENTRIES: usize = 256;
/// Points of a candidate.
const MOST_POINTS: usize = 1 << 10;
/// Detections in a picture.
const MOST_DETECTIONS: usize = 10_000;

fn short(value: &Value<'_>) -> String {
    let text = value.to_string();
    let line: String = text.chars().take(60).collect();
    if line.len() < text.len() { line + "…" } else { line }
}

fn wrong(key: &str, value: &Value<'_>, wanted: &str) -> String {
    format!("{key} is {}, not {wanted}", short(value))
}

/// An object of the fields `known`.
fn fields<'v, 'a>(key: &str, value: &'v Value<'a>, known: &[&str]) -> Result<&'v Value<'a>, String> {
    let Value::Object(fields) = value else { return Err(wrong(key, value, "an object")) };
    match fields.iter().find(|(name, _)| !known.contains(&&**name)) {
        Some((name, _)) => Err(format!("`{}` is no field of {key}", short(&Value::Text(name.clone())).trim_matches('"'))),
        None => Ok(value),
    }
}

fn needed<'v, 'a>(key: &str, value: &'v Value<'a>, field: &str) -> Result<&'v Value<'a>, String> {
    value.get(field).ok_or_else(|| format!("{key} has no `{field}`"))
}

fn number(key: &str, value: &Value<'_>) -> Result<f32, String> {
    let number = value.number().map(|number| number as f32).filter(|number| number.is_finite());
    number.ok_or_else(|| wrong(key, value, "a number"))
}

fn share(key: &str, value: &Value<'_>) -> Result<f32, String> {
    number(key, value).ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| wrong(key, value, "a number from 0 to 1"))
}

fn whole(key: &str, value: &Value<'_>, most: usize) -> Result<usize, String> {
    let number = value.whole().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| wrong(key, value, &format!("a whole number from 1 to {most}")))
}

fn flag(key: &str, value: Option<&Value<'_>>) -> Result<bool, String> {
    match value {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(other) => Err(wrong(key, other, "true or false")),
    }
}

fn list<'v, 'a>(key: &str, value: &'v Value<'a>) -> Result<&'v [Value<'a>], String> {
    value.list().filter(|items| (1..=MOST_ENTRIES).contains(&items.len())).ok_or_else(|| wrong(key, value, "a list"))
}

fn texts(key: &str, value: &Value<'_>) -> Result<Vec<String>, String> {
    let text = |item: &Value<'_>| item.text().map(str::to_string).ok_or_else(|| wrong(key, item, "a text"));
    list(key, value)?.iter().map(text).collect()
}

fn numbers<const N: usize>(key: &str, value: &Value<'_>) -> Result<[f32; N], String> {
    let wanted = || wrong(key, value, &format!("{N} numbers"));
    let all = value.list().ok_or_else(wanted)?.iter().map(|item| number(key, item)).collect::<Result<Vec<_>, _>>()?;
    all.try_into().map_err(|_| wanted())
}

/// What the text names, of some.
fn choice<T: Copy>(key: &str, value: &Value<'_>, of: &[(&str, T)]) -> Result<T, String> {
    let found = of.iter().find(|(name, _)| value.text() == Some(name));
    let names = || of.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" or ");
    found.map(|(_, value)| *value).ok_or_else(|| wrong(key, value, &names()))
}

fn joined(key: &str, value: &Value<'_>) -> Result<Joined, String> {
    fields(key, value, &["outputs", "channels"])?;
    let columns = value.get("channels").map(|channels| match channels.list() {
        Some([from, to]) => match from.whole().zip(to.whole()) {
            Some((from, to)) if from < to => Ok(from..to),
            _ => Err(wrong(&format!("{key}.channels"), channels, "two whole numbers, the second one larger")),
        },
        _ => Err(wrong(&format!("{key}.channels"), channels, "[from, to]")),
    });
    Ok(Joined { outputs: texts(&format!("{key}.outputs"), needed(key, value, "outputs")?)?, columns: columns.transpose()? })
}

/// The fields that are read here, as they stand.
fn kept(card: &Value<'_>) -> String {
    let Value::Object(fields) = card else { return String::new() };
    Value::Object(fields.iter().filter(|(name, _)| FIELDS.contains(&&**name)).cloned().collect()).to_string()
}

fn input(card: &Value<'_>, of_region: bool) -> Result<Sampling, String> {
    let key = "input";
    let value = needed("the card", card, key)?;
    fields(key, value, &["name", "layout", "size", "order", "mean", "std", "fit", "pad", "filter"])?;
    let size = needed(key, value, "size")?;
    let sides = || match size.list() {
        Some([h, w]) => Ok([whole("input.size", h, MOST_PIXELS)?, whole("input.size", w, MOST_PIXELS)?]),
        _ => Err(wrong("input.size", size, "[height, width] or {\"multiple\"}")),
    };
    let multiple = size.get("multiple").map(|of| whole("input.size.multiple", of, MOST_PIXELS)).transpose()?;
    type Place = fn([usize; 2]) -> Fit;
    let places: [(&str, Place); 4] =
        [("stretch", Fit::Stretch), ("letterbox", Fit::Letterbox), ("corner", Fit::Corner), ("region", Fit::Region)];
    let usual: Place = if of_region { Fit::Region } else { Fit::Stretch };
    let place = value.get("fit").map_or(Ok(usual), |fit| choice("input.fit", fit, &places))?;
    let fit = match multiple {
        Some(of) if !of_region => Fit::Multiple(of),
        _ => place(sides()?),
    };
    if matches!(fit, Fit::Region(_)) != of_region {
        let is = if of_region { "landmarks are of a region" } else { "a region is for landmarks" };
        return Err(format!("input.fit: {is}"));
    }
    if let Some(filter) = value.get("filter") {
        choice("input.filter", filter, &[("bilinear", ())])?;
    }
    let channels = |field: &str, usual: f32| match value.get(field) {
        Some(numbers_) => numbers::<3>(&format!("input.{field}"), numbers_),
        None => Ok([usual; 3]),
    };
    let std = channels("std", 1.0)?;
    if let Some(zero) = std.iter().find(|std| **std <= 0.0) {
        return Err(format!("input.std has {}, numbers above 0 are needed", decimal((*zero).into())));
    }
    Ok(Sampling {
        name: value.get("name").map_or(Ok("input"), |name| name.text().ok_or_else(|| wrong("input.name", name, "a text")))?.into(),
        is_nhwc: value.get("layout").map_or(Ok(false), |layout| choice("input.layout", layout, &[("nchw", false), ("nhwc", true)]))?,
        is_bgr: value.get("order").map_or(Ok(false), |order| choice("input.order", order, &[("rgb", false), ("bgr", true)]))?,
        mean: channels("mean", 0.0)?,
        std,
        fit,
        pad: channels("pad", 0.0)?,
    })
}

fn sizes_of(key: &str, value: &Value<'_>) -> Result<Vec<Vec<f32>>, String> {
    let above_zero = |item: &Value<'_>| {
        let side = number(key, item)?;
        if side > 0.0 && side <= MOST_PIXELS as f32 {
            Ok(side)
        } else {
            Err(wrong(key, item, &format!("above 0 and at most {MOST_PIXELS}")))
        }
    };
    list(key, value)?.iter().map(|level| list(key, level)?.iter().map(above_zero).collect()).collect()
}

fn priors(value: &Value<'_>) -> Result<Priors, String> {
    let key = "priors";
    fields(key, value, &["strides", "offset", "size", "repeat", "sizes", "clamp", "anchors"])?;
    let strides = list("priors.strides", needed(key, value, "strides")?)?;
    let strides = strides.iter().map(|stride| whole("priors.strides", stride, MOST_PIXELS)).collect::<Result<Vec<_>, _>>()?;
    let as_many = |field: &str, has: usize| match has == strides.len() {
        true => Ok(()),
        false => Err(format!("priors.{field} has {has} entries for {} strides", strides.len())),
    };
    let mut priors = Priors {
        levels: Vec::new(),
        offset: value.get("offset").map_or(Ok(0.0), |offset| share("priors.offset", offset))?,
        clamp: flag("priors.clamp", value.get("clamp"))?,
        cells_of_grid: false,
        stride_of_grid: false,
    };
    let sizes: Vec<Sizes> = if let Some(sizes) = value.get("sizes") {
        priors.cells_of_grid = true;
        sizes_of("priors.sizes", sizes)?.into_iter().map(|level| Sizes::Pixels(level.into_iter().map(|side| [side; 2]).collect())).collect()
    } else if let Some(anchors) = value.get("anchors") {
        fields("priors.anchors", anchors, &["sizes", "ratios", "round", "corner"])?;
        let round = flag("priors.anchors.round", anchors.get("round"))?;
        priors.stride_of_grid = flag("priors.anchors.corner", anchors.get("corner"))?;
        let ratios = list("priors.anchors.ratios", needed("priors.anchors", anchors, "ratios")?)?;
        let ratios = ratios.iter().map(|ratio| {
            number("priors.anchors.ratios", ratio)
                .ok()
                .filter(|ratio| *ratio > 0.0)
                .ok_or_else(|| wrong("priors.anchors.ratios", ratio, "above 0"))
        });
        let ratios = ratios.collect::<Result<Vec<f32>, _>>()?;
        let level = |sizes: Vec<f32>| {
            let anchor = |ratio: f32, size: f32| {
                let sides = [size / ratio.sqrt(), size * ratio.sqrt()];
                // torchvision rounds the halves' ends.
                if round { sides.map(|side| 2.0 * (side / 2.0).round_ties_even()) } else { sides }
            };
            Sizes::Pixels(ratios.iter().flat_map(|&ratio| sizes.iter().map(move |&size| anchor(ratio, size))).collect())
        };
        sizes_of("priors.anchors.sizes", needed("priors.anchors", anchors, "sizes")?)?.into_iter().map(level).collect()
    } else {
        let repeat = value.get("repeat").map_or(Ok(vec![1; strides.len()]), |repeat| {
            list("priors.repeat", repeat)?.iter().map(|count| whole("priors.repeat", count, MOST_ENTRIES)).collect()
        })?;
        type Kind = fn(usize) -> Sizes;
        let kinds: [(&str, Kind); 2] = [("stride", Sizes::Stride), ("input", Sizes::Input)];
        let usual: Kind = Sizes::Stride;
        let kind = value.get("size").map_or(Ok(usual), |size| choice("priors.size", size, &kinds))?;
        repeat.into_iter().map(kind).collect()
    };
    as_many("sizes", sizes.len())?;
    priors.levels = strides.into_iter().zip(sizes).map(|(stride, sizes)| Level { stride, sizes }).collect();
    Ok(priors)
}

fn score(value: &Value<'_>) -> Result<Score, String> {
    let key = "score";
    fields(key, value, &["classes", "objectness", "powers", "activation", "clip", "skip_first", "select", "per_level"])?;
    let clip = value.get("clip").map_or(Ok(f32::INFINITY), |clip| number("score.clip", clip))?;
    if clip <= 0.0 {
        return Err(format!("score.clip is {}, not above 0", decimal(clip.into())));
    }
    let kinds = [("none", Activation::None), ("sigmoid", Activation::Sigmoid(clip)), ("softmax", Activation::Softmax)];
    Ok(Score {
        classes: joined("score.classes", needed(key, value, "classes")?)?,
        activation: value.get("activation").map_or(Ok(Activation::None), |kind| choice("score.activation", kind, &kinds))?,
        skip_first: flag("score.skip_first", value.get("skip_first"))?,
        objectness: value.get("objectness").map(|value| joined("score.objectness", value)).transpose()?,
        powers: value.get("powers").map_or(Ok([1.0; 2]), |powers| numbers("score.powers", powers))?,
        each: value.get("select").map_or(Ok(false), |select| choice("score.select", select, &[("best", false), ("each", true)]))?,
        per_level: value.get("per_level").map(|most| whole("score.per_level", most, MOST_DETECTIONS)).transpose()?,
    })
}

fn boxes(value: &Value<'_>) -> Result<Boxes, String> {
    let key = "box";
    let values = joined("box.values", needed(key, value, "values")?)?;
    let form = needed(key, value, "form")?;
    let common = ["form", "values", "scale"];
    let with = |more: &[&'static str]| [&common[..], more].concat();
    let form = match choice("box.form", form, &[("distances", 0), ("center", 1), ("corners", 2)])? {
        0 => {
            fields(key, value, &with(&["bins"]))?;
            value.get("scale").map_or(Ok(()), |scale| choice("box.scale", scale, &[("stride", ())]))?;
            Form::Distances { bins: value.get("bins").map_or(Ok(1), |bins| whole("box.bins", bins, MOST_ENTRIES))? }
        }
        1 => {
            fields(key, value, &with(&["center", "size", "size_of", "max"]))?;
            let sizes = [("exp", Size::Exp), ("linear", Size::Linear), ("sigmoid", Size::Sigmoid)];
            Form::Center {
                tanh: value.get("center").map_or(Ok(false), |center| choice("box.center", center, &[("linear", false), ("tanh", true)]))?,
                size: choice("box.size", needed(key, value, "size")?, &sizes)?,
                of_input: value.get("size_of").map_or(Ok(false), |of| choice("box.size_of", of, &[("prior", false), ("input", true)]))?,
                scale: value.get("scale").map_or(Ok([1.0; 2]), |scale| numbers("box.scale", scale))?,
                max: value.get("max").map_or(Ok(f32::INFINITY), |max| number("box.max", max))?,
            }
        }
        _ => {
            fields(key, value, &common)?;
            let scales = [("input", true), ("pixels", false)];
            Form::Corners { of_input: value.get("scale").map_or(Ok(false), |scale| choice("box.scale", scale, &scales))? }
        }
    };
    Ok(Boxes { values, form })
}

impl Detector {
    /// Reads the fields of a card of the task `detect`; the error names the field.
    pub(crate) fn from_json(card: &Value<'_>) -> Result<Self, String> {
        let boxes = boxes(needed("the card", card, "box")?)?;
        let priors = card.get("priors").map(priors).transpose()?;
        let points = card.get("points").map(|value| {
            fields("points", value, &["values", "count", "scale"])?;
            Ok::<_, String>(Points {
                values: joined("points.values", needed("points", value, "values")?)?,
                count: whole("points.count", needed("points", value, "count")?, MOST_POINTS)?,
                scale: value.get("scale").map_or(Ok(1.0), |scale| number("points.scale", scale))?,
            })
        });
        let points = points.transpose()?;
        if priors.is_none() && (points.is_some() || !matches!(boxes.form, Form::Corners { .. })) {
            return Err("the card has no `priors`, against which boxes and points are".into());
        }
        let score = score(needed("the card", card, "score")?)?;
        if score.per_level.is_some() && priors.is_none() {
            return Err("score.per_level needs `priors`, which have levels".into());
        }
        let nms = needed("the card", card, "nms")?;
        fields("nms", nms, &["kind", "iou", "per_class"])?;
        let kinds = [("greedy", Kind::Greedy), ("weighted", Kind::Weighted), ("none", Kind::None)];
        let kind = nms.get("kind").map_or(Ok(Kind::Greedy), |kind| choice("nms.kind", kind, &kinds))?;
        let iou = if kind == Kind::None {
            nms.get("iou").map_or(Ok(1.0), |iou| share("nms.iou", iou))
        } else {
            share("nms.iou", needed("nms", nms, "iou")?)
        };
        if let Some(region) = card.get("region").or(card.get("detector")) {
            return Err(format!("a region and a detector are for landmarks, the card has {}", short(region)));
        }
        Ok(Self {
            input: input(card, false)?,
            point_names: card.get("point_names").map_or(Ok(Vec::new()), |names| texts("point_names", names))?,
            threshold: share("threshold", needed("the card", card, "threshold")?)?,
            suppress: Suppress { kind, iou: iou?, per_class: flag("nms.per_class", nms.get("per_class"))? },
            limit: card.get("limit").map_or(Ok(100), |limit| whole("limit", limit, MOST_DETECTIONS))?,
            priors,
            score,
            boxes,
            points,
            json: kept(card),
        })
    }

    /// Whether a graph has the results that the card reads, for pictures of `[h, w]`; the number of
    /// classes.
    pub(crate) fn check(&self, graph: &Graph, size: [usize; 2]) -> Result<usize, String> {
        let lengths = lengths(graph, &self.input, size)?;
        let [rows, columns] = self.score.classes.check(&lengths)?;
        let width = |what: &str, values: &Joined, wanted: usize, name: &str| match values.check(&lengths)? {
            [has, _] if has != rows => Err(format!("{rows} candidates have classes, {has} have {what}")),
            [_, columns] if columns != wanted => Err(format!("{name} reads {columns} channels, {wanted} are needed")),
            _ => Ok(()),
        };
        let per_box = if let Form::Distances { bins } = self.boxes.form { 4 * bins } else { 4 };
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
        if let Some(priors) = &self.priors {
            let count = priors.counts(size).into_iter().fold(0usize, usize::saturating_add);
            if count > priors::MOST {
                return Err(format!("{count} priors, at most {} are possible", priors::MOST));
            }
            if count != rows {
                return Err(format!("{count} priors for {rows} candidates of an input of {}", Sides(&size)));
            }
        }
        match columns - usize::from(self.score.skip_first) {
            0 => Err("no class is left besides the first".into()),
            classes => Ok(classes),
        }
    }
}

impl Landmarker {
    /// Reads the fields of a card of the task `landmarks`; the error names the field.
    pub(crate) fn from_json(card: &Value<'_>) -> Result<Self, String> {
        let points = needed("the card", card, "points")?;
        fields("points", points, &["values", "count", "scale"])?;
        choice("points.scale", needed("points", points, "scale")?, &[("region", ())])?;
        let mut region = Region { scale: 1.0, shift: [0.0; 2] };
        if let Some(value) = card.get("region") {
            fields("region", value, &["from", "square", "scale", "shift"])?;
            value.get("from").map_or(Ok(()), |from| choice("region.from", from, &[("box", ())]))?;
            value.get("square").map_or(Ok(()), |square| choice("region.square", square, &[("longer", ())]))?;
            region.scale = value.get("scale").map_or(Ok(1.0), |scale| number("region.scale", scale))?;
            region.shift = value.get("shift").map_or(Ok([0.0; 2]), |shift| numbers("region.shift", shift))?;
        }
        if region.scale <= 0.0 {
            return Err(format!("region.scale is {}, not above 0", decimal(region.scale.into())));
        }
        if let Some(other) =
            ["priors", "score", "box", "threshold", "nms", "limit", "point_names"].iter().find(|key| card.get(key).is_some())
        {
            return Err(format!("`{other}` is for detectors, and the card is for landmarks"));
        }
        let text = |value: &Value<'_>| value.text().map(str::to_string).ok_or_else(|| wrong("detector", value, "a text"));
        Ok(Self {
            input: input(card, true)?,
            count: whole("points.count", needed("points", points, "count")?, MOST_POINTS)?,
            detector: card.get("detector").map(text).transpose()?,
            region,
            points: joined("points.values", needed("points", points, "values")?)?,
            json: kept(card),
        })
    }

    /// Whether a graph has the results that the card reads.
    pub(crate) fn check(&self, graph: &Graph) -> Result<(), String> {
        let size = self.input.fit.size().expect("a region has a size");
        let [rows, columns] = self.points.check(&lengths(graph, &self.input, size)?)?;
        match rows.saturating_mul(columns) {
            values if values < 2 * self.count => {
                Err(format!("{} points are {} values, the results have {values}", self.count, 2 * self.count))
            }
            _ => Ok(()),
        }
    }
}

/// The shapes of a graph's results by name, for a picture of `size` as its only input.
fn lengths(graph: &Graph, input: &Sampling, size: [usize; 2]) -> Result<impl Fn(&str) -> Result<Vec<usize>, String>, String> {
    let [own] = graph.inputs() else { return Err(format!("the network takes {} inputs, a detector's takes one", graph.inputs().len())) };
    if own.name != input.name {
        return Err(format!("the card names the input `{}`, the graph has {}", input.name, own.name));
    }
    if own.tensor.element != Element::F32 {
        return Err(format!("input `{}` takes {}, a picture is of f32", own.name, own.tensor));
    }
    let shape: Shape = own.tensor.shape_of(&input.shape(size)).map_err(|what| format!("input `{}` {what}", own.name))?;
    let shapes = graph.shapes(&[shape]).map_err(|error| error.to_string())?;
    Ok(move |name: &str| {
        let found = graph.outputs().iter().find(|output| output.name == name).ok_or_else(|| {
            let there: Vec<&str> = graph.outputs().iter().map(|output| &*output.name).collect();
            format!("the card names the result `{name}`, the graph has {}", there.join(", "))
        })?;
        if found.tensor.element != Element::F32 {
            return Err(format!("result `{name}` is {}, f32 is needed", found.tensor));
        }
        found.tensor.lengths(shapes[found.node.0])
    })
}
