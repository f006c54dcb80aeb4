//! Models from a Hugging Face hub, in the cache that the Python tools share: what either has pulled, both find.
//!
//! Downloading and the cache's layout are hf-hub's. This module picks the files, guards what hf-hub trusts (names, lengths, what an
//! earlier run left behind) and says in one line why a pull failed. It prints nothing, blocks until done, and sets no time limit.

use crate::error::{Error, Result};
use hf_hub::api::Progress;
use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo, Metadata};
use hf_hub::{Cache, Repo};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

const CONFIG: &str = "config.json";

/// The files of a pulled model, in one snapshot folder of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pulled {
    /// The weights: `model.safetensors`, or else what the repository has.
    pub weights: PathBuf,
    /// `config.json`, if the repository has one.
    pub config: Option<PathBuf>,
}

/// Downloads the weights and `config.json` of a model, such as `timm/ghostnet_100.in1k`, unless the cache has them already.
/// The environment says from where and to where: see [`Hub::from_env`]. Other than that it is [`Hub::pull`].
///
/// # Errors
/// [`Error::Download`], or [`Error::Io`] if the cache cannot be written.
///
/// ```no_run
/// let pulled = ghostnet::hub::pull("timm/ghostnet_100.in1k", |file, done, total| eprintln!("{file}: {done} of {total} bytes"))?;
/// println!("{}", pulled.weights.display());
/// # Ok::<(), ghostnet::Error>(())
/// ```
pub fn pull(repo: &str, progress: impl FnMut(&str, u64, u64)) -> Result<Pulled> {
    Hub::from_env()?.pull(repo, progress)
}

/// The weights of a model that was pulled before, by [`pull`] or by the Python tools. Uses no network.
pub fn cached(repo: &str) -> Option<PathBuf> {
    Hub::from_env().ok()?.cached(repo)
}

/// A hub and the cache its models go to.
#[derive(Clone)]
pub struct Hub {
    /// The hub's web address; `None` is the public one.
    pub endpoint: Option<String>,
    /// The folder with one `models--OWNER--NAME` per model.
    pub cache_dir: PathBuf,
    /// For private models. Sent to the endpoint, and by hf-hub to the storage it names when asking for a file's size.
    pub token: Option<String>,
}

/// Leaves out the token.
impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map(|_| "***");
        f.debug_struct("Hub").field("endpoint", &self.endpoint).field("cache_dir", &self.cache_dir).field("token", &token).finish()
    }
}

