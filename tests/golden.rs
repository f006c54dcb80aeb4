//! Whole networks against timm: the outputs in tests/data/golden, made by tools/golden.py from
//! weights that a formula gives.

mod common;

use common::{relative_difference, tolerance};
use ghostnet::{
    Engine, Network, Tensor,
    graph::{Graph, Shape},
    image_input, median,
    model::{
        Source,
        checkpoint::Checkpoint,
        families::ghostnet::{GhostModule, GhostNet},
        formula,
    },
    npy,
};
use serde_json::Value;

fn golden(name: &str) -> std::path::PathBuf {
    common::path("tests/data/golden").join(name)
}

fn index() -> Value {
    serde_json::from_slice(&std::fs::read(golden("index.json")).unwrap()).unwrap()
}

fn network(case: &Value) -> Network {
    let width = ghostnet_width(case["architecture"].as_str().unwrap());
    let classes = case["num_classes"].as_u64().unwrap() as usize;
    let stem_stride = case["stem_stride"].as_u64().unwrap() as usize;
    Network::random_of(&GhostNet::new(width).classes(classes).stem_stride(stem_stride), 0).unwrap()
}

fn ghostnet_width(name: &str) -> f64 {
    match name {
        "ghostnet_050" => 0.5,
        "ghostnet_100" => 1.0,
        "ghostnet_130" => 1.3,
        other => panic!("{other}"),
    }
}

fn shape(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect()
}

fn logits_match(engine: &Engine) {
    let index = index();
    for case in index["cases"].as_array().unwrap() {
        let shape = shape(&case["shape"]);
        let model = engine.load(network(case)).unwrap();
        let input = Tensor::new(&shape, formula::values("input", 0, &shape)).unwrap();
        let file = case["file"].as_str().unwrap();
        let Tensor { shape: expected_shape, data: expected } = npy::read(&golden(file)).unwrap();
        let logits = model.run(&input).unwrap();
        assert_eq!(logits.shape, expected_shape, "{file}");
        let difference = relative_difference(&logits.data, &expected);
        println!("{file}: {difference:.2e}");
        assert!(difference <= tolerance::NETWORK, "{file}: {difference:.2e}");
    }
}

/// Networks of all families but GhostNet's first, at a size that is odd at every stage.
fn family_matches(engine: &Engine) {
    let index = index();
    let file = index["family"]["file"].as_str().unwrap();
    let logits = Checkpoint::open(&golden(file)).unwrap();
    for case in index["family"]["networks"].as_array().unwrap() {
        let (name, shape) = (case["architecture"].as_str().unwrap(), shape(&case["shape"]));
        let model = engine.load(Network::random(name, 0).unwrap()).unwrap();
        let got = model.run(&Tensor::new(&shape, formula::values("input", 0, &shape)).unwrap()).unwrap();
        let expected = logits.get(name).unwrap();
        assert_eq!(got.shape, expected.shape, "{name}");
        let difference = relative_difference(&got.data, &expected.data);
        println!("{name}: {difference:.2e}");
        assert!(difference <= tolerance::NETWORK, "{name}: {difference:.2e}");
    }
}

/// By timm, exactly: as trained, and with branches merged.
#[test]
fn the_family_is_as_large_as_timms() {
    for case in index()["family"]["networks"].as_array().unwrap() {
        let name = case["architecture"].as_str().unwrap();
        let summary = Network::random(name, 0).unwrap().summary().unwrap();
        let merged = if case["merged"].is_null() { case } else { &case["merged"] };
        assert_eq!([summary.params, summary.macs], ["params", "macs"].map(|key| merged[key].as_u64().unwrap()), "{name}");
    }
}

#[test]
fn the_family_on_the_gpu() {
    if let Some(engine) = common::gpu() {
        family_matches(engine);
    }
}

#[test]
fn the_family_on_the_cpu() {
    family_matches(common::cpu());
}

#[test]
fn logits_on_the_gpu() {
    if let Some(engine) = common::gpu() {
        logits_match(engine);
    }
}

#[test]
fn logits_on_the_cpu() {
    logits_match(common::cpu());
}

