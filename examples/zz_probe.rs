use ghostnet::*;
use std::time::Instant;
fn main() -> anyhow::Result<()> {
    let name = std::env::args().nth(1).unwrap_or("ghostnet_100".into());
    let t = Instant::now();
    let engine = Engine::blocking(EngineOptions { backend: Backend::Gpu, ..Default::default() })?;
    println!("device {:?} {}", t.elapsed(), engine.adapter().name);
    let t = Instant::now();
    let model = engine.load(Network::random(&name, 0)?)?;
    println!("load {:?}", t.elapsed());
    let times = model.prepare(1, 224, 224, ghostnet::plan::Form::Tensors)?;
    let plan = model.plan(1, 224, 224, ghostnet::plan::Form::Tensors)?;
    println!(
        "{times:?} steps {} pipelines {} act {} MB weights {} MB",
        plan.steps.len(),
        plan.pipelines(),
        plan.activation_bytes() as f64 / 1e6,
        plan.weight_bytes() as f64 / 1e6
    );
    let x = Tensor::new(&[1, 3, 224, 224], vec![0.5; 3 * 224 * 224])?;
    for _ in 0..6 {
        let t = Instant::now();
        model.run(&x)?;
        println!("run {:?}", t.elapsed());
    }
    let (plan, ms) = model.profile(1, 224, 224, 3)?;
    let total: f64 = ms.iter().sum();
    for (s, m) in plan.steps.iter().zip(&ms) {
        println!(
            "{:28} {:7.2} ms {:5.2} GMAC/s {:?} {}",
            s.name,
            m,
            s.macs as f64 / m / 1e6,
            s.dispatch.workgroups,
            s.dispatch.key.file_name()
        );
    }
    println!("total {total}");
    Ok(())
}
