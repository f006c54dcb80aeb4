//! Precision f16: each kernel on halves against its CPU twin on the same values, and whole networks
//! against f32. They are with arithmetic in f32, and in f16 where the adapter offers it, whatever
//! the device's class would choose.

mod common;

use common::{
    net::{self, GPU_CLASSES},
    relative_difference, tolerance,
};
use ghostnet::{
    Backend, Engine, EngineOptions, Network, Precision, Tensor, cpu,
    device::{Choice, DeviceClass},
    gpu,
    graph::{Activation, Conv, Graph, Op, Pool, PoolKind, Shape, passes},
    image_input, kernels,
    model::{
        Source,
        families::ghostnet::{GhostModule, GhostNet},
        formula,
    },
    npy,
    plan::{ConstantCache, Form, Kernel, PipelineKey, Plan, PlanOptions, Resource},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Multiplying halves or not, as far as the adapter can.
fn arithmetics() -> impl Iterator<Item = bool> {
    let offered = common::gpu().is_some_and(|engine| engine.adapter().features.iter().any(|feature| feature == "shader-f16"));
    if !offered {
        println!("the adapter offers no shader-f16: arithmetic in f32 alone");
    }
    [false, true].into_iter().filter(move |multiplied| offered || !multiplied)
}

/// Engines that store halves.
fn engines() -> impl Iterator<Item = Engine> {
    arithmetics().filter_map(|multiplies_halves| {
        let class = common::gpu()?.gpu()?.class();
        let choice = Some(Choice { multiplies_halves, ..Choice::new(class) });
        let engine = common::gpu_with(|options| (options.precision, options.choice) = (Precision::F16, choice))?;
        assert_eq!(engine.choice().multiplies_halves, multiplies_halves);
        Some(engine)
    })
}

fn context() -> Option<Arc<gpu::Context>> {
    common::context_with(|wanted| wanted.halves = true)
}

/// The values as halves hold them.
fn halved(values: &[f32]) -> Vec<f32> {
    Precision::F16.from_bytes(&Precision::F16.to_bytes(values))
}

fn plans(graph: &Graph, shape: Shape, choice: Choice, form: &Form) -> [Plan; 2] {
    [Precision::F32, Precision::F16].map(|precision| {
        let options = PlanOptions { form: form.clone(), precision, choice, normalise: [[0.5; 3]; 2] };
        Plan::new(graph, &[shape], &options, &mut ConstantCache::new()).unwrap()
    })
}

/// A pipeline, and parameters.
type Launch = (PipelineKey, Vec<u8>);

/// What a shader declares a variable's elements to be.
fn element(key: &PipelineKey, variable: &str) -> &'static str {
    let source = key.source();
    let declared = source.lines().find_map(|line| line.split_once(&format!("> {variable}: array<"))).expect("bound, so declared").1;
    match declared.trim_end_matches(">;").trim_end_matches('>') {
        "Stored" if matches!(key.define("F16"), Some(1 | 2)) => "half",
        "Stored" | "vec4<f32" => "float",
        "u32" | "vec2<u32" => "word",
        other => panic!("{key:?}: `{variable}` is of {other}"),
    }
}

/// Whether a kernel multiplies halves.
fn multiplies(key: &PipelineKey) -> bool {
    key.define("F16") == Some(2)
}

/// Runs every step of a plan that has a pipeline not seen before on random values: halves on the
/// GPU, the same values in the CPU twin. Of pipelines that multiply halves it runs every step with
/// other parameters.
fn steps_match(context: &Arc<gpu::Context>, graph: &Graph, shape: Shape, choice: Choice, form: &Form, seen: &mut BTreeSet<Launch>) {
    plans_match(context, &plans(graph, shape, choice, form), seen);
}

