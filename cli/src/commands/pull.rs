use crate::output::{Bar, fit, note, print, print_json, progress};
use anyhow::Result;
use ghostnet::hub;
use serde_json::json;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The cache is the one of the Python tools (HF_HOME, HF_HUB_CACHE); HF_ENDPOINT names another hub, HF_TOKEN a token for
private models, sent to that hub alone. Where the hub cannot be reached, or HF_HUB_OFFLINE is 1, what the cache has is
used. A hub may take 30 s to answer (HF_HUB_ETAG_TIMEOUT) and 20 s for each 64 KiB of a file (HF_HUB_DOWNLOAD_TIMEOUT).
With --json: {\"weights\", \"config\"}, paths, or null for no config.json

Example:
  ghostnet pull timm/ghostnet_100.in1k")]
pub struct Args {
    /// The model's repository
    #[arg(value_name = "OWNER/NAME")]
    repo: String,
    /// Print a JSON object
    #[arg(short, long)]
    json: bool,
}

impl Args {
    pub fn run(self) -> Result<()> {
        let bar = progress(0, Bar::DOWNLOAD);
        let pulled = hub::pull(&self.repo, |file, done, total| {
            let shown = fit(file, 24);
            if bar.message() != shown {
                bar.set_message(shown);
                bar.reset();
            }
            bar.set_length(total);
            bar.set_position(done);
        });
        bar.finish_and_clear();
        let pulled = pulled?;
        if let Some(why) = &pulled.offline {
            note(&format!("note: {why}; what the cache has is used"));
        }
        if self.json {
            let config = pulled.config.as_ref().map(|path| path.to_string_lossy());
            return print_json(&json!({ "weights": pulled.weights.to_string_lossy(), "config": config }));
        }
        print(&format!("{}\nuse it with: ghostnet classify --model {} IMAGE...", pulled.weights.display(), self.repo))
    }
}
