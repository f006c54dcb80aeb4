//! Last steps: what the CPU computes of the tensors that a run gave, whatever device that was on.

use crate::{
    Error, Result,
    detect::{Budget, Select},
    graph::{Graph, NonMaxSuppression},
    tensor::{AnyTensor, Element, Tensor, Values},
    text::Sides,
};

/// The results of a graph by name, of what leaves it: its own results, then what last steps take.
pub(super) fn results(graph: &Graph, mut given: Vec<(String, AnyTensor)>) -> Result<Vec<(String, AnyTensor)>> {
    let taken = given.split_off(graph.outputs().len());
    let mut taken = taken.into_iter().map(|(_, tensor)| tensor.into_f32());
    let mut left = Budget::default();
    for last in graph.suppressions() {
        let made = suppressed(last, &mut taken, &mut left).map_err(|what| Error::shape(&last.name, what))?;
        given.push((last.name.clone(), made));
    }
    Ok(given)
}

fn suppressed(last: &NonMaxSuppression, taken: &mut dyn Iterator<Item = Tensor>, left: &mut Budget) -> Result<AnyTensor, String> {
    let mut next = || taken.next().expect("a run gives all that leaves its graph");
    let (boxes, scores) = (next(), next());
    let limits = last.limits(|| next().data.first().copied().unwrap_or(f32::NAN))?;
    let select = match (&boxes.shape[..], &scores.shape[..]) {
        (&[images, count, 4], &[of, classes, scores]) if (of, scores) == (images, count) => {
            Select { images, classes, boxes: count, is_centered: last.is_centered, limits }
        }
        (boxes, scores) => {
            let what = "[n, boxes, 4] and [n, classes, boxes] are needed";
            return Err(format!("boxes {} and scores {}, {what}", Sides(boxes), Sides(scores)));
        }
    };
    let kept = select.run(&boxes.data, &scores.data, left)?;
    let numbers = kept.as_flattened().iter();
    let data = match last.element {
        Element::F32 => Values::F32(numbers.map(|&number| number as f32).collect()),
        Element::I32 => Values::I32(numbers.map(|&number| number as i32).collect()),
        _ => Values::I64(numbers.map(|&number| number as i64).collect()),
    };
    Ok(Tensor { shape: vec![kept.len(), 3], data })
}
