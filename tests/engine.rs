//! The library as a caller sees it: models on a device, threads, batches, every input size, and an
//! error of one line for what cannot be.

mod common;

use common::{
    net::{Net, Random},
    relative_difference, tolerance,
};
use ghostnet::{
    AdapterInfo, Backend, Class, Engine, EngineOptions, Error, Model, Network, Precision, Tensor,
    graph::{Activation, Conv, Graph, NodeId, Op, Pool, PoolKind},
    model::{
        checkpoint::{self, Checkpoint, Config},
        families::ghostnet::GhostNet,
        formula,
    },
    plan::Form,
};
use image::{DynamicImage, GrayImage, Luma, RgbImage};
use std::path::PathBuf;

/// The smallest of the networks: ten classes, 32 x 32.
fn small() -> Network {
    Network::embedded().unwrap()
}

fn input(shape: [usize; 4], seed: u64) -> Tensor {
    Tensor::new(&shape, Random(seed).values(shape.iter().product())).unwrap()
}

fn photo(seed: u64) -> DynamicImage {
    let mut random = Random(seed);
    let start = random.next();
    RgbImage::from_fn(40, 50, |x, y| image::Rgb([x * 5 + start, y * 3, x * y + start].map(|v| v as u8))).into()
}

/// The CPU's engine and, where there is one, the GPU's.
fn engines() -> impl Iterator<Item = &'static Engine> {
    [Some(common::cpu()), common::gpu()].into_iter().flatten()
}

/// The error's message, which has to be one line that says something.
fn line<T>(result: Result<T, Error>) -> (Error, String) {
    let error = result.err().expect("this cannot work");
    let message = error.to_string();
    let whole = message.trim_end_matches([':', ' ']) == message;
    assert!(!message.contains('\n') && whole && message.len() > 8 && message.len() < 600, "{message:?}");
    println!("{message}");
    (error, message)
}

#[track_caller]
fn names(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

#[test]
fn engines_and_models_go_between_threads() {
    fn shared<T: Send + Sync + Clone + 'static>() {}
    shared::<Engine>();
    shared::<Model>();
    shared::<Network>();
    shared::<Tensor>();
    shared::<Error>();
}

#[test]
fn several_models_share_a_device() {
    for engine in engines() {
        let networks =
            [small(), Network::random_of(&GhostNet::new(0.5).classes(7), 1).unwrap(), Network::random("ghostnet_050", 2).unwrap()];
        let x = input([1, 3, 40, 36], 1);
        let alone: Vec<Tensor> = networks.iter().map(|network| engine.load(network.clone()).unwrap().run(&x).unwrap()).collect();
        let models: Vec<Model> = networks.iter().map(|network| engine.load(network.clone()).unwrap()).collect();
        for _ in 0..2 {
            for ((model, alone), network) in models.iter().zip(&alone).zip(&networks) {
                let logits = model.run(&x).unwrap();
                assert_eq!(logits.shape, [1, network.classes()]);
                assert_eq!(logits, *alone, "{}, {}", engine.backend(), network.name());
            }
        }
    }
}

#[test]
fn threads_use_one_model_at_once() {
    for engine in engines() {
        let model = engine.load(small()).unwrap();
        let inputs: Vec<Tensor> = (0..4).map(|seed| input([1 + seed as usize % 2, 3, 32, 32], seed)).collect();
        let expected: Vec<Tensor> = inputs.iter().map(|x| model.run(x).unwrap()).collect();
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let (model, inputs, expected) = (model.clone(), &inputs, &expected);
                scope.spawn(move || {
                    for round in 0..8 {
                        let at = (thread + round) % inputs.len();
                        assert_eq!(model.run(&inputs[at]).unwrap(), expected[at], "{}, thread {thread}", model.engine().backend());
                    }
                });
            }
        });
    }
}

#[test]
fn a_first_run_may_be_in_two_threads() {
    for engine in engines() {
        let (model, x) = (engine.load(small()).unwrap(), input([1, 3, 33, 35], 3));
        let [one, other] = std::thread::scope(|scope| {
            let run = || scope.spawn(|| (model.run(&x).unwrap(), model.features(&x).unwrap()));
            [run(), run()].map(|thread| thread.join().unwrap())
        });
        assert!(one == other, "{}", engine.backend());
    }
}