impl Hub {
    /// As the Python tools read the environment: `HF_ENDPOINT`; `HF_HUB_CACHE`, or else `hub` in `HF_HOME`; `HF_TOKEN`, or else the
    /// file `HF_TOKEN_PATH` or `token` in `HF_HOME`. `HF_HOME` is `huggingface` in `XDG_CACHE_HOME` or `~/.cache` if not set.
    ///
    /// # Errors
    /// [`Error::Download`] if none of these is set and there is no home directory.
    pub fn from_env() -> Result<Self> {
        let var = |name| std::env::var_os(name).filter(|v| !v.is_empty());
        let text = |name| var(name).and_then(|v| v.into_string().ok()).map(|v| v.trim().to_string()).filter(|v| !v.is_empty());
        let home = var("HF_HOME").map(PathBuf::from).or_else(|| {
            let caches = var("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| Some(std::env::home_dir()?.join(".cache")));
            Some(caches?.join("huggingface"))
        });
        let cache_dir = var("HF_HUB_CACHE")
            .map(PathBuf::from)
            .or_else(|| Some(home.as_ref()?.join("hub")))
            .ok_or_else(|| Error::Download("no home directory for the model cache: set HF_HOME".into()))?;
        let token_file = var("HF_TOKEN_PATH").map(PathBuf::from).or_else(|| Some(home?.join("token")));
        let token =
            text("HF_TOKEN").or_else(|| fs::read_to_string(token_file?).ok().map(|t| t.trim().to_string())).filter(|t| !t.is_empty());
        Ok(Hub { endpoint: text("HF_ENDPOINT"), cache_dir, token })
    }

    /// Downloads the weights and `config.json` of a model unless the cache has this revision's already; asks the hub in any case.
    ///
    /// Of several weights files it takes `model.safetensors`, another `.safetensors`, `pytorch_model.bin`, a `.pth`, in this order,
    /// at the top of the repository only. `progress` is called with the file's name, the bytes done and the bytes in all, ending with
    /// both equal for each file. A download that broke off goes on where it stopped, next time.
    ///
    /// # Errors
    /// [`Error::Download`], or [`Error::Io`] if the cache cannot be written.
    pub fn pull(&self, repo: &str, mut progress: impl FnMut(&str, u64, u64)) -> Result<Pulled> {
        check_id(repo)?;
        let session = Session::new(self, repo)?;
        let info = session.remote.info().map_err(|e| session.explain(None, e))?;
        let names: Vec<&str> = info.siblings.iter().map(|s| s.rfilename.as_str()).collect();
        let Some(weights) = choose(names.iter().copied()) else {
            return Err(Error::Download(format!("`{repo}` has no .safetensors, pytorch_model.bin or .pth file, {}", listing(&names))));
        };
        // Weights first: hf-hub points `main` to a revision with its first file, and `cached` goes by that.
        let weights = session.fetch(weights, &info.sha, &mut progress)?;
        let config = if names.contains(&CONFIG) { Some(session.fetch(CONFIG, &info.sha, &mut progress)?) } else { None };
        if config.as_ref().is_some_and(|c| c.parent() != weights.parent()) {
            return Err(Error::Download(format!("`{repo}` changed while it was downloaded: pull it again")));
        }
        Ok(Pulled { weights, config })
    }

    /// The weights of a model that was pulled before, by [`Hub::pull`] or by the Python tools. Uses no network.
    pub fn cached(&self, repo: &str) -> Option<PathBuf> {
        check_id(repo).ok()?;
        let repo = Repo::model(repo.into());
        let commit = fs::read_to_string(self.cache_dir.join(repo.folder_name()).join("refs").join(repo.revision())).ok()?;
        let folder = Cache::new(self.cache_dir.clone()).repo(repo).pointer_path(Some(commit.trim()).filter(|c| is_plain(c))?);
        // Through the links into `blobs`, of which one may lead nowhere.
        let files = fs::read_dir(&folder).ok()?.flatten().filter(|entry| entry.path().is_file());
        let names: Vec<String> = files.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        choose(names.iter().map(String::as_str)).map(|name| folder.join(name))
    }
}

/// One pull from one repository.
struct Session<'a> {
    hub: &'a Hub,
    repo: &'a str,
    /// For messages.
    endpoint: String,
    api: hf_hub::api::sync::Api,
    remote: ApiRepo,
    local: hf_hub::CacheRepo,
}

