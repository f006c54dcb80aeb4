//! Plans: which buffers steps share, how many bytes they take, and which weights plans have in
//! common.

mod common;

use common::net::{self, CLASSES, FUSINGS, Fusing, Net, Random};
use ghostnet::{
    Error, Network, Precision,
    device::DeviceClass,
    graph::{Activation, Graph, NodeId, Op, Output, Shape},
    model::families::ghostnet::GhostNet,
    plan::{ConstantCache, ConstantKey, Form, Plan, Resource},
    shader,
};
use proptest::prelude::*;
use std::{collections::HashMap, sync::Arc};

/// Results of a plan whose buffers are shared, and of one in which every node's output is a result,
/// so that none may share.
fn shares_nothing_alive(graph: &Graph, shape: Shape, class: DeviceClass, fusing: Fusing) -> Result<(), TestCaseError> {
    let fused = net::after_passes(graph.clone(), fusing != Fusing::None);
    let options = net::options(class, fusing, Form::Tensors, Precision::F32);
    let plan = Arc::new(Plan::new(&fused, &[shape], &options, &mut ConstantCache::new()).unwrap());
    let mut all_results = fused.clone();
    for at in 0..fused.nodes().len() {
        all_results.add_output(format!("node {at}"), NodeId(at));
    }
    let apart = Arc::new(Plan::new(&all_results, &[shape], &options, &mut ConstantCache::new()).unwrap());
    // What lies scattered in a shuffle's buffer is copied to be a result; all else is the same.
    let copies = |plan: &Plan| plan.steps.iter().filter(|step| step.dispatch.key.kernel.name() == "relayout").count();
    prop_assert_eq!(plan.steps.len() - copies(&plan), apart.steps.len() - copies(&apart));
    prop_assert!(copies(&plan) <= copies(&apart));
    let input = Random(11).values(shape.count());
    let (shared, expected) = (net::run_on_cpu(&plan, &input), net::run_on_cpu(&apart, &input));
    for ((shared, expected), Output { name, .. }) in shared.iter().zip(&expected).zip(fused.outputs()) {
        prop_assert!(expected.iter().all(|v| v.is_finite()), "`{}`: reads what nothing wrote", name);
        // The same kernels on the same numbers: to the bit.
        prop_assert!(shared == expected, "`{}` differs where buffers are shared\n{}", name, fused);
    }
    binds_writes_once(&plan)?;
    binds_writes_once(&apart)
}

