//! The CPU's vectors against its plain loops, at every level that this processor has, and with any
//! number of threads.

mod common;

use common::{
    net::{self, FUSINGS, Random},
    relative_difference, tolerance,
};
use ghostnet::{
    Precision,
    cpu::{self, Level},
    device::{Choice, DeviceClass},
    graph::Shape,
    kernels,
    plan::{Form, Plan, Resource},
};
use std::{collections::BTreeMap, sync::Arc};

/// Every slot after a run of the plan, from random values in all of them.
fn run(plan: &Arc<Plan>, level: Level, threads: usize) -> Vec<Vec<f32>> {
    let options = cpu::Options { level: Some(level), threads: Some(threads) };
    let mut prepared = cpu::Prepared::with(plan.clone(), &options).unwrap();
    let mut random = Random(plan.slots.len() as u64);
    for slot in 0..plan.slots.len() {
        let words = plan.steps.iter().any(|step| step.binding("pixels") == Some(Resource::Slot(slot)));
        let values = prepared.slot_mut(slot);
        values.iter_mut().for_each(|value| *value = if words { f32::from_bits(random.next()) } else { random.value() });
    }
    prepared.run();
    (0..plan.slots.len()).map(|slot| prepared.slot(slot)[..plan.slots[slot] / 4].to_vec()).collect()
}

fn bits(slots: &[Vec<f32>]) -> Vec<u32> {
    slots.iter().flatten().map(|value| value.to_bits()).collect()
}

fn vectors() -> impl Iterator<Item = Level> {
    let plain = Level::named("plain").unwrap();
    Level::all().filter(move |level| *level != plain)
}

/// Compares a plan of one kernel; gives the largest difference.
fn compare(name: &str, plan: &Plan) -> f32 {
    let plan = Arc::new(plan.clone());
    let classes = plan.steps.iter().any(|step| step.dispatch.key.kernel == kernels::softmax_top_k::KERNEL);
    let wanted = run(&plan, Level::named("plain").unwrap(), 1);
    let mut worst = 0.0f32;
    for level in vectors() {
        let got = run(&plan, level, 1);
        for (slot, (got, wanted)) in got.iter().zip(&wanted).enumerate() {
            if classes || wanted.iter().any(|value| !value.is_finite()) {
                // Numbers of classes, or pixels: no floats.
                let [got, wanted] = [got, wanted].map(|values| bits(std::slice::from_ref(values)));
                assert_eq!(got, wanted, "{name}, {}: slot {slot}", level.name());
                continue;
            }
            let difference = relative_difference(got, wanted);
            assert!(difference <= tolerance::KERNEL, "{name}, {}: slot {slot}, {difference:.1e}", level.name());
            worst = worst.max(difference);
        }
        for threads in [2, 3] {
            assert!(bits(&run(&plan, level, threads)) == bits(&got), "{name}, {}: another result with {threads} threads", level.name());
        }
    }
    worst
}

#[test]
fn every_case_of_every_kernel() {
    let mut compared: BTreeMap<&str, (usize, f32)> = BTreeMap::new();
    for choice in [DeviceClass::Cpu, DeviceClass::Gpu].map(Choice::new) {
        for case in net::cases(choice, Precision::F32) {
            let difference = compare(&case.name, &case.plan);
            let (cases, worst) = compared.entry(case.plan.steps[0].dispatch.key.kernel.name()).or_default();
            *cases += 1;
            *worst = worst.max(difference);
        }
    }
    println!("{:?}", Level::all().map(Level::name).collect::<Vec<_>>());
    for (kernel, (cases, worst)) in &compared {
        println!("{kernel:16} {cases:5} cases, worst difference {worst:.1e}");
    }
    assert_eq!(compared.len(), kernels::CASES.len());
}

#[test]
fn networks() {
    let mut networks: Vec<_> = net::networks().into_iter().map(|(network, shape)| (network.graph().clone(), shape)).collect();
    networks.extend(net::SHAPES.map(|shape| (net::every_operation(shape.c), shape)));
    networks.extend(net::SHAPES.map(|shape| (net::wide_ghosts(shape.c), shape)));
    networks.extend([[47, 33], [29, 60], [5, 9]].map(|[h, w]| (net::odd_windows(6), Shape::new(2, 6, h, w))));
    for (graph, shape) in networks {
        for fusing in FUSINGS {
            let plan = Arc::new(net::plan(&graph, shape, DeviceClass::Cpu, fusing, Form::Tensors, Precision::F32));
            let wanted = run(&plan, Level::named("plain").unwrap(), 1);
            for level in vectors() {
                let got = run(&plan, level, 1);
                for output in &plan.outputs {
                    let [got, wanted] = [&got, &wanted].map(|slots| output.unpack(&slots[output.slot]));
                    let difference = relative_difference(&got, &wanted);
                    assert!(difference <= tolerance::REORDERED, "{shape}, {fusing:?}, {}: {difference:.1e}", level.name());
                }
                assert!(run(&plan, level, 2) == got, "{shape}, {fusing:?}, {}: another result with two threads", level.name());
            }
        }
    }
}
