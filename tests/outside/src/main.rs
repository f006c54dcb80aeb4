//! The library without its features: frames from memory, the program's own wgpu, threads, errors.

use ghostnet::{
    Engine, EngineOptions, Error, Model, Network, Tensor, Top,
    image::{DynamicImage, RgbaImage},
};
use std::{
    error::Error as _,
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = engine()?.load(Network::embedded()?)?;
    println!("on {}", model.engine().adapter().name);
    let frame = DynamicImage::from(RgbaImage::from_fn(320, 240, |x, y| [x as u8, y as u8, 99, 255].into()));
    let best = model.classify(&frame, 1)?.remove(0);

    // A game: the frame's classes are made beside the frame.
    let beside = thread::scope(|scope| scope.spawn(|| model.classify(&frame, Top::new(1).part([0, 0, 320, 240]))).join());
    assert_eq!(beside.expect("it does not panic")?[0], best);

    // A server: futures go to other threads, and may be given up.
    let task = {
        let (model, frame) = (model.clone(), frame.clone());
        async move { model.classify_async(&frame, 1).await }
    };
    assert_eq!(thread::spawn(|| wait(task)).join().expect("it does not panic")?[0], best);
    given_up(&model, &frame);
    assert_eq!(model.classify_batch(&[frame.clone(), frame.clone()], 1)?[1][0].label, best.label);
    println!("{:.1} % {}", 100.0 * best.probability, best.label);

    // What a caller can act on.
    let [h, w] = model.network().preprocess()?.size;
    let wrong = Tensor::new(&[1, 4, h, w], vec![0.0; 4 * h * w])?;
    assert!(matches!(model.run(&wrong), Err(Error::Shape { .. })));
    let missing = Network::open("there/is/none.safetensors").unwrap_err();
    let kind = missing.source().and_then(|source| source.downcast_ref::<std::io::Error>()).map(std::io::Error::kind);
    assert_eq!(kind, Some(std::io::ErrorKind::NotFound), "{missing}");
    Ok(())
}

/// On the program's own device, or on the CPU where it has none.
fn engine() -> Result<Engine, Box<dyn std::error::Error>> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let options = EngineOptions::default();
    let Ok(adapter) = wait(instance.request_adapter(&wgpu::RequestAdapterOptions::default())) else {
        return Ok(Engine::new(options)?);
    };
    let (device, queue) = wait(adapter.request_device(&wgpu::DeviceDescriptor::default()))?;
    Ok(Engine::with_device(device, queue, options)?)
}

/// Polls a future once, and drops it.
fn given_up(model: &Model, frame: &DynamicImage) {
    let _ = pin!(model.classify_async(frame, 1)).poll(&mut Context::from_waker(Waker::noop()));
}

/// An executor of the program's own.
fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Wakes(Thread);
    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Wakes(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(made) => return made,
            Poll::Pending => thread::park(),
        }
    }
}
