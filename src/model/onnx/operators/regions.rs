//! Operators on regions of maps.

use super::given::{Inputs, Made, given, some};
use crate::{
    graph::{Axis, Element, NonMaxSuppression, Op, Output, RoiAlign, Setting},
    model::onnx::{
        ends::Leaving,
        import::Import,
        proto::Node,
        value::{Source, Value},
    },
    text::Sides,
};

pub(super) fn roi_align(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let (map, ..) = import.tensor(given(inputs, 0)?)?;
    let regions = given(inputs, 1)?;
    let (&[count, 4], None) = (&regions.dims()[..], regions.batch) else {
        return Err(format!("regions of shape {}, a row of four values for each is needed", Sides(&regions.dims())));
    };
    // There is one image, so that nothing but zeros can say of which image a region is.
    if let Some(images) = some(inputs, 2).and_then(Value::integers)
        && images.iter().any(|image| *image != 0)
    {
        return Err("regions of several images".into());
    }
    import.is_single = true;
    let (regions, _) = import.maps(regions, [1, count, 4])?;
    if node.text("mode", "avg") != "avg" {
        return Err(format!("mode {}", node.text("mode", "avg")));
    }
    let default = if import.opset < 16 { "output_half_pixel" } else { "half_pixel" };
    let aligned = match node.text("coordinate_transformation_mode", default) {
        "half_pixel" => true,
        "output_half_pixel" => false,
        other => return Err(format!("coordinates by {other}")),
    };
    let whole = |name: &str, usual: i64| usize::try_from(node.whole(name, usual)).map_err(|_| format!("{name} below 0"));
    let (cells, samples) = ([whole("output_height", 1)?, whole("output_width", 1)?], whole("sampling_ratio", 0)?);
    if samples == 0 {
        return Err("samples as many as a region is large".into());
    }
    let align = RoiAlign { cells, samples, scales: vec![node.float("spatial_scale", 1.0)], aligned, side: 1.0 };
    let (made, of) = import.add("", Op::RoiAlign(align), &[map, regions])?;
    let [rows, columns] = cells;
    let side = |len: usize, channels: isize, pixels: usize| Axis { len, channels, pixels: pixels as isize };
    let axes = vec![side(count, 0, rows * columns), side(of[0], 1, 0), side(rows, 0, columns), side(columns, 0, 1)];
    Ok(vec![Value { source: Source::Node(made, of), axes, start: [0, 0], batch: None, is_whole: false, least: None }])
}

pub(super) fn non_max_suppression(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let (boxes, scores) = (given(inputs, 0)?, given(inputs, 1)?);
    match (&boxes.dims()[..], &scores.dims()[..]) {
        (&[n, count, 4], &[of, _, scores]) if (n, count) == (of, scores) => {}
        (boxes, scores) => {
            let what = "[n, boxes, 4] and [n, classes, boxes] are needed";
            return Err(format!("boxes {} and scores {}, {what}", Sides(boxes), Sides(scores)));
        }
    }
    let is_centered = match node.whole("center_point_box", 0) {
        form @ (0 | 1) => form == 1,
        form => return Err(format!("boxes of form {form}")),
    };
    let made = NonMaxSuppression {
        name: node.title().into(),
        element: Element::I64,
        boxes: output(import, node, "boxes", boxes)?,
        scores: output(import, node, "scores", scores)?,
        is_centered,
        most: setting(import, node, "max_output_boxes_per_class", some(inputs, 2))?.unwrap_or(Setting::Constant(0.0)),
        iou: setting(import, node, "iou_threshold", some(inputs, 3))?.unwrap_or(Setting::Constant(0.0)),
        score: setting(import, node, "score_threshold", some(inputs, 4))?,
    };
    made.check()?;
    import.add_last(node, made);
    Ok(Vec::new())
}

/// A tensor that a run gives for a last step.
fn output(import: &mut Import<'_>, node: &Node<'_>, what: &str, value: &Value) -> Result<Output, String> {
    let Leaving { node: from, tensor, batched } = import.leaving(value, Element::F32)?;
    import.is_single |= !batched;
    Ok(Output { name: format!("{}.{what}", node.title()), node: from, tensor })
}

fn setting(import: &mut Import<'_>, node: &Node<'_>, what: &str, value: Option<&Value>) -> Result<Option<Setting>, String> {
    let Some(value) = value else { return Ok(None) };
    if value.count() != 1 {
        return Err(format!("`{what}` of shape {}, one number is needed", Sides(&value.dims())));
    }
    let constant = value.floats().and_then(|values| values.first().copied());
    if let Some(constant) = constant {
        // By this TensorFlow says that there is no threshold.
        let constant = if constant == f32::NEG_INFINITY { f32::MIN } else { constant };
        return Ok(Some(Setting::Constant(constant)));
    }
    // One for all images.
    import.is_single = true;
    output(import, node, what, value).map(|output| Some(Setting::Output(output)))
}