/// WebGPU forbids a dispatch to bind a buffer that it writes a second time.
fn binds_writes_once(plan: &Plan) -> Result<(), TestCaseError> {
    for step in &plan.steps {
        for binding in shader::bindings(&step.dispatch.key.source()).iter().filter(|binding| binding.writes) {
            let bound = step.bindings.iter().find(|(name, _)| *name == binding.name).map(|(_, resource)| *resource);
            prop_assert!(matches!(bound, Some(Resource::Slot(_))), "`{}` writes `{}`, bound to {:?}", step.name, binding.name, bound);
            let times = step.bindings.iter().filter(|(_, resource)| Some(*resource) == bound).count();
            prop_assert_eq!(times, 1, "`{}` binds {:?} more than once: {:?}", step.name, bound, step.bindings);
        }
        for (name, resource) in &step.bindings {
            match *resource {
                Resource::Slot(slot) => prop_assert!(slot < plan.slots.len(), "`{}`: {name}", step.name),
                Resource::Constant(constant) => prop_assert!(constant < plan.constants.len(), "`{}`: {name}", step.name),
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn live_tensors_of_random_graphs_share_nothing(
        seed: u64,
        operations in 1usize..14,
        n in 1usize..3,
        c in 1usize..9,
        h in 1usize..9,
        w in 1usize..9,
        class in 0..CLASSES.len(),
        fusing in 0usize..3,
    ) {
        shares_nothing_alive(&net::random_graph(seed, operations, c), Shape::new(n, c, h, w), CLASSES[class], FUSINGS[fusing])?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn live_tensors_of_ghostnets_share_nothing(n in 1usize..3, h in 32usize..80, w in 32usize..80, ratio in 1usize..4, class in 0..CLASSES.len(), fusing in 0usize..3) {
        let network = Network::random_of(&GhostNet::new(0.5).classes(10).ratio(ratio), 0).unwrap();
        shares_nothing_alive(&network.graph().clone(), Shape::new(n, 3, h, w), CLASSES[class], FUSINGS[fusing])?;
    }
}

fn ghostnet_plan(graph: &Graph, side: usize, form: Form, precision: Precision, cache: &mut ConstantCache) -> Plan {
    let options = net::options(DeviceClass::Software, Fusing::All, form, precision);
    Plan::new(graph, &[Shape::new(1, 3, side, side)], &options, cache).unwrap()
}

fn ghostnet_100() -> Graph {
    net::after_passes(Network::random("ghostnet_100", 0).unwrap().graph().clone(), true)
}

#[test]
fn activations_take_little_more_than_the_largest_step() {
    let graph = ghostnet_100();
    for class in CLASSES {
        let options = net::options(class, Fusing::All, Form::Tensors, Precision::F32);
        let mut cache = ConstantCache::new();
        let mut plan = |n| Plan::new(&graph, &[Shape::new(n, 3, 224, 224)], &options, &mut cache).unwrap();
        let (plan, batch) = (plan(1), plan(4));
        let constants = |step: &ghostnet::plan::Step| {
            let constants = step.bindings.iter().filter_map(|(_, resource)| match resource {
                Resource::Constant(constant) => Some(plan.constants[*constant].data.len() * 4),
                Resource::Slot(_) => None,
            });
            constants.sum::<usize>()
        };
        let activations = |step: &ghostnet::plan::Step| (step.read_bytes + step.write_bytes) as usize - constants(step);
        let largest = plan.steps.iter().max_by_key(|step| activations(step)).unwrap();
        let (bytes, most) = (plan.activation_bytes(), activations(largest));
        println!("{class:?}: {bytes} bytes of activations in {} slots; `{}` alone reads and writes {most}", plan.slots.len(), largest.name);
        assert!(bytes >= most, "{class:?}: {bytes} of {most}");
        // What the CPU's loops keep in between counts too.
        let scratch = |plan: &Plan| if class == DeviceClass::Cpu { plan.scratch_blocks() * 16 } else { 0 };
        let bytes = bytes + scratch(&plan);
        assert!(2 * bytes <= 3 * most, "{class:?}: {bytes} bytes are more than 1.5 times {most}");
        // Every batch's image takes as much again.
        assert!(batch.activation_bytes() + scratch(&batch) <= 4 * bytes, "{class:?}");
        // The CPU's image takes no weights: those of one plan are the other's.
        for (one, other) in plan.constants.iter().zip(&batch.constants).filter(|_| class == DeviceClass::Cpu) {
            assert!(std::ptr::eq(&*one.data, &*other.data), "{:?} is packed again", one.key);
        }
    }
}

#[test]
fn weights_take_little_more_than_the_networks_numbers() {
    let graph = ghostnet_100();
    // After folding: filters and biases, of which padding to whole blocks and tiles adds a little.
    let mut counted = std::collections::HashSet::new();
    let numbers: usize = (0..).map_while(|at| graph_constant(&graph, at)).filter(|(at, _)| counted.insert(*at)).map(|(_, len)| len).sum();
    let [whole, half] = [Precision::F32, Precision::F16]
        .map(|precision| ghostnet_plan(&graph, 224, Form::Tensors, precision, &mut ConstantCache::new()).weight_bytes());
    println!("{numbers} numbers, {whole} bytes in f32, {half} in f16");
    assert!((4 * numbers..4 * numbers * 11 / 10).contains(&whole), "{whole} bytes for {numbers} numbers");
    // Biases stay f32.
    assert!((2 * numbers..2 * numbers * 23 / 20).contains(&half), "{half} bytes for {numbers} numbers");
}

/// The length of a graph's constant, in order; its nodes name them.
fn graph_constant(graph: &Graph, at: usize) -> Option<(usize, usize)> {
    let ids = graph.nodes().iter().flat_map(|node| match &node.op {
        Op::Conv(conv) => [Some(conv.weight), conv.bias].into_iter().flatten().collect(),
        Op::Linear { weight, bias, .. } => [Some(*weight), *bias].into_iter().flatten().collect(),
        Op::Ghost(g) => [Some(g.primary), g.primary_bias, Some(g.cheap), g.cheap_bias].into_iter().flatten().collect(),
        Op::SqueezeExcite(s) => [Some(s.reduce), s.reduce_bias, Some(s.expand), s.expand_bias].into_iter().flatten().collect(),
        Op::Separable(s) => {
            [Some(s.depthwise.weight), s.depthwise.bias, Some(s.pointwise.weight), s.pointwise.bias].into_iter().flatten().collect()
        }
        _ => Vec::new(),
    });
    let id = ids.into_iter().nth(at)?;
    Some((id.0, graph.constant(id).data.len()))
}

#[test]
fn runs_repeat_in_the_buffers_they_have() {
    let graph = net::after_passes(Network::random("ghostnet_050", 0).unwrap().graph().clone(), true);
    let plan = Arc::new(ghostnet_plan(&graph, 64, Form::Tensors, Precision::F32, &mut ConstantCache::new()));
    let mut prepared = ghostnet::cpu::Prepared::new(plan.clone()).unwrap();
    let mut blocks = Vec::new();
    let mut run = |prepared: &mut ghostnet::cpu::Prepared, seed| {
        plan.pack_inputs(&[&Random(seed).values(plan.inputs[0].shape.count())], &mut blocks);
        prepared.set_inputs(bytemuck::cast_slice(&blocks));
        prepared.run();
        let places: Vec<*const f32> = (0..plan.slots.len()).map(|slot| prepared.slot(slot).as_ptr()).collect();
        let output = &plan.outputs[0];
        (places, output.unpack(prepared.slot(output.slot)))
    };
    let first = run(&mut prepared, 1);
    let other = run(&mut prepared, 2);
    let again = run(&mut prepared, 1);
    assert_ne!(first.1, other.1);
    assert!(first == again, "the same input, another result or another buffer");
    assert_eq!(first.0, other.0);
}

#[test]
fn runs_repeat_on_the_gpu() {
    let Some(context) = common::context() else { return };
    let graph = net::after_passes(Network::random("ghostnet_050", 0).unwrap().graph().clone(), true);
    let plan = Arc::new(ghostnet_plan(&graph, 64, Form::Tensors, Precision::F32, &mut ConstantCache::new()));
    let weights = ghostnet::gpu::Weights::default();
    let (mut prepared, _) = pollster::block_on(ghostnet::gpu::Prepared::new(context, plan.clone(), &weights)).unwrap();
    let mut run = |seed| {
        let mut blocks = Vec::new();
        plan.pack_inputs(&[&Random(seed).values(plan.inputs[0].shape.count())], &mut blocks);
        let bytes = pollster::block_on(prepared.run(bytemuck::cast_slice(&blocks))).unwrap().remove(0);
        plan.outputs[0].unpack(&bytemuck::pod_collect_to_vec::<u8, f32>(&bytes))
    };
    let (first, other, again) = (run(1), run(2), run(1));
    assert_ne!(first, other);
    assert!(first == again);
}

#[test]
fn plans_of_one_graph_share_their_weights() {
    let graph = ghostnet_100();
    let mut cache = ConstantCache::new();
    let whole = ghostnet_plan(&graph, 224, Form::Tensors, Precision::F32, &mut cache);
    let by_key: HashMap<&ConstantKey, &[f32]> = whole.constants.iter().map(|c| (&c.key, &*c.data)).collect();
    for (side, form) in [(224, Form::Tensors), (224, Form::Classify { k: 5 }), (192, Form::Tensors), (32, Form::Tensors)] {
        let other = ghostnet_plan(&graph, side, form, Precision::F32, &mut cache);
        let mut shared = 0;
        for constant in &other.constants {
            if let Some(data) = by_key.get(&constant.key) {
                assert!(std::ptr::eq(*data, &*constant.data), "{:?} is there twice", constant.key);
                shared += constant.data.len() * 4;
            }
        }
        println!("{side}: {shared} of {} bytes shared", other.weight_bytes());
        assert!(2 * shared > other.weight_bytes(), "{side}: {shared} of {} bytes", other.weight_bytes());
        assert!(side != 224 || other.weight_bytes() - shared <= 32, "the same size, other weights");
    }
}

/// Weights on a device are found by their keys, whatever plan of the graph put them there.
#[test]
fn a_key_names_one_constant_in_all_plans_of_a_graph() {
    // Slices that fall on no block, and concatenations of them: relayouts with tables of their own.
    let (mut net, input) = Net::new(3);
    let x = net.pointwise(input, 13);
    let parts = [1, 6].map(|start| net.add(Op::Slice { start, len: 5 }, &[x]));
    let joined = net.add(Op::Concat, &parts);
    let pooled = net.add(Op::GlobalPool, &[joined]);
    let logits = net.linear(pooled, 9);
    net.output(logits);
    let ratio_3 = Network::random_of(&GhostNet::new(0.5).classes(10).ratio(3), 0).unwrap().graph().clone();
    for graph in [net.graph, ratio_3] {
        for fusing in FUSINGS {
            let fused = net::after_passes(graph.clone(), fusing != Fusing::None);
            let mut cache = ConstantCache::new();
            let mut seen = HashMap::new();
            for class in CLASSES {
                for (form, side) in [(Form::Tensors, 32), (Form::Classify { k: 5 }, 32), (Form::Tensors, 64)] {
                    let options = net::options(class, fusing, form.clone(), Precision::F32);
                    let plan = Plan::new(&fused, &[Shape::new(1, 3, side, side)], &options, &mut cache).unwrap();
                    for constant in plan.constants {
                        let data = seen.entry(constant.key.clone()).or_insert_with(|| constant.data.clone());
                        assert!(data[..] == constant.data[..], "{:?} is another constant in {form:?} at {side}, {fusing:?}", constant.key);
                    }
                }
            }
        }
    }
}

#[test]
fn half_precision_halves_activations() {
    let graph = ghostnet_100();
    let [whole, half] = [Precision::F32, Precision::F16]
        .map(|p| ghostnet_plan(&graph, 224, Form::Tensors, p, &mut ConstantCache::new()).activation_bytes());
    assert!(half * 20 <= whole * 11, "{half} bytes of {whole}");
}

#[test]
fn inputs_that_cannot_be_planned_are_errors() {
    let graph = ghostnet_100();
    let options = |form| net::options(DeviceClass::Gpu, Fusing::All, form, Precision::F32);
    let plan = |graph: &Graph, shape, form| Plan::new(graph, &[shape], &options(form), &mut ConstantCache::new()).map(|_| ());
    let shape = Shape::new(1, 3, 64, 64);
    for empty in [Shape { n: 0, ..shape }, Shape { h: 0, ..shape }, Shape { w: 0, ..shape }] {
        assert!(matches!(plan(&graph, empty, Form::Tensors), Err(Error::Shape { .. })), "{empty}");
    }
    let error = plan(&graph, Shape { c: 4, ..shape }, Form::Tensors).unwrap_err().to_string();
    assert!(error.contains('3') && error.contains('4'), "{error}");
    for k in [0, 1001] {
        let error = plan(&graph, shape, Form::Classify { k }).unwrap_err().to_string();
        assert!(error.contains("1000") && error.contains(&k.to_string()), "{error}");
    }
    // BatchNorm has no kernel: every one is named.
    let raw = Network::random("ghostnet_050", 0).unwrap().graph().clone();
    let Err(Error::NoKernel(nodes)) = plan(&raw, shape, Form::Tensors) else { panic!("BatchNorm was planned") };
    assert_eq!(nodes.len(), raw.nodes().iter().filter(|node| matches!(node.op, Op::BatchNorm { .. })).count());
    // Maps are no classes.
    let (mut net, input) = Net::new(3);
    let x = net.activate(input, Activation::Relu);
    net.output(x);
    assert!(matches!(plan(&net.graph, shape, Form::Classify { k: 1 }), Err(Error::Shape { .. })));
}
