//! Classifies an image with the embedded network:
//! `cargo run --release --example classify -- assets/images/chelsea.png`.

use ghostnet::{Engine, EngineOptions, Network, image_input};

fn main() -> anyhow::Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "assets/images/chelsea.png".into());
    // The best GPU there is, or the CPU. `Network::open("model.safetensors")` takes other weights.
    let engine = Engine::new(EngineOptions::default())?;
    let model = engine.load(Network::embedded()?)?;
    for class in model.classify(&image_input::decode_file(path.as_ref())?, 5)? {
        println!("{:6.2} %  {}", class.probability * 100.0, class.label);
    }
    println!("on {}", engine.adapter().name);
    Ok(())
}