/// As [`steps_match`], of a plan in f32 and the same on halves.
fn plans_match(context: &Arc<gpu::Context>, [full, half]: &[Plan; 2], seen: &mut BTreeSet<Launch>) {
    assert_eq!(full.steps.len(), half.steps.len());
    for at in 0..full.steps.len() {
        let (mut full, half) = (full.only(at), half.only(at));
        let step = half.steps[0].clone();
        let key = &step.dispatch.key;
        let launch = (key.clone(), if multiplies(key) { step.dispatch.params.clone() } else { Vec::new() });
        if !seen.insert(launch) {
            continue;
        }
        for constant in full.constants.iter_mut().filter(|c| c.stored) {
            constant.data = halved(&constant.data).into();
        }
        let elements: BTreeMap<usize, (&str, &str)> = step
            .bindings
            .iter()
            .filter_map(|(name, resource)| match resource {
                Resource::Slot(slot) => Some((*slot, (*name, element(key, name)))),
                Resource::Constant(_) => None,
            })
            .collect();
        let mut on_cpu = cpu::Prepared::with(Arc::new(full.clone()), &cpu::Options::plain()).unwrap();
        let mut slots = Vec::new();
        for (slot, (name, element)) in &elements {
            let values = halved(&formula::values(name, 1, &[on_cpu.slot(*slot).len()]));
            let values = if *element == "word" { values.iter().map(|v| f32::from_bits((v * 1e9) as i32 as u32)).collect() } else { values };
            on_cpu.slot_mut(*slot).copy_from_slice(&values);
            let precision = if *element == "half" { Precision::F16 } else { Precision::F32 };
            let mut bytes = precision.to_bytes(&values).into_owned();
            bytes.resize(half.slots[*slot], 0);
            slots.push(bytes);
        }
        on_cpu.run();
        let mut on_gpu = pollster::block_on(gpu::Prepared::new(context, Arc::new(half), &gpu::Weights::default())).unwrap().0;
        let results = pollster::block_on(on_gpu.run_slots(&slots)).unwrap();
        for (slot, (name, element)) in &elements {
            let precision = if *element == "half" { Precision::F16 } else { Precision::F32 };
            let (actual, expected) = (precision.from_bytes(&results[*slot]), on_cpu.slot(*slot));
            let what = format!("`{}` ({}): `{name}`", step.name, key.file_name());
            if *element == "word" {
                for (a, e) in actual.chunks(2).zip(expected.chunks(2)) {
                    // Class and probability, or a pixel that nobody wrote.
                    assert_eq!(a[0].to_bits(), e[0].to_bits(), "{what}");
                    assert!(a[1].to_bits() == e[1].to_bits() || (a[1] - e[1]).abs() < 1e-5, "{what}");
                }
                continue;
            }
            let largest = expected.iter().fold(1.0f32, |m, v| m.max(v.abs()));
            let reordered = match key.define("ROUTE") {
                _ if multiplies(key) => tolerance::PRODUCTS,
                Some(1 | 2) => tolerance::INTRINSICS,
                _ => tolerance::REORDERED,
            };
            for (at, (a, e)) in actual.iter().zip(expected).enumerate() {
                let stored = if *element == "half" { e.abs() * tolerance::HALF + tolerance::SMALLEST_HALF } else { 0.0 };
                let allowed = stored + largest * reordered;
                assert!((a - e).abs() <= allowed, "{what}[{at}]: {a}, should be {e}");
            }
        }
    }
}

/// Ghost modules of odd widths, a slice across blocks, and pools.
fn odd_graph() -> Graph {
    let mut graph = Graph::new();
    let mut source = Source::formula(0);
    let input = graph.add_input(6).unwrap();
    let ghost = GhostModule::new(6, 19).ratio(3);
    let x = ghost.add(&mut graph, &mut source, "ghost", input).unwrap();
    let x = graph.add("slice", Op::Slice { start: 3, len: 7 }, &[x]).unwrap();
    let max = Pool { kind: PoolKind::Max, kernel: [3, 3], stride: [2, 2], pad: [1, 1], pad_more: [0, 0] };
    let x = graph.add("max", Op::Pool(max), &[x]).unwrap();
    let weight = graph.add_constant("grouped", &[14, 1, 3, 3], formula::values("grouped", 0, &[14 * 9])).unwrap();
    let x = graph.add("grouped", Op::Conv(Conv::new(weight).pad(1).groups(7)), &[x]).unwrap();
    let x = graph.add("mean", Op::GlobalPool, &[x]).unwrap();
    graph.add_output("mean", x);
    graph
}

