//! Feature maps at five resolutions, as a detection head takes them:
//! `cargo run --release --example features`.

use ghostnet::{Engine, EngineOptions, Network, Tensor};

fn main() -> anyhow::Result<()> {
    let engine = Engine::new(EngineOptions::default())?;
    // Without a file the weights come from a formula. `Network::open("model.safetensors")` takes
    // real ones.
    let network = std::env::args().nth(1).map_or_else(|| Network::random("ghostnet_100", 0), Network::open)?;
    let model = engine.load(network)?;
    let input = Tensor::new(&[1, 3, 320, 320], vec![0.5; 3 * 320 * 320])?;
    for feature in model.features(&input)? {
        println!("{:10} stride {:2}  {:?}", feature.name, feature.reduction, feature.tensor.shape);
    }
    Ok(())
}
