use crate::output::{Align, count, macs, print, print_json, table};
use anyhow::Result;
use ghostnet::{Network, model};
use serde_json::json;

/// Han et al., CVPR 2020, table 6 and the official repository: ImageNet top-1 / top-5.
const PAPER: [(&str, &str); 3] = [("ghostnet_050", "66.2 / 86.6"), ("ghostnet_100", "73.9 / 91.4"), ("ghostnet_130", "75.7 / 92.7")];

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print a JSON array: [{"name", "input", "params", "macs"}]
    #[arg(long)]
    json: bool,
}

impl Args {
    pub fn run(self) -> Result<()> {
        let mut networks = model::architectures().map(|name| Network::random(name, 0)).collect::<Result<Vec<_>, _>>()?;
        networks.push(Network::embedded()?);
        let summaries = networks.iter().map(Network::summary).collect::<Result<Vec<_>, _>>()?;
        if self.json {
            let list = summaries.iter().map(|s| json!({ "name": s.name, "input": s.input, "params": s.params, "macs": s.macs }));
            return print_json(&list.collect());
        }
        let rows: Vec<Vec<String>> = summaries
            .iter()
            .zip(&networks)
            .map(|(s, network)| {
                let (accuracy, data) = match PAPER.iter().find(|(name, _)| *name == s.name) {
                    Some((_, accuracy)) => (accuracy.to_string(), "ImageNet"),
                    // The embedded network's file states it.
                    None => (network.test_top1().map_or("-".into(), |share| format!("{:.1}", 100.0 * share)), "CIFAR-10"),
                };
                let [c, h, w] = s.input;
                vec![s.name.clone(), format!("{c}x{h}x{w}"), count(s.params), macs(s.macs), accuracy, data.to_string()]
            })
            .collect();
        let head = [
            ("name", Align::Left),
            ("input", Align::Left),
            ("params", Align::Right),
            ("MACs", Align::Right),
            ("top-1 / 5 %", Align::Left),
            ("data", Align::Left),
        ];
        print(&table(&head, &rows))?;
        let classes = networks.last().map(|n| n.labels().join(", ")).unwrap_or_default();
        print(&format!("\n{} is embedded and tells apart: {classes}.", model::EMBEDDED))?;
        print("The others need weights for ImageNet's 1000 classes; their accuracies are the paper's.")
    }
}
