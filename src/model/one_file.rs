//! A network as one safetensors file: its weights as tensors, its graph and its card as JSON in the
//! file's metadata, with a version.

use super::{
    Network,
    card::Card,
    checkpoint::{Checkpoint, config::OneFile, one_line},
};
use crate::{
    Error, Result,
    graph::{Constant, Graph},
    json::Value,
};

/// The version that this library writes and reads.
const VERSION: &str = "1";

/// The network that a checkpoint holds besides its tensors.
pub(super) fn read(checkpoint: &Checkpoint, said: &OneFile) -> Result<Network> {
    parse(checkpoint, said).map_err(|what| Error::weights(checkpoint.file(), what))
}

fn parse(checkpoint: &Checkpoint, said: &OneFile) -> Result<Network, String> {
    if said.version != VERSION {
        let version = one_line(&said.version, 20);
        return Err(format!("a one-file network of version {version}; this library reads version {VERSION}"));
    }
    let mut used = 0;
    let mut constants = |name: &str| {
        let tensor = checkpoint.get(name)?;
        used += 1;
        Some(Constant { name: name.into(), shape: tensor.shape.clone(), data: tensor.data.clone() })
    };
    let json = Value::parse(&said.graph).map_err(|what| format!("its graph: {what}"))?;
    let graph = Graph::from_json(&json, &mut constants).map_err(|what| one_line(&format!("its graph: {what}"), 400))?;
    let tensors = checkpoint.names().count();
    if used != tensors {
        return Err(format!("it holds {tensors} tensors, its graph takes {used}"));
    }
    let card = Value::parse(&said.card).and_then(|json| Card::from_json(&json)).map_err(|what| format!("its card: {what}"))?;
    Network::new(graph, card).map_err(|error| one_line(&error.to_string(), 400))
}

#[cfg(not(target_arch = "wasm32"))]
mod save {
    use super::*;
    use crate::{
        file,
        model::checkpoint::write::{self, Row},
    };
    use half::f16;
    use std::{
        collections::{BTreeMap, BTreeSet},
        io::Write as _,
        path::Path,
    };

    /// How the weights of a saved network are stored.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub enum Stored {
        /// 32-bit floats: nothing is lost.
        #[default]
        F32,
        /// 16-bit floats: half the size. Vectors, such as biases, stay f32.
        F16,
        /// 8-bit integers: a quarter of the size. Each output channel has a scale, in f32. Weights
        /// that are multiples of such a scale already, as those of an ONNX file after
        /// `DequantizeLinear` are, stay as they are; others are rounded to the nearest of 255. What
        /// is no weight of a convolution or linear layer stays f32.
        Int8,
    }

    impl Network {
        /// Saves the network, its graph and card included, as one safetensors file, which
        /// [`Network::open`] reads. The file appears complete or not at all.
        ///
        /// # Errors
        /// [`Error::Io`] where the file cannot be written. [`Error::Model`] where halves cannot
        /// hold a weight.
        pub fn save(&self, path: impl AsRef<Path>, stored: Stored) -> Result<()> {
            let bytes = self.to_bytes(stored)?;
            file::replace(path.as_ref(), |file| file.write_all(&bytes))
        }

        /// The bytes of the file that [`Network::save`] writes.
        ///
        /// # Errors
        /// [`Error::Model`] where halves cannot hold a weight.
        pub fn to_bytes(&self, stored: Stored) -> Result<Vec<u8>> {
            // What no result needs is not written.
            let mut graph = self.graph().clone();
            graph.compact();
            let written = graph.to_json().map_err(Error::Model)?;
            let stored_rows = if stored == Stored::Int8 { rows(&graph, &written.names) } else { BTreeMap::new() };
            let vectors: BTreeMap<String, Vec<f32>> =
                stored_rows.iter().flat_map(|(at, rows)| vectors(&written.names[*at], rows)).collect();
            let mut tensors = Vec::new();
            for (at, (name, Constant { shape, data, .. })) in written.names.iter().zip(&graph.constants).enumerate() {
                let rows = stored_rows.get(&at).map_or(&[][..], |rows| rows);
                // A normalisation divides by roots of its variances, which halves would round to 0.
                let is_half = stored == Stored::F16 && shape.len() > 1;
                let largest = data.iter().fold(0.0f32, |most, value| most.max(value.abs()));
                if is_half && largest > f16::MAX.to_f32() {
                    let what = format!("`{name}` has a weight of magnitude {largest}, f16 holds up to {}", f16::MAX);
                    return Err(Error::Model(what));
                }
                let dtype = if is_half {
                    "F16"
                } else if rows.is_empty() {
                    "F32"
                } else {
                    "I8"
                };
                tensors.push(write::Stored { name, dtype, shape, data, rows });
            }
            let lengths: Vec<[usize; 1]> = vectors.values().map(|vector| [vector.len()]).collect();
            for ((name, data), shape) in vectors.iter().zip(&lengths) {
                tensors.push(write::Stored { name, dtype: "F32", shape, data, rows: &[] });
            }
            let said = [
                ("format", OneFile::FORMAT.to_string()),
                ("version", VERSION.to_string()),
                ("graph", written.json.to_string()),
                ("card", self.card().to_json()),
            ];
            let metadata = said.into_iter().map(|(key, value)| (key.to_string(), value)).collect();
            Ok(write::serialize(&tensors, metadata))
        }
    }

    /// How the rows of each weight are stored, by the place of its constant.
    fn rows(graph: &Graph, names: &[String]) -> BTreeMap<usize, Vec<Row>> {
        let weights: BTreeSet<usize> = graph.nodes().iter().flat_map(|node| node.op.weights()).map(|id| id.0).collect();
        // Whose scales' name is another's stays as it is.
        let is_taken = |name: &str| write::ROWS.iter().any(|suffix| names.iter().any(|other| *other == format!("{name}{suffix}")));
        let rows = |at: usize| {
            let Constant { shape, data, .. } = &graph.constants[at];
            let of_row = (data.len() / shape[0].max(1)).max(1);
            (at, data.chunks(of_row).map(Row::of).collect())
        };
        weights.into_iter().filter(|at| !is_taken(&names[*at])).map(rows).collect()
    }

    /// The scales of the rows, and their zero points where there are any, by their tensors' names.
    fn vectors(name: &str, rows: &[Row]) -> Vec<(String, Vec<f32>)> {
        let scales = rows.iter().map(|row| row.scale).collect();
        let zeros: Vec<f32> = rows.iter().map(|row| row.zero).collect();
        let [scale, zero] = write::ROWS.map(|suffix| format!("{name}{suffix}"));
        let zeros = Some((zero, zeros)).filter(|(_, zeros)| zeros.iter().any(|zero| *zero != 0.0));
        [(scale, scales)].into_iter().chain(zeros).collect()
    }
}

#[cfg(not(target_arch = "wasm32"))]
pub use save::Stored;
