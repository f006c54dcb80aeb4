use crate::output::{Align, aside, bytes, count, macs, print, print_json, table};
use anyhow::Result;
use ghostnet::{
    Network, hub,
    model::{self, EMBEDDED, Summary, published},
};
use serde_json::json;
use std::path::Path;

/// A larger file of weights is not read to be listed: the cache is the Python tools' too, and what
/// they pull is seldom for this program.
const MOST_BYTES: u64 = 256 << 20;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print a JSON array: [{"name", "input", "params", "macs"}]
    #[arg(short, long)]
    json: bool,
}

/// A network of the list.
struct Listed {
    summary: Summary,
    /// Top-1, or top-1 and top-5, in per cent, where anybody says.
    accuracy: String,
    /// Who says so.
    by: &'static str,
    /// What of, or where it comes from.
    data: &'static str,
}

impl Args {
    pub fn run(self) -> Result<()> {
        let embedded = Network::embedded()?;
        let mut listed = Vec::new();
        for name in model::architectures() {
            let of = published(name).map(|of| {
                let top5 = of.top5.map(|top5| format!(" / {top5}")).unwrap_or_default();
                (format!("{}{top5}", of.top1), of.by, of.data)
            });
            let (accuracy, by, data) = of.unwrap_or(("-".into(), "-", "-"));
            listed.push(Listed { summary: model::summary(name)?, accuracy, by, data });
        }
        // The embedded network's file states it.
        listed.push(Listed { summary: embedded.summary()?, accuracy: top1(&embedded), by: "itself", data: "CIFAR-10" });
        let cached = hub::all_cached();
        let pulled: Vec<Listed> = cached.iter().filter_map(|(repo, weights)| pulled(repo, weights)).collect();
        let left_out = cached.len() - pulled.len();
        listed.extend(pulled);
        if self.json {
            let json = |Listed { summary: s, .. }: &Listed| json!({ "name": s.name, "input": s.input, "params": s.params, "macs": s.macs });
            return print_json(&listed.iter().map(json).collect());
        }
        let row = |Listed { summary, accuracy, by, data }: &Listed| {
            let [c, h, w] = summary.input;
            let size = format!("{c}x{h}x{w}");
            vec![summary.name.clone(), size, count(summary.params), macs(summary.macs), accuracy.clone(), by.to_string(), data.to_string()]
        };
        let head = [
            ("name", Align::Left),
            ("input", Align::Left),
            ("params", Align::Right),
            ("MACs", Align::Right),
            ("top-1 / 5 %", Align::Left),
            ("by", Align::Left),
            ("data", Align::Left),
        ];
        print(&table(&head, &listed.iter().map(row).collect::<Vec<_>>()))?;
        print(&format!("\n{} is embedded and tells apart: {}.", EMBEDDED, embedded.labels().join(", ")))?;
        print(
            "Architectures need weights. Their accuracies were not measured here: they are those of the papers, and for \"timm\" those \
             that timm's authors got from weights of theirs.",
        )?;
        if left_out > 0 {
            let what = if left_out == 1 { "model in the hub's cache is" } else { "models in the hub's cache are" };
            aside(&format!("{left_out} {what} none of this program's, or over {}", bytes(MOST_BYTES)));
        }
        Ok(())
    }
}

fn top1(network: &Network) -> String {
    network.test_top1().map_or("-".into(), |share| format!("{:.1}", 100.0 * share))
}

/// A model of the hub's cache under the name by which `--model` takes it, if this program can run
/// it.
fn pulled(repo: &str, weights: &Path) -> Option<Listed> {
    let is_read = std::fs::metadata(weights).is_ok_and(|file| file.len() <= MOST_BYTES);
    let network = is_read.then(|| Network::open(weights).ok()).flatten()?;
    let summary = Summary { name: repo.into(), ..network.summary().ok()? };
    Some(Listed { summary, accuracy: top1(&network), by: if network.test_top1().is_some() { "itself" } else { "-" }, data: "pulled" })
}
