//! A network of one's own from ghost modules: the passes fuse it without knowing its name.
//! `cargo run --release --example custom_graph`.

use ghostnet::{
    Card, Engine, EngineOptions, Network, Tensor,
    graph::{Activation, Conv, Graph, Op},
    model::{Source, families::ghostnet::GhostModule},
    plan::Form,
};

fn main() -> anyhow::Result<()> {
    let mut graph = Graph::new();
    // Weights by name: from a formula here, `Source::checkpoint` takes a file's.
    let mut weights = Source::formula(0);
    let image = graph.add_input(3)?;
    let stem = weights.constant(&mut graph, "stem.weight", &[16, 3, 3, 3])?;
    let x = graph.add("stem", Op::Conv(Conv::new(stem).stride(2).pad(1)), &[image])?;
    let x = graph.add("stem.act", Op::Activate(Activation::Silu), &[x])?;
    // A ghost module with ratio 3: one real map makes two ghosts.
    let wide = GhostModule::new(16, 48).ratio(3).add(&mut graph, &mut weights, "wide", x)?;
    let narrow = GhostModule::new(48, 16).relu(false).add(&mut graph, &mut weights, "narrow", wide)?;
    let sum = graph.add("sum", Op::Add, &[narrow, x])?;
    graph.add_output("maps", sum);

    let engine = Engine::new(EngineOptions::default())?;
    let model = engine.load(Network::new(graph, Card::named("ghosts"))?)?;
    for step in model.plan(1, 64, 64, Form::Tensors)?.steps {
        println!("{:8} {:10} {:7} multiply-adds", step.name, step.dispatch.key.kernel, step.macs);
    }
    let input = Tensor::new(&[1, 3, 64, 64], vec![0.5; 3 * 64 * 64])?;
    let maps = model.run(&input)?;
    println!("maps: {:?} on {}", maps.shape, engine.adapter().name);
    Ok(())
}