#[test]
fn a_batch_equals_its_images() {
    for engine in engines() {
        let model = engine.load(small()).unwrap();
        let batch = input([3, 3, 32, 45], 4);
        let logits = model.run(&batch).unwrap();
        assert_eq!(logits.shape, [3, 10]);
        for (image, expected) in logits.data.chunks(10).enumerate() {
            let values = batch.data[image * 3 * 32 * 45..][..3 * 32 * 45].to_vec();
            let alone = model.run(&Tensor::new(&[1, 3, 32, 45], values).unwrap()).unwrap();
            let difference = relative_difference(&alone.data, expected);
            assert!(difference <= tolerance::REORDERED, "{}, image {image}: {difference:.1e}", engine.backend());
        }
        let photos: Vec<DynamicImage> = (0..3).map(photo).collect();
        let together = model.classify_batch(&photos, 4).unwrap();
        assert_eq!(together.len(), 3);
        for (photo, together) in photos.iter().zip(&together) {
            let alone = model.classify(photo, 4).unwrap();
            let indices = |classes: &[Class]| classes.iter().map(|c| c.index).collect::<Vec<_>>();
            assert_eq!(indices(&alone), indices(together));
            let worst = alone.iter().zip(together).map(|(a, t)| (a.probability - t.probability).abs()).fold(0.0, f32::max);
            assert!(worst <= tolerance::REORDERED, "{worst}");
        }
        assert!(model.classify_batch(&[], 4).unwrap().is_empty());
    }
}

#[test]
fn any_size_from_32_on_runs() {
    let Some(gpu) = common::gpu() else { return };
    let [gpu, cpu] = [gpu, common::cpu()].map(|engine| engine.load(small()).unwrap());
    for [h, w] in [[32, 32], [32, 33], [47, 32], [61, 83], [100, 32]] {
        let x = input([1, 3, h, w], (h * w) as u64);
        let (on_gpu, on_cpu) = (gpu.run(&x).unwrap(), cpu.run(&x).unwrap());
        let difference = relative_difference(&on_gpu.data, &on_cpu.data);
        assert!(difference <= tolerance::NETWORK, "{h} x {w}: {difference:.1e}");
    }
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    for engine in engines() {
        let model = engine.load(small()).unwrap();
        for [h, w] in [[0, 64], [64, 0]] {
            let (error, message) = line(model.run(&input([1, 3, h, w], 0)));
            assert!(matches!(error, Error::Shape { .. }));
            names(&message, &[&format!("[1, 3, {h}, {w}]"), "is empty"]);
            assert_eq!(line(model.features(&input([1, 3, h, w], 0))).1, message);
            assert_eq!(line(model.prepare(1, h, w, Form::Tensors)).1, message);
        }
        let (error, message) = line(model.run(&Tensor::new(&[3, 32, 32], vec![0.0; 3 * 32 * 32]).unwrap()));
        assert!(matches!(error, Error::Shape { .. }));
        names(&message, &["[3, 32, 32]", "[n, c, h, w]"]);
        line(model.features(&Tensor::new(&[3, 32, 32], vec![0.0; 3 * 32 * 32]).unwrap()));
        for channels in [1, 4] {
            let (error, message) = line(model.run(&input([1, channels, 32, 32], 0)));
            assert!(matches!(error, Error::Shape { .. }));
            names(&message, &["3 channels", &channels.to_string()]);
        }
        for bad in [f32::NAN, f32::INFINITY] {
            let mut x = input([1, 3, 32, 32], 0);
            x.data[77] = bad;
            let (error, message) = line(model.run(&x));
            assert!(matches!(error, Error::Shape { .. }));
            names(&message, &["77", &bad.to_string()]);
        }
        let (_, message) = line(model.run(&Tensor { shape: vec![1, 3, 32, 32], data: vec![0.0; 5] }));
        names(&message, &["3072", "5"]);
        let (_, message) = line(model.run(&Tensor { shape: vec![0, 3, 32, 32], data: Vec::new() }));
        names(&message, &["0 images"]);
        let (_, message) = line(model.classify_pixels(&[0; 100], 1, 5));
        names(&message, &["1024", "100"]);
        let (_, message) = line(Tensor::new(&[2, 3], vec![0.0; 5]));
        names(&message, &["[2, 3]", "6", "5"]);
        // And it still works.
        model.run(&input([1, 3, 32, 32], 0)).unwrap();
    }
}

