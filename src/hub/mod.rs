//! Models from a Hugging Face hub, in the cache that the Python tools share: what either has
//! pulled, both find.
//!
//! A hub, and whoever sits on the way to it, may answer anything. Where an answer comes from, how
//! long it takes and how much it holds is bounded; files are written inside the cache only, under
//! names that were checked, and nothing half-written under its final name. One answer per file
//! decides its size, its digest and its path.
//!
//! It prints nothing and blocks until done. The slowest line that it waits for brings 64 KiB in
//! [`Timeouts::stall`], which is 20 MB in under two hours.

mod address;
mod choice;
mod client;
mod digest;
mod environment;
mod store;
mod watch;

use crate::error::{Error, Result};
use choice::{CONFIG, check_id, choose, is_file_name, listing, shown};
use client::{Answer, Client, Failure};
use digest::Sum;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use store::{Claim, Store};

/// The largest weights file that is downloaded: as much as [`Network::open`](crate::Network::open)
/// reads.
const MAX_WEIGHTS: u64 = 2 << 30;

/// The largest `config.json`, likewise.
const MAX_CONFIG: u64 = 16 << 20;

/// The files of a pulled model, in one snapshot folder of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pulled {
    /// The weights: `model.safetensors`, or else what the repository has.
    pub weights: PathBuf,
    /// `config.json`, if the repository has one.
    pub config: Option<PathBuf>,
    /// Why these are what an earlier pull left in the cache: the hub cannot be reached or must not
    /// be asked. `None` if it answered.
    pub offline: Option<String>,
}

/// Downloads the weights and `config.json` of a model, such as `timm/ghostnet_100.in1k`, unless the
/// cache has them already. The environment says from where and to where: see [`Hub::from_env`].
/// Other than that it is [`Hub::pull`].
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

/// The weights of a model that was pulled before, by [`pull`] or by the Python tools. Uses no
/// network.
pub fn cached(repo: &str) -> Option<PathBuf> {
    Hub::new(environment::cache_dir()?).cached(repo)
}

/// The models that were pulled before, by name, with their weights: see [`Hub::all_cached`].
pub fn all_cached() -> Vec<(String, PathBuf)> {
    environment::cache_dir().map(|folder| Hub::new(folder).all_cached()).unwrap_or_default()
}

/// A hub and the cache its models go to.
#[derive(Clone)]
pub struct Hub {
    /// The hub's web address, http or https; `None` is the public one. A user name and password in
    /// it (`https://user:pass@host`) are sent to it as basic authentication, as the Python tools
    /// do, and then the token is not; no message shows them.
    pub endpoint: Option<String>,
    /// The folder with one `models--OWNER--NAME` per model.
    pub cache_dir: PathBuf,
    /// For private models. Sent to the endpoint's scheme, host and port alone, never to where it
    /// redirects.
    pub token: Option<String>,
    /// Whether to make do with the cache, and ask nobody.
    pub offline: bool,
    /// How long to wait.
    pub timeouts: Timeouts,
}

/// How long a hub may take. Each holds however little arrives meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the host's address, and again for the connection to it with all that TLS needs: 10 s.
    pub connect: Duration,
    /// For the list of files to be there as a whole, and for a file's answer to begin, all
    /// redirects included: 30 s.
    pub answer: Duration,
    /// For each 64 KiB of a file, or what is left of it; and for another process that pulls the
    /// same file to show some progress: 20 s.
    pub stall: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts { connect: Duration::from_secs(10), answer: Duration::from_secs(30), stall: Duration::from_secs(20) }
    }
}

/// Leaves out the token and what else is secret.
impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("endpoint", &self.endpoint.as_deref().map(address::without_credentials))
            .field("cache_dir", &self.cache_dir)
            .field("token", &self.token.as_ref().map(|_| "***"))
            .field("offline", &self.offline)
            .field("timeouts", &self.timeouts)
            .finish()
    }
}