#[test]
fn kernels_on_halves_match_the_cpu() {
    let Some(context) = context() else { return };
    let mut seen = BTreeSet::new();
    let shape = Shape::new(2, 3, 64, 96);
    let network = Network::random_of(&GhostNet::new(1.3).classes(30), 0).unwrap();
    let ways = GPU_CLASSES.into_iter().flat_map(|class| arithmetics().map(move |multiplies_halves| (class, multiplies_halves)));
    for (class, multiplies_halves) in ways {
        let mut graph = network.graph().clone();
        passes::run(&mut graph, passes::REQUIRED);
        let plain = graph.clone();
        passes::run(&mut graph, passes::FUSING);
        let choice = Choice { multiplies_halves, ..Choice::new(class) };
        let apart = Choice { fuse_ghost: false, fuse_separable: false, ..choice };
        steps_match(&context, &graph, shape, choice, &Form::Classify { k: 5 }, &mut seen);
        steps_match(&context, &graph, shape, apart, &Form::Tensors, &mut seen);
        steps_match(&context, &plain, shape, choice, &Form::Tensors, &mut seen);
        let mut graph = odd_graph();
        passes::run(&mut graph, passes::REQUIRED);
        steps_match(&context, &graph, Shape::new(2, 6, 9, 11), choice, &Form::Tensors, &mut seen);
        for (full, half) in net::cases(choice, Precision::F32).zip(net::cases(choice, Precision::F16)) {
            plans_match(&context, &[full.plan, half.plan], &mut seen);
        }
    }
    let used: BTreeSet<_> = seen.iter().map(|(key, _)| key.kernel).collect();
    println!("{} cases of {} kernels", seen.len(), used.len());
    // Those around plans have tests of their own, in f16 too: tests/resize.rs and tests/detect.rs.
    let around = [kernels::resize::KERNEL, kernels::sample::KERNEL, kernels::decode::KERNEL];
    assert_eq!(used.len(), kernels::ALL.len() - around.len(), "{used:?}");
}

#[test]
fn kernels_that_multiply_halves_match_the_cpu() {
    let Some(context) = context().filter(|_| arithmetics().any(|multiplies_halves| multiplies_halves)) else { return };
    let mut seen = BTreeSet::new();
    for class in GPU_CLASSES {
        let choice = Choice { multiplies_halves: true, ..Choice::new(class) };
        let apart = Choice { fuse_ghost: false, fuse_separable: false, ..choice };
        let mut layers = |graph: Graph, shape, fusing: bool| {
            let graph = net::after_passes(graph, fusing);
            for choice in [choice, apart] {
                steps_match(&context, &graph, shape, choice, &Form::Tensors, &mut seen);
            }
        };
        for (network, shape) in net::networks() {
            layers(network.graph().clone(), shape, true);
        }
        for shape in net::SHAPES {
            layers(net::every_operation(shape.c), shape, true);
            layers(net::every_operation(shape.c), shape, false);
            layers(net::wide_ghosts(shape.c), shape, true);
        }
        for shape in net::LONG_SHAPES {
            layers(net::long_sums(shape.c), shape, true);
        }
    }
    let mut used: BTreeMap<Kernel, usize> = BTreeMap::new();
    for (key, _) in seen.iter().filter(|(key, _)| multiplies(key)) {
        *used.entry(key.kernel).or_default() += 1;
    }
    println!("{used:?}");
    assert_eq!(used.into_keys().collect::<Vec<_>>(), [kernels::conv2d::KERNEL, kernels::ghost::KERNEL, kernels::pointwise::KERNEL]);
}

