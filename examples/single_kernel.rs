//! One kernel on your own data: a 1x1 convolution or a whole ghost module, on the GPU and on the
//! CPU. `cargo run --release --example single_kernel -- ghost`

use ghostnet::{
    Backend, Engine, EngineOptions, Result, cpu, gpu,
    graph::{Activation, Constant, Shape},
    kernels::{case::Case, ghost, pointwise},
    median,
    plan::{
        Form, PlanOptions, Precision,
        emit::{Owner, Residual},
        layout::Layout,
    },
};
use std::sync::Arc;

/// Your data: weights as `[c_out, c_in, kh, kw]`, tensors as `[n, c, h, w]`.
fn data(shape: &[usize], seed: usize) -> Vec<f32> {
    (0..shape.iter().product()).map(|at| ((at * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0).collect()
}

fn weights(shape: [usize; 4], seed: usize) -> Constant {
    let scale = 1.0 / ((shape[1] * shape[2] * shape[3]) as f32).sqrt();
    Constant { name: "weight".into(), shape: shape.to_vec(), data: data(&shape, seed).iter().map(|v| v * scale).collect() }
}

const INPUT: Shape = Shape::new(1, 80, 14, 14);
const OUTPUT: Shape = Shape::new(1, 184, 14, 14);

/// `relu(weight * input + bias) + residual`.
fn convolution(options: &PlanOptions) -> Result<Case> {
    let (weight, bias) = (weights([OUTPUT.c, INPUT.c, 1, 1], 1), data(&[OUTPUT.c], 2));
    Case::new("convolution", options, |alone| {
        let problem = pointwise::Problem {
            name: "convolution".into(),
            owner: Owner::NONE,
            input: alone.input("input", INPUT)?,
            weight: &weight,
            bias: Some(&bias),
            activation: Activation::Relu.into(),
            gate: None,
            residual: Some(Residual { view: alone.input("residual", OUTPUT)?, activation: Activation::Identity }),
            mean: false,
            output: alone.output("output", OUTPUT)?,
        };
        pointwise::lower(&problem, &mut alone.emit);
        Ok(())
    })
}

/// Half of the output's maps by a 1x1 convolution, the others by 3x3 filters on these.
fn ghost_module(options: &PlanOptions) -> Result<Case> {
    let m = OUTPUT.c / 2;
    let (primary, cheap) = (weights([m, INPUT.c, 1, 1], 1), weights([m, 1, 3, 3], 2));
    Case::new("ghost module", options, |alone| {
        let input = alone.input("input", INPUT)?;
        let blocks = [input.blocks(), Layout::plain(m).blocks()];
        let size = ghost::Size { n: INPUT.n, map: [INPUT.h, INPUT.w], blocks, d: 3, gate: false, sums: false };
        let cut = ghost::Cut::new(&size, alone.emit.choice()).expect("filters of 3 x 3 always have room");
        let problem = ghost::Problem {
            name: "ghost".into(),
            owner: Owner::NONE,
            input,
            primary: ghost::Part { weight: &primary, bias: None, activation: Activation::Relu.into() },
            cheap: ghost::Part { weight: &cheap, bias: None, activation: Activation::Relu.into() },
            gate: None,
            residual: None,
            sums: false,
            // Each half of the maps begins with a block of its own.
            output: alone.output_in("output", OUTPUT, &Layout::ghost(m, 1, OUTPUT.c))?,
        };
        ghost::lower(&problem, cut, &mut alone.emit);
        Ok(())
    })
}

fn main() -> Result<()> {
    // Any adapter, be it a driver that runs shaders on the CPU.
    let engine = Engine::new(EngineOptions::default().backend(Backend::Gpu));
    let engine = engine.or_else(|no_gpu| {
        eprintln!("on the CPU alone: {no_gpu}");
        Engine::new(EngineOptions::default().backend(Backend::Cpu))
    })?;
    let options = PlanOptions { form: Form::Tensors, precision: Precision::F32, choice: engine.choice(), normalise: [[0.0; 3], [1.0; 3]] };
    let case = match std::env::args().nth(1).as_deref() {
        Some("ghost") => ghost_module(&options)?,
        _ => convolution(&options)?,
    };

    let tensors: Vec<(&str, Vec<f32>)> =
        case.inputs.iter().enumerate().map(|(at, input)| (&*input.at.name, data(&[input.at.shape.count()], at))).collect();
    let inputs: Vec<(&str, &[f32])> = tensors.iter().map(|(name, values)| (*name, &values[..])).collect();
    let slots = case.slots(&inputs)?;
    let plan = Arc::new(case.plan.clone());
    println!("{}: {} -> {}", case.name, case.inputs[0].at.shape, case.outputs[0].at.shape);

    let mut on_cpu = cpu::Prepared::new(plan.clone())?;
    let expected = case.results(&on_cpu.run_slots(&slots)).remove(0);
    println!("on the CPU: {:.1} us, the median of 50 runs", 1e3 * median((0..50).map(|_| on_cpu.run_timed()[0]).collect()));

    if let Some(context) = engine.gpu() {
        let (mut on_gpu, _) = pollster::block_on(gpu::Prepared::new(context, plan, &gpu::Weights::default()))?;
        let result = case.results(&pollster::block_on(on_gpu.run_slots(&slots))?).remove(0);
        let largest = expected.iter().fold(0.0f32, |most, v| most.max(v.abs()));
        let difference = result.iter().zip(&expected).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
        // 100 dispatches in one pass, so that one of few microseconds can be timed.
        let times = pollster::block_on(on_gpu.time_steps(0..1, 100, 20))?;
        println!("on {}: {:.1} us, the median of 20 passes of 100 dispatches", engine.adapter().name, 1e3 * median(times));
        println!("largest difference: {difference:.1e}, of values up to {largest:.1}");
        assert!(difference <= 1e-5 * largest, "GPU and CPU differ");
    }
    Ok(())
}
