//! Operators that make one value of several: means, sums, largest values, and softmax.

use super::given::{Inputs, Made, given, numbers, side, sides};
use crate::{
    graph::{Op, Pool, PoolKind, TopK},
    model::onnx::{
        import::{Import, Maps},
        proto::Node,
        value::{Source, Value, over_maps},
    },
};

/// Some sides of a tensor, and the others.
struct Parted {
    sides: Vec<usize>,
    others: Vec<usize>,
    /// The tensor; without a side for images, where this is among the sides.
    value: Value,
}

impl Parted {
    fn new(import: &mut Import<'_>, x: &Value, sides: Vec<usize>) -> Self {
        let mut value = x.clone();
        if value.batch.is_some_and(|batch| sides.contains(&batch)) {
            // Several images are not independent then.
            import.is_single = true;
            value.batch = None;
        }
        let others = (0..x.axes.len()).filter(|at| Some(*at) != value.batch && !sides.contains(at)).collect();
        Self { sides, others, value }
    }

    fn count(&self, sides: &[usize]) -> usize {
        sides.iter().map(|&at| self.value.axes[at].len).product()
    }

    /// Maps with some of the sides over channels, and others over pixels.
    fn maps(&self, import: &mut Import<'_>, channels: &[usize], pixels: &[usize]) -> Result<Maps, String> {
        let order: Vec<usize> = self.value.batch.into_iter().chain(channels.iter().copied()).chain(pixels.iter().copied()).collect();
        import.pixels(&self.value.transposed(&order), [self.count(channels), self.count(pixels)])
    }

    /// What was made of these maps, with the sides in their old order.
    fn view(&self, (node, source): Maps, channels: &[usize], pixels: &[usize]) -> Value {
        let axes = over_maps(&self.value.dims(), channels, pixels);
        Value { source: Source::Node(node, source), axes, start: [0, 0], batch: self.value.batch, is_whole: false, least: None }
    }
}

/// ReduceMean, ReduceSum, ReduceMax, ReduceMin.
pub(super) fn reduce(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let rank = x.axes.len();
    let reduced = match numbers(node, "axes", inputs, 1)?.filter(|axes| !axes.is_empty()) {
        Some(axes) => sides(&axes, rank)?,
        None if node.whole("noop_with_empty_axes", 0) != 0 => Vec::new(),
        None => (0..rank).collect(),
    };
    let parted = Parted::new(import, x, reduced);
    let (channels, pixels) = (&parted.others, &parted.sides);
    let maps = parted.maps(import, channels, pixels)?;
    let made = match node.op {
        "ReduceMax" => largest(import, "", maps)?,
        "ReduceMin" => {
            let x = parted.view(maps, channels, pixels);
            let turned = import.scaled("turned", &x, -1.0, 0.0)?;
            let Source::Node(node, of) = turned.source else { return Err("a constant".into()) };
            let made = parted.view(largest(import, "largest", (node, of))?, channels, &[]);
            let Source::Node(node, of) = import.scaled("", &made, -1.0, 0.0)?.source else { return Err("a constant".into()) };
            (node, of)
        }
        "ReduceSum" => {
            let mean = import.add("mean", Op::GlobalPool, &[maps.0])?;
            let mean = parted.view(mean, channels, &[]);
            let count = parted.count(pixels) as f32;
            let Source::Node(node, of) = import.scaled("", &mean, count, 0.0)?.source else { return Err("a constant".into()) };
            (node, of)
        }
        _ => import.add("", Op::GlobalPool, &[maps.0])?,
    };
    let value = Value { is_whole: x.is_whole && node.op != "ReduceMean", ..parted.view(made, channels, &[]) };
    Ok(vec![match node.whole("keepdims", 1) {
        0 => parted.sides.iter().rev().fold(value, |value, &side| value.without(side, 0)),
        _ => value,
    }])
}

/// The largest value of each map.
fn largest(import: &mut Import<'_>, suffix: &str, (node, [_, h, w]): Maps) -> Result<Maps, String> {
    let pool = Pool { kind: PoolKind::Max, kernel: [h, w], stride: [1, 1], pad: [0, 0], pad_more: [0, 0] };
    import.is_fixed = true;
    import.add(suffix, Op::Pool(pool), &[node])
}

/// GlobalAveragePool and GlobalMaxPool.
pub(super) fn global_pool(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let maps = import.tensor(x)?;
    let made = if node.op == "GlobalMaxPool" { largest(import, "", maps)? } else { import.add("", Op::GlobalPool, &[maps.0])? };
    let mut dims = vec![1; x.axes.len()];
    dims[1] = made.1[0];
    Ok(vec![Import::view(made, &dims)])
}

pub(super) fn softmax(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let rank = x.axes.len();
    // Until version 13 over all sides from one on, then over one.
    let old = import.opset < 13;
    let axis = side(node.whole("axis", if old { 1 } else { -1 }), rank)?;
    let parted = Parted::new(import, x, if old { (axis..rank).collect() } else { vec![axis] });
    let (channels, pixels) = (&parted.sides, &parted.others);
    let maps = parted.maps(import, channels, pixels)?;
    let made = import.add("", Op::Softmax, &[maps.0])?;
    Ok(vec![parted.view(made, channels, pixels)])
}

pub(super) fn arg_max(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let axis = side(node.whole("axis", 0), x.axes.len())?;
    let is_smallest = node.op == "ArgMin";
    let top_k = TopK { k: 1, is_smallest, is_last: node.whole("select_last_index", 0) != 0, places: true };
    let made = first(import, "", x, axis, top_k)?;
    Ok(vec![if node.whole("keepdims", 1) == 0 { made.without(axis, 0) } else { made }])
}

pub(super) fn top_k(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let axis = side(node.whole("axis", -1), x.axes.len())?;
    let k = match numbers(node, "k", inputs, 1)?.as_deref() {
        Some(&[k]) => usize::try_from(k).map_err(|_| format!("{k} values"))?,
        _ => return Err("without its number".into()),
    };
    let of = |places| TopK { k, is_smallest: node.whole("largest", 1) == 0, is_last: false, places };
    let wanted = |at: usize| node.outputs.get(at).is_some_and(|name| !name.is_empty());
    let values = first(import, "values", x, axis, of(false))?;
    Ok(if wanted(1) { vec![values, first(import, "places", x, axis, of(true))?] } else { vec![values] })
}

/// The first places of a side, in the order of their values.
fn first(import: &mut Import<'_>, suffix: &str, x: &Value, axis: usize, top_k: TopK) -> Result<Value, String> {
    let mut parted = Parted::new(import, x, vec![axis]);
    let maps = parted.maps(import, &parted.sides, &parted.others)?;
    let made = import.add(suffix, Op::TopK(top_k), &[maps.0])?;
    parted.value.axes[axis].len = top_k.k;
    Ok(Value { is_whole: top_k.places || x.is_whole, ..parted.view(made, &parted.sides, &parted.others) })
}