#[test]
fn logits_of_the_three_widths() {
    let directory = common::path("tests/data/golden");
    let files = [
        (0.5, "ghostnet_050_1x3x224x224"),
        (1.0, "ghostnet_100_3x3x224x224"),
        (1.3, "ghostnet_130_2x3x192x256"),
        (1.0, "ghostnet_100_1x3x65x97"),
    ];
    for (engine, (width, file)) in engines().flat_map(|engine| files.map(move |file| (engine.clone(), file))) {
        let shape: Vec<usize> = file.rsplit('_').next().unwrap().split('x').map(|side| side.parse().unwrap()).collect();
        let model = engine.load(Network::random_of(&GhostNet::new(width), 0).unwrap()).unwrap();
        let logits = model.run(&Tensor::new(&shape, formula::values("input", 0, &shape)).unwrap()).unwrap();
        let Tensor { shape: expected_shape, data: expected } = npy::read(&directory.join(format!("{file}.npy"))).unwrap();
        assert_eq!(logits.shape, expected_shape);
        let difference = relative_difference(&logits.data, &expected);
        let what = format!("{file}, arithmetic in {}", if engine.choice().multiplies_halves { "f16" } else { "f32" });
        println!("{what}: {difference:.1e}");
        assert!(difference <= tolerance::HALVES, "{what}: {difference:.2e}");
    }
}

#[test]
fn features() {
    for engine in engines() {
        features_on(&engine);
    }
}

fn features_on(engine: &Engine) {
    let shape = [1, 3, 96, 65];
    let input = Tensor::new(&shape, formula::values("input", 0, &shape)).unwrap();
    let [actual, expected] =
        [engine, common::cpu()].map(|e| e.load(Network::random("ghostnet_130", 0).unwrap()).unwrap().features(&input).unwrap());
    assert_eq!(actual.len(), expected.len());
    for (a, e) in actual.iter().zip(&expected) {
        assert_eq!((&a.name, &a.tensor.shape), (&e.name, &e.tensor.shape));
        let difference = relative_difference(&a.tensor.data, &e.tensor.data);
        println!("{}: {difference:.1e}", a.name);
        assert!(difference <= tolerance::HALVES, "{}: {difference:.2e}", a.name);
    }
}

#[test]
fn the_embedded_network_answers_as_in_f32() {
    for engine in engines() {
        answers_as_in_f32(&engine);
    }
}

fn answers_as_in_f32(engine: &Engine) {
    assert_eq!(engine.precision(), Precision::F16);
    let [half, full] = [engine, common::cpu()].map(|e| e.load(Network::embedded().unwrap()).unwrap());
    let mut files: Vec<_> = std::fs::read_dir(common::path("assets/images")).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "png" || e == "jpg"));
    files.sort();
    assert!(files.len() > 4);
    let images: Vec<_> = files.iter().map(|file| image_input::decode_file(file).unwrap()).collect();
    let answers = half.classify_batch(&images, 10).unwrap();
    for ((file, classes), expected) in files.iter().zip(answers).zip(full.classify_batch(&images, 10).unwrap()) {
        let of = |index: usize| expected.iter().find(|c| c.index == index).unwrap().probability;
        let difference = classes.iter().map(|c| (c.probability - of(c.index)).abs()).fold(0.0, f32::max);
        println!("{}: {}, largest difference {difference:.1e}", file.display(), classes[0].label);
        // Of two classes that are as good as each other, either may be first.
        let is_clear = expected[0].probability - expected[1].probability > 2.0 * tolerance::HALVES;
        assert!(!is_clear || classes[0].label == expected[0].label, "{}", file.display());
        assert!(difference <= tolerance::HALVES, "{}: {difference:.2e}", file.display());
    }
}

