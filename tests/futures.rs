//! The `async` forms under an executor of one thread: their futures may be sent and dropped, and
//! leave the thread alone while a device works.

mod common;

use ghostnet::{AnyTensor, Backend, Engine, EngineOptions, IN_FLIGHT, Model, Network, Tensor, Values, image::DynamicImage, plan::Form};
use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

/// Larger than what is done in the time of a few wake-ups.
const SIDE: usize = 96;

fn input(n: usize) -> Tensor {
    let data = (0..n * 3 * SIDE * SIDE).map(|at| (at % 97) as f32 / 48.0 - 1.0).collect();
    Tensor::new(&[n, 3, SIDE, SIDE], data).unwrap()
}

/// A model on every backend that this machine has.
fn models() -> Vec<Model> {
    let cpu = Engine::new(EngineOptions::default().backend(Backend::Cpu)).unwrap();
    let engines = common::gpu().cloned().into_iter().chain([cpu]);
    engines.map(|engine| engine.load(Network::random("ghostnet_100", 0).unwrap()).unwrap()).collect()
}

fn executor() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

/// The future's result, and whether the executor's thread was free meanwhile: whether another task
/// was woken and ended first.
async fn beside<T>(future: impl Future<Output = T>) -> (T, bool) {
    let mut other = pin!(tokio::time::sleep(Duration::from_millis(1)));
    let mut future = pin!(future);
    tokio::select! {
        biased;
        result = &mut future => (result, false),
        () = &mut other => (future.await, true),
    }
}

/// How often a form is tried until it leaves the executor's thread free. One that blocks it never
/// does. One that does not may still end first, on a machine with other work.
const TRIES: usize = 20;

#[test]
fn an_executor_is_free_while_a_device_works() {
    for model in models() {
        let name = model.engine().adapter().name.clone();
        // The blocking form gives the same.
        let expected = model.run(&input(4)).unwrap();
        executor().block_on(async {
            let (mut prepare, mut run, mut submit, mut wait) = (false, false, false, false);
            let mut session = model.session_async(4, SIDE, SIDE, Form::Tensors, 1).await.unwrap();
            for _ in 0..TRIES {
                // What is ready already takes no time.
                let fresh = model.engine().load(Network::random("ghostnet_100", 0).unwrap()).unwrap();
                let (times, free) = beside(fresh.prepare_async(4, SIDE, SIDE, Form::Tensors)).await;
                times.unwrap();
                prepare |= free;
                let (result, free) = beside(model.run_async(&input(4))).await;
                assert_eq!(result.unwrap(), expected, "{name}");
                run |= free;
                let first = session.submit_async(&input(4)).await.unwrap();
                // It waits for the first, and so does this.
                let (second, free) = beside(session.submit_async(&input(4))).await;
                submit |= free;
                let (second, free) = beside(second.unwrap().wait_async()).await;
                wait |= free;
                assert_eq!((first.wait_async().await.unwrap(), second.unwrap()), (expected.clone(), expected.clone()), "{name}");
                if prepare && run && submit && wait {
                    return;
                }
            }
            panic!("{name}: free in prepare: {prepare}, run: {run}, submit: {submit}, wait: {wait}");
        });
    }
}

#[test]
fn a_run_may_be_given_up() {
    for model in models() {
        let expected = model.run(&input(2)).unwrap();
        let other = Tensor { data: vec![0.25; input(2).data.len()], ..input(2) };
        for polls in 1..4 {
            let mut run = Box::pin(model.run_async(&other));
            for _ in 0..polls {
                // It may end meanwhile, where the machine has other work.
                if run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                    break;
                }
            }
            drop(run);
            assert_eq!(model.run(&input(2)).unwrap(), expected);
        }
        let mut session = model.session(2, SIDE, SIDE, Form::Tensors, IN_FLIGHT).unwrap();
        for _ in 0..4 {
            let mut submit = Box::pin(session.submit_async(&other));
            let _: Poll<_> = submit.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
        assert_eq!(session.submit(&input(2)).unwrap().wait().unwrap(), expected);
    }
}

#[test]
fn futures_may_be_sent() {
    fn sent<T>(future: impl Future<Output = T> + Send) {
        drop(future);
    }
    let engine = Engine::new(EngineOptions::default().backend(Backend::Cpu)).unwrap();
    let model = engine.load(Network::embedded().unwrap()).unwrap();
    let (tensor, any) =
        (Tensor::new(&[1, 3, 32, 32], vec![0.0; 3 * 32 * 32]).unwrap(), AnyTensor { shape: vec![], data: Values::F32(vec![]) });
    let (named, image) = ([("input", &any)], DynamicImage::new_rgb8(8, 8));
    sent(Engine::new_async(EngineOptions::default()));
    sent(ghostnet::adapters_async());
    sent(model.prepare_async(1, 32, 32, Form::Tensors));
    sent(model.prepare_named_async(&named));
    sent(model.run_async(&tensor));
    sent(model.run_named_async(&named));
    sent(model.embed_async(&tensor));
    sent(model.features_async(&tensor));
    sent(model.ghost_maps_async(&tensor, "blocks.0.0.ghost1"));
    sent(model.classify_async(&image, 1));
    sent(model.classify_batch_async(&[], 1));
    sent(model.classify_pixels_async(&[], 0, 1));
    sent(model.profile_async(1, 32, 32, 1));
    let mut session = model.session(1, 32, 32, Form::Tensors, 1).unwrap();
    sent(model.session_async(1, 32, 32, Form::Tensors, 1));
    sent(session.submit_named_async(&named));
    sent(session.submit_pixels_async(&[]));
    sent(session.submit_images_async(&[]));
    sent(session.submit(&tensor).unwrap().wait_async());
}