#[test]
fn a_batch_beyond_the_devices_memory_is_one_error() {
    let Some(gpu) = common::gpu() else { return };
    let networks = [small(), Network::random("ghostnet_130", 0).unwrap()];
    for network in networks {
        let model = gpu.load(network).unwrap();
        for n in [1000, 100_000, usize::MAX] {
            for form in [Form::Tensors, Form::Classify { k: 5 }] {
                let (error, message) = line(model.prepare(n, 224, 224, form));
                assert!(matches!(error, Error::Limit { .. } | Error::OutOfMemory(_)), "{error:?}");
                names(&message, &["the device allows"]);
            }
        }
    }
    // A run, not only its preparation: WebGPU's default limit is 128 MiB a buffer.
    let model = gpu.load(small()).unwrap();
    let (error, message) = line(model.run(&Tensor::new(&[800, 3, 96, 96], vec![0.5; 800 * 3 * 96 * 96]).unwrap()));
    assert!(matches!(error, Error::Limit { .. } | Error::OutOfMemory(_)), "{error:?}");
    names(&message, &["800", "134217728"]);
    let expected = common::cpu().load(small()).unwrap().run(&input([1, 3, 32, 32], 5)).unwrap();
    let logits = model.run(&input([1, 3, 32, 32], 5)).unwrap();
    assert!(relative_difference(&logits.data, &expected.data) <= tolerance::NETWORK);
    // On the CPU the 32-bit indices of the kernels are the limit.
    let model = common::cpu().load(small()).unwrap();
    for n in [1_000_000, usize::MAX] {
        assert!(matches!(line(model.prepare(n, 224, 224, Form::Tensors)).0, Error::Limit { .. }));
    }
}

#[test]
fn sizes_beyond_all_numbers_are_errors() {
    for engine in engines() {
        let model = engine.load(small()).unwrap();
        for [n, h, w] in [[1, usize::MAX, 32], [usize::MAX, usize::MAX, usize::MAX], [1, 1 << 40, 1 << 40]] {
            line(model.prepare(n, h, w, Form::Tensors));
        }
    }
    line(Tensor::new(&[usize::MAX, 2], vec![0.0; 5]));
}

#[test]
fn a_lost_device_is_an_error_and_a_new_engine_works() {
    let Some(engine) = common::gpu_with(|_| ()) else { return };
    let (model, x) = (engine.load(small()).unwrap(), input([1, 3, 32, 32], 6));
    let before = model.run(&x).unwrap();
    engine.lose_device();
    for _ in 0..2 {
        assert!(matches!(line(model.run(&x)).0, Error::DeviceLost(_)));
    }
    // What was not prepared before, and a model loaded after the loss.
    assert!(matches!(line(model.features(&x)).0, Error::DeviceLost(_)));
    assert!(matches!(line(model.classify(&photo(1), 3)).0, Error::DeviceLost(_)));
    assert!(matches!(line(engine.load(small()).and_then(|model| model.run(&x))).0, Error::DeviceLost(_)));
    let again = common::gpu_with(|_| ()).unwrap();
    assert_eq!(again.load(model.network().clone()).unwrap().run(&x).unwrap(), before);
}

/// All but the last, which is the CPU.
fn gpu_adapters() -> Vec<AdapterInfo> {
    let mut adapters = ghostnet::adapters();
    assert_eq!(adapters.pop().unwrap().backend, "cpu");
    adapters
}

