use crate::{
    options::{CardOptions, DeviceOptions, Unweighted, WeightsOption, check_input, made_up, network, of_size, positive, size},
    output::{Bar, adapter, aside, bold, fallback, note, number, print, print_json, progress},
};
use anyhow::Result;
use clap::ValueHint;
use ghostnet::{DetectOptions, Detection, Error, Model, image::DynamicImage, image_input, median, model::Task, percentile, plan::Form};
use ghostnet_cli::report::ms_in_flight;
use serde_json::{Value, json};
use std::{path::PathBuf, time::Instant};

/// Untimed runs between the first and the timed ones.
const WARM_UP: usize = 2;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A run takes tensors to the device and brings the results back. Latency is of runs one after the other,
throughput of runs of which the next are submitted before the last is done. Architectures without weights run with
random ones, which take as long. With --json:
  {\"model\", \"backend\", \"adapter\", \"driver\", \"precision\", \"tuned\", \"batch\",
   \"startup_ms\": {\"device\", \"weights\", \"pipelines\", \"first_run\", \"total\"},
   \"latency_ms\": {\"min\", \"median\", \"p90\"}, \"in_flight\", \"images_per_s\",
   \"detect_ms\"?: {\"min\", \"median\", \"p90\"}}")]
pub struct Args {
    /// A network, path to weights, or hub repository pulled before
    #[arg(value_name = "M", default_value = ghostnet::model::EMBEDDED)]
    model: String,
    #[command(flatten)]
    weights: WeightsOption,
    /// Images of one run
    #[arg(short, long, value_name = "N", default_value = "1", value_parser = positive)]
    batch: usize,
    /// Timed runs, after the first and 2 more; as many again for the throughput
    #[arg(short = 'n', long, value_name = "K", default_value = "30", value_parser = positive)]
    iters: usize,
    /// Runs under way at once, for the throughput
    #[arg(long, value_name = "K", default_value = "2", value_parser = clap::value_parser!(u8).range(1..=64))]
    in_flight: u8,
    /// Rows and columns of the input [default: the model's]
    #[arg(short, long, value_name = "HxW", value_parser = size)]
    size: Option<[usize; 2]>,
    /// Time also how long a detector takes for a picture, from its pixels to boxes, or one for
    /// landmarks for one box, in turn with runs of the network alone
    #[arg(long, value_name = "IMAGE", conflicts_with = "batch", value_hint = ValueHint::FilePath)]
    picture: Option<PathBuf>,
    /// The detector's card, where its file does not say
    #[arg(long, value_name = "FILE.json", requires = "picture", value_hint = ValueHint::FilePath)]
    card: Option<PathBuf>,
    /// Print a JSON object
    #[arg(short, long)]
    json: bool,
    #[command(flatten)]
    device: DeviceOptions,
}

/// Of timed calls the quickest, the median and what 90 % did not take longer than.
#[derive(Clone, Copy)]
struct Times {
    min: f64,
    median: f64,
    p90: f64,
}

impl Times {
    fn of(times: Vec<f64>) -> Self {
        let [min, p90] = [0, 90].map(|p| percentile(times.clone(), p));
        Self { min, median: median(times), p90 }
    }

    fn json(self) -> Value {
        json!({ "min": self.min, "median": self.median, "p90": self.p90 })
    }

    fn text(self, calls: usize) -> String {
        let [min, median, p90] = [self.min, self.median, self.p90].map(number);
        format!("{median} ms median, {min} at best, {p90} or less in 90 % of {calls}")
    }
}

fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

