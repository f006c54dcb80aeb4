//! Every kernel on the GPU against its CPU twin, a step of a plan at a time, on random values in
//! every slot.

mod common;

use common::{
    net::{self, FUSINGS, Fusing, GPU_CLASSES, Net, Random},
    tolerance,
};
use ghostnet::{
    Precision, cpu,
    device::{Choice, DeviceClass},
    gpu,
    graph::{Activation, Graph, Op, Pool, PoolKind, Resample, Shape},
    kernels,
    plan::{Form, Kernel, PipelineKey, Plan, Resource, grid},
    shader,
};
use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, OnceLock},
};

/// What makes a case: a pipeline and its parameters.
type Launch = (PipelineKey, Vec<u8>);

/// What has been compared: by kernel, how often and with what largest difference.
#[derive(Default)]
struct Compared {
    kernels: BTreeMap<Kernel, (usize, f32)>,
    pipelines: HashSet<PipelineKey>,
}

impl Drop for Compared {
    fn drop(&mut self) {
        println!("{} pipelines", self.pipelines.len());
        for (kernel, (cases, worst)) in &self.kernels {
            println!("{kernel:16} {cases:5} cases, worst difference {worst:.1e}");
        }
    }
}

impl Compared {
    /// Compares every step of a plan that no test of this binary has had yet.
    fn plan(&mut self, context: &Arc<gpu::Context>, plan: &Plan) {
        for step in 0..plan.steps.len() {
            self.step(context, plan, step);
        }
    }

    fn step(&mut self, context: &Arc<gpu::Context>, plan: &Plan, step: usize) {
        static DONE: OnceLock<Mutex<HashSet<Launch>>> = OnceLock::new();
        let dispatch = &plan.steps[step].dispatch;
        if !DONE.get_or_init(Mutex::default).lock().unwrap().insert((dispatch.key.clone(), dispatch.params.clone())) {
            return;
        }
        let only = Arc::new(plan.only(step));
        let difference = difference(context, &only);
        let name = &plan.steps[step].name;
        assert!(difference <= tolerance::KERNEL, "`{name}` ({}): {difference:.1e}\n{dispatch:?}", dispatch.key.file_name());
        let (cases, worst) = self.kernels.entry(dispatch.key.kernel).or_default();
        *cases += 1;
        *worst = worst.max(difference);
        self.pipelines.insert(dispatch.key.clone());
    }
}

