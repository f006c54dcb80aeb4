//! Sessions: several runs under way give what one after the other gives, in order, whatever becomes
//! of the session, the handle or the device.

mod common;

use common::net::Random;
use ghostnet::{Class, Engine, Error, IN_FLIGHT, Model, Network, Pending, Precision, Session, Tensor, plan::Form};
use std::collections::VecDeque;

fn model(engine: &Engine) -> Model {
    engine.load(Network::embedded().unwrap()).unwrap()
}

fn input(n: usize, seed: u64) -> Tensor {
    Tensor::new(&[n, 3, 32, 32], Random(seed).values(n * 3 * 32 * 32)).unwrap()
}

fn pixels(n: usize, seed: u64) -> Vec<u32> {
    Random(seed).values(n * 32 * 32).into_iter().map(f32::to_bits).collect()
}

fn logits(model: &Model, n: usize, in_flight: usize) -> Session {
    model.session(n, 32, 32, Form::Tensors, in_flight).unwrap()
}

/// The CPU's engine and, where there is one, the GPU's.
fn engines() -> impl Iterator<Item = &'static Engine> {
    [Some(common::cpu()), common::gpu()].into_iter().flatten()
}

fn message<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Shape { .. }), "{error:?}");
    let message = error.to_string();
    assert!(!message.contains('\n'), "{message}");
    println!("{message}");
    message
}

#[test]
fn sessions_and_handles_go_between_threads() {
    fn sent<T: Send + 'static>() {}
    sent::<Session>();
    sent::<Pending<Tensor>>();
    sent::<Pending<Vec<Vec<Class>>>>();
}

#[test]
fn results_come_in_order_and_equal_single_runs() {
    for engine in engines() {
        let model = model(engine);
        for (n, in_flight) in [(1, 1), (1, 2), (1, 3), (3, 2), (8, 2)] {
            let expected: Vec<Tensor> = (0..9).map(|seed| model.run(&input(n, seed)).unwrap()).collect();
            assert!(expected.windows(2).all(|pair| pair[0] != pair[1]), "the inputs tell nothing");
            let (mut session, mut pending, mut results) = (logits(&model, n, in_flight), VecDeque::new(), Vec::new());
            for seed in 0..9 {
                pending.push_back(session.submit(&input(n, seed)).unwrap());
                if pending.len() == in_flight {
                    results.push(pending.pop_front().unwrap().wait().unwrap());
                }
            }
            results.extend(pending.into_iter().map(|rest| rest.wait().unwrap()));
            assert!(results == expected, "{}: batch {n}, {in_flight} in flight", engine.backend());
        }
    }
}

#[test]
fn pixels_give_the_classes_of_single_runs() {
    for engine in engines() {
        let model = model(engine);
        for (n, k) in [(1, 1), (2, 4), (3, 100)] {
            let mut session = model.session(n, 32, 32, Form::Classify { k }, IN_FLIGHT).unwrap();
            let pending: Vec<_> = (0..5).map(|seed| session.submit_pixels(&pixels(n, seed)).unwrap()).collect();
            for (pending, seed) in pending.into_iter().zip(0..) {
                let expected = model.classify_pixels(&pixels(n, seed), n, k).unwrap();
                assert_eq!(expected[0].len(), k.min(10));
                assert_eq!(pending.wait().unwrap(), expected, "{}", engine.backend());
            }
        }
    }
}

#[test]
fn no_more_runs_are_under_way_than_the_session_is_for() {
    for engine in engines() {
        let model = model(engine);
        for in_flight in [1, 2, 3] {
            let mut session = logits(&model, 8, in_flight);
            let mut pending: Vec<Pending<Tensor>> = Vec::new();
            for seed in 0..12 {
                pending.push(session.submit(&input(8, seed)).unwrap());
                let done = pending.len().saturating_sub(in_flight);
                assert!(pending[..done].iter().all(Pending::is_ready), "{}: {in_flight}", engine.backend());
            }
            for pending in pending {
                pending.wait().unwrap();
            }
        }
    }
}

#[test]
fn results_may_be_fetched_in_any_order() {
    for engine in engines() {
        let model = model(engine);
        let mut session = logits(&model, 2, 3);
        let mut pending: Vec<_> = (0..6).map(|seed| (seed, session.submit(&input(2, seed)).unwrap())).collect();
        pending.reverse();
        for (seed, pending) in pending {
            assert_eq!(pending.wait().unwrap(), model.run(&input(2, seed)).unwrap(), "{}: {seed}", engine.backend());
        }
    }
}

