//! Architectures, one file a family: a table of what the paper says, and how that becomes a graph.

#[cfg(not(target_arch = "wasm32"))]
pub mod detector;
mod ghost_module;
pub mod ghostnet;
#[cfg(not(feature = "web_bench"))]
pub mod mobilenet;
#[cfg(not(target_arch = "wasm32"))]
pub mod plain;
mod published;

#[cfg(not(target_arch = "wasm32"))]
use super::Card;
use super::{Source, checkpoint::Checkpoint, formula};
use crate::{Error, Result, graph::Graph, image_input::Preprocess};
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

    /// How an image becomes its input, where nothing else says so.
    fn preprocess(&self) -> Preprocess {
        Preprocess::default()
    }

    /// What it is for, unless that is telling classes apart.
    ///
    /// # Errors
    /// [`crate::Error::Model`] where the card is none.
    #[cfg(not(target_arch = "wasm32"))]
    fn card(&self) -> Result<Option<Card>> {
        Ok(None)
    }

    /// Whether it has no use for a tensor that files of it hold along.
    #[cfg(not(target_arch = "wasm32"))]
    fn leaves_out(&self, _name: &str) -> bool {
        false
    }

    /// The gain with which filters by formula keep activations neither tiny nor huge: see
    /// `tools/golden.py`.
    fn gain(&self) -> f64 {
        formula::GAIN
    }
}

/// What the families know of names and of weights, each asked in turn.
macro_rules! families {
    ($($(#[$only:meta])* $family:ty),+ $(,)?) => {
        /// Names of all networks that have one.
        pub(super) fn names() -> impl Iterator<Item = &'static str> {
            let mut names = Vec::new();
            $($(#[$only])* names.extend(<$family>::names());)+
            names.into_iter()
        }

        fn known(name: &str) -> Option<Box<dyn Family>> {
            $($(#[$only])* if let Some(network) = <$family>::named(name) { return Some(Box::new(network)); })+
            None
        }

        fn owner(checkpoint: &Checkpoint) -> Result<Option<Box<dyn Family>>> {
            $($(#[$only])* if let Some(network) = <$family>::of(checkpoint)? { return Ok(Some(Box::new(network))); })+
            Ok(None)
        }
    };
}

families! {
    ghostnet::GhostNet,
    // Benches in a page are of GhostNets, and have a budget of bytes.
    #[cfg(not(feature = "web_bench"))]
    mobilenet::MobileNet,
    // No page needs them by name: they are for comparison, and as one file they run there too.
    #[cfg(not(target_arch = "wasm32"))]
    plain::Plain,
    // Of their weights none are public.
    #[cfg(not(target_arch = "wasm32"))]
    detector::GhostDetector,
}

/// A name without the tag of the training data that timm appends: `ghostnet_100.in1k`.
fn untagged(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// The network of a name, with its usual classes.
pub(crate) fn named(name: &str) -> Result<Box<dyn Family>> {
    known(untagged(name)).ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> Error {
    Error::Model(format!("no network is called `{name}`; there are {}", names().collect::<Vec<_>>().join(", ")))
}

/// Tensors that families' networks have, by which a prefix of their names is found: by the first
/// that a file holds.
pub(super) const FIRST_TENSORS: &[&str] = &[
    #[cfg(not(target_arch = "wasm32"))]
    detector::GhostDetector::FIRST_TENSOR,
    ghostnet::GhostNet::FIRST_TENSOR,
];

/// The network whose weights these are: the one that the file names, or that the shapes of its
/// weights tell.
pub(super) fn of(checkpoint: &Checkpoint) -> Result<Box<dyn Family>> {
    let fail = |what: String| Error::weights(checkpoint.file(), what);
    owner(checkpoint)?.ok_or_else(|| match &checkpoint.config().architecture {
        Some(name) => fail(unknown(name).to_string()),
        None => fail(format!("its tensors are of no network that has a name; {}", checkpoint.holds())),
    })
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
    use crate::model::{
        Network,
        checkpoint::{Config, Tensor},
    };

    fn as_trained(family: &dyn Family) -> Graph {
        family.graph(&mut Source::formula_of(0, family.gain())).unwrap()
    }

    fn checkpoint(tensors: impl Iterator<Item = (String, Tensor)>) -> Checkpoint {
        Checkpoint::from_tensors("weights", tensors, Config::default())
    }

    /// Tensors in the shapes that files have, which may be others than the graph's.
    fn trained(name: &str) -> Checkpoint {
        let family = named(name).unwrap();
        let mut source = Source::formula_of(0, family.gain());
        let graph = family.graph(&mut source).unwrap();
        let tensors = source.tensors.into_iter().zip(&graph.constants);
        checkpoint(tensors.map(|((name, shape), constant)| (name, Tensor { shape, data: constant.data.clone() })))
    }

    #[test]
    fn weights_tell_which_network_they_are_of() {
        for name in names() {
            let network = Network::from_checkpoint(&trained(name)).unwrap();
            assert_eq!(network.name(), name);
            network.check_architecture(name, "weights").unwrap();
        }
        let nothing = Checkpoint::from_tensors("weights", [], Config::default());
        let error = of(&nothing).err().unwrap().to_string();
        assert!(error.starts_with("weights: its tensors are of no network that has a name; "), "{error}");
        let error = Network::from_checkpoint(&trained("ghost_vgg16")).unwrap().check_architecture("vgg16", "weights").unwrap_err();
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
            let tensor = |constant: &crate::graph::Constant| {
                (renamed(&constant.name), Tensor { shape: constant.shape.clone(), data: constant.data.clone() })
            };
            let merged = Network::from_checkpoint(&checkpoint(network.graph().constants.iter().map(tensor))).unwrap();
            let shapes = |network: &Network| network.tensors().into_iter().map(|(_, shape)| shape).collect::<Vec<_>>();
            assert_eq!((merged.name(), shapes(&merged)), (name, shapes(&network)));
        }
    }

    /// What torchvision's files hold of GhostNet's classifier is left out, and whatever stands in
    /// front of all names.
    #[test]
    fn a_detectors_file_may_hold_its_backbones_classifier() {
        let found = trained("retinanet_ghostnet_110");
        let unused = ["blocks.9.0.conv.weight", "conv_head.bias", "classifier.weight"].map(|name| format!("backbone.body.{name}"));
        let more = unused.map(|name| (name, Tensor { shape: vec![1], data: [0.0].into() }));
        let all = found.names().map(|name| (name.to_string(), found.get(name).unwrap().clone())).chain(more);
        let wrapped = all.map(|(name, tensor)| (format!("detector.{name}"), tensor));
        let network = Network::from_checkpoint(&checkpoint(wrapped)).unwrap();
        assert_eq!(network.notes().last().unwrap(), "3 tensors that the network has no use for are left out");
        assert!(network.detector().is_some() && network.tensors().len() == found.names().count());
    }

    #[test]
    fn channels_round_as_in_the_official_code() {
        let rounded: Vec<usize> = [8.0, 9.9, 10.1, 20.8, 312.0, 62.4, 1.0].map(|c| make_divisible(c, 4)).into();
        assert_eq!(rounded, [8, 12, 12, 20, 312, 64, 4]);
    }
}