#[test]
fn an_adapter_that_is_not_there_names_those_that_are() {
    let adapter = |backend| EngineOptions::default().backend(backend).adapter(Some("no such adapter".into()));
    for backend in [Backend::Gpu, Backend::Auto] {
        let (error, message) = line(Engine::new(adapter(backend)));
        assert!(matches!(error, Error::NoAdapter(_)), "{error:?}");
        let adapters = gpu_adapters();
        if !adapters.is_empty() {
            names(&message, &["no such adapter"]);
        }
        for adapter in &adapters {
            names(&message, &[&adapter.name]);
        }
    }
    // The CPU has no adapters to choose from.
    assert_eq!(Engine::new(adapter(Backend::Cpu)).unwrap().backend(), "cpu");
    let Some(gpu) = common::gpu() else { return };
    let part = gpu.adapter().name[1..].to_uppercase();
    let engine = Engine::new(EngineOptions::default().backend(Backend::Gpu).adapter(Some(part))).unwrap();
    assert_eq!(engine.adapter().name, gpu.adapter().name);
}

/// Adapters that run shaders on the CPU are for those who ask for them.
#[test]
fn auto_takes_the_best_gpu_or_the_cpu() {
    let auto = |precision| Engine::new(EngineOptions::default().precision(precision));
    let (adapters, engine) = (gpu_adapters(), auto(Precision::F32).unwrap());
    match adapters.iter().find(|adapter| !adapter.is_software()) {
        Some(best) => {
            assert_eq!((engine.backend(), engine.adapter(), engine.fallback()), ("gpu", best, None));
            assert_eq!(auto(Precision::F16).unwrap().backend(), "gpu");
        }
        None => {
            assert_eq!(engine.backend(), "cpu");
            let why = engine.fallback().unwrap();
            let (error, message) = line(auto(Precision::F16));
            assert!(matches!(error, Error::NoAdapter(_)) && message.starts_with(why), "{message}, {why}");
            names(&message, &["f16", "--backend gpu", "Backend::Gpu"]);
            for adapter in &adapters {
                names(why, &[&adapter.name, "on the CPU"]);
            }
        }
    }
    // Nobody fell back who asked for what they got.
    assert_eq!(common::cpu().fallback(), None);
    let Some(best) = adapters.first() else { return };
    for (backend, adapter) in [(Backend::Gpu, None), (Backend::Auto, Some(best.name.clone()))] {
        let engine = Engine::new(EngineOptions::default().backend(backend).adapter(adapter)).unwrap();
        assert_eq!((engine.backend(), engine.adapter(), engine.fallback()), ("gpu", best, None));
        assert_eq!(engine.unopened(), [""; 0]);
    }
}

/// Set for a child process that no Vulkan driver can be found in.
const WITHOUT_DRIVER: &str = "GHOSTNET_TEST_WITHOUT_DRIVER";

#[test]
fn the_cpu_needs_no_driver() {
    if std::env::var_os(WITHOUT_DRIVER).is_none() {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "the_cpu_needs_no_driver", "--nocapture"]).env(WITHOUT_DRIVER, "1");
        for name in ["VK_ICD_FILENAMES", "VK_DRIVER_FILES"] {
            child.env(name, "/nonexistent");
        }
        let output = child.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let logits = common::cpu().load(small()).unwrap().run(&input([1, 3, 32, 32], 7)).unwrap();
    assert!(logits.data.iter().all(|v| v.is_finite()));
    // Where adapters are found by other ways than Vulkan's, there is nothing more to see.
    if gpu_adapters().is_empty() {
        let (error, _) = line(Engine::new(EngineOptions::default().backend(Backend::Gpu)));
        assert!(matches!(error, Error::NoAdapter(_)));
        assert_eq!(Engine::new(EngineOptions::default()).unwrap().backend(), "cpu");
    }
}

#[test]
fn classes_are_as_many_as_there_are() {
    for engine in engines() {
        let model = engine.load(small()).unwrap();
        for (top, expected) in [(0, 1), (1, 1), (10, 10), (11, 10), (usize::MAX, 10)] {
            let classes = model.classify(&photo(2), top).unwrap();
            assert_eq!(classes.len(), expected, "{}, top {top}", engine.backend());
            assert!(classes.windows(2).all(|pair| pair[0].probability >= pair[1].probability));
            assert!(classes.iter().all(|class| class.label == model.network().label(class.index)));
        }
        let sum: f32 = model.classify(&photo(2), 10).unwrap().iter().map(|class| class.probability).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
    }
}

