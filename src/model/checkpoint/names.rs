//! The names of a network's tensors, behind what training scripts put in front of them.

use std::collections::BTreeMap;

/// What training scripts keep state dicts under, in the order in which timm takes them: averages
/// of the weights before the weights.
pub(super) const CONTAINERS: [&str; 9] =
    ["state_dict_ema", "model_ema", "params_ema", "state_dict", "model_state_dict", "model", "net", "weights", "params"];

/// Modules that hold a network: what PyTorch's DataParallel and `torch.compile` call them, and
/// what training frameworks do.
const WRAPPERS: [&str; 5] = ["module", "_orig_mod", "model", "net", "backbone"];

/// Last parts of names of which inference has no use: PyTorch's count of training steps, and what
/// thop leaves in a model that it has measured.
const UNUSED: [&str; 3] = ["num_batches_tracked", "total_ops", "total_params"];

/// Classifiers that only distillation trains.
const DISTILLATION: [&str; 3] = ["head_dist", "classifier_dist", "fc_dist"];

/// Whether inference has no use for a tensor of this name.
pub(super) fn is_unused(name: &str) -> bool {
    let mut parts = name.rsplit('.');
    let last = parts.next().unwrap_or_default();
    UNUSED.contains(&last) || parts.any(|part| DISTILLATION.contains(&part))
}

/// Takes wrappers off the names, as long as every name has the same, and takes one of several
/// containers. Returns that container's name.
pub(super) fn unwrap<T>(mut tensors: BTreeMap<String, T>) -> (BTreeMap<String, T>, Option<String>) {
    let mut taken = None;
    loop {
        let firsts: Option<Vec<&str>> = tensors.keys().map(|name| Some(name.split_once('.')?.0)).collect();
        let mut firsts = firsts.unwrap_or_default();
        firsts.dedup();
        let first = match firsts[..] {
            [only] if WRAPPERS.contains(&only) => WRAPPERS.iter().find(|known| **known == only),
            _ if firsts.iter().all(|first| CONTAINERS.contains(first)) => CONTAINERS.iter().find(|known| firsts.contains(known)),
            _ => None,
        };
        let Some(first) = first else { return (tensors, taken) };
        if firsts.len() > 1 || !WRAPPERS.contains(first) {
            taken = Some(first.to_string());
        }
        tensors = behind(tensors, &format!("{first}."), false);
    }
}

/// The tensors whose names begin so, without that; the others too, as they are, if they are kept.
pub(super) fn behind<T>(tensors: BTreeMap<String, T>, prefix: &str, keep: bool) -> BTreeMap<String, T> {
    let renamed = |(name, tensor): (String, T)| match name.strip_prefix(prefix) {
        Some(name) => Some((name.to_string(), tensor)),
        None => keep.then_some((name, tensor)),
    };
    tensors.into_iter().filter_map(renamed).collect()
}