impl<'a> Session<'a> {
    fn new(hub: &'a Hub, repo: &'a str) -> Result<Self> {
        let cache = Cache::new(hub.cache_dir.clone());
        // hf-hub itself knows no HF_TOKEN, only the file.
        let mut builder = ApiBuilder::from_cache(cache.clone()).with_token(hub.token.clone()).with_progress(false);
        builder = builder.with_user_agent("ghostnet", env!("CARGO_PKG_VERSION"));
        if let Some(endpoint) = &hub.endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_string());
        }
        let api = builder.build().map_err(|e| Error::Download(e.to_string()))?;
        let remote = api.model(repo.into());
        // hf-hub keeps its default endpoint to itself, but puts it before every address.
        let url = remote.url("");
        let endpoint = url.strip_suffix(&format!("/{repo}/resolve/main/")).unwrap_or(&url).to_string();
        Ok(Session { hub, repo, endpoint, api, remote, local: cache.model(repo.into()) })
    }

    /// The path of `file` in the snapshot, downloaded if need be. `commit` is the revision that the hub listed.
    fn fetch(&self, file: &str, commit: &str, progress: &mut dyn FnMut(&str, u64, u64)) -> Result<PathBuf> {
        if !is_plain(commit) {
            return Err(self.not_a_hub("the revision has no usable name"));
        }
        let path = self.local.pointer_path(commit).join(file);
        if let Ok(meta) = fs::metadata(&path) {
            self.local.create_ref(commit).map_err(|e| Error::io(&self.hub.cache_dir, &e))?;
            progress(file, meta.len(), meta.len());
            return Ok(path);
        }
        let meta = self.api.metadata(&self.remote.url(file)).map_err(|e| self.explain(Some(file), e))?;
        // Both become file names; hf-hub keeps the mark of a weak etag as a folder.
        if !is_plain(meta.etag().trim_start_matches("W/")) || !is_plain(meta.commit_hash()) {
            return Err(self.not_a_hub(&format!("the revision or etag of {file} has no usable name")));
        }
        self.tidy(file, &meta)?;
        let path = self
            .remote
            .download_with_progress(file, Report { file, done: 0, total: 0, progress })
            .map_err(|e| self.explain(Some(file), e))?;
        self.verify(file, &path, &meta)?;
        Ok(path)
    }

    /// Makes way for hf-hub, which fails for good over a link that leads nowhere and over a part file as long as the whole.
    fn tidy(&self, file: &str, meta: &Metadata) -> Result<()> {
        let blob = self.local.blob_path(meta.etag());
        let blobs = blob.parent().expect("a blob is in a folder");
        fs::create_dir_all(blobs).map_err(|e| Error::io(blobs, &e))?;
        let remove = |path: &Path| fs::remove_file(path).map_err(|e| Error::io(path, &e));
        let part = blob.with_extension("part");
        if fs::metadata(&part).is_ok_and(|m| m.len() >= meta.size() as u64) {
            remove(&part)?;
        }
        let pointer = self.local.pointer_path(meta.commit_hash()).join(file);
        if fs::symlink_metadata(&pointer).is_ok() && !pointer.exists() {
            remove(&pointer)?;
        }
        Ok(())
    }

    /// hf-hub does not compare lengths, and a body without Content-Length can end anywhere. Takes an incomplete file away again.
    fn verify(&self, file: &str, path: &Path, meta: &Metadata) -> Result<()> {
        let problem = if file == CONFIG {
            // Served compressed by some hubs, in which case the length is another.
            let text = fs::read(path).map_err(|e| Error::io(path, &e))?;
            serde_json::from_slice::<serde_json::Value>(&text).err().map(|e| format!("it is not JSON: {e}"))
        } else {
            let have = fs::metadata(path).map_err(|e| Error::io(path, &e))?.len();
            (have != meta.size() as u64).then(|| format!("{have} bytes arrived, {} were announced", meta.size()))
        };
        let Some(problem) = problem else { return Ok(()) };
        let _ = fs::remove_file(path);
        let _ = fs::remove_file(self.local.blob_path(meta.etag()));
        Err(Error::Download(format!("the download of {file} of `{}` from {} failed: {problem}", self.repo, self.endpoint)))
    }

    fn not_a_hub(&self, why: &str) -> Error {
        Error::Download(format!("{} does not answer like a model hub: {why}", self.endpoint))
    }

    /// `file` is `None` while asking what the repository has.
    fn explain(&self, file: Option<&str>, error: ApiError) -> Error {
        let Session { repo, endpoint, .. } = self;
        Error::Download(match error {
            ApiError::RequestError(e) => match (*e, file) {
                // The public hub answers 401 for what does not exist as well, to those without a token.
                (ureq::Error::StatusCode(401), _) => match self.hub.token {
                    None => format!("`{repo}` is private or does not exist at {endpoint}: a token is needed if it is private, in HF_TOKEN"),
                    Some(_) => format!("`{repo}` is private or does not exist at {endpoint}: the token is not accepted"),
                },
                (ureq::Error::StatusCode(403), _) => {
                    format!("{endpoint} refuses access to `{repo}`: a token (HF_TOKEN) of an account that may read it is needed")
                }
                (ureq::Error::StatusCode(404), None) => format!("no model `{repo}` at {endpoint}"),
                (ureq::Error::StatusCode(404), Some(file)) => format!("no file {file} in `{repo}` at {endpoint}"),
                (ureq::Error::StatusCode(429), _) => format!("too many requests to {endpoint} for now: try again later"),
                (ureq::Error::StatusCode(code), _) => format!("{endpoint} answers with HTTP status {code} for `{repo}`"),
                (ureq::Error::Io(e), _) => format!("cannot reach {endpoint}: {e}"),
                (e @ (ureq::Error::HostNotFound | ureq::Error::ConnectionFailed | ureq::Error::Timeout(_)), _) => {
                    format!("cannot reach {endpoint}: {e}")
                }
                (e @ (ureq::Error::BadUri(_) | ureq::Error::Http(_)), _) => format!("bad address {endpoint} or token: {e}"),
                (e, _) => format!("no usable answer from {endpoint}: {e}"),
            },
            ApiError::IoError(e) => {
                format!("the download of {} of `{repo}` from {endpoint} broke off: {e}", file.unwrap_or("the list"))
            }
            ApiError::LockAcquisition(lock) => format!("`{repo}` is being downloaded by another process, which holds {}", lock.display()),
            e @ (ApiError::MissingHeader(_) | ApiError::InvalidHeader(_) | ApiError::ParseIntError(_)) => {
                return self.not_a_hub(&e.to_string());
            }
            e => format!("the download of `{repo}` from {endpoint} failed: {e}"),
        })
    }
}