/// Runs a plan of one step on both sides. Gives the largest difference, relative to the largest
/// magnitude of what the step writes. What it does not write has to stay as it was, to the bit.
fn difference(context: &Arc<gpu::Context>, only: &Arc<Plan>) -> f32 {
    let step = &only.steps[0];
    let mut random = Random(1 + step.dispatch.params.iter().fold(0, |hash: u64, &byte| hash.wrapping_mul(31) + u64::from(byte)));
    let slot_of = |name: &str| step.bindings.iter().find(|(bound, _)| *bound == name).map(|(_, resource)| *resource);
    let before: Vec<Vec<u32>> = only
        .slots
        .iter()
        .enumerate()
        .map(|(slot, bytes)| {
            let words = slot_of("pixels") == Some(Resource::Slot(slot));
            (0..bytes / 4).map(|_| if words { random.next() } else { random.value().to_bits() }).collect()
        })
        .collect();

    let mut on_cpu = cpu::Prepared::with(only.clone(), &cpu::Options::plain()).unwrap();
    for (slot, values) in before.iter().enumerate() {
        bytemuck::cast_slice_mut(on_cpu.slot_mut(slot))[..values.len()].copy_from_slice(values);
    }
    on_cpu.run();
    let bytes: Vec<Vec<u8>> = before.iter().map(|values| bytemuck::cast_slice(values).to_vec()).collect();
    let (mut on_gpu, _) = pollster::block_on(gpu::Prepared::new(context, only.clone(), &gpu::Weights::default())).unwrap();
    let after = pollster::block_on(on_gpu.run_slots(&bytes)).unwrap();

    let written: Vec<Resource> = shader::bindings(&step.dispatch.key.source())
        .iter()
        .filter(|binding| binding.writes)
        .map(|binding| slot_of(&binding.name).unwrap_or_else(|| panic!("`{}` binds no `{}`", step.name, binding.name)))
        .collect();
    let mut worst = 0.0f32;
    for (slot, before) in before.iter().enumerate() {
        let expected: &[u32] = &bytemuck::cast_slice(on_cpu.slot(slot))[..before.len()];
        let actual: Vec<u32> = bytemuck::pod_collect_to_vec(&after[slot]);
        assert_eq!(actual.len(), before.len(), "`{}`: slot {slot}", step.name);
        let may_write = written.contains(&Resource::Slot(slot));
        let (mut largest, mut difference, mut changed) = (f32::MIN_POSITIVE, 0.0f32, 0);
        for (at, ((&was, &wanted), &is)) in before.iter().zip(expected).zip(&actual).enumerate() {
            let class = step.dispatch.key.kernel == kernels::softmax_top_k::KERNEL && may_write && at % 2 == 0;
            // Unwritten, or the number of a class: to the bit.
            if was == wanted || class {
                assert_eq!(is, wanted, "`{}`, slot {slot} at {at}: {} became {}", step.name, f32::from_bits(was), f32::from_bits(is));
                continue;
            }
            assert!(may_write, "`{}`: the twin writes slot {slot}, which it only reads", step.name);
            changed += 1;
            let (is, wanted) = (f32::from_bits(is), f32::from_bits(wanted));
            largest = largest.max(wanted.abs());
            difference = if is.is_finite() && wanted.is_finite() { difference.max((is - wanted).abs()) } else { f32::INFINITY };
        }
        assert_eq!(changed > 0, may_write, "`{}`: slot {slot} has {changed} new values", step.name);
        worst = worst.max(difference / largest);
    }
    worst
}

/// What each kernel's room says that it can: GhostNet's shapes and odd ones.
#[test]
fn every_case_of_every_kernel() {
    let Some(context) = common::context() else { return };
    let mut compared = Compared::default();
    for choice in GPU_CLASSES.map(Choice::new) {
        for case in net::cases(choice, Precision::F32) {
            compared.plan(context, &case.plan);
        }
    }
    let used: Vec<&str> = compared.kernels.keys().map(|kernel| kernel.name()).collect();
    let have: Vec<&str> = kernels::CASES.iter().map(|cases| cases.kernel.name()).collect();
    assert_eq!(used, have);
}

fn networks_match(fusing: Fusing) {
    let Some(context) = common::context() else { return };
    let mut compared = Compared::default();
    for (network, shape) in net::networks() {
        let graph = network.graph().clone();
        for class in GPU_CLASSES {
            compared.plan(context, &net::plan(&graph, shape, class, fusing, Form::Tensors, Precision::F32));
        }
    }
}

#[test]
fn layers_of_the_networks() {
    networks_match(Fusing::All);
}

#[test]
fn layers_of_the_networks_in_two_dispatches() {
    networks_match(Fusing::InTwo);
}

#[test]
fn layers_of_the_networks_unfused() {
    networks_match(Fusing::None);
}

#[test]
fn classes_from_pixels() {
    let Some(context) = common::context() else { return };
    let mut compared = Compared::default();
    for (network, shape) in net::networks() {
        let graph = network.graph().clone();
        for (n, k) in [(1, 5), (3, 1), (2, network.classes())] {
            let shape = Shape { n, ..shape };
            let plan = net::plan(&graph, shape, DeviceClass::Software, Fusing::All, Form::Classify { k }, Precision::F32);
            compared.step(context, &plan, 0);
            compared.step(context, &plan, plan.steps.len() - 1);
        }
    }
    let used: Vec<Kernel> = compared.kernels.keys().copied().collect();
    assert_eq!(used, [kernels::preprocess::KERNEL, kernels::softmax_top_k::KERNEL]);
}

