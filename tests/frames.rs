//! What a frame of a video allocates, once the first ones are through: what the caller gets, and
//! what is small. Buffers of pictures, inputs and results stay from frame to frame.

mod common;
#[path = "common/counting.rs"]
mod counting;

use counting::Counts;
use ghostnet::{
    Card, DetectOptions, Detection, Element, Engine, Network,
    graph::{Conv, Graph, Op, TensorType},
    image::{DynamicImage, Rgb, RgbImage},
};
use serde_json::json;

/// What the frame that took least allocated: calls, bytes, and the largest of them.
fn least(mut frame: impl FnMut()) -> [usize; 3] {
    (0..3).for_each(|_| frame());
    let counted = |_| counting::counted(&mut frame);
    let Counts { calls, bytes, largest, .. } = (0..5).map(counted).min().expect("five frames");
    [calls, bytes, largest]
}

/// An input of 320 x 320 with as much behind it as YuNet has: rows of 17 values on three grids.
fn graph() -> Graph {
    let mut graph = Graph::new();
    let input = graph.add_input(3).unwrap();
    for stride in [8, 16, 32] {
        let name = format!("y{stride}");
        let weight = graph.add_constant(&name, &[17, 3, stride, stride], vec![1e-3; 17 * 3 * stride * stride]).unwrap();
        let x = graph.add(&name, Op::Conv(Conv::new(weight).stride(stride)), &[input]).unwrap();
        graph.add_output_of(&name, x, TensorType::new(Element::F32, ["n", "c", "h", "w"]).unwrap());
    }
    graph
}

fn detector() -> Network {
    let values = |from: usize, to: usize| json!({ "outputs": ["y8", "y16", "y32"], "channels": [from, to] });
    let card = json!({
        "task": "detect", "input": { "size": [320, 320], "fit": "corner", "std": [255, 255, 255] },
        "priors": { "strides": [8, 16, 32] }, "score": { "classes": values(0, 2), "objectness": values(2, 3), "activation": "sigmoid" },
        "box": { "form": "center", "values": values(3, 7), "size": "exp" }, "points": { "values": values(7, 17), "count": 5 },
        "threshold": 0.5, "nms": { "iou": 0.45 }
    });
    Network::new(graph(), Card::of_json(&card.to_string()).unwrap()).unwrap()
}

fn landmarker() -> Network {
    let card = json!({
        "task": "landmarks", "input": { "size": [320, 320], "fit": "region" }, "region": { "scale": 1.0 },
        "points": { "values": { "outputs": ["y32"], "channels": [0, 2] }, "count": 98, "scale": "region" }
    });
    Network::new(graph(), Card::of_json(&card.to_string()).unwrap()).unwrap()
}

/// Of a picture of 640 x 480: less at once than five of its rows take, and as often as `most` says.
/// Some four allocations are of each detection.
fn allocate_little(engine: &Engine, most: [usize; 2]) {
    const AT_ONCE: usize = 16 << 10;
    let pictures: [DynamicImage; 2] = [0, 90].map(|more| RgbImage::from_fn(640, 480, |x, y| Rgb([x as u8, y as u8, more])).into());
    let [detector, landmarker] = [detector(), landmarker()].map(|network| engine.load(network).unwrap());
    let faces = [[9.0, 9.0, 99.0, 99.0], [200.0, 90.0, 300.0, 170.0]].map(Detection::at);
    let (mut at, options) = (0, DetectOptions::default());
    let mut next = || {
        at += 1;
        &pictures[at % 2]
    };
    let detect = least(|| _ = detector.detect(next(), &options).unwrap());
    let landmarks = least(|| _ = landmarker.landmarks(next(), &faces).unwrap());
    for ((what, [calls, bytes, largest]), most) in [("detect", detect), ("landmarks", landmarks)].into_iter().zip(most) {
        let told = format!("{what} on the {}: {calls} allocations, {bytes} bytes, the largest {largest}", engine.backend());
        println!("{told}");
        assert!(largest <= AT_ONCE && calls <= most, "{told}; at most {most} and {AT_ONCE} bytes are wanted");
    }
}

/// One test, for tests beside each other count together.
#[test]
fn a_frame_allocates_nothing_large() {
    allocate_little(common::cpu(), [250, 50]);
    if let Some(engine) = common::gpu() {
        allocate_little(engine, [400, 250]);
    }
}