#[test]
fn a_grey_image_is_classified_as_its_colours() {
    for engine in engines() {
        let model = engine.load(small()).unwrap();
        let grey: DynamicImage = GrayImage::from_fn(48, 40, |x, y| Luma([(x * 4 + y) as u8])).into();
        let colours = grey.to_rgb8().into();
        assert_eq!(model.classify(&grey, 10).unwrap(), model.classify(&colours, 10).unwrap(), "{}", engine.backend());
    }
}

#[test]
fn features_halve_the_map_from_stage_to_stage() {
    for engine in engines() {
        let model = engine.load(Network::random("ghostnet_050", 0).unwrap()).unwrap();
        let features = model.features(&input([2, 3, 64, 96], 8)).unwrap();
        let shapes: Vec<(usize, Vec<usize>)> = features.iter().map(|f| (f.reduction, f.tensor.shape.clone())).collect();
        let expected = [(2, 8), (4, 12), (8, 20), (16, 40), (32, 80)].map(|(by, c)| (by, vec![2, c, 64 / by, 96 / by]));
        assert_eq!(shapes, expected, "{}", engine.backend());
        assert!(features.iter().all(|f| f.tensor.data.iter().all(|v| v.is_finite())));
        // A stem of stride 1 halves everything but itself.
        let model = engine.load(small()).unwrap();
        let features = model.features(&input([1, 3, 32, 32], 8)).unwrap();
        assert_eq!(features.iter().map(|f| f.reduction).collect::<Vec<_>>(), [1, 2, 4, 8, 16]);
        assert!(features.iter().all(|f| f.tensor.shape[2] == 32 / f.reduction), "{}", engine.backend());
    }
}

/// Fused as in one dispatch as computed operation by operation. At ratio 3 the last ghosts are cut
/// off.
#[test]
fn ghost_maps_are_the_modules_own() {
    let network = || Network::random_of(&GhostNet::new(0.5).ratio(3).classes(9), 3).unwrap();
    let options = EngineOptions::default().backend(Backend::Cpu).unfused(true);
    let plain = Engine::new(options).unwrap().load(network()).unwrap();
    let modules = network().ghost_modules();
    assert_eq!((modules.len(), modules[0].as_str()), (32, "blocks.0.0.ghost1"));
    let x = input([2, 3, 64, 96], 8);
    for engine in engines() {
        let model = engine.load(network()).unwrap();
        for module in [&modules[0], &modules[3], &modules[31]] {
            let (maps, expected) = (model.ghost_maps(&x, module).unwrap(), plain.ghost_maps(&x, module).unwrap());
            for (maps, expected) in [(&maps.intrinsic, &expected.intrinsic), (&maps.ghost, &expected.ghost)] {
                assert_eq!(maps.shape, expected.shape, "{module}");
                let off = common::relative_difference(&maps.data, &expected.data);
                assert!(off <= 1e-4 && expected.data.iter().any(|v| *v != 0.0), "{module} on {}: {off}", engine.backend());
            }
        }
        // The last module of width 0.5 has 80 maps, a third of them intrinsic.
        let last = model.ghost_maps(&x, &modules[31]).unwrap();
        assert_eq!((last.intrinsic.shape, last.ghost.shape), (vec![2, 27, 2, 3], vec![2, 53, 2, 3]));
        assert_eq!(line(model.ghost_maps(&x, "stem")).1, "no ghost module is called `stem`");
    }
}

/// One way of using a model; what comes out.
type Run<'a> = &'a dyn Fn(&Model) -> Vec<f32>;

