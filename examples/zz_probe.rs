use ghostnet::*;
use std::time::Instant;
fn cpu() -> f64 {
    let s = std::fs::read_to_string("/proc/self/stat").unwrap();
    let f: Vec<&str> = s.rsplit(") ").next().unwrap().split(' ').collect();
    (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) * 10.0
}
fn main() -> anyhow::Result<()> {
    let mode = std::env::args().nth(1).unwrap_or_default();
    let t = Instant::now();
    let context = std::sync::Arc::new(pollster::block_on(gpu::Context::new(None, false))?);
    println!("device {:?}", t.elapsed());
    let engine = Engine::blocking(EngineOptions { backend: Backend::Gpu, ..Default::default() })?;
    let model = engine.load(Network::random("ghostnet_100", 0)?)?;
    if mode == "steps" {
        let plan = model.plan(1, 224, 224, ghostnet::plan::Form::Tensors)?;
        let mut seen = std::collections::HashSet::new();
        let (mut cold, mut warm) = (0.0, 0.0);
        for (i, s) in plan.steps.iter().enumerate() {
            let only = std::sync::Arc::new(plan.only(i));
            let t0 = cpu();
            let (mut p, _) = pollster::block_on(gpu::Prepared::new(&context, only.clone(), &Default::default()))?;
            let input = vec![0u8; only.slots[0]];
            pollster::block_on(p.run(&input))?;
            let first = cpu() - t0;
            let fresh = seen.insert(s.dispatch.key.clone());
            let n = 10;
            let t0 = cpu();
            for _ in 0..n {
                pollster::block_on(p.run(&input))?;
            }
            let each = (cpu() - t0) / n as f64;
            warm += each;
            if fresh {
                cold += first - each;
            }
            println!(
                "{:22} cold {:6.0} warm {:6.2} ms {:5.2} GMAC/s wg {} {}",
                s.name,
                if fresh { first - each } else { 0.0 },
                each,
                s.macs as f64 / each / 1e6,
                s.dispatch.workgroups,
                s.dispatch.key.file_name()
            );
        }
        println!("CPU ms: cold {cold:.0} warm {warm:.1}");
        return Ok(());
    }
    let times = model.prepare(1, 224, 224, ghostnet::plan::Form::Tensors)?;
    println!("{times:?}");
    let x = Tensor::new(&[1, 3, 224, 224], vec![0.5; 3 * 224 * 224])?;
    let t = Instant::now();
    model.run(&x)?;
    println!("first run {:?}", t.elapsed());
    let mut v = vec![];
    let c0 = cpu();
    for _ in 0..20 {
        let t = Instant::now();
        model.run(&x)?;
        v.push(t.elapsed().as_secs_f64() * 1e3);
    }
    println!("run median {:.1} min {:.1} cpu {:.1}", median(v.clone()), v.iter().cloned().fold(1e9, f64::min), (cpu() - c0) / 20.0);
    Ok(())
}