/// Sums of products that halves cannot hold, which cancel out: within what is added up as halves,
/// and beyond it. They are in every kernel that multiplies halves.
#[test]
fn sums_that_halves_cannot_hold() {
    let signs: [fn(usize) -> f32; 3] = [|i| [1.0, -1.0][i % 2], |i| [1.0, -1.0][i / 8 % 2], |i| [1.0, -1.0][i / 16 % 2]];
    let (channels, [h, w]) = (32, [3, 5]);
    let input = Tensor::new(&[1, channels, h, w], vec![65504.0; channels * h * w]).unwrap();
    for (engine, sign) in engines().flat_map(|engine| signs.map(move |sign| (engine.clone(), sign))) {
        let mut graph = Graph::new();
        let x = graph.add_input(channels).unwrap();
        let row: Vec<f32> = (0..channels).map(|i| sign(i) * 32768.0).collect();
        let weights = |taps: usize| (0..6).flat_map(|_| row.clone()).flat_map(|w| vec![w; taps]).collect::<Vec<_>>();
        let pointwise = graph.add_constant("pointwise", &[6, channels, 1, 1], weights(1)).unwrap();
        let conv2d = graph.add_constant("conv2d", &[6, channels, 3, 3], weights(9)).unwrap();
        let cheap = graph.add_constant("cheap", &[6, 1, 3, 3], vec![1.0; 54]).unwrap();
        for (name, conv) in [("pointwise", Conv::new(pointwise)), ("conv2d", Conv::new(conv2d).pad(1))] {
            let y = graph.add(name, Op::Conv(conv), &[x]).unwrap();
            graph.add_output(name, y);
        }
        // Which a pass makes one ghost module.
        let primary = graph.add("primary", Op::Conv(Conv::new(pointwise)), &[x]).unwrap();
        let ghosts = graph.add("cheap", Op::Conv(Conv::new(cheap).pad(1).groups(6)), &[primary]).unwrap();
        let both = graph.add("both", Op::Concat, &[primary, ghosts]).unwrap();
        graph.add_output("ghost", both);
        for (name, output) in common::results(&engine.load_graph(graph).unwrap(), &input).unwrap() {
            assert!(output.data.iter().all(|v| *v == 0.0), "{name}: {:?}", output.data);
        }
    }
}

/// A gate that may be more than 1 would make activations that halves cannot hold: such a
/// convolution does not multiply halves.
#[test]
fn gates_without_a_bound() {
    let shape = Shape::new(1, 8, 5, 5);
    for (activation, multiplied) in
        [(Activation::HardSigmoid, 2), (Activation::Sigmoid, 2), (Activation::Relu6, 1), (Activation::Identity, 1)]
    {
        let (mut net, input) = net::Net::new(8);
        let pooled = net.add(Op::GlobalPool, &[input]);
        let squeezed = net.pointwise(pooled, 4);
        let squeezed = net.activate(squeezed, Activation::Relu);
        let gate = net.pointwise(squeezed, 8);
        let gate = net.activate(gate, activation);
        let x = net.add(Op::Multiply, &[input, gate]);
        let x = net.pointwise(x, 3);
        net.output(x);
        let [_, half] = plans(&net::after_passes(net.graph, true), shape, Choice::new(DeviceClass::Gpu), &Form::Tensors);
        let gated: Vec<_> = half.steps.iter().filter(|s| s.dispatch.key.define("GATE") == Some(1)).collect();
        assert_eq!(gated.len(), 1, "{activation:?}");
        assert_eq!(gated[0].dispatch.key.define("F16"), Some(multiplied), "{activation:?}");
    }
}

#[test]
fn which_devices_multiply_halves() {
    let Some(engine) = common::gpu_with(|options| options.precision = Precision::F16) else { return };
    let offered = engine.adapter().features.iter().any(|feature| feature == "shader-f16");
    let context = engine.gpu().unwrap();
    // Asked of the device where halves are stored, and there alone. It is used by those classes
    // that gain.
    assert_eq!(context.multiplies_halves(), offered);
    assert!(!common::gpu().unwrap().gpu().unwrap().multiplies_halves());
    assert_eq!(engine.choice().multiplies_halves, offered && context.class() == DeviceClass::Gpu);
}