#[test]
fn the_formula_is_bit_exact() {
    for check in index()["formula_check"].as_array().unwrap() {
        let shape = shape(&check["shape"]);
        let name = check["name"].as_str().unwrap();
        let values = formula::values(name, 0, &shape);
        let bits: Vec<String> = [0, 1, 2, values.len() - 1].iter().map(|&i| format!("{:08x}", values[i].to_bits())).collect();
        let expected: Vec<&str> = check["f32_bits"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
        assert_eq!(bits, expected, "{name}");
    }
}

#[test]
fn parameters_and_multiply_adds_are_the_papers() {
    for (name, params, macs) in [
        ("ghostnet_050", 2.59, 42.3),
        ("ghostnet_100", 5.18, 141.2),
        ("ghostnet_130", 7.36, 227.0),
        ("ghostnetv2_100", 6.16, 167.0),
        ("ghostnetv2_130", 8.96, 269.3),
        ("ghostnetv2_160", 12.39, 398.6),
        ("ghostnetv3_050", 2.85, 49.6),
        ("ghostnetv3_100", 6.15, 167.0),
        ("ghostnetv3_130", 8.95, 269.3),
        ("ghostnetv3_160", 12.38, 398.6),
        ("mobilenetv2_100", 3.50, 300.8),
        ("mobilenetv3_large_100", 5.48, 216.6),
        ("vgg16", 14.99, 313.5),
        ("ghost_vgg16", 7.65, 158.1),
        ("resnet56", 0.86, 125.7),
    ] {
        let summary = Network::random(name, 0).unwrap().summary().unwrap();
        assert_eq!(format!("{:.2}", summary.params as f64 / 1e6), format!("{params:.2}"), "{name}");
        assert_eq!(format!("{:.1}", summary.macs as f64 / 1e6), format!("{macs:.1}"), "{name}");
    }
}

fn samples_match(name: &str, tensor: &Tensor, expected: &Value) {
    assert_eq!(tensor.shape, shape(&expected["shape"]), "{name}");
    let largest = expected["abs_max"].as_f64().unwrap();
    for (at, value) in expected["index"].as_array().unwrap().iter().zip(expected["value"].as_array().unwrap()) {
        let (at, value) = (at.as_u64().unwrap() as usize, value.as_f64().unwrap());
        let difference = (f64::from(tensor.data[at]) - value).abs() / largest;
        assert!(difference <= f64::from(tolerance::NETWORK), "{name}[{at}]: {difference:.2e}");
    }
}

fn features_match(engine: &Engine) {
    let index = index();
    let expected = &index["features"];
    let shape = shape(&expected["shape"]);
    let model = engine.load(Network::random("ghostnet_100", 0).unwrap()).unwrap();
    let features = model.features(&Tensor::new(&shape, formula::values("input", 0, &shape)).unwrap()).unwrap();
    let maps = expected["maps"].as_array().unwrap();
    assert_eq!(features.len(), maps.len());
    for (feature, map) in features.iter().zip(maps) {
        assert_eq!(feature.name, map["module"].as_str().unwrap());
        assert_eq!(feature.reduction as u64, map["reduction"].as_u64().unwrap());
        samples_match(&feature.name, &feature.tensor, map);
    }
}

#[test]
fn features_on_the_gpu() {
    if let Some(engine) = common::gpu() {
        features_match(engine);
    }
}

#[test]
fn features_on_the_cpu() {
    features_match(common::cpu());
}

fn photograph_matches(engine: &Engine) {
    let index = index();
    let case = &index["photograph"];
    let network = network(case);
    let image = image_input::decode_file(&common::path("assets/images").join(case["image"].as_str().unwrap())).unwrap();
    let tensor = network.preprocess().unwrap().tensor(&image).unwrap();
    let [h, w] = network.preprocess().unwrap().size;
    let model = engine.load(network).unwrap();
    let logits = model.run(&Tensor::new(&[1, 3, h, w], tensor).unwrap()).unwrap();
    let expected = npy::read(&golden(case["file"].as_str().unwrap())).unwrap().data;
    let difference = relative_difference(&logits.data, &expected);
    println!("photograph: {difference:.2e}");
    assert!(difference <= tolerance::PHOTOGRAPH, "{difference:.2e}");
}

#[test]
fn a_photograph_on_the_gpu() {
    if let Some(engine) = common::gpu() {
        photograph_matches(engine);
    }
}

#[test]
fn a_photograph_on_the_cpu() {
    photograph_matches(common::cpu());
}

/// Whatever its weights are, it knows a cat and a horse, and says the same on every device.
#[test]
fn the_embedded_network() {
    let model = |engine: &Engine| engine.load(Network::embedded().unwrap()).unwrap();
    let (cpu, gpu) = (model(common::cpu()), common::gpu().map(model));
    let mut files: Vec<_> = std::fs::read_dir(common::path("assets/images")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut named = Vec::new();
    for file in files {
        let image = image_input::decode_file(&file).unwrap();
        let classes = cpu.classify(&image, 10).unwrap();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        assert!((classes.iter().map(|c| c.probability).sum::<f32>() - 1.0).abs() < 1e-5, "{name}");
        assert!(classes.windows(2).all(|pair| pair[0].probability >= pair[1].probability), "{name}");
        println!("{name}: {} {:.3}", classes[0].label, classes[0].probability);
        for class in gpu.iter().flat_map(|gpu| gpu.classify(&image, 10).unwrap()) {
            let expected = classes.iter().find(|c| c.index == class.index).unwrap();
            let difference = (class.probability - expected.probability).abs();
            assert!(class.label == expected.label && difference <= tolerance::NETWORK, "{name}: {class:?}, on the CPU {expected:?}");
        }
        named.push((name, classes[0].label.clone()));
    }
    for (file, label) in [("chelsea.png", "cat"), ("horse.png", "horse")] {
        assert!(named.iter().any(|(name, top)| name == file && top == label), "{named:?}");
    }
}

/// timm's GhostModule with other ratios, kernels and strides than GhostNet's.
fn ghost_modules_match(engine: &Engine) {
    let bytes = std::fs::read(golden("ghost_modules.safetensors")).unwrap();
    let header_length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + header_length]).unwrap();
    let outputs = Checkpoint::from_bytes("ghost_modules.safetensors", &bytes).unwrap();
    let mut differences = Vec::new();
    for case in index()["ghost_modules"]["cases"].as_array().unwrap() {
        let name = case.as_str().unwrap();
        let about: Value = serde_json::from_str(header["__metadata__"][name].as_str().unwrap()).unwrap();
        let number = |key: &str| about[key].as_u64().unwrap_or_else(|| panic!("{name}: {key} in {about}")) as usize;
        let module = GhostModule::new(number("in_chs"), number("out_chs"))
            .kernel(number("kernel_size"))
            .stride(number("stride"))
            .ratio(number("ratio"))
            .cheap_kernel(number("dw_size"))
            .relu(about["relu"].as_bool().unwrap());
        let shape = shape(&about["input"]);
        let mut graph = Graph::new();
        let input = graph.add_input(module.c_in).unwrap();
        let output = module.add(&mut graph, &mut Source::formula(0), name, input).unwrap();
        graph.add_output("output", output);
        graph.shapes(&[Shape::new(shape[0], shape[1], shape[2], shape[3])]).unwrap();
        let model = engine.load_graph(graph).unwrap();
        let values = formula::values(&format!("{name}.input"), 0, &shape);
        let output = model.run(&Tensor::new(&shape, values).unwrap()).unwrap();
        let expected = outputs.get(name).unwrap();
        assert_eq!(output.shape, expected.shape, "{name}");
        let difference = relative_difference(&output.data, &expected.data);
        assert!(difference <= tolerance::REORDERED, "{name}: {difference:.2e}");
        differences.push(f64::from(difference));
    }
    println!("{} ghost modules, median difference {:.1e}", differences.len(), median(differences.clone()));
}

#[test]
fn ghost_modules_on_the_gpu() {
    if let Some(engine) = common::gpu() {
        ghost_modules_match(engine);
    }
}

#[test]
fn ghost_modules_on_the_cpu() {
    ghost_modules_match(common::cpu());
}