/// Logits, classes and features of one model must not spoil each other's weights.
#[test]
fn forms_and_sizes_of_one_model_do_not_mix() {
    let Some(unfused) = common::gpu_with(|options| options.unfused = true) else { return };
    let fused = common::gpu().unwrap();
    let network = || Network::random_of(&GhostNet::new(0.5).ratio(3).classes(9), 3).unwrap();
    for engine in [fused, &unfused] {
        let (x, larger, photo) = (input([1, 3, 32, 32], 9), input([1, 3, 40, 64], 9), photo(3));
        let alone = |run: Run<'_>| run(&engine.load(network()).unwrap());
        let runs: [Run<'_>; 4] = [
            &|model| model.run(&x).unwrap().data,
            &|model| model.classify(&photo, 9).unwrap().iter().flat_map(|c| [c.index as f32, c.probability]).collect(),
            &|model| model.run(&larger).unwrap().data,
            &|model| model.features(&x).unwrap().into_iter().flat_map(|f| f.tensor.data).collect(),
        ];
        let model = engine.load(network()).unwrap();
        for (at, run) in runs.iter().enumerate() {
            assert!(run(&model) == alone(run), "run {at} differs after others");
        }
    }
}

#[test]
fn engines_have_as_many_threads_as_asked_for() {
    let engine = |threads| Engine::new(EngineOptions::default().backend(Backend::Cpu).threads(threads));
    let name = engine(Some(1)).unwrap().adapter().name.clone();
    assert!(name.ends_with(", 1 thread)"), "{name}");
    let logits = |threads| engine(threads).unwrap().load(small()).unwrap().run(&input([3, 3, 64, 48], 5)).unwrap();
    let wanted = logits(Some(1));
    for threads in [Some(2), Some(1024), None] {
        assert!(logits(threads) == wanted, "{threads:?} threads");
    }
    for threads in [0, 1025, usize::MAX] {
        let (error, message) = line(engine(Some(threads)));
        assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
        names(&message, &[&threads.to_string(), "1 to 1024"]);
    }
}

#[test]
fn the_cpu_refuses_half_precision() {
    let options = EngineOptions::default().backend(Backend::Cpu).precision(Precision::F16);
    names(&line(Engine::new(options)).1, &["f16", "f32"]);
}

/// A folder of this process's own, gone when it drops.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("ghostnet-engine-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

type Tensors = Vec<(String, checkpoint::Tensor)>;

/// Opens a file of a GhostNet 0.5 of five classes, after `change`.
fn opened(name: &str, config: Config, change: impl FnOnce(&mut Tensors)) -> Result<Network, Error> {
    let folder = Folder::new(name);
    let network = Network::random_of(&GhostNet::new(0.5).classes(5), 0).unwrap();
    let tensor = |(name, shape): (String, Vec<usize>)| {
        let data = formula::values(&name, 0, &shape).into();
        (name, checkpoint::Tensor { shape, data })
    };
    let mut tensors: Tensors = network.tensors().into_iter().map(tensor).collect();
    change(&mut tensors);
    let file = folder.0.join("weights.safetensors");
    Checkpoint::from_tensors(&file, tensors, config).write_safetensors(&file).unwrap();
    Network::open(&file).inspect_err(|error| names(&error.to_string(), &["weights.safetensors"]))
}

fn named(architecture: &str) -> Config {
    let mut config = Config::default();
    config.architecture = Some(architecture.into());
    config
}

#[test]
fn weights_from_a_file_are_the_networks() {
    for config in [named("ghostnet_050"), Config::default()] {
        let network = opened("good", config, |_| ()).unwrap();
        assert_eq!((network.name(), network.classes()), ("ghostnet_050", 5));
        let x = input([1, 3, 32, 32], 10);
        let expected = Network::random_of(&GhostNet::new(0.5).classes(5), 0).unwrap();
        let [logits, expected] = [network, expected].map(|network| common::cpu().load(network).unwrap().run(&x).unwrap());
        assert_eq!(logits, expected);
    }
}

const NAME: &str = "blocks.3.0.ghost1.primary_conv.0.weight";

#[test]
fn a_missing_tensor_is_named() {
    let (error, message) = line(opened("missing", named("ghostnet_050"), |tensors| tensors.retain(|(name, _)| name != NAME)));
    assert!(matches!(error, Error::Weights { .. }));
    names(&message, &[NAME, "missing"]);
}