impl Args {
    pub fn run(self) -> Result<()> {
        self.device.check()?;
        if let Some(size) = self.size {
            check_input(self.batch, size)?;
        }
        let picture = self.picture.as_deref().map(image_input::decode_file).transpose()?;
        let start = Instant::now();
        let engine = self.device.engine()?;
        let device = ms(start);

        let loading = Instant::now();
        let chosen = network(Some(&self.model), &self.weights, Unweighted::Random, &of_size(self.size))?;
        let chosen = chosen.described(&CardOptions::of(self.card.as_deref()))?;
        let (title, [h, w]) = (chosen.title(), chosen.size(self.size)?);
        check_input(self.batch, [h, w])?;
        if picture.is_some() {
            chosen.check_finds()?;
        }
        let model = engine.load(chosen.network)?;
        let loaded = ms(loading);
        // What the device does not take at once goes in parts of one size.
        let mut parts = 1;
        let (at_once, prepared) = loop {
            let at_once = self.batch.div_ceil(parts);
            match model.prepare(at_once, h, w, Form::Tensors) {
                Err(Error::Limit { .. } | Error::OutOfMemory(_)) if at_once > 1 => parts *= 2,
                prepared => break (at_once, prepared?),
            }
        };
        let images = at_once * parts;
        let (weights, pipelines) = (loaded + prepared.weights, prepared.pipelines);

        let inputs = made_up(model.network(), at_once, [h, w])?;
        let inputs: Vec<_> = inputs.iter().map(|(name, tensor)| (&name[..], tensor)).collect();
        let run = || (0..parts).try_for_each(|_| model.run_named(&inputs).map(drop));
        let first = Instant::now();
        run()?;
        let first_run = ms(first);
        let total = device + weights + pipelines + first_run;

        for _ in 0..WARM_UP {
            run()?;
        }
        let in_flight = usize::from(self.in_flight);
        let mut session = model.session(at_once, h, w, Form::Tensors, in_flight)?;
        let bar = progress(2 * self.iters as u64, Bar::RUNS);
        let mut times = Vec::with_capacity(self.iters);
        for _ in 0..self.iters {
            let start = Instant::now();
            run()?;
            times.push(ms(start));
            bar.inc(1);
        }
        let each = ms_in_flight(&mut session, &inputs, in_flight, self.iters, || bar.inc(1))?;
        bar.finish_and_clear();
        drop(session);
        let detect = picture.as_ref().map(|picture| detects(&model, picture, &run, self.iters)).transpose()?;
        // What fails further on is one line.
        if parts > 1 {
            note(&format!("note: the device does not take {} images at once; each run is {parts} of {at_once}", self.batch));
        }

        let latency = Times::of(times);
        let images_per_s = at_once as f64 * 1e3 / each;
        let info = engine.adapter();
        let precision = engine.precision().name();
        if self.json {
            let mut said = json!({
                "model": chosen.name, "backend": engine.backend(), "adapter": info.name, "driver": info.driver, "precision": precision,
                "tuned": engine.is_tuned(), "batch": images,
                "startup_ms": {
                    "device": device, "weights": weights, "pipelines": pipelines, "first_run": first_run, "total": total,
                },
                "latency_ms": latency.json(), "in_flight": in_flight, "images_per_s": images_per_s,
            });
            if let Some([detect, _]) = detect {
                said["detect_ms"] = detect.json();
            }
            return print_json(&said);
        }
        let [device, weights, pipelines, first_run, total] = [device, weights, pipelines, first_run, total].map(number);
        print(&bold(&format!("{title}, batch {images}, {h} x {w}, {precision}")))?;
        print(&format!(
            "start-up    {total} ms: device {device}, weights {weights}, pipelines {pipelines}, first run {first_run}\n\
             latency     {} runs\n\
             throughput  {} images/s, {in_flight} in flight",
            latency.text(self.iters),
            number(images_per_s)
        ))?;
        if let Some([detect, alone]) = detect {
            let share = number(detect.median / alone.median);
            print(&format!("detect      {} pictures: {share} of a run of {h} x {w} in turn with it", detect.text(self.iters)))?;
        }
        let tuned = if engine.is_tuned() { ", tuned" } else { "" };
        aside(&format!("on {}, {}{tuned}{}", adapter(info), info.driver, fallback(&engine)));
        Ok(())
    }
}

/// Times of what the network makes of a picture, and of runs of the network alone, in turn.
fn detects(model: &Model, picture: &DynamicImage, run: &dyn Fn() -> ghostnet::Result<()>, iters: usize) -> Result<[Times; 2]> {
    let options = DetectOptions::default();
    let everything = Detection::at([0.0, 0.0, picture.width() as f32, picture.height() as f32]);
    let detect = || match model.network().card().task {
        Some(Task::Landmarks) => model.landmarks(picture, std::slice::from_ref(&everything)).map(drop),
        _ => model.detect(picture, &options).map(drop),
    };
    for _ in 0..WARM_UP {
        detect()?;
    }
    let mut times = [const { Vec::new() }; 2];
    for _ in 0..iters {
        let start = Instant::now();
        detect()?;
        times[0].push(ms(start));
        let start = Instant::now();
        run()?;
        times[1].push(ms(start));
    }
    Ok(times.map(Times::of))
}