#[test]
fn fewer_images_than_the_session_is_for() {
    for engine in engines() {
        let model = model(engine);
        let whole = input(4, 1);
        let some = |n: usize| Tensor::new(&[n, 3, 32, 32], whole.data[..n * 3 * 32 * 32].to_vec()).unwrap();
        let expected = model.run(&whole).unwrap();
        let mut session = logits(&model, 4, IN_FLIGHT);
        // Larger after smaller: nothing of one run is left for the next.
        for n in [4, 1, 3, 2, 4] {
            let logits = session.submit(&some(n)).unwrap().wait().unwrap();
            assert_eq!(logits, Tensor::new(&[n, 10], expected.data[..n * 10].to_vec()).unwrap(), "{}", engine.backend());
        }
        let mut session = model.session(4, 32, 32, Form::Classify { k: 3 }, IN_FLIGHT).unwrap();
        let (all, k) = (pixels(4, 2), 3);
        let expected = model.classify_pixels(&all, 4, k).unwrap();
        for n in [4, 1, 3] {
            assert_eq!(session.submit_pixels(&all[..n * 1024]).unwrap().wait().unwrap(), expected[..n], "{}", engine.backend());
        }
    }
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    for engine in engines() {
        let model = model(engine);
        for in_flight in [0, 65, usize::MAX] {
            assert!(message(model.session(1, 32, 32, Form::Tensors, in_flight)).contains(&format!("{in_flight} runs in flight, 1 to 64")));
        }
        assert!(message(model.session(1, 0, 32, Form::Tensors, 2)).contains("[1, 3, 0, 32] is empty"));
        assert!(message(model.session(0, 32, 32, Form::Tensors, 2)).contains("0 images"));
        let mut session = logits(&model, 2, 2);
        for shape in [[3, 3, 32, 32], [1, 3, 32, 33], [1, 4, 32, 32], [0, 3, 32, 32]] {
            let tensor = Tensor::new(&shape, vec![0.0; shape.iter().product()]).unwrap();
            let message = message(session.submit(&tensor));
            assert!(message.contains(&format!("{shape:?}")) && message.contains("[1 to 2, 3, 32, 32]"), "{message}");
        }
        let mut bad = input(1, 0);
        bad.data[5] = f32::NAN;
        assert!(message(session.submit(&bad)).contains("value 5 is NaN"));
        assert!(message(session.submit_pixels(&pixels(1, 0))).contains("takes tensors"));
        // A refused input is no run.
        assert_eq!(session.submit(&input(2, 0)).unwrap().wait().unwrap(), model.run(&input(2, 0)).unwrap());

        let mut session = model.session(2, 32, 32, Form::Classify { k: 1 }, 2).unwrap();
        for count in [0, 1023, 1025, 3072] {
            let message = message(session.submit_pixels(&vec![0; count]));
            assert!(message.contains(&format!("{count} pixels")) && message.contains("2 images of 32 x 32"), "{message}");
        }
        assert!(message(session.submit(&input(1, 0))).contains("takes pixels"));
        assert_eq!(session.submit_pixels(&pixels(2, 0)).unwrap().wait().unwrap().len(), 2);
    }
}

#[test]
fn sessions_and_handles_may_be_dropped_with_runs_under_way() {
    for engine in engines() {
        let model = model(engine);
        let expected: Vec<Tensor> = (0..4).map(|seed| model.run(&input(8, seed)).unwrap()).collect();
        for (kept, expected) in expected.iter().enumerate() {
            let mut session = logits(&model, 8, 3);
            let mut pending: Vec<_> = (0..4).map(|seed| session.submit(&input(8, seed)).unwrap()).collect();
            // Some handles, then the session, then the rest: what remains is still right.
            let one = pending.swap_remove(kept);
            drop(pending);
            drop(session);
            assert_eq!(one.wait().unwrap(), *expected, "{}: {kept}", engine.backend());
        }
        let mut session = logits(&model, 8, 2);
        for seed in 0..6 {
            drop(session.submit(&input(8, seed)).unwrap());
        }
        assert_eq!(session.submit(&input(8, 3)).unwrap().wait().unwrap(), expected[3], "{}", engine.backend());
        // Everything at once.
        let pending = session.submit(&input(8, 0)).unwrap();
        drop(session);
        drop(model);
        assert_eq!(pending.wait().unwrap(), expected[0], "{}", engine.backend());
    }
}

#[test]
fn a_device_may_be_dropped_with_runs_under_way() {
    let Some(engine) = common::gpu_with(|_| ()) else { return };
    let mut session = logits(&model(&engine), 8, 3);
    for seed in 0..3 {
        drop(session.submit(&input(8, seed)).unwrap());
    }
    drop(engine);
    drop(session);
}

