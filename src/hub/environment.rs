//! The environment variables that Python's huggingface_hub reads, as it reads them.

use super::{Hub, Timeouts};
use crate::error::{Error, Result};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// See [`Hub::from_env`].
pub(super) fn hub() -> Result<Hub> {
    let cache_dir = cache_dir().ok_or_else(|| Error::Download("no home directory for the model cache: set HF_HOME".into()))?;
    let offline = text("HF_HUB_OFFLINE").or_else(|| text("TRANSFORMERS_OFFLINE"));
    let offline = offline.is_some_and(|v| ["1", "ON", "YES", "TRUE"].contains(&v.to_ascii_uppercase().as_str()));
    let default = Timeouts::default();
    let timeouts = Timeouts {
        answer: seconds("HF_HUB_ETAG_TIMEOUT", default.answer)?,
        stall: seconds("HF_HUB_DOWNLOAD_TIMEOUT", default.stall)?,
        ..default
    };
    Ok(Hub { endpoint: text("HF_ENDPOINT"), cache_dir, token: token(), offline, timeouts })
}

pub(super) fn cache_dir() -> Option<PathBuf> {
    folder("HF_HUB_CACHE").or_else(|| folder("HUGGINGFACE_HUB_CACHE")).or_else(|| Some(home()?.join("hub")))
}

fn home() -> Option<PathBuf> {
    folder("HF_HOME").or_else(|| {
        let caches = folder("XDG_CACHE_HOME").or_else(|| Some(env::home_dir()?.join(".cache")));
        Some(caches?.join("huggingface"))
    })
}

fn token() -> Option<String> {
    let file = || fs::read_to_string(folder("HF_TOKEN_PATH").or_else(|| Some(home()?.join("token")))?).ok();
    let given = text("HF_TOKEN").or_else(|| text("HUGGING_FACE_HUB_TOKEN")).or_else(file)?;
    Some(given.trim().to_string()).filter(|token| !token.is_empty())
}

/// One that is empty counts as not set.
fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

fn text(name: &str) -> Option<String> {
    let value = variable(name)?.into_string().ok()?;
    Some(value.trim().to_string()).filter(|value| !value.is_empty())
}

fn folder(name: &str) -> Option<PathBuf> {
    variable(name).map(|value| match value.to_str() {
        Some(text) => expanded(text, home_of, |name| env::var(name).ok()).into(),
        None => value.into(),
    })
}

fn seconds(name: &str, default: Duration) -> Result<Duration> {
    match text(name).map(|value| (value.parse::<u32>(), value)) {
        None | Some((Ok(0), _)) => Ok(default),
        Some((Ok(seconds), _)) => Ok(Duration::from_secs(seconds.into())),
        Some((Err(_), value)) => Err(Error::Download(format!("{name}: {:?} is no whole number of seconds", super::shown(&value)))),
    }
}

/// The home of a user, or of the one who asks; nothing if there is none.
fn home_of(user: &str) -> Option<String> {
    if user.is_empty() {
        return env::home_dir().map(OsString::from).and_then(|home| home.into_string().ok());
    }
    let users = fs::read_to_string("/etc/passwd").ok()?;
    users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == user)?.get(5).map(|home| home.to_string())
}

/// As Python's `os.path.expanduser`, then `os.path.expandvars`: what is not known stays as it is.
fn expanded(path: &str, home_of: impl Fn(&str) -> Option<String>, variable: impl Fn(&str) -> Option<String>) -> String {
    let (first, rest) = path.split_at(path.find(std::path::is_separator).unwrap_or(path.len()));
    let home = first.strip_prefix('~').and_then(home_of);
    let path = home.map_or_else(|| path.to_string(), |home| format!("{}{rest}", home.trim_end_matches(std::path::is_separator)));
    let mut whole = String::new();
    let mut left = path.as_str();
    while let Some((before, after)) = left.split_once('$') {
        whole.push_str(before);
        let (name, next) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some(braced) => braced,
            None => after.split_at(after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len())),
        };
        match variable(name).filter(|_| !name.is_empty()) {
            Some(value) => whole.push_str(&value),
            None => {
                whole.push('$');
                whole.push_str(&after[..after.len() - next.len()]);
            }
        }
        left = next;
    }
    whole + left
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The right values are those of Python 3's os.path.expandvars(os.path.expanduser(path)), with
    /// HOME=/h, A=x and B=$A.
    #[test]
    fn paths_are_expanded_as_in_python() {
        let home_of = |user: &str| ["", "bob"].contains(&user).then(|| format!("/h/{user}"));
        let variable = |name: &str| match name {
            "HOME" => Some("/h".into()),
            "A" => Some("x".into()),
            "B" => Some("$A".into()),
            _ => None,
        };
        for (path, whole) in [
            ("~/hf", "/h/hf"),
            ("~", "/h"),
            ("~bob/hf", "/h/bob/hf"),
            ("~eve/hf", "~eve/hf"),
            ("a/~/b", "a/~/b"),
            ("$HOME/hf", "/h/hf"),
            ("${HOME}/$A/${A}b/$Ab", "/h/x/xb/$Ab"),
            ("$B", "$A"),
            ("$", "$"),
            ("a$/b$$A", "a$/b$x"),
            ("${", "${"),
            ("${A", "${A"),
            ("${}/${A:-b}", "${}/${A:-b}"),
            ("/plain", "/plain"),
        ] {
            assert_eq!(expanded(path, home_of, variable), whole, "{path}");
        }
    }
}
