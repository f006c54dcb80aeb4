//! Architectures, one file a family: a table of what the paper says, and how that becomes a graph.

mod ghost_module;
pub mod ghostnet;
pub mod mobilenet;
pub mod plain;
mod published;

use super::{Source, checkpoint::Checkpoint, formula};
use crate::{Error, Result, graph::Graph, image_input::Preprocess};
use ghostnet::GhostNet;
use mobilenet::MobileNet;
use plain::Plain;
pub use published::{Published, published};

/// A network of a family.
pub trait Family {
    /// Its name, such as `ghostnet_100`. It leaves open what [`Family::details`] says.
    fn name(&self) -> String;

    /// What tells it from others of its family, in words: `width 1`.
    fn identity(&self) -> String;

    /// What its name leaves open, in words: `10 classes, stem stride 1`.
    fn details(&self) -> String;

    /// Its graph, with weights from `source`.
    ///
    /// # Errors
    /// What `source` gives, and [`crate::Error::Shape`] where it cannot be built.
    fn graph(&self, source: &mut Source<'_>) -> Result<Graph>;

    /// Takes from weights what the name leaves open.
    ///
    /// # Errors
    /// [`crate::Error::Weights`] where they lack it.
    fn fit(&mut self, _: &Checkpoint) -> Result<()> {
        Ok(())
    }

    /// How an image becomes its input, where nothing else says so.
    fn preprocess(&self) -> Preprocess {
        Preprocess::default()
    }

    /// The gain with which filters by formula keep activations neither tiny nor huge: see
    /// `tools/golden.py`.
    fn gain(&self) -> f64 {
        formula::GAIN
    }
}

/// Names of all networks that have one.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    GhostNet::names().chain(MobileNet::names()).chain(Plain::names())
}

/// The network of a name, with its usual classes.
pub(crate) fn named(name: &str) -> Result<Box<dyn Family>> {
    // timm appends the training data's tag: ghostnet_100.in1k.
    let plain = name.split('.').next().unwrap_or(name);
    if let Some(network) = GhostNet::named(plain) {
        return Ok(Box::new(network));
    }
    if let Some(network) = MobileNet::named(plain) {
        return Ok(Box::new(network));
    }
    if let Some(network) = Plain::named(plain) {
        return Ok(Box::new(network));
    }
    Err(Error::Model(format!("no network is called `{name}`; there are {}", names().collect::<Vec<_>>().join(", "))))
}

/// A tensor that each family's networks have, by which a prefix of their names is found.
pub(super) const FIRST_TENSORS: [&str; 1] = [GhostNet::FIRST_TENSOR];

/// The network whose weights these are: the one that the file names, or that the shapes of its
/// weights tell.
pub(super) fn of(checkpoint: &Checkpoint) -> Result<Box<dyn Family>> {
    let fail = |what: String| Error::weights(checkpoint.file(), what);
    let mut network: Box<dyn Family> = match &checkpoint.config().architecture {
        Some(name) => named(name).map_err(|error| fail(error.to_string()))?,
        None => match (GhostNet::told_by(checkpoint)?, MobileNet::told_by(checkpoint), Plain::told_by(checkpoint)) {
            (Some(network), ..) => Box::new(network),
            (_, Some(network), _) => Box::new(network),
            (.., Some(network)) => Box::new(network),
            _ => return Err(fail(format!("its tensors are of no network that has a name; {}", checkpoint.holds()))),
        },
    };
    network.fit(checkpoint)?;
    Ok(network)
}

/// The number of classes: rows of the last layer, which the file's metadata has to confirm.
fn classes_of(checkpoint: &Checkpoint, layer: &str) -> Result<usize> {
    let fail = |what: String| Error::weights(checkpoint.file(), what);
    let name = format!("{layer}.weight");
    let classes = checkpoint.shape(&name).and_then(|shape| shape.first().copied());
    let classes = classes.ok_or_else(|| fail(format!("no tensor `{name}`: a network without its classifier; {}", checkpoint.holds())))?;
    match checkpoint.config().num_classes {
        Some(stated) if stated != classes => Err(fail(format!("num_classes is {stated}, `{name}` has {classes} rows"))),
        _ if classes == 0 => Err(fail(format!("`{name}` has no rows"))),
        _ => Ok(classes),
    }
}

/// Rounds channels to a multiple of `divisor`, down by a tenth at most (the official codes'
/// `_make_divisible`).
fn make_divisible(channels: f64, divisor: usize) -> usize {
    let rounded = (((channels + divisor as f64 / 2.0) as usize) / divisor * divisor).max(divisor);
    if (rounded as f64) < 0.9 * channels { rounded + divisor } else { rounded }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Network, checkpoint::Config};

    fn as_trained(family: &dyn Family) -> Graph {
        family.graph(&mut Source::formula_of(0, family.gain())).unwrap()
    }

    fn checkpoint(graph: &Graph, name: impl Fn(&str) -> String) -> Checkpoint {
        let tensor = |constant: &crate::graph::Constant| {
            (name(&constant.name), crate::model::checkpoint::Tensor { shape: constant.shape.clone(), data: constant.data.clone() })
        };
        Checkpoint::from_tensors("weights", graph.constants.iter().map(tensor), Config::default())
    }

    #[test]
    fn weights_tell_which_network_they_are_of() {
        for name in names() {
            let graph = as_trained(&*named(name).unwrap());
            let network = Network::from_checkpoint(&checkpoint(&graph, str::to_string)).unwrap();
            assert_eq!(network.name(), name);
            network.check_architecture(name, "weights").unwrap();
        }
        let nothing = Checkpoint::from_tensors("weights", [], Config::default());
        assert_eq!(of(&nothing).err().unwrap().to_string(), "weights: its tensors are of no network that has a name");
        let vgg = checkpoint(&as_trained(&*named("ghost_vgg16").unwrap()), str::to_string);
        let error = Network::from_checkpoint(&vgg).unwrap().check_architecture("vgg16", "weights").unwrap_err();
        assert_eq!(error.to_string(), "weights: holds ghost_vgg16 (ratio 2, 10 classes), not vgg16 (ratio 1)");
    }

    /// timm's `reparameterize_model` leaves other names; it counts 3,395,384 parameters before.
    #[test]
    fn weights_that_were_merged_before_are_read_too() {
        for (name, trained) in [("ghostnetv3_050", 3_395_384), ("repghostnet_050", 2_313_968)] {
            let family = named(name).unwrap();
            assert_eq!(as_trained(&*family).params(), trained, "{name}");
            let network = Network::random(name, 0).unwrap();
            let renamed = |tensor: &str| match (tensor.rsplit_once('.'), name) {
                (Some((module, part)), "ghostnetv3_050") if module.ends_with("_conv") || module.ends_with("cheap_operation") => {
                    format!("{module}.0.{part}")
                }
                _ => tensor.into(),
            };
            let merged = Network::from_checkpoint(&checkpoint(network.graph(), renamed)).unwrap();
            let shapes = |network: &Network| network.tensors().into_iter().map(|(_, shape)| shape).collect::<Vec<_>>();
            assert_eq!((merged.name(), shapes(&merged)), (name, shapes(&network)));
        }
    }

    #[test]
    fn channels_round_as_in_the_official_code() {
        let rounded: Vec<usize> = [8.0, 9.9, 10.1, 20.8, 312.0, 62.4, 1.0].map(|c| make_divisible(c, 4)).into();
        assert_eq!(rounded, [8, 12, 12, 20, 312, 64, 4]);
    }
}