#[test]
fn a_tensor_too_many_is_named() {
    let (error, message) = line(opened("extra", named("ghostnet_050"), |tensors| {
        tensors.push(("blocks.9.extra.weight".into(), checkpoint::Tensor { shape: vec![2], data: [1.0, 2.0].into() }));
    }));
    assert!(matches!(error, Error::Weights { .. }));
    names(&message, &["blocks.9.extra.weight", "not in this network"]);
}

#[test]
fn a_misshapen_tensor_is_named_with_both_shapes() {
    let mut shapes = (String::new(), String::new());
    let (error, message) = line(opened("misshapen", named("ghostnet_050"), |tensors| {
        let (_, tensor) = tensors.iter_mut().find(|(name, _)| name == NAME).unwrap();
        let right = format!("{:?}", tensor.shape);
        tensor.shape.swap(0, 1);
        shapes = (right, format!("{:?}", tensor.shape));
    }));
    assert!(matches!(error, Error::Weights { .. }));
    assert_ne!(shapes.0, shapes.1);
    names(&message, &[NAME, &shapes.0, &shapes.1]);
}

#[test]
fn weights_of_another_architecture_are_refused() {
    let (error, message) = line(opened("other", named("ghostnet_100"), |_| ()));
    assert!(matches!(error, Error::Weights { .. }));
    names(&message, &["of another shape", "[16, 3, 3, 3]", "[8, 3, 3, 3]"]);
    let (_, message) = line(opened("unknown", named("resnext50"), |_| ()));
    names(&message, &["resnext50", "ghostnet_100"]);
    let (_, message) = line(opened("none", Config::default(), |tensors| tensors.retain(|(name, _)| name != "conv_stem.weight")));
    names(&message, &["conv_stem.weight"]);
    let (_, message) = line(Network::random("ghostnet_200", 0));
    names(&message, &["ghostnet_200", "ghostnet_050", "ghostnet_100", "ghostnet_130"]);
    let (error, message) = line(Network::open("/nonexistent/weights.safetensors"));
    assert!(matches!(error, Error::Io { kind: std::io::ErrorKind::NotFound, .. }));
    assert!(std::error::Error::source(&error).is_some_and(|system| system.to_string().contains("os error")));
    names(&message, &["/nonexistent/weights.safetensors"]);
}

#[test]
fn graphs_that_cannot_be_are_refused_with_both_numbers() {
    let refused = |op: Op, inputs: &[NodeId], net: &mut Net, parts: &[&str]| {
        let (error, message) = line(net.graph.add("bad node", op, inputs));
        assert!(matches!(error, Error::Shape { .. }), "{error:?}");
        names(&message, &["bad node"]);
        names(&message, parts);
    };
    let (mut net, x) = Net::new(6);
    let filters = net.constant(&[4, 5, 3, 3], 1.0);
    refused(Op::Conv(Conv::new(filters)), &[x], &mut net, &["6", "5"]);
    let filters = net.constant(&[4, 3, 3, 3], 1.0);
    refused(Op::Conv(Conv::new(filters).groups(4)), &[x], &mut net, &["6", "4 groups"]);
    refused(Op::Conv(Conv::new(filters).groups(0)), &[x], &mut net, &["0 groups"]);
    refused(Op::Conv(Conv::new(filters).groups(2).stride(0)), &[x], &mut net, &["stride"]);
    let bias = net.constant(&[5], 1.0);
    refused(Op::Conv(Conv::new(filters).groups(2).bias(bias)), &[x], &mut net, &["[5]", "[4]"]);
    refused(Op::Conv(Conv::new(bias)), &[x], &mut net, &["[5]", "four dimensions"]);
    refused(Op::Linear { weight: filters, bias: None, activation: Activation::Identity }, &[x], &mut net, &["6", "[4, 3, 3, 3]"]);
    refused(Op::Slice { start: 4, len: 3 }, &[x], &mut net, &["4..7", "6"]);
    refused(Op::Slice { start: 4, len: usize::MAX }, &[x], &mut net, &["6"]);
    let pool = Pool { kind: PoolKind::Max, kernel: [2, 2], stride: [1, 1], pad: [2, 0], pad_more: [0, 0] };
    refused(Op::Pool(pool), &[x], &mut net, &["[2, 0]", "[2, 2]"]);
    let y = net.pointwise(x, 7);
    refused(Op::Add, &[x, y], &mut net, &["6", "7"]);
    refused(Op::Add, &[x], &mut net, &["2 inputs", "1"]);
    refused(Op::Concat, &[], &mut net, &["at least one"]);
    // A node that is not there yet: no cycles, no forward references.
    refused(Op::Activate(Activation::Relu), &[NodeId(9)], &mut net, &["9", "2"]);
    let (_, message) = line(net.graph.add_input(3));
    names(&message, &["before all operations"]);
    let (_, message) = line(net.graph.add_constant("short", &[2, 3], vec![0.0; 5]));
    names(&message, &["short", "[2, 3]", "6", "5"]);
    line(Graph::new().add_input(0));
    // Another graph's constant.
    let mut other = Graph::new();
    let x = other.add_input(6).unwrap();
    line(other.add("bad node", Op::Conv(Conv::new(filters)), &[x]));
}

