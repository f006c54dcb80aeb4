//! What a card reads, and whether a network has it.

use super::{Detector, Finder};
use crate::{
    graph::{Graph, Input, Shape},
    image_input::sample::Sampling,
    tensor::Element,
};

impl Finder {
    /// Whether a graph has what is read, and as many classes as `labels`, if there are any. Where
    /// the input's size is open it is checked with each picture.
    pub(crate) fn check(&self, graph: &Graph, labels: usize) -> Result<(), String> {
        let Some(size) = self.input().fit.size() else { return Ok(()) };
        match self {
            Self::Landmarker(landmarker) => landmarker.check(&lengths(graph, &landmarker.input, size, None)?),
            Self::Detector(detector) => detector.check_graph(graph, size, labels),
        }
    }
}

impl Detector {
    /// The results that are read, each once; of a second stage without those of the first.
    pub(crate) fn outputs(&self) -> Vec<&str> {
        let points = self.points.as_ref().map(|points| &points.values);
        let joined = [Some(&self.score.classes), self.score.objectness.as_ref(), Some(&self.boxes.values), points];
        let mut outputs: Vec<&str> = Vec::new();
        for name in joined.into_iter().flatten().flat_map(|joined| &joined.outputs) {
            if !outputs.contains(&&**name) {
                outputs.push(name);
            }
        }
        outputs
    }

    /// As [`Detector::check`], of the results of a graph.
    pub(crate) fn check_graph(&self, graph: &Graph, size: [usize; 2], labels: usize) -> Result<(), String> {
        let regions = self.proposals.as_ref().map(|proposals| (&*proposals.input, proposals.finder.limit));
        self.check(&lengths(graph, &self.input, size, regions)?, size, labels)
    }
}

/// The shapes of a graph's results by name, for a picture of `size` as its only input, but for one
/// that takes so many regions.
fn lengths(
    graph: &Graph,
    input: &Sampling,
    size: [usize; 2],
    regions: Option<(&str, usize)>,
) -> Result<impl Fn(&str) -> Result<Vec<usize>, String>, String> {
    let picture = (&*input.name, input.shape(size).to_vec());
    let given: Vec<(&str, Vec<usize>)> = [picture].into_iter().chain(regions.map(|(name, count)| (name, vec![1, count, 4]))).collect();
    let inputs = graph.inputs();
    if inputs.len() != given.len() {
        return Err(format!("the network takes {} inputs, the card gives {}", inputs.len(), given.len()));
    }
    if let Some((name, _)) = given.iter().find(|(name, _)| inputs.iter().all(|own| own.name != *name)) {
        let there: Vec<&str> = inputs.iter().map(|own| &*own.name).collect();
        return Err(format!("the card names the input `{name}`, the graph has {}", there.join(", ")));
    }
    let shape = |own: &Input| -> Result<Shape, String> {
        if own.tensor.element != Element::F32 {
            return Err(format!("input `{}` takes {}, f32 is needed", own.name, own.tensor));
        }
        let (_, lengths) = given.iter().find(|(name, _)| own.name == *name).ok_or_else(|| format!("the card names no `{}`", own.name))?;
        own.tensor.shape_of(lengths).map_err(|what| format!("input `{}` {what}", own.name))
    };
    let shapes = graph.shapes(&inputs.iter().map(shape).collect::<Result<Vec<_>, _>>()?).map_err(|error| error.to_string())?;
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
