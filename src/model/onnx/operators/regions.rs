//! Operators on regions of maps.

use super::given::{Inputs, Made, given, some};
use crate::{
    graph::{Axis, Op, RoiAlign},
    model::onnx::{
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