#[test]
fn graphs_that_cannot_run_are_refused() {
    for engine in engines() {
        let run = |graph: Graph, shape: [usize; 4]| engine.load_graph(graph).and_then(|model| model.run(&input(shape, 0)));
        // Nothing at all.
        let (error, message) = line(run(Graph::new(), [1, 3, 4, 4]));
        assert!(matches!(error, Error::Model(_)), "{error:?}");
        names(&message, &["no input"]);
        // No result.
        let (mut net, x) = Net::new(3);
        net.pointwise(x, 4);
        let (error, message) = line(run(net.graph, [1, 3, 4, 4]));
        assert!(matches!(error, Error::Model(_)), "{error:?}");
        names(&message, &["result"]);
        // The wrong number of channels.
        let (mut net, x) = Net::new(3);
        let x = net.pointwise(x, 4);
        net.output(x);
        let (_, message) = line(run(net.graph, [1, 5, 4, 4]));
        names(&message, &["3", "5"]);
        // A window larger than the map, maps of two sizes, a linear layer on a map.
        let (mut net, x) = Net::new(3);
        let x = net.conv(x, 4, [5, 5], 1, |conv| conv);
        net.output(x);
        let (_, message) = line(run(net.graph, [1, 3, 4, 4]));
        names(&message, &["5", "4"]);
        let (mut net, x) = Net::new(3);
        let y = net.depthwise(x, 3, 2);
        let y = net.add(Op::Add, &[x, y]);
        net.output(y);
        let (_, message) = line(run(net.graph, [1, 3, 4, 4]));
        names(&message, &["4 x 4", "2 x 2"]);
        let (mut net, x) = Net::new(3);
        let y = net.linear(x, 4);
        net.output(y);
        let (_, message) = line(run(net.graph, [1, 3, 4, 4]));
        names(&message, &["4 x 4"]);
    }
}

#[test]
fn graphs_of_ones_own_run() {
    let Some(gpu) = common::gpu() else { return };
    let (mut net, x) = Net::new(5);
    let y = net.ghost(x, 14, 2, 3, Activation::Relu);
    let z = net.depthwise(y, 3, 2);
    net.graph.add_output("wide", y);
    net.graph.add_output("narrow", z);
    // The input itself is a result too.
    net.graph.add_output("input", x);
    let [on_gpu, on_cpu] = [gpu, common::cpu()].map(|engine| {
        let model = engine.load_graph(net.graph.clone()).unwrap();
        assert_eq!(model.plan(2, 7, 9, Form::Tensors).unwrap().outputs.len(), 3);
        common::results(&model, &input([2, 5, 7, 9], 11)).unwrap()
    });
    assert_eq!(on_gpu.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["wide", "narrow", "input"]);
    for ((name, gpu), (_, cpu)) in on_gpu.iter().zip(&on_cpu) {
        assert_eq!(gpu.shape, cpu.shape);
        assert!(relative_difference(&gpu.data, &cpu.data) <= tolerance::KERNEL, "{name}");
    }
    assert_eq!(on_gpu[2].1, input([2, 5, 7, 9], 11));
}
