//! Choices that `ghostnet tune` may make: stored and read again, and right whatever they say.

mod common;

use common::net::{self, CLASSES, GPU_CLASSES};
use ghostnet::{
    CacheDir, Engine, Network, Precision, Tensor,
    device::{Choice, Decision, DeviceClass, Tile},
    graph::Shape,
    plan::{ConstantCache, Form, Plan, PlanOptions},
};
use std::fs;

/// The default of a class, and every candidate.
fn choices(class: DeviceClass) -> Vec<Choice> {
    let default = Choice::new(class);
    let candidates = Decision::ALL.into_iter().flat_map(|decision| decision.candidates(&default));
    [default].into_iter().chain(candidates.map(|(_, choice)| choice)).collect()
}

fn input() -> Tensor {
    Tensor::new(&[1, 3, 32, 32], (0..3 * 32 * 32).map(|at| (at * 7919 % 251) as f32 / 125.0 - 1.0).collect()).unwrap()
}

/// An engine that keeps its files in `folder`.
fn engine(folder: &tempfile::TempDir, precision: Precision) -> Option<Engine> {
    common::gpu_with(|options| *options = options.clone().cache(CacheDir::At(folder.path().into())).precision(precision))
}

#[test]
fn candidates_are_sound_and_change_a_plan() {
    let (network, shape) = net::networks().swap_remove(1);
    let graph = net::after_passes(network.graph().clone(), true);
    for class in GPU_CLASSES {
        for decision in Decision::ALL {
            let precision = if decision == Decision::Halves { Precision::F16 } else { Precision::F32 };
            let plan = |choice: Choice| {
                let options = PlanOptions { form: Form::Tensors, precision, choice, normalise: [[0.0; 3]; 2] };
                Plan::new(&graph, &[shape], &options, &mut ConstantCache::new()).unwrap()
            };
            let default: Vec<_> = plan(Choice::new(class)).steps.into_iter().map(|step| step.dispatch).collect();
            for (name, choice) in decision.candidates(&Choice::new(class)) {
                assert_eq!(choice.check(), Ok(()), "{name}");
                let changed = plan(choice).steps.into_iter().map(|step| step.dispatch).collect::<Vec<_>>() != default;
                // No map of this network is cut into tiles of 65 to 128 pixels for `ghost`.
                assert_eq!(changed, decision != Decision::Ghost(1), "{class:?}, {}: {name}", decision.name());
            }
        }
    }
}

#[test]
fn every_candidate_gives_the_same_logits() {
    let Some(gpu) = common::gpu() else { return };
    let network = || Network::embedded().unwrap();
    let expected = gpu.load(network()).unwrap().run(&input()).unwrap();
    for choice in choices(gpu.choice().class) {
        let engine = common::gpu_with(|options| options.choice = Some(choice)).unwrap();
        assert_eq!((engine.choice(), engine.is_tuned()), (choice, false));
        let logits = engine.load(network()).unwrap().run(&input()).unwrap();
        for (a, b) in logits.data.iter().zip(&expected.data) {
            assert!((a - b).abs() <= 1e-4 * (1.0 + b.abs()), "{choice:?}: {a}, not {b}");
        }
    }
}

#[test]
fn what_one_engine_stores_the_next_uses() {
    let folder = tempfile::tempdir().unwrap();
    let Some(first) = engine(&folder, Precision::F32) else { return };
    let default = first.choice();
    assert!(!first.is_tuned() && !first.choice_file().unwrap().exists());
    for choice in choices(default.class) {
        assert!(first.keep_choice(Some(&choice)).unwrap());
        let next = engine(&folder, Precision::F32).unwrap();
        assert_eq!((next.choice(), next.is_tuned()), (choice, true));
    }
    // Another precision has its own; what is asked for comes first.
    assert!(!engine(&folder, Precision::F16).unwrap().is_tuned());
    let asked = common::gpu_with(|o| (o.cache, o.choice) = (CacheDir::At(folder.path().into()), Some(default))).unwrap();
    assert_eq!((asked.choice(), asked.is_tuned()), (default, false));
    assert!(!common::gpu_with(|o| o.cache = CacheDir::Off).unwrap().is_tuned());
    assert_eq!([first.keep_choice(None).unwrap(), first.keep_choice(None).unwrap()], [true, false]);
    assert_eq!(engine(&folder, Precision::F32).unwrap().choice(), default);
}

