//! Names: which are safe, which file is the weights, and how messages show what a server wrote.

use crate::error::{Error, Result};

pub(super) const CONFIG: &str = "config.json";

/// The hub's rule: NAME or OWNER/NAME of ASCII letters, digits, `-`, `_` and `.`, with neither `-`
/// nor `.` at an end or doubled.
pub(super) fn check_id(repo: &str) -> Result<()> {
    let part = |p: &str| is_plain(p) && !p.starts_with('-') && !p.ends_with(['-', '.']) && !p.contains("--") && !p.contains("..");
    if repo.len() <= 96 && repo.split('/').count() <= 2 && repo.split('/').all(part) {
        return Ok(());
    }
    Err(Error::Download(format!("\"{}\" is not the name of a model: OWNER/NAME, such as timm/ghostnet_100.in1k, is", shown(repo))))
}

/// Safe as one component of an address.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// Safe as a file's name on every system, with a suffix of ours behind it. A name of ours is none.
pub(super) fn is_file_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let stem = lower.split('.').next().unwrap_or_default();
    let is_device = match stem.strip_prefix("com").or(stem.strip_prefix("lpt")) {
        Some(number) => number.len() == 1 && number.bytes().all(|b| b.is_ascii_digit()),
        None => ["con", "prn", "aux", "nul"].contains(&stem),
    };
    is_plain(name) && name.len() <= 200 && !name.ends_with('.') && !lower.ends_with(".incomplete") && !is_device
}

/// The weights file to use, as timm chooses where it looks for files.
///
/// Its order is that of `timm/models/_hub.py`, with safetensors before everything else; ONNX files
/// come last.
pub(super) fn choose<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const KNOWN: [&str; 5] = ["model.safetensors", "pytorch_model.bin", "model.bin", "pytorch_model.pth", "model.pth"];
    // Each known name comes before the others of its kind.
    let rank = |name: &str| match KNOWN.iter().position(|known| *known == name) {
        Some(0) => Some(0),
        Some(at) => Some(1 + at),
        None if !is_file_name(name) || is_shard(name) || is_state(name) => None,
        None if name.ends_with(".safetensors") => Some(1),
        None => [".pth", ".pth.tar", ".pt", ".bin", ".onnx"].iter().position(|end| name.ends_with(end)).map(|at| 10 + at),
    };
    names.filter_map(|name| Some((rank(name)?, name))).min().map(|(_, name)| name)
}

/// `...-00001-of-00002.safetensors`: one of several files that are only together the weights.
fn is_shard(name: &str) -> bool {
    let Some((before, after)) = name.rsplit_once("-of-") else { return false };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits(before.rsplit('-').next().unwrap_or_default()) && digits(after.split('.').next().unwrap_or_default())
}

/// What a training keeps beside the weights: `optimizer.pt`, `rng_state_0.pth`,
/// `training_args.bin`.
fn is_state(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default();
    let is_one_of = |part: &str| ["optimizer", "optim", "scheduler", "scaler", "sampler", "rng"].contains(&part);
    stem.split(['_', '-']).any(is_one_of) || ["training_args", "random_states", "trainer_state"].iter().any(|s| stem.starts_with(s))
}

/// What the repository holds, in a few words.
pub(super) fn listing(names: &[&str]) -> String {
    const SHOWN: usize = 12;
    if names.is_empty() {
        return "it is empty".into();
    }
    let some: Vec<String> = names.iter().take(SHOWN).map(|name| cut(name, 60)).collect();
    let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
    format!("it has {}{more}", some.join(", "))
}

/// A server's text as messages show it: nothing in it breaks the line, drives the terminal or fills
/// the screen.
pub(super) fn shown(text: &str) -> String {
    cut(text, 200)
}

fn cut(text: &str, most: usize) -> String {
    let mut shown = String::new();
    for (at, c) in text.chars().enumerate() {
        if at == most {
            shown.push_str("...");
            break;
        }
        match c {
            '"' | '\'' | '\\' => shown.push(c),
            c => shown.extend(c.escape_debug()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_chosen_as_timm_does() {
        let order = [
            "model.safetensors",
            "ghostnet.safetensors",
            "pytorch_model.bin",
            "model.bin",
            "pytorch_model.pth",
            "model.pth",
            "a.pth",
            "checkpoint.pth.tar",
            "a.pt",
            "a.bin",
            "model.onnx",
        ];
        for at in 0..order.len() {
            // In whatever order they are listed.
            assert_eq!(choose(order[at..].iter().rev().copied()), Some(order[at]));
        }
        for none in [
            "optimizer.pt",
            "optimizer.bin",
            "optimizer_0.bin",
            "scheduler.pt",
            "rng_state.pth",
            "rng_state_3.pth",
            "training_args.bin",
            "scaler.pt",
            "sampler_1.bin",
            "random_states_0.pt",
            "zero_pp_rank_0_optim_states.pt",
            "model-00001-of-00002.safetensors",
            "pytorch_model-00001-of-00002.bin",
            "deep/model.safetensors",
            "../x.pth",
            ".hidden.pth",
            "a b.pth",
            "x\0.pth",
            "con.pth",
            "model.pkl",
            "model.safetensors.index.json",
            "README.md",
            "a.pth.",
            "a.PTH/",
            "..\\x.pth",
        ] {
            assert_eq!(choose([none].into_iter()), None, "{none}");
        }
        for one in ["state-of-the-art.pth", "model_best.pth", "state_dict_73.98.pth", "convnet.pth"] {
            assert_eq!(choose([one].into_iter()), Some(one));
        }
    }

    #[test]
    fn names_of_files_are_names_on_every_system() {
        for name in ["0123abc", "etag-1_x", "a.b", "A", "console", "com", "com10", "d41d8cd9-3"] {
            assert!(is_file_name(name), "{name}");
        }
        let long = "a".repeat(201);
        for name in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "a\\b",
            "/a",
            ".a",
            "a.",
            "CON",
            "con.txt",
            "nul",
            "COM1",
            "lpt9.x",
            "a:b",
            "a b",
            "a\n",
            "a\0",
            "é",
            "x.incomplete",
            "x.INCOMPLETE",
            "*",
            "%2e%2e",
            &long,
        ] {
            assert!(!is_file_name(name), "{name:?}");
        }
    }

    #[test]
    fn a_servers_text_stays_on_the_line() {
        assert_eq!(shown("a\r\n\x1b[31mb\u{202e}\u{2028}é \"q\""), "a\\r\\n\\u{1b}[31mb\\u{202e}\\u{2028}é \"q\"");
        assert_eq!(shown(&"x".repeat(1000)).len(), 203);
        assert_eq!(listing(&["y".repeat(1000).as_str()]).len(), "it has ".len() + 63);
    }
}