impl Hub {
    /// The public hub, asked without a token, and this cache.
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        Hub { endpoint: None, cache_dir: cache_dir.into(), token: None, offline: false, timeouts: Timeouts::default() }
    }

    /// As the Python tools read the environment.
    ///
    /// Of each the first variable that is set counts:
    ///
    /// - Endpoint: `HF_ENDPOINT`.
    /// - Cache: `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`, or else `hub` in `HF_HOME`.
    /// - Token: `HF_TOKEN`, `HUGGING_FACE_HUB_TOKEN`, or else the file `HF_TOKEN_PATH`, or else
    ///   `token` in `HF_HOME`.
    /// - Offline: `HF_HUB_OFFLINE`, `TRANSFORMERS_OFFLINE`: `1`, `ON`, `YES` or `TRUE`.
    /// - [`Timeouts::answer`]: `HF_HUB_ETAG_TIMEOUT`, in whole seconds.
    /// - [`Timeouts::stall`]: `HF_HUB_DOWNLOAD_TIMEOUT`, in whole seconds.
    ///
    /// `HF_HOME` is `huggingface` in `XDG_CACHE_HOME` or `~/.cache` if not set. In all paths `~`,
    /// `$NAME` and `${NAME}` are expanded.
    ///
    /// # Errors
    /// [`Error::Download`] if none of these is set and there is no home directory, or if a time is
    /// no number of seconds.
    pub fn from_env() -> Result<Self> {
        environment::hub()
    }

    /// Downloads the weights and `config.json` of a model unless the cache has this revision's
    /// already; asks the hub in any case.
    ///
    /// Of several weights files at the top of the repository it takes `model.safetensors`, another
    /// `.safetensors`, `pytorch_model.bin`, `model.bin`, a `.pth`, `.pth.tar`, `.pt`, another
    /// `.bin`, an `.onnx`, in this order; shards and the states of optimizers are none. A hub that
    /// cannot be reached, and [`Hub::offline`], make do with what the cache has: see
    /// [`Pulled::offline`].
    ///
    /// `progress` is called with the file's name, the bytes done and the bytes in all, ending with
    /// both equal for each file. A download that broke off goes on where it stopped, next time.
    /// Where the hub gives a digest (SHA-256, or git's SHA-1) it is compared.
    ///
    /// # Errors
    /// [`Error::Download`], or [`Error::Io`] if the cache cannot be written.
    pub fn pull(&self, repo: &str, mut progress: impl FnMut(&str, u64, u64)) -> Result<Pulled> {
        check_id(repo)?;
        if self.offline {
            return self.make_do(repo, "the hub must not be asked (HF_HUB_OFFLINE)".into());
        }
        let client = Client::new(self)?;
        let list = match client.list(repo) {
            Err(Failure::Unreachable(why)) => return self.make_do(repo, why),
            list => list?,
        };
        let names: Vec<&str> = list.files.iter().map(String::as_str).collect();
        let Some(weights) = choose(names.iter().copied()) else {
            let what = "has no .safetensors, .bin, .pth, .pt or .onnx file with weights";
            return Err(Error::Download(format!("`{repo}` {what}, {}", listing(&names))));
        };
        if !is_file_name(&list.commit) {
            return Err(client.not_a_hub("the revision has no usable name").into());
        }
        let download =
            Download { repo, commit: &list.commit, store: Store::new(&self.cache_dir, repo), client, stall: self.timeouts.stall };
        // Weights last: a revision that has them is complete, for `cached` takes it.
        let config = match names.contains(&CONFIG) {
            true => Some(download.fetch(CONFIG, MAX_CONFIG, &mut progress)?),
            false => None,
        };
        let weights = download.fetch(weights, MAX_WEIGHTS, &mut progress)?;
        download.store.set_main(&list.commit)?;
        Ok(Pulled { weights, config, offline: None })
    }

    /// The weights of a model that was pulled before, by [`Hub::pull`] or by the Python tools: of
    /// the revision that was pulled last, or else of the newest that has any. Uses no network.
    pub fn cached(&self, repo: &str) -> Option<PathBuf> {
        check_id(repo).ok()?;
        Store::new(&self.cache_dir, repo).snapshots().into_iter().find_map(|folder| {
            let names = store::files(&folder);
            choose(names.iter().map(String::as_str)).map(|name| folder.join(name))
        })
    }

    /// Every model of which [`Hub::cached`] has weights, in order of their names. The Python tools'
    /// models are among them, whatever they are for.
    pub fn all_cached(&self) -> Vec<(String, PathBuf)> {
        let mut found: Vec<_> = store::repos(&self.cache_dir).filter_map(|repo| Some((repo.clone(), self.cached(&repo)?))).collect();
        found.sort();
        found
    }

    fn make_do(&self, repo: &str, why: String) -> Result<Pulled> {
        let Some(weights) = self.cached(repo) else {
            return Err(Error::Download(format!("{why}, and `{repo}` is not in the cache {}", shown(&self.cache_dir.to_string_lossy()))));
        };
        let config = Some(weights.with_file_name(CONFIG)).filter(|path| path.is_file());
        Ok(Pulled { weights, config, offline: Some(why) })
    }
}