#[test]
fn every_operation_on_odd_maps() {
    let Some(context) = common::context() else { return };
    let mut compared = Compared::default();
    for shape in net::SHAPES {
        for plan in net::plans(&net::every_operation(shape.c), shape, &Form::Tensors) {
            compared.plan(context, &plan);
        }
    }
}

#[test]
fn long_sums() {
    let Some(context) = common::context() else { return };
    let mut compared = Compared::default();
    for shape in net::LONG_SHAPES {
        for fusing in FUSINGS {
            let plan = net::plan(&net::long_sums(shape.c), shape, DeviceClass::Gpu, fusing, Form::Tensors, Precision::F32);
            let unroll =
                |kernel| plan.steps.iter().filter(move |s| s.dispatch.key.kernel == kernel).map(|s| s.dispatch.key.define("UNROLL"));
            assert!(unroll(kernels::pointwise::KERNEL).all(|unroll| unroll == Some(4)), "{shape:?}");
            assert!(unroll(kernels::ghost::KERNEL).all(|unroll| unroll == Some(4)), "{shape:?}");
            assert_eq!(unroll(kernels::ghost::KERNEL).count() > 0, fusing == Fusing::All, "{shape:?}");
            compared.plan(context, &plan);
        }
    }
}

#[test]
fn wide_cheap_operations() {
    let Some(context) = common::context() else { return };
    let mut compared = Compared::default();
    for shape in net::SHAPES {
        let graph = net::wide_ghosts(shape.c);
        for class in GPU_CLASSES {
            let plan = net::plan(&graph, shape, class, Fusing::All, Form::Tensors, Precision::F32);
            for at in 0..plan.steps.len() {
                compared.step(context, &plan, at);
            }
        }
    }
    let (ghosts, _) = compared.kernels[&kernels::ghost::KERNEL];
    assert!(ghosts >= 36, "only {ghosts} ghost modules");
}

#[test]
fn odd_windows() {
    let Some(context) = common::context() else { return };
    let mut compared = Compared::default();
    let graph = net::odd_windows(6);
    for [h, w] in [[47, 33], [29, 60], [12, 14], [5, 9]] {
        for plan in net::plans(&graph, Shape::new(2, 6, h, w), &Form::Tensors) {
            compared.plan(context, &plan);
        }
    }
    assert!(compared.kernels.contains_key(&kernels::conv2d::KERNEL) && compared.kernels.contains_key(&kernels::depthwise::KERNEL));
}

#[test]
fn squeeze_excites_of_every_size() {
    let Some(context) = common::context() else { return };
    let mut compared = Compared::default();
    for (graph, shape) in net::squeeze_excites() {
        for plan in net::plans(&graph, shape, &Form::Tensors) {
            compared.plan(context, &plan);
        }
    }
}

/// WebGPU's maxComputeWorkgroupsPerDimension.
const ROW: u32 = 65535;

/// Kernels with a workgroup or more an image: on three rows of the grid.
#[test]
fn dispatches_of_three_rows() {
    let Some(context) = common::context() else { return };
    let mut compared = Compared::default();
    let (mut net, input) = Net::new(3);
    let results = [
        net.conv(input, 2, [3, 3], 1, |conv| conv.pad(1)),
        net.depthwise(input, 7, 1),
        net.pointwise(input, 5),
        net.ghost(input, 7, 2, 3, Activation::Relu),
        net.add(Op::GlobalPool, &[input]),
    ];
    let x = net.depthwise(input, 3, 1);
    let x = net.pointwise(x, 2);
    let y = net.add(Op::GlobalPool, &[input]);
    let y = net.linear(y, 3);
    for result in results.into_iter().chain([x, y]) {
        net.output(result);
    }
    let plan =
        net::plan(&net.graph, Shape::new(2 * ROW as usize + 9, 3, 1, 2), DeviceClass::Software, Fusing::All, Form::Tensors, Precision::F32);
    assert!(plan.steps.iter().all(|step| grid(step.dispatch.workgroups)[1] == 3), "{:?}", plan.steps);
    compared.plan(context, &plan);
    assert_eq!(compared.kernels.len(), 7, "conv2d, depthwise, ghost, linear, pointwise, pool and separable");
}