/// Sums up what hf-hub reports in pieces.
struct Report<'a> {
    file: &'a str,
    done: u64,
    total: u64,
    progress: &'a mut dyn FnMut(&str, u64, u64),
}

impl Progress for Report<'_> {
    /// Called again when the transfer starts.
    fn init(&mut self, size: usize, _: &str) {
        self.done = 0;
        self.total = size as u64;
    }
    fn update(&mut self, size: usize) {
        // Compressed bodies are longer than announced.
        self.done = (self.done + size as u64).min(self.total);
        (self.progress)(self.file, self.done, self.total);
    }
    fn finish(&mut self) {}
}

/// The hub's rule: NAME or OWNER/NAME of ASCII letters, digits, `-`, `_` and `.`, with neither `-` nor `.` at an end or doubled.
fn check_id(repo: &str) -> Result<()> {
    let part = |p: &str| is_plain(p) && !p.starts_with('-') && !p.ends_with(['-', '.']) && !p.contains("--") && !p.contains("..");
    if repo.len() <= 96 && repo.split('/').count() <= 2 && repo.split('/').all(part) {
        return Ok(());
    }
    Err(Error::Download(format!("{repo:?} is not the name of a model: OWNER/NAME, such as timm/ghostnet_100.in1k, is")))
}

/// Safe as one component of a path and of an address.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// The weights file to use. Shards (`-00001-of-00002`) are none.
fn choose<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let rank = |name: &str| match name {
        "model.safetensors" => Some(0),
        "pytorch_model.bin" => Some(2),
        _ if !is_plain(name) || name.contains("-of-") => None,
        _ if name.ends_with(".safetensors") => Some(1),
        _ if name.ends_with(".pth") => Some(3),
        _ => None,
    };
    names.filter_map(|name| Some((rank(name)?, name))).min().map(|(_, name)| name)
}

fn listing(names: &[&str]) -> String {
    const SHOWN: usize = 12;
    if names.is_empty() {
        return "it is empty".into();
    }
    // Escaped: the names are the server's.
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| name.escape_debug().to_string()).collect();
    let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
    format!("it has {}{more}", shown.join(", "))
}
