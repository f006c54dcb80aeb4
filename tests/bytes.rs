//! Bytes from outside, changed at random: nothing that reads them panics, takes long, or takes more
//! memory than eight times their length and 64 MB.
#![cfg(all(feature = "decode", feature = "hub", feature = "pth"))]

#[path = "common/counting.rs"]
mod counting;
#[path = "bytes/targets.rs"]
#[allow(dead_code)]
mod targets;

use counting::counted;
use ghostnet::Card;
use std::{
    io::Write as _,
    panic::catch_unwind,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use targets::{
    TARGETS,
    messages::{Is, Message, Onnx},
};

/// Held by tests that count.
static ALONE: Mutex<()> = Mutex::new(());

/// What one input took.
struct Cost {
    bytes: usize,
    time: Duration,
}

fn cost(work: impl FnOnce()) -> Cost {
    let start = Instant::now();
    Cost { bytes: counted(work).most, time: start.elapsed() }
}

/// What a target takes for these bytes, and what is wrong with it.
fn measured(run: fn(&[u8]), bytes: &[u8]) -> (Cost, Option<String>) {
    const LONGEST: Duration = Duration::from_secs(2);
    let mut panicked = false;
    let mut cost = cost(|| panicked = catch_unwind(|| run(bytes)).is_err());
    // The machine may have had other work: what is slow is slow each time.
    for _ in 0..4 {
        if !panicked && cost.time > LONGEST {
            cost = self::cost(|| run(bytes));
        }
    }
    let fault = if panicked {
        Some("panics".into())
    } else if cost.bytes > 8 * bytes.len() + (64 << 20) {
        Some(format!("takes {} bytes", cost.bytes))
    } else if cost.time > LONGEST {
        Some(format!("takes {:?}", cost.time))
    } else {
        None
    };
    (cost, fault)
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`, or 0.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Longer inputs only take longer.
const LONGEST: usize = 1 << 13;

fn mutate(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    const NUMBERS: [u64; 12] = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 31, i64::MAX as u64, u64::MAX];
    const TEXTS: [&[u8]; 12] = [b"\"", b"[", b"{", b"]", b"}", b"\0", b"-1", b"1e999", b"18446744073709551615", b"0.", b"\\u0000", b"\xff"];
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..1 + random.below(6) {
        let at = random.below(bytes.len() + 1);
        let rest = bytes.len() - at;
        match random.below(11) {
            0 if rest > 0 => bytes[at] ^= 1 << random.below(8),
            1 if rest > 0 => bytes[at] = random.next() as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..at + random.below(rest.min(32) + 1))),
            4 => {
                let copy = bytes[at..at + random.below(rest.min(256) + 1)].to_vec();
                let to = random.below(bytes.len() + 1);
                bytes.splice(to..to, copy.repeat(1 + random.below(4)));
            }
            5..=7 => {
                let width = [1, 2, 4, 8][random.below(4)].min(rest);
                let number = NUMBERS[random.below(NUMBERS.len())];
                let number =
                    if random.below(2) == 0 { number.to_le_bytes() } else { number.rotate_left(64 - 8 * width as u32 % 64).to_be_bytes() };
                bytes[at..at + width].copy_from_slice(&number[..width]);
            }
            8 => {
                let text = TEXTS[random.below(TEXTS.len())];
                bytes.splice(at..at + random.below(rest.min(4) + 1), text.iter().copied());
            }
            9 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len());
                bytes.splice(at.., other[from..].iter().copied());
            }
            _ => {
                let byte = random.next() as u8;
                bytes.splice(at..at, std::iter::repeat_n(byte, random.below(64)));
            }
        }
        bytes.truncate(LONGEST);
    }
    // The header of a safetensors file, as long as it says.
    if bytes.get(8) == Some(&b'{') && random.below(4) > 0 {
        let end = bytes.iter().rposition(|byte| *byte == b'}').unwrap_or(8);
        let length = end.saturating_sub(7) as u64;
        bytes[..8].copy_from_slice(&length.to_le_bytes());
    }
    bytes
}

/// What once made trouble.
const FOUND: [(&str, &str); 2] = [
    (
        "onnx",
        "08083a4b0a0c0a0178120179220452656c751201675a1b0a017812160a14080112100a0208010a0208030a0208040a020804621b0a017900000a14080112\
         100a0208010a0208030a0208040a02080442021011",
    ),
    (
        "graph",
        "5edc0131653939ff00fffb02d1d1d1d1d1d1d1d1d1d1d1d100030000ffff0000010101010000000000000000d1d1ffff7f000000d1d1d1d1ffff7f000000\
         d1d1d1d1eaeaeaeaeaeaeaf5f5f5f5f5",
    ),
];

#[test]
fn what_once_made_trouble_makes_none() {
    for (name, hex) in FOUND {
        let digits: Vec<u8> = hex.chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
        let bytes: Vec<u8> = digits.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect();
        targets::run(name, &bytes);
    }
}

/// Cards of one and of two stages come as far as a picture.
#[test]
fn seeds_of_cards_fit_a_network() {
    let seeds = (TARGETS.iter().find(|target| target.name == "json").unwrap().seeds)();
    let card = |seed: &Vec<u8>| Card::of_json(std::str::from_utf8(seed).unwrap()).ok();
    let detectors: Vec<_> = seeds.iter().filter_map(card).filter_map(targets::detector).collect();
    assert_eq!(detectors.iter().map(|model| model.graph().inputs().len()).collect::<Vec<_>>(), [1, 2]);
}

/// A ZIP archive of one deflated pickle.
fn archive(pickle: &[u8]) -> Vec<u8> {
    let mut deflated = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    deflated.write_all(pickle).unwrap();
    let deflated = deflated.finish().unwrap();
    let sizes = [deflated.len() as u32, pickle.len() as u32].map(u32::to_le_bytes).concat();
    let about = [&b"\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0"[..], &sizes, b"\x0a\0\0\0"].concat();
    let local = [&b"PK\x03\x04"[..], &about, b"a/data.pkl", &deflated].concat();
    let directory = [&b"PK\x01\x02\x14\0"[..], &about, &[0; 14], b"a/data.pkl"].concat();
    let places = [directory.len() as u32, local.len() as u32].map(u32::to_le_bytes).concat();
    [&local[..], &directory, b"PK\x05\x06\0\0\0\0\x01\0\x01\0", &places, &[0; 2]].concat()
}

/// ONNX files that have much of one thing, or ask for much.
fn large_onnx() -> Vec<(String, Vec<u8>)> {
    const LENGTH: usize = 12 << 20;
    let field = |number: u64, bytes: &[u8]| Message::default().bytes(number, bytes).0;
    let model = |graph: &[u8]| [&b"\x08\x08"[..], &field(7, graph), &field(8, b"\x10\x11")].concat();
    let relu = Onnx::default().input("x", &[1, 3, 4, 4]).node("Relu", &["x"], &["y"], &[]).output("y");
    let mut files = Vec::new();
    // As many of one field as fit: of the file, of the graph, of a node, of an attribute, of a
    // tensor.
    for item in [&b"\x08\x08"[..], b"\x7a\0", b"\x42\0"] {
        files
            .push((format!("{} in the file", item.escape_ascii()), [&relu.clone().file()[..], &item.repeat(LENGTH / item.len())].concat()));
    }
    let part = |what: &str, wrap: &dyn Fn(&[u8]) -> Vec<u8>, item: &[u8]| {
        // Lists are counted; many short ones are many things, too.
        let all = wrap(&item.repeat(LENGTH / item.len()));
        let one = wrap(&item.repeat(60_000));
        let graph = [&relu.0.0[..], &all].concat();
        let graphs = [&relu.0.0[..], &one.repeat((LENGTH / one.len()).max(1))].concat();
        [
            (format!("{} in {what}", item.escape_ascii()), model(&graph)),
            (format!("{} in many of {what}", item.escape_ascii()), model(&graphs)),
        ]
    };
    let node = |bytes: &[u8]| field(1, &[&b"\x22\x04Relu"[..], bytes].concat());
    for item in [&b"\x0a\0"[..], b"\x12\0", b"\x2a\0"] {
        files.extend(part("a node", &node, item));
    }
    for item in [&b"\x35\0\0\0\0"[..], b"\x3d\0\0\0\0", b"\x40\0", b"\x2a\0"] {
        files.extend(part("an attribute", &|bytes| node(&field(5, bytes)), item));
    }
    files.extend(part("packed numbers of an attribute", &|bytes| node(&field(5, &field(8, bytes))), b"\x01"));
    for item in [&b"\x08\x01"[..], b"\x25\0\0\0\0", b"\x38\0", b"\x6a\0"] {
        files.extend(part("a tensor", &|bytes| field(5, bytes), item));
    }
    for (what, number) in [("dims", 1), ("whole numbers", 7)] {
        files.extend(part(&format!("packed {what} of a tensor"), &|bytes| field(5, &field(number, bytes)), b"\x01"));
    }
    files.extend(part("sides of an input", &|bytes| field(11, &field(2, &field(1, &field(2, bytes)))), b"\x0a\0"));
    for item in [&b"\x0a\x06\x22\x04Relu"[..], b"\x2a\0", b"\x5a\0", b"\x62\0"] {
        files.extend(part("a graph", &<[u8]>::to_vec, item));
    }

    // Few bytes that ask for many values, or for long work.
    let images = |sides: &[i64]| Onnx::default().input("x", sides);
    let chain = |many: usize, mut onnx: Onnx, node: &dyn Fn(Onnx, &str, &str) -> Onnx| {
        let names: Vec<String> = ["x".into()].into_iter().chain((0..many).map(|at| format!("n{at}"))).collect();
        for pair in names.windows(2) {
            onnx = node(onnx, &pair[0], &pair[1]);
        }
        onnx.output(names.last().unwrap()).file()
    };
    let add = |name: &str, bytes: Vec<u8>| (name.to_string(), bytes);
    let sides = vec![1; 60_000];
    let large = |onnx: Onnx| onnx.wholes("shape", &[1 << 14, 1 << 14]).node("ConstantOfShape", &["shape"], &["c"], &[]);
    files.extend([
        add("a chain of Identity", chain(20_000, images(&[1, 3, 4, 4]), &|onnx, from, to| onnx.node("Identity", &[from], &[to], &[]))),
        add("a chain of Relu", chain(20_000, images(&[1, 3, 4, 4]), &|onnx, from, to| onnx.node("Relu", &[from], &[to], &[]))),
        add("a chain of Add", chain(20_000, images(&[1, 3, 4, 4]), &|onnx, from, to| onnx.node("Add", &[from, "x"], &[to], &[]))),
        add(
            "a chain of Mul by channels",
            chain(8_000, images(&[1, 3, 4, 4]).weights("w", &[1, 3, 1, 1], &[0.5; 3]), &|onnx, from, to| {
                onnx.node("Mul", &[from, "w"], &[to], &[])
            }),
        ),
        add("doubled constants", {
            let doubled = |onnx: Onnx, at: usize| {
                let (from, to) = (format!("c{at}"), format!("c{}", at + 1));
                onnx.node("Concat", &[&from, &from], &[&to], &[("axis", Is::Whole(0))])
            };
            (0..34)
                .fold(images(&[1, 3, 4, 4]).wholes("c0", &[1, 2]), doubled)
                .node("Reshape", &["x", "c34"], &["y"], &[])
                .output("y")
                .file()
        }),
        add(
            "a large constant calculated with",
            large(images(&[1, 3, 4, 4])).node("Add", &["c", "c"], &["d"], &[]).node("Add", &["d", "d"], &["y"], &[]).output("y").file(),
        ),
        add("many large constants", {
            let one = |onnx: Onnx, at: usize| onnx.node("Neg", &["c"], &[&format!("d{at}")], &[]);
            (0..2000)
                .fold(images(&[1, 3, 4, 4]).wholes("shape", &[1 << 10, 1 << 10]).node("ConstantOfShape", &["shape"], &["c"], &[]), one)
                .node("Relu", &["x"], &["y"], &[])
                .output("y")
                .file()
        }),
        add("a large constant as a result", large(images(&[1, 3, 4, 4])).output("c").file()),
        add(
            "a large constant with a picture",
            large(images(&[1, 1, 1 << 14, 1 << 14])).node("Mul", &["x", "c"], &["y"], &[]).output("y").file(),
        ),
        add(
            "many channels",
            images(&[1, 1 << 27, 1, 1]).node("HardSigmoid", &["x"], &["y"], &[("alpha", Is::Float(0.3))]).output("y").file(),
        ),
        add(
            "many channels in many nodes",
            chain(20_000, images(&[1, 1 << 16, 1, 1]), &|onnx, from, to| {
                onnx.node("HardSigmoid", &[from], &[to], &[("alpha", Is::Float(0.3))])
            }),
        ),
        add(
            "a Range of many",
            images(&[1, 3, 4, 4])
                .wholes("a", &[0])
                .wholes("b", &[1 << 27])
                .wholes("c", &[1])
                .node("Range", &["a", "b", "c"], &["y"], &[])
                .output("y")
                .file(),
        ),
        add("a constant of many sides", {
            let one = |onnx: Onnx, at: usize| onnx.node("Identity", &["c"], &[&format!("d{at}")], &[]);
            (0..2000).fold(images(&[1, 3, 4, 4]).weights("c", &sides, &[1.0]), one).node("Relu", &["x"], &["y"], &[]).output("y").file()
        }),
        add(
            "many sides by Unsqueeze",
            images(&[1, 3, 4, 4])
                .wholes("axes", &(0..60_000).collect::<Vec<_>>())
                .node("Unsqueeze", &["x", "axes"], &["y"], &[])
                .output("y")
                .file(),
        ),
        add(
            "many sides by Reshape",
            images(&[1, 3, 4, 4])
                .wholes("sides", &[&[1, 3, 4, 4][..], &sides].concat())
                .node("Reshape", &["x", "sides"], &["y"], &[])
                .output("y")
                .file(),
        ),
        add(
            "many sides by Expand",
            images(&[1, 3, 4, 4]).wholes("sides", &sides).node("Expand", &["x", "sides"], &["y"], &[]).output("y").file(),
        ),
        add("many parts of Concat", {
            let names = vec!["x"; 60_000];
            images(&[1, 3, 4, 4]).node("Concat", &names, &["y"], &[("axis", Is::Whole(1))]).output("y").file()
        }),
        add("many parts of Split", {
            let names: Vec<String> = (0..60_000).map(|at| format!("y{at}")).collect();
            let names: Vec<&str> = names.iter().map(|name| &**name).collect();
            images(&[1, 60_000, 1, 1]).node("Split", &["x"], &names, &[("axis", Is::Whole(1))]).output("y0").file()
        }),
        add(
            "a large pad",
            images(&[1, 3, 4, 4])
                .wholes("pads", &[0, 0, 1 << 20, 1 << 20, 0, 0, 1 << 20, 1 << 20])
                .node("Pad", &["x", "pads"], &["y"], &[("mode", Is::Text("edge"))])
                .output("y")
                .file(),
        ),
        add(
            "a wide transposed convolution",
            images(&[1, 3, 4, 4])
                .weights("w", &[3, 1, 1, 1], &[1.0; 3])
                .node("ConvTranspose", &["x", "w"], &["y"], &[("strides", Is::Wholes(&[1 << 14, 1 << 14]))])
                .output("y")
                .file(),
        ),
        add(
            "many places of Gather",
            images(&[1, 3, 4, 4])
                .wholes("places", &vec![1; 1 << 20])
                .node("Gather", &["x", "places"], &["y"], &[("axis", Is::Whole(1))])
                .output("y")
                .file(),
        ),
        add("many inputs and nodes", {
            let inputs = (0..20_000).fold(images(&[1, 3, 4, 4]), |onnx, at| onnx.input(&format!("i{at}"), &[1, 3, 4, 4]));
            (0..20_000).fold(inputs, |onnx, at| onnx.node("Relu", &["x"], &[&format!("n{at}")], &[])).output("n0").file()
        }),
        add("many results", (0..20_000).fold(images(&[1, 3, 4, 4]).node("Relu", &["x"], &["y"], &[]), |onnx, _| onnx.output("y")).file()),
        add(
            "many nodes that are not covered",
            (0..60_000).fold(images(&[1, 3, 4, 4]), |onnx, at| onnx.node(&format!("Op{at}"), &["x"], &["y"], &[])).output("y").file(),
        ),
    ]);
    files
}

/// What is cheap to write and dear to hold, as long as memory and time would show it.
#[test]
fn large_inputs_take_what_they_may() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut inputs: Vec<(&str, String, Vec<u8>)> = Vec::new();
    for operations in [&b"]"[..], b"}", b"(", b"N\x85", b"NN\x86", b"N2", b"K\x01", b"N\x94", b"(t", b"}q\0", b"c\n\n)R", b"U\0", b"]]a"] {
        let pickle = [b"\x80\x04", &operations.repeat((4 << 20) / operations.len())[..], b"."].concat();
        let what = format!("{:?} again and again", operations.escape_ascii().to_string());
        inputs.push(("pickle", format!("deflated {what}"), archive(&pickle)));
        inputs.push(("pickle", what, pickle));
    }
    for item in ["0,", "[],", "{},", "[0],", "\"\",", "\"\\n\",", "[[[[0]]]],", "{\"\":0},"] {
        let list = format!("[{}0]", item.repeat((15 << 20) / item.len()));
        inputs.push(("json", format!("a list of {item}"), format!("{{\"labels\": {list}}}").into_bytes()));
    }
    for field in ["\"a\":{},", "\"a\":\"\",", "\"\\n\":0,"] {
        let fields = format!("{{{}\"z\":{{}}}}", field.repeat((15 << 20) / field.len()));
        inputs.push((
            "json",
            format!("fields {field}"),
            format!("{{\"inputs\": {fields}, \"outputs\": {fields}}}").as_bytes()[..15 << 20].into(),
        ));
        inputs.push(("json", format!("inputs {field}"), format!("{{\"inputs\": {fields}}}").into_bytes()));
    }
    // As many classes as ImageNet-22k has, with a description each.
    let names = |from: &str| (0..21_841).map(|at| format!("\"{from}{at}\"")).collect::<Vec<_>>();
    let described: Vec<String> = names("n").iter().zip(names("what people call ")).map(|(name, text)| format!("{name}: {text}")).collect();
    let labels = format!(
        "{{\"architecture\": \"x\", \"label_names\": [{}], \"label_descriptions\": {{{}}}}}",
        names("n").join(","),
        described.join(",")
    );
    inputs.push(("json", "labels of ImageNet-22k".into(), labels.into_bytes()));
    for name in ["", "num_batches_tracked"] {
        let entry = |at: usize| format!("\"{at}{name}\":{{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}");
        let header = format!("{{{}}}", (0..50_000).map(entry).collect::<Vec<_>>().join(","));
        inputs.push(("safetensors", "tensors of nothing".into(), [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()));
    }
    let npy = b"\x93NUMPY\x01\0\x40\0{'descr': '<f2', 'fortran_order': True, 'shape': (4194304, 2), }\n";
    inputs.push((
        "npy",
        "halves".into(),
        [&npy[..10], format!("{:<64}", String::from_utf8_lossy(&npy[10..]).trim_end()).as_bytes(), &[0; 16 << 20]].concat(),
    ));
    inputs.extend(large_onnx().into_iter().map(|(what, bytes)| ("onnx", what, bytes)));
    let faults: Vec<String> = inputs
        .iter()
        .filter_map(|(name, what, bytes)| {
            let target = TARGETS.iter().find(|target| target.name == *name).unwrap();
            (target.run)(&[]);
            Some(format!("{name}, {} bytes of {what}: {}", bytes.len(), measured(target.run, bytes).1?))
        })
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Seconds for all targets together; GHOSTNET_FUZZ_SECONDS says more.
const SECONDS: f64 = 13.0;

#[test]
fn no_input_makes_trouble() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<f64>().ok());
    let seconds = number("GHOSTNET_FUZZ_SECONDS").unwrap_or(SECONDS);
    let mut random = Random(number("GHOSTNET_FUZZ_SEED").unwrap_or(1.0) as u64);
    let only = std::env::var("GHOSTNET_FUZZ_TARGET").ok();
    let targets: Vec<_> = TARGETS.iter().filter(|target| only.as_ref().is_none_or(|only| *only == target.name)).collect();
    let mut faults = Vec::new();
    for target in &targets {
        let mut seeds = (target.seeds)();
        let originals = seeds.len();
        let end = Instant::now() + Duration::from_secs_f64(seconds / targets.len() as f64);
        let (mut runs, mut most) = (0, Cost { bytes: 0, time: Duration::ZERO });
        let mut check = |bytes: &[u8]| {
            let (cost, fault) = measured(target.run, bytes);
            most = Cost { bytes: most.bytes.max(cost.bytes), time: most.time.max(cost.time) };
            if let Some(what) = fault {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                faults.push(format!("{}: {what}: {hex}", target.name));
            }
        };
        // What is made once for all inputs is none's.
        seeds.iter().for_each(|seed| (target.run)(seed));
        seeds.iter().for_each(|seed| check(seed));
        while Instant::now() < end {
            let bytes = mutate(&mut random, &seeds);
            check(&bytes);
            runs += 1;
            // Changes add up, until little is left of a file: then they start anew.
            if random.below(16) == 0 && seeds.len() < 256 {
                seeds.push(bytes);
            } else if runs % 8192 == 0 {
                seeds.truncate(originals);
            }
        }
        println!("{}: {runs} inputs, at most {} bytes and {:?}", target.name, most.bytes, most.time);
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults[..faults.len().min(10)].join("\n"));
}

#[test]
#[ignore = "writes files: fuzz/seeds.sh"]
fn seeds_are_written() {
    let folder = std::path::PathBuf::from(std::env::var_os("GHOSTNET_SEEDS").expect("GHOSTNET_SEEDS names a folder"));
    for target in TARGETS {
        let folder = folder.join(target.name);
        std::fs::create_dir_all(&folder).unwrap();
        for (at, seed) in (target.seeds)().iter().enumerate() {
            std::fs::write(folder.join(at.to_string()), seed).unwrap();
        }
    }
}
