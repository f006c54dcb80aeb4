use crate::output::{Align, count, macs, print, print_json, table};
use anyhow::Result;
use ghostnet::{
    Network,
    model::{self, EMBEDDED, published},
};
use serde_json::json;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print a JSON array: [{"name", "input", "params", "macs"}]
    #[arg(long)]
    json: bool,
}

impl Args {
    pub fn run(self) -> Result<()> {
        let mut summaries = model::architectures().map(model::summary).collect::<Result<Vec<_>, _>>()?;
        let embedded = Network::embedded()?;
        summaries.push(embedded.summary()?);
        if self.json {
            let list = summaries.iter().map(|s| json!({ "name": s.name, "input": s.input, "params": s.params, "macs": s.macs }));
            return print_json(&list.collect());
        }
        let rows: Vec<Vec<String>> = summaries
            .iter()
            .map(|s| {
                let [data, accuracy, by] = match (published(&s.name), embedded.test_top1()) {
                    (Some(of), _) => {
                        let top5 = of.top5.map(|top5| format!(" / {top5}")).unwrap_or_default();
                        [of.data.into(), format!("{}{top5}", of.top1), of.by.into()]
                    }
                    // The embedded network's file states it.
                    (None, Some(share)) if s.name == EMBEDDED => ["CIFAR-10".into(), format!("{:.1}", 100.0 * share), "itself".into()],
                    _ => ["-", "-", "-"].map(String::from),
                };
                let [c, h, w] = s.input;
                vec![s.name.clone(), format!("{c}x{h}x{w}"), count(s.params), macs(s.macs), accuracy, by, data]
            })
            .collect();
        let head = [
            ("name", Align::Left),
            ("input", Align::Left),
            ("params", Align::Right),
            ("MACs", Align::Right),
            ("top-1 / 5 %", Align::Left),
            ("by", Align::Left),
            ("data", Align::Left),
        ];
        print(&table(&head, &rows))?;
        print(&format!("\n{EMBEDDED} is embedded and tells apart: {}.", embedded.labels().join(", ")))?;
        print(
            "The others need weights. Their accuracies were not measured here: they are those of the papers, and for \"timm\" those that \
             timm's authors got from weights of theirs.",
        )
    }
}