#[test]
fn several_sessions_of_one_model_from_several_threads() {
    for engine in engines() {
        let model = model(engine);
        let expected: Vec<Tensor> = (0..6).map(|seed| model.run(&input(2, seed)).unwrap()).collect();
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let (model, expected) = (model.clone(), &expected);
                scope.spawn(move || {
                    let mut session = logits(&model, 2, 1 + thread);
                    let pending: Vec<_> = (0..6).map(|seed| session.submit(&input(2, seed)).unwrap()).collect();
                    // Beside the session, single runs.
                    assert_eq!(model.run(&input(2, 0)).unwrap(), expected[0]);
                    for (pending, expected) in pending.into_iter().zip(expected) {
                        assert_eq!(pending.wait().unwrap(), *expected, "{}, thread {thread}", model.engine().backend());
                    }
                });
            }
        });
        // One thread, two sessions, and the results fetched in another.
        let mut sessions = [logits(&model, 2, 2), logits(&model, 2, 2)];
        let pending: Vec<_> = (0..6).map(|seed| sessions[seed as usize % 2].submit(&input(2, seed)).unwrap()).collect();
        let results = std::thread::spawn(move || pending.into_iter().map(|p| p.wait().unwrap()).collect::<Vec<_>>()).join().unwrap();
        assert!(results == expected, "{}", engine.backend());
    }
}

#[test]
fn a_lost_device_rejects_every_run_under_way() {
    let Some(engine) = common::gpu_with(|_| ()) else { return };
    let model = model(&engine);
    let mut session = logits(&model, 8, 3);
    let mut idle = logits(&model, 1, 2);
    let pending: Vec<_> = (0..5).map(|seed| session.submit(&input(8, seed)).unwrap()).collect();
    engine.lose_device();
    for pending in pending {
        assert!(pending.is_ready());
        let error = pending.wait().unwrap_err();
        assert!(matches!(error, Error::DeviceLost(_)), "{error:?}");
    }
    for _ in 0..5 {
        for error in [session.submit(&input(8, 0)).err(), idle.submit(&input(1, 0)).err(), model.run(&input(1, 0)).err()] {
            assert!(matches!(error, Some(Error::DeviceLost(_))), "{error:?}");
        }
    }
    let error = model.session(1, 32, 32, Form::Tensors, 2).unwrap_err();
    assert!(matches!(error, Error::DeviceLost(_)), "{error:?}");
}

#[test]
fn a_device_lost_in_another_thread_ends_every_wait() {
    let Some(engine) = common::gpu_with(|_| ()) else { return };
    let model = model(&engine);
    let expected: Vec<Tensor> = (0..6).map(|seed| model.run(&input(8, seed)).unwrap()).collect();
    let mut sessions = [logits(&model, 8, 3), logits(&model, 8, 3)];
    std::thread::scope(|scope| {
        for session in &mut sessions {
            let pending: Vec<_> = (0..6).map(|seed| session.submit(&input(8, seed)).unwrap()).collect();
            let expected = &expected;
            scope.spawn(move || {
                for (pending, expected) in pending.into_iter().zip(expected) {
                    match pending.wait() {
                        Ok(logits) => assert_eq!(logits, *expected),
                        Err(error) => assert!(matches!(error, Error::DeviceLost(_)), "{error:?}"),
                    }
                }
            });
        }
        engine.lose_device();
    });
    for session in &mut sessions {
        assert!(matches!(session.submit(&input(8, 0)), Err(Error::DeviceLost(_))));
    }
}

#[test]
fn halves_have_sessions_too() {
    let Some(engine) = common::gpu_with(|options| options.precision = Precision::F16) else { return };
    let model = model(&engine);
    let expected: Vec<Tensor> = (0..5).map(|seed| model.run(&input(3, seed)).unwrap()).collect();
    let mut session = logits(&model, 3, 2);
    let pending: Vec<_> = (0..5).map(|seed| session.submit(&input(3, seed)).unwrap()).collect();
    assert!(pending.into_iter().map(|p| p.wait().unwrap()).eq(expected));
    let some = Tensor::new(&[2, 3, 32, 32], input(3, 0).data[..2 * 3 * 1024].to_vec()).unwrap();
    assert_eq!(session.submit(&some).unwrap().wait().unwrap().data, model.run(&input(3, 0)).unwrap().data[..20]);
    let mut session = model.session(2, 32, 32, Form::Classify { k: 5 }, 2).unwrap();
    let classes = session.submit_pixels(&pixels(2, 1)).unwrap().wait().unwrap();
    assert_eq!(classes, model.classify_pixels(&pixels(2, 1), 2, 5).unwrap());
}

#[test]
fn other_work_on_the_device_does_not_disturb_runs_under_way() {
    let Some(engine) = common::gpu() else { return };
    let model = model(engine);
    let expected: Vec<Tensor> = (0..4).map(|seed| model.run(&input(1, seed)).unwrap()).collect();
    let mut session = logits(&model, 1, 2);
    for (seed, expected) in expected.iter().enumerate() {
        let pending = session.submit(&input(1, seed as u64)).unwrap();
        if engine.gpu().unwrap().has_timestamps() {
            model.profile(1, 32, 32, 1).unwrap();
        }
        model.features(&input(1, 9)).unwrap();
        assert_eq!(pending.wait().unwrap(), *expected);
    }
}