/// The steps of a graph's plan with more workgroups than a row has.
fn second_row(graph: &Graph, shape: Shape, form: Form) -> Vec<Kernel> {
    let Some(context) = common::context() else { return Vec::new() };
    let mut compared = Compared::default();
    let plan = net::plan(graph, shape, DeviceClass::Software, Fusing::All, form, Precision::F32);
    for (at, step) in plan.steps.iter().enumerate() {
        if step.dispatch.workgroups > ROW && grid(step.dispatch.workgroups)[1] == 2 {
            compared.step(context, &plan, at);
        }
    }
    compared.kernels.keys().copied().collect()
}

#[test]
fn dispatches_of_two_rows() {
    if common::context().is_none() {
        return;
    }
    // One output of one invocation: 64 times as many as workgroups.
    let (mut net, input) = Net::new(1);
    let x = net.activate(input, Activation::HardSwish);
    let y = net.add(Op::Pool(Pool { kind: PoolKind::Max, kernel: [1, 2], stride: [1, 1], pad: [0, 1], pad_more: [0, 0] }), &[x]);
    net.output(y);
    assert_eq!(second_row(&net.graph, Shape::new(1, 1, 2049, 2048), Form::Tensors), [kernels::elementwise::KERNEL, kernels::pool::KERNEL]);

    let (mut net, input) = Net::new(1);
    let x = net.add(Op::Resample(Resample::to([2049, 2048])), &[input]);
    net.output(x);
    assert_eq!(second_row(&net.graph, Shape::new(1, 1, 3, 5), Form::Tensors), [kernels::resample::KERNEL]);

    let (mut net, input) = Net::new(2);
    let x = net.add(Op::Slice { start: 1, len: 1 }, &[input]);
    net.output(x);
    assert_eq!(second_row(&net.graph, Shape::new(1, 2, 2049, 2048), Form::Tensors), [kernels::relayout::KERNEL]);

    let (mut net, input) = Net::new(3);
    let x = net.add(Op::GlobalPool, &[input]);
    net.output(x);
    assert_eq!(second_row(&net.graph, Shape::new(1, 3, 2049, 2048), Form::Classify { k: 1 }), [kernels::preprocess::KERNEL]);

    let (mut net, input) = Net::new(2);
    let x = net.depthwise(input, 3, 1);
    net.output(x);
    assert_eq!(second_row(&net.graph, Shape::new(ROW as usize + 9, 2, 1, 2), Form::Tensors), [kernels::depthwise::KERNEL]);

    let (mut net, input) = Net::new(3);
    let x = net.squeeze_excite(input, 1);
    let x = net.add(Op::GlobalPool, &[x]);
    net.output(x);
    let used = second_row(&net.graph, Shape::new(ROW as usize + 9, 3, 1, 1), Form::Classify { k: 2 });
    assert_eq!(used, [kernels::pool::KERNEL, kernels::softmax_top_k::KERNEL, kernels::squeeze_excite::KERNEL]);
}

#[test]
fn the_cases_cover_every_kernel_and_fusing() {
    let mut used = HashSet::new();
    for shape in net::SHAPES {
        for plan in net::plans(&net::every_operation(shape.c), shape, &Form::Tensors) {
            used.extend(plan.steps.iter().map(|step| step.dispatch.key.kernel));
        }
    }
    // classes_from_pixels
    used.extend([kernels::preprocess::KERNEL, kernels::softmax_top_k::KERNEL]);
    // Around plans: tests/resize.rs and tests/detect.rs.
    used.extend([kernels::resize::KERNEL, kernels::sample::KERNEL, kernels::decode::KERNEL]);
    assert_eq!(used.len(), kernels::ALL.len(), "{used:?}");
    assert_eq!(FUSINGS.len() * GPU_CLASSES.len(), 6);
}
