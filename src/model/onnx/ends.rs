//! Where tensors enter and leave an ONNX graph.

use super::{
    import::{Import, Uses},
    proto,
    value::{Source, Value, total},
};
#[cfg(not(target_arch = "wasm32"))]
use crate::graph::NonMaxSuppression;
use crate::graph::{Axis, Element, NodeId, Shape, TensorType};

/// More values than any input of a mobile network has.
const MOST: usize = 1 << 28;

/// A tensor that leaves.
pub(super) struct Leaving {
    pub node: NodeId,
    pub tensor: TensorType,
    /// Whether it has a side for the images.
    pub batched: bool,
}

impl<'m> Import<'m> {
    /// Adds an input; whether its rows or columns are open.
    pub fn input(&mut self, info: &proto::ValueInfo<'m>, uses: &Uses<'_>, size: [usize; 2], is_sized: bool) -> Result<bool, String> {
        let name = info.name;
        let element = element(info.kind).ok_or_else(|| format!("input `{name}` has ONNX's type {}, which is not taken", info.kind))?;
        if !info.has_shape || info.dims.len() > 6 {
            return Err(format!("input `{name}` has no shape of at most six sides"));
        }
        // Images are counted where windows move over them; other tensors are whole as they are.
        match info.dims.first() {
            Some(None | Some(1)) => {}
            Some(Some(_)) if uses.has_windows => {}
            _ => return self.whole_input(info, element),
        }
        // Channels last: some node turns them to the front.
        let is_maps = info.dims.len() == 4 && info.dims[1].is_some() && !uses.transposed.contains(name);
        let open = info.dims[1..].iter().any(Option::is_none);
        let mut dims: Vec<usize> = vec![1];
        for (side, length) in info.dims.iter().enumerate().skip(1) {
            dims.push(match length {
                Some(length) => *length,
                None if info.dims.len() == 4 && side == if is_maps { 2 } else { 1 } => size[0],
                None if info.dims.len() == 4 && side == if is_maps { 3 } else { 2 } => size[1],
                None => return Err(format!("input `{name}` leaves side {side} open")),
            });
        }
        let batch = match info.dims[0] {
            None | Some(1) => "n".to_string(),
            Some(images) => format!("n={images}"),
        };
        let letters = if is_maps { ["c", "h", "w"].to_vec() } else { vec!["c"; dims.len() - 1] };
        let side = |(at, (&length, letter)): (usize, (&usize, &str))| match is_maps && at > 0 && info.dims[at + 1].is_none() && !is_sized {
            true => letter.to_string(),
            false => format!("{letter}={length}"),
        };
        let sides: Vec<String> = [batch].into_iter().chain(dims[1..].iter().zip(letters).enumerate().map(side)).collect();
        let tensor = TensorType::new(element, sides.iter().map(String::as_str))?;
        if total(dims.iter().copied()) > MOST {
            return Err(format!("input `{name}` has more than {MOST} values"));
        }
        let source = if is_maps { [dims[1], dims[2], dims[3]] } else { [dims[1..].iter().product(), 1, 1] };
        let node = self.graph.add_input_of(name, source[0], tensor).map_err(|error| error.to_string())?;
        let shape = Shape::new(1, source[0], source[1], source[2]);
        self.inputs.push(shape);
        self.shapes.push(shape);
        let value = Value { batch: Some(0), is_whole: element != Element::F32, ..Self::view((node, source), &dims) };
        self.values.insert(name, value);
        self.is_fixed |= open && !is_maps;
        Ok(open)
    }

    /// Adds an input that is no images: all its values as one vector.
    fn whole_input(&mut self, info: &proto::ValueInfo<'m>, element: Element) -> Result<bool, String> {
        let name = info.name;
        let dims = info.dims.iter().copied().collect::<Option<Vec<usize>>>();
        let dims = dims.ok_or_else(|| format!("input `{name}` leaves a side open"))?;
        let sides: Vec<String> = dims.iter().map(|length| format!("c={length}")).collect();
        let tensor = TensorType::new(element, sides.iter().map(String::as_str))?;
        let count = total(dims.iter().copied());
        let node = self.graph.add_input_of(name, count, tensor).map_err(|error| error.to_string())?;
        let shape = Shape::new(1, count, 1, 1);
        self.inputs.push(shape);
        self.shapes.push(shape);
        let value = Value { batch: None, is_whole: element != Element::F32, ..Self::view_of_vector((node, [count, 1, 1]), &dims) };
        self.values.insert(name, value);
        Ok(false)
    }

    /// Declares a result; whether it is of one image alone.
    pub fn output(&mut self, info: &proto::ValueInfo<'m>) -> Result<bool, String> {
        let name = info.name;
        self.title = name;
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(last) = self.last.get(name).cloned() {
            let named = NonMaxSuppression { name: name.into(), ..last };
            return self.graph.add_suppression(named).map(|()| false).map_err(|error| error.to_string());
        }
        let value = self.values.get(name).cloned().ok_or_else(|| format!("result `{name}` is computed by no node"))?;
        let Leaving { node, tensor, batched } = self.leaving(&value, element(info.kind).unwrap_or(Element::F32))?;
        self.graph.add_output_of(name, node, tensor);
        Ok(!batched)
    }

    /// A value on its way out.
    pub fn leaving(&mut self, value: &Value, element: Element) -> Result<Leaving, String> {
        let value = if value.is_constant() { self.constant(value)? } else { value.clone() };
        let batched = value.batch == Some(0);
        let sides = |named: &mut dyn Iterator<Item = String>| -> Vec<String> {
            let batch = batched.then(|| "n".to_string());
            batch.into_iter().chain(named).collect()
        };
        let rest = &value.axes[usize::from(batched)..];
        // All of a node's values in their order leave as they are; anything else row by row.
        let named = match value.source {
            Source::Node(node, of) if batched && self.walks_all(&value) => named_sides(rest, of).map(|named| (node, named)),
            _ => None,
        };
        let (node, sides) = match named {
            Some((node, named)) => (node, sides(&mut named.into_iter())),
            None => {
                let lengths: Vec<String> = rest.iter().map(|axis| format!("c={}", axis.len)).collect();
                // Vectors of any length need none.
                let named = if lengths.len() == 1 { vec!["c".into()] } else { lengths };
                (self.vector(&value)?.0, sides(&mut named.into_iter()))
            }
        };
        Ok(Leaving { node, tensor: TensorType::new(element, sides.iter().map(String::as_str))?, batched })
    }
}

/// Names of sides over maps of `of` channels, rows and columns, as [`TensorType`] has them; `None`
/// where a side is of two axes.
fn named_sides(sides: &[Axis], of: [usize; 3]) -> Option<Vec<String>> {
    if sides.len() == 3 && [0, 1, 2].iter().all(|&at| sides[at].len == of[at]) {
        return Some(["c", "h", "w"].map(String::from).to_vec());
    }
    let (mut axis, mut left) = (0, of[0]);
    let mut named = Vec::new();
    for side in sides {
        while left == 1 && side.len > 1 && axis < 2 {
            axis += 1;
            left = of[axis];
        }
        if !left.is_multiple_of(side.len) {
            return None;
        }
        left /= side.len;
        named.push(format!("{}={}", ["c", "h", "w"][axis], side.len));
    }
    (left == 1 && of[axis + 1..].iter().all(|&len| len == 1)).then_some(named)
}

/// The type of an end of ONNX's type.
pub(super) fn element(kind: i64) -> Option<Element> {
    Some(match kind {
        1 => Element::F32,
        6 => Element::I32,
        7 => Element::I64,
        9 => Element::Bool,
        _ => return None,
    })
}
