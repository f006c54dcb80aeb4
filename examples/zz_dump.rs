use ghostnet::{
    graph::{Shape, passes},
    kernels::choice::*,
    plan::*,
    *,
};
fn main() -> anyhow::Result<()> {
    let dir = std::env::args().nth(1).unwrap();
    let class = if std::env::args().nth(2).as_deref() == Some("software") { DeviceClass::Software } else { DeviceClass::Gpu };
    let mut g = Network::random("ghostnet_100", 0)?.graph()?;
    passes::run(&mut g, passes::REQUIRED);
    passes::run(&mut g, passes::FUSING);
    let plan = Plan::new(
        &g,
        Shape::new(1, 3, 224, 224),
        &PlanOptions { form: Form::Tensors, precision: Precision::F32, choice: Choice::new(class), normalise: [[0.; 3]; 2] },
        &mut Default::default(),
    )?;
    std::fs::create_dir_all(&dir)?;
    for s in &plan.steps {
        std::fs::write(format!("{dir}/{}", s.dispatch.key.file_name()), s.dispatch.key.source())?;
    }
    println!("{} pipelines", plan.pipelines());
    Ok(())
}