#[test]
fn what_is_no_choice_for_this_adapter_is_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let Some(first) = engine(&folder, Precision::F32) else { return };
    let default = first.choice();
    let ignored = || {
        let engine = engine(&folder, Precision::F32).unwrap();
        assert_eq!((engine.choice(), engine.is_tuned()), (default, false));
    };
    // Not even stored: no kernel can be composed with it.
    let tile = Tile { invocations: 64, pixels: 2, blocks: 2, unroll: 2 };
    for bad in [
        Tile { invocations: 48, ..tile },
        Tile { invocations: 512, ..tile },
        Tile { invocations: 2, ..tile },
        Tile { pixels: 0, ..tile },
        Tile { pixels: 18, ..tile },
        Tile { blocks: 9, ..tile },
        Tile { unroll: 0, ..tile },
        Tile { unroll: 3, ..tile },
        Tile { pixels: 16, blocks: 8, unroll: 4, ..tile },
    ] {
        assert!(first.keep_choice(Some(&Choice { pointwise: Some(bad), ..default })).is_err(), "{bad:?}");
        assert!(Choice { ghost: [None, None, Some(bad)], ..default }.check().is_err(), "{bad:?}");
        assert!(Choice { conv2d: Some(bad), ..default }.check().is_err(), "{bad:?}");
    }
    ignored();
    // Well sealed, but of the other class of device.
    let other = if default.class == DeviceClass::Gpu { DeviceClass::Software } else { DeviceClass::Gpu };
    first.keep_choice(Some(&Choice::new(other))).unwrap();
    ignored();
    // Damaged, cut off, something else.
    let file = first.choice_file().unwrap();
    first.keep_choice(Some(&Choice { fuse_ghost: false, ..default })).unwrap();
    let whole = fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    for bytes in [&damaged[..], &whole[..whole.len() - 1], b"{}", b""] {
        fs::write(&file, bytes).unwrap();
        ignored();
    }
    fs::write(&file, whole).unwrap();
    assert!(!engine(&folder, Precision::F32).unwrap().choice().fuse_ghost);
}

#[test]
fn a_tile_that_memory_does_not_hold_gives_way() {
    let shape = Shape::new(1, 3, 224, 224);
    let graph = net::after_passes(Network::random("ghostnet_050", 0).unwrap().graph().clone(), true);
    for class in CLASSES {
        let tile = Tile { invocations: 256, pixels: 16, blocks: 4, unroll: 2 };
        let choice = Choice { ghost: [Some(tile); 3], pointwise: Some(tile), conv2d: Some(tile), ..Choice::new(class) };
        assert_eq!(choice.check(), Ok(()));
        let options = PlanOptions { form: Form::Tensors, precision: Precision::F32, choice, normalise: [[0.0; 3]; 2] };
        let plan = Plan::new(&graph, &[shape], &options, &mut ConstantCache::new()).unwrap();
        for step in &plan.steps {
            let source = step.dispatch.key.source();
            let module = naga::front::wgsl::parse_str(&source).unwrap();
            let mut layouter = naga::proc::Layouter::default();
            layouter.update(module.to_ctx()).unwrap();
            let shared = module.global_variables.iter().filter(|(_, v)| v.space == naga::AddressSpace::WorkGroup);
            let bytes: u32 = shared.map(|(_, v)| layouter[v.ty].size).sum();
            assert!(bytes <= 16384, "{class:?}, `{}`: {bytes} bytes", step.name);
        }
    }
}