/// One pull of one revision.
struct Download<'a> {
    repo: &'a str,
    commit: &'a str,
    store: Store,
    client: Client,
    stall: Duration,
}

/// A file as the answer that decides about it announced it.
struct Announced<'a> {
    file: &'a str,
    /// The etag, but for mirrors that give every file its commit as one.
    digest: String,
    size: u64,
}

impl Announced<'_> {
    fn sum(&self) -> Sum {
        Sum::new(&self.digest, self.size)
    }
}

impl Download<'_> {
    /// The path of `file` in the snapshot, downloaded if need be. More than `most` bytes are
    /// refused.
    fn fetch(&self, file: &str, most: u64, progress: &mut dyn FnMut(&str, u64, u64)) -> Result<PathBuf> {
        if let Some((path, length)) = self.store.present(self.commit, file) {
            progress(file, length, length);
            return Ok(path);
        }
        let answer = self.client.file(self.repo, file)?;
        let told = answer.told.as_ref().ok_or_else(|| self.client.not_a_hub(&format!("{file} comes without X-Repo-Commit or ETag")))?;
        // Both become file names.
        if !is_file_name(&told.etag) || !is_file_name(&told.commit) {
            return Err(self.client.not_a_hub(&format!("the revision or etag of {file} has no usable name")).into());
        }
        if told.commit != self.commit {
            return Err(self.changed());
        }
        let size = answer.size().map_err(|why| self.failed(file, &why))?;
        if size > most {
            return Err(self.failed(file, &format!("{size} bytes are announced, {most} are the most")));
        }
        let digest = if told.etag == self.commit { String::new() } else { told.etag.clone() };
        let announced = Announced { file, digest, size };
        let claim = self.store.claim(&told.etag, self.stall)?;
        if !is_good(&claim.blob, &announced)? {
            self.download(answer, &claim, &announced, progress)?;
        }
        progress(file, size, size);
        self.store.link(&claim.blob, self.commit, file)
    }

    /// Completes the part and gives it its final name.
    fn download(&self, first: Answer, claim: &Claim, announced: &Announced, progress: &mut dyn FnMut(&str, u64, u64)) -> Result<()> {
        let Announced { file, size, .. } = announced;
        let io = |e: io::Error| Error::io(&claim.part, e);
        let mut part = claim.open_part()?;
        let mut sum = announced.sum();
        let there = part.metadata().map_err(io)?.len();
        // Killed before it got its name. Only a digest tells that it is whole.
        if there == *size && sum.is_known() {
            sum.add_file(&mut part, there).map_err(io)?;
            if sum.check().is_ok() {
                drop(part);
                return claim.finish();
            }
            sum = announced.sum();
        }
        let (answer, mut at) = if (1..*size).contains(&there) { self.resume(first, announced, there)? } else { (first, 0) };
        if at > 0 {
            sum.add_file(&mut part, at).map_err(io)?;
        }
        part.set_len(at).map_err(io)?;
        part.seek(SeekFrom::Start(at)).map_err(io)?;
        progress(file, at, *size);
        let copied = self.client.copy(answer, size - at, |bytes| {
            part.write_all(bytes).map_err(io)?;
            sum.add(bytes);
            at += bytes.len() as u64;
            // The end is reported when the file is there.
            if at < *size {
                progress(file, at, *size);
            }
            Ok(())
        });
        // What came so far is kept and gone on from, unless it is known to be bad.
        let problem = match copied {
            Ok(()) => sum.check().err(),
            Err(Failure::Broken(why)) => {
                let came = format!("{at} of {size} bytes arrived, {why}");
                return Err(Error::Download(format!("{} broke off: {came}", self.download_of(file))));
            }
            Err(Failure::Refused(why)) => Some(why),
            Err(error) => {
                claim.discard();
                return Err(error.into());
            }
        };
        let problem = problem.or_else(|| if *file == CONFIG { not_json(&mut part) } else { None });
        if let Some(problem) = problem {
            claim.discard();
            return Err(self.failed(file, &problem));
        }
        part.sync_all().map_err(io)?;
        drop(part);
        claim.finish()
    }

    /// Asks for what follows the first `there` bytes, at the address that `first` came from: an
    /// answer, and where it begins.
    fn resume(&self, first: Answer, announced: &Announced, there: u64) -> Result<(Answer, u64)> {
        let told = first.told.clone();
        // These answers decide nothing; they must only be about the same file.
        let check = |answer: Answer, from: u64| {
            if answer.is_hubs() && answer.told != told {
                return Err(self.changed());
            }
            answer.begins(from, announced.size).map_err(|why| self.failed(announced.file, &why))?;
            Ok((answer, from))
        };
        let rest = self.client.rest(first, there, announced.file)?;
        match rest.status() {
            206 => check(rest, there),
            // The server knows no ranges.
            200 => check(rest, 0),
            _ => check(self.client.file(self.repo, announced.file)?, 0),
        }
    }

    fn download_of(&self, file: &str) -> String {
        format!("the download of {file} of `{}` from {}", self.repo, self.client.endpoint())
    }
    fn failed(&self, file: &str, why: &str) -> Error {
        Error::Download(format!("{} failed: {why}", self.download_of(file)))
    }
    fn changed(&self) -> Error {
        Error::Download(format!("`{}` changed while it was downloaded: pull it again", self.repo))
    }
}

/// Whether what lies at `path` is the file, as far as the hub lets anybody tell.
fn is_good(path: &Path, announced: &Announced) -> Result<bool> {
    // Before it is opened: opening a pipe would wait for its writer.
    if !fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() == announced.size) {
        return Ok(false);
    }
    let mut sum = announced.sum();
    let read = File::open(path).and_then(|mut file| sum.add_file(&mut file, announced.size));
    read.map_err(|e| Error::io(path, e))?;
    Ok(sum.check().is_ok())
}

/// What is wrong with a `config.json` that is none, such as a page to log in at.
fn not_json(part: &mut File) -> Option<String> {
    let mut text = Vec::new();
    let read = part.rewind().and_then(|()| part.take(MAX_CONFIG).read_to_end(&mut text));
    let why = match read {
        Err(error) => error.to_string(),
        Ok(_) => serde_json::from_slice::<serde::de::IgnoredAny>(&text).err()?.to_string(),
    };
    Some(format!("it is not JSON: {}", shown(&why)))
}