/// A graph of one 1x1 convolution with one weight.
fn scaling(weight: f32) -> Graph {
    let mut graph = Graph::new();
    let input = graph.add_input(1).unwrap();
    let weight = graph.add_constant("scaling.weight", &[1, 1, 1, 1], [weight]).unwrap();
    let x = graph.add("scaling", Op::Conv(Conv::new(weight)), &[input]).unwrap();
    graph.add_output("scaled", x);
    graph
}

#[test]
fn what_halves_cannot_hold() {
    for engine in engines() {
        cannot_hold_on(&engine);
    }
}

fn cannot_hold_on(engine: &Engine) {
    let run = |weight, values: &[f32]| {
        let input = Tensor::new(&[1, 1, 1, values.len()], values.to_vec()).unwrap();
        engine.load_graph(scaling(weight)).unwrap().run(&input).map(|output| output.data)
    };
    assert_eq!(run(1e3, &[1e3, -1e3, 0.5]).unwrap(), [65504.0, -65504.0, 500.0]);
    assert_eq!(run(65504.0, &[1.0, 65504.0]).unwrap(), [65504.0, 65504.0]);
    let error = run(7e4, &[1.0]).unwrap_err().to_string();
    assert!(error.contains("`scaling.weight`") && error.contains("70000") && error.contains("65504"), "{error}");
    let error = run(1.0, &[1.0, -7e4]).unwrap_err().to_string();
    assert!(error.contains("value 1 is -70000"), "{error}");
}

#[test]
fn the_cpu_refuses_halves() {
    let options = EngineOptions::default().backend(Backend::Cpu).precision(Precision::F16);
    let error = Engine::new(options).unwrap_err().to_string();
    assert!(error.contains("computes in f32; leave out precision f16"), "{error}");
}

#[test]
fn uploaded_weights_serve_both_precisions() {
    let Some(context) = context() else { return };
    let graph = scaling(0.1);
    let choice = Choice { multiplies_halves: context.multiplies_halves(), ..Choice::new(DeviceClass::Gpu) };
    let [full, half] = plans(&graph, Shape::new(1, 1, 2, 2), choice, &Form::Tensors);
    let weights = gpu::Weights::default();
    for plan in [full, half] {
        let plan = Arc::new(plan);
        let mut blocks = Vec::new();
        plan.pack_inputs(&[&[1.0, 2.0, 3.0, 4.0]], &mut blocks);
        let mut prepared = pollster::block_on(gpu::Prepared::new(&context, plan.clone(), &weights)).unwrap().0;
        let outputs = pollster::block_on(prepared.run(&plan.precision.to_bytes(&blocks))).unwrap();
        let scaled = plan.outputs[0].unpack(&plan.precision.from_bytes(&outputs[0]));
        assert!(relative_difference(&scaled, &[0.1, 0.2, 0.3, 0.4]) <= tolerance::HALF, "{:?}: {scaled:?}", plan.precision);
    }
}

#[test]
fn memory_and_traffic_halve() {
    let network = Network::random("ghostnet_100", 0).unwrap();
    let mut graph = network.graph().clone();
    passes::run(&mut graph, passes::REQUIRED);
    passes::run(&mut graph, passes::FUSING);
    let [full, half] = plans(&graph, Shape::new(1, 3, 224, 224), Choice::new(DeviceClass::Gpu), &Form::Tensors);
    let traffic = |plan: &Plan| plan.steps.iter().map(|s| s.read_bytes + s.write_bytes).sum::<u64>() as usize;
    for (what, of) in
        [("weights", &Plan::weight_bytes as &dyn Fn(&Plan) -> usize), ("activations", &Plan::activation_bytes), ("traffic", &traffic)]
    {
        let (full, half) = (of(&full), of(&half));
        println!("{what}: {full} bytes, {half} as halves");
        // Biases, sums and gates stay f32.
        assert!(half * 2 >= full && half * 100 <= full * 51, "{what}: {full} bytes, {half} as halves");
    }
}
