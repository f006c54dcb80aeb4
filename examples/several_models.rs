//! Several networks on one device, used from several threads:
//! `cargo run --release --example several_models`.

use ghostnet::{Engine, EngineOptions, Network, Tensor};

fn main() -> anyhow::Result<()> {
    let engine = Engine::new(EngineOptions::default())?;
    let small = engine.load(Network::random("ghostnet_050", 0)?)?;
    let large = engine.load(Network::random("ghostnet_100", 0)?)?;
    let input = Tensor::new(&[1, 3, 224, 224], vec![0.5; 3 * 224 * 224])?;
    std::thread::scope(|scope| {
        for model in [&small, &large] {
            let input = &input;
            scope.spawn(move || match model.run(input) {
                Ok(logits) => println!("{}: {} logits", model.network().name(), logits.data.len()),
                Err(error) => eprintln!("{}: {error}", model.network().name()),
            });
        }
    });
    Ok(())
}
