//! What stands around plans: launches of kernels whose work depends on each picture or card.

use super::net::{self, Fusing, Net, Random};
use ghostnet::{
    Precision,
    device::DeviceClass,
    graph::Shape,
    image_input::Preprocess,
    kernels::{
        decode::{self, Activation, Form, Size, Table},
        resize, sample,
    },
    plan::{Dispatch, Form as PlanForm, Plan, PlanOutput},
};

/// A launch of a kernel: bytes of what each variable is bound to, where two may be bound to one.
pub struct Launch {
    pub dispatch: Dispatch,
    pub buffers: Vec<Vec<u8>>,
    pub bound: Vec<(&'static str, usize)>,
}

impl Launch {
    fn new(dispatch: Dispatch, bound: Vec<(&'static str, Vec<u8>)>) -> Self {
        let names = bound.iter().map(|(name, _)| *name).zip(0..).collect();
        Self { dispatch, buffers: bound.into_iter().map(|(_, bytes)| bytes).collect(), bound: names }
    }

    /// Whether a picture is bound as a texture, for which there are no bytes here.
    pub fn takes_texture(&self) -> bool {
        self.dispatch.key.define("TEXTURE") == Some(1)
    }
}

/// Every variant of each of the kernels.
pub fn launches() -> Vec<Launch> {
    let mut all = Vec::new();
    for f16 in [false, true] {
        for texture in [false, true] {
            all.extend([[100, 200], [300, 250], [900, 200], [9, 9]].map(|size| resized(size, f16, texture)));
            for (is_nhwc, is_bgr) in [(false, false), (false, true), (true, false), (true, true)] {
                all.extend(sampled(is_nhwc, is_bgr, f16, texture));
            }
        }
        all.extend(decoders().iter().flat_map(|problem| decoded(problem, f16)));
    }
    all
}

fn words(count: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    bytemuck::cast_slice(&(0..count).map(|_| random.next()).collect::<Vec<u32>>()).to_vec()
}

fn block_bytes(f16: bool) -> usize {
    if f16 { Precision::F16 } else { Precision::F32 }.block_bytes()
}

fn resized(size: [usize; 2], f16: bool, texture: bool) -> Launch {
    let problem = Preprocess::default().resize(size).unwrap().problem();
    let bound = vec![
        ("source", words(problem.source_rows.len() * problem.source_columns.len(), size[0] as u64)),
        ("table", bytemuck::cast_slice(&problem.table).to_vec()),
        ("scale_shift", bytemuck::cast_slice(&[1.0f32 / 256.0; 8]).to_vec()),
        ("output", vec![0; problem.crop[0] * problem.crop[1] * block_bytes(f16)]),
    ];
    Launch::new(resize::dispatch(&problem, f16, texture, 0), bound)
}

/// Two windows, the first with a column beyond the picture.
fn sampled(is_nhwc: bool, is_bgr: bool, f16: bool, texture: bool) -> Vec<Launch> {
    let held = if texture { sample::Held::Texture } else { sample::Held::Words };
    let ([rows, columns], size) = ([7, 5], [6, 10]);
    let tap = |at: usize, length: usize| sample::Tap {
        first: (at * 3 % length) as u32,
        second: ((at * 3 + 1) % length) as u32,
        share: at as f32 / 20.0,
    };
    let window = |first: usize| (0..10).map(move |at| tap(first + at, columns)).chain((0..6).map(move |at| tap(first + at, rows)));
    let mut taps: Vec<_> = window(0).chain(window(1)).collect();
    taps[9] = sample::Tap::NONE;
    let problem = sample::Problem {
        source_rows: 0..rows,
        source_columns: 0..columns,
        size,
        is_nhwc,
        is_bgr,
        mean: [103.5, 116.25, 123.75],
        std: [57.5, 57.0, 58.5],
        pad: [1.0, 2.0, 3.0],
        taps,
    };
    let launch = |window: usize| {
        // Of so many pixels, or of two blocks of rows of 30 values.
        let blocks = 60;
        let bound = vec![
            ("source", words(rows * columns, 3)),
            ("table", bytemuck::cast_slice(&problem.taps).to_vec()),
            ("output", vec![0; blocks * block_bytes(f16)]),
        ];
        Launch::new(problem.dispatch(window, f16, held), bound)
    };
    (0..problem.windows()).map(launch).collect()
}

/// Rows and columns of the maps that a decoder reads here.
const MAP: [usize; 2] = [9, 11];
const ROWS: usize = MAP[0] * MAP[1];

/// Cards of every form, activation and switch, of one map of 24 channels.
fn decoders() -> Vec<decode::Problem> {
    let table = |first: usize| vec![Table { output: 0, rows: ROWS, start: first * ROWS, per: 1, part: 0, step: 1, column: ROWS }];
    let center = |tanh, size, of_input| Form::Center { tanh, size, of_input, scale: [0.5, 0.25], most: 4.0 };
    let plain = decode::Problem {
        classes: table(0),
        columns: 3,
        skipped: 0,
        activation: Activation::None,
        each: false,
        objectness: Vec::new(),
        powers: [1.0; 2],
        boxes: table(3),
        form: Form::Corners([88.0, 72.0]),
        points: Vec::new(),
        values: 0,
        point_scale: 1.0,
        sides: [88.0, 72.0],
        priors: Vec::new(),
    };
    let priors: Vec<[f32; 5]> = (0..ROWS).map(|at| [(at % MAP[1] * 8) as f32, (at / MAP[1] * 8) as f32, 8.0, 16.0, 8.0]).collect();
    let placed = decode::Problem { priors, ..plain.clone() };
    let of_softmax = decode::Problem { activation: Activation::Softmax, skipped: 1, ..placed.clone() };
    let scored = decode::Problem { objectness: table(3), powers: [0.5, 0.4], ..placed.clone() };
    let with_points = decode::Problem { points: table(8), values: 10, point_scale: 0.5, ..placed.clone() };
    vec![
        plain,
        decode::Problem { form: Form::Distances { bins: 4 }, ..of_softmax.clone() },
        decode::Problem { form: Form::Distances { bins: 1 }, each: true, ..of_softmax },
        decode::Problem { form: center(true, Size::Sigmoid, true), ..scored },
        decode::Problem { form: center(false, Size::Exp, false), activation: Activation::Sigmoid(100.0), ..with_points.clone() },
        decode::Problem { form: center(false, Size::Linear, false), ..with_points },
    ]
}

fn decoded(problem: &decode::Problem, f16: bool) -> Vec<Launch> {
    let (mut net, input) = Net::new(3);
    let map = net.pointwise(input, 24);
    net.output(map);
    let precision = if f16 { Precision::F16 } else { Precision::F32 };
    let shape = Shape::new(1, 3, MAP[0], MAP[1]);
    let plan: Plan = net::plan(&net.graph, shape, DeviceClass::Gpu, Fusing::All, PlanForm::Tensors, precision);
    let slot = plan.slots[plan.outputs[0].slot];
    // Some of whose values pass any bound below 1.
    let values: Vec<f32> = Random(11).values(slot / (precision.block_bytes() / 4)).iter().map(|v| v * 2.0).collect();
    let map = precision.to_bytes(&values).into_owned();
    let results: Vec<_> = plan.outputs.iter().map(PlanOutput::placed).collect();
    let (launches, table) = problem.launches(&results, f16);
    let launch = |launch: decode::Launch| {
        let mut records = decode::head(0.25).to_vec();
        records.resize(decode::HEAD + 4 * problem.record() * problem.capacity(), 0);
        let mut bound = vec![("map", map.clone()), ("table", bytemuck::cast_slice(&table).to_vec()), ("records", records)];
        if !problem.priors.is_empty() {
            bound.push(("priors", bytemuck::cast_slice(&problem.priors).to_vec()));
        }
        let mut whole = Launch::new(launch.dispatch, bound);
        // The shader knows the map by what it reads of it.
        whole.bound.remove(0);
        whole.bound.extend(launch.bound.iter().map(|(name, _)| (*name, 0)));
        whole
    };
    launches.into_iter().map(launch).collect()
}
