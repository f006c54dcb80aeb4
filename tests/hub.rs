//! Pulling models, from a hub of our own on this machine: no test here uses the network.
#![cfg(feature = "hub")]

use ghostnet::Error;
use ghostnet::hub::Hub;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

const REPO: &str = "someone/ghost_100.in1k";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// How the server treats the body of weights.
#[derive(Clone, Copy, PartialEq)]
enum Body {
    Whole,
    /// Half of what Content-Length says.
    Truncated,
    /// Half, and no Content-Length to see it by.
    Unmarked,
    /// Whole from the start, whatever Range says.
    IgnoresRange,
}

#[derive(Clone)]
struct Content {
    files: Vec<(&'static str, Vec<u8>)>,
    body: Body,
    /// Answers every request for the list with this status.
    status: Option<u16>,
    /// Answers every request for a file with this status.
    file_status: Option<u16>,
    token: Option<&'static str>,
    commit: &'static str,
    etag: &'static str,
    /// Files are redirected: to a relative address, and from there to another path, as the public hub does with large files.
    redirects: bool,
}

fn weights() -> Vec<u8> {
    (0..100_003u32).map(|i| (i * 7 % 251) as u8).collect()
}

fn content() -> Content {
    Content {
        files: vec![
            (".gitattributes", vec![]),
            ("config.json", br#"{"architecture": "ghostnet_100"}"#.to_vec()),
            ("model.safetensors", weights()),
            ("pytorch_model.bin", vec![1, 2, 3]),
        ],
        body: Body::Whole,
        status: None,
        file_status: None,
        token: None,
        commit: COMMIT,
        etag: "etag-",
        redirects: false,
    }
}

/// A hub that serves one repository, until dropped.
struct Server {
    endpoint: String,
    content: Arc<Mutex<Content>>,
    /// "PATH RANGE" of each request.
    requests: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    fn start(content: Content) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
        let (content, requests) = (Arc::new(Mutex::new(content)), Arc::new(Mutex::new(Vec::new())));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (content, requests, stop) = (content.clone(), requests.clone(), stop.clone());
            move || {
                for stream in listener.incoming().flatten() {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let content = content.lock().unwrap().clone();
                    // The client may hang up early: that is its right.
                    let _ = answer(stream, &content, &requests);
                }
            }
        });
        Server { endpoint, content, requests, stop, thread: Some(thread) }
    }
    fn change(&self, how: impl FnOnce(&mut Content)) {
        how(&mut self.content.lock().unwrap());
    }
    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.endpoint.trim_start_matches("http://"));
        let _ = self.thread.take().map(|t| t.join());
    }
}

fn answer(mut stream: TcpStream, content: &Content, requests: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let path = first.split(' ').nth(1).unwrap_or("").to_string();
    let (mut range, mut token) = (None, None);
    for line in lines {
        let line = line?;
        match line.split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("range") => range = value.strip_prefix("bytes=").map(String::from),
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => token = value.strip_prefix("Bearer ").map(String::from),
            _ if line.is_empty() => break,
            _ => {}
        }
    }
    requests.lock().unwrap().push(format!("{path} {}", range.as_deref().unwrap_or("-")));
    let status = |stream: &mut TcpStream, code: u16, headers: &str| {
        write!(stream, "HTTP/1.1 {code} x\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n")
    };
    if content.token.is_some() && token.as_deref() != content.token {
        return status(&mut stream, 401, "");
    }
    if path == format!("/api/models/{REPO}/revision/main") {
        if let Some(code) = content.status {
            return status(&mut stream, code, "");
        }
        let siblings: Vec<_> = content.files.iter().map(|(name, _)| serde_json::json!({"rfilename": name})).collect();
        let body = serde_json::json!({"id": REPO, "sha": content.commit, "siblings": siblings}).to_string();
        return write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    }
    let find = |prefix: &str| content.files.iter().find(|(name, _)| path.strip_prefix(prefix) == Some(*name));
    let resolve = format!("/{REPO}/resolve/main/");
    let Some((name, bytes)) = find(&resolve).or_else(|| find("/moved/")).or_else(|| find("/storage/")) else {
        return status(&mut stream, 404, "");
    };
    if let Some(code) = content.file_status {
        return status(&mut stream, code, "");
    }
    let headers = format!("ETag: \"{}{name}\"\r\nX-Repo-Commit: {}\r\n", content.etag, content.commit);
    if content.redirects && path.starts_with(&resolve) {
        return status(&mut stream, 307, &format!("{headers}Location: /moved/{name}\r\n"));
    }
    if content.redirects && path.starts_with("/moved/") {
        let host = stream.local_addr()?;
        return status(&mut stream, 302, &format!("{headers}Location: http://{host}/storage/{name}\r\n"));
    }
    let (from, to) = range.as_deref().unwrap_or("0-").split_once('-').unwrap_or(("0", ""));
    let mut from: usize = from.parse().unwrap_or(0);
    let mut to = to.parse::<usize>().unwrap_or(usize::MAX).saturating_add(1).min(bytes.len());
    let is_body = to == bytes.len() && name.ends_with("safetensors");
    if is_body && content.body == Body::IgnoresRange {
        from = 0;
    }
    if from >= to && !bytes.is_empty() {
        return status(&mut stream, 416, "");
    }
    write!(stream, "HTTP/1.1 206 x\r\n{headers}Content-Range: bytes {from}-{}/{}\r\nConnection: close\r\n", to.max(1) - 1, bytes.len())?;
    if !(is_body && content.body == Body::Unmarked) {
        write!(stream, "Content-Length: {}\r\n", to - from)?;
    }
    if is_body && matches!(content.body, Body::Truncated | Body::Unmarked) {
        to = from + (to - from) / 2;
    }
    stream.write_all(b"\r\n")?;
    stream.write_all(&bytes[from..to])
}

/// A cache of one test, removed at its end.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("hub-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Dir(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))
    }
    fn hub(&self, server: &Server) -> Hub {
        Hub { endpoint: Some(server.endpoint.clone()), cache_dir: self.0.join("hub"), token: None }
    }
    /// Names of all files and links below, without folders, locks and part files.
    fn finished(&self) -> Vec<String> {
        fn walk(dir: &Path, names: &mut Vec<String>) {
            for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => walk(&entry.path(), names),
                    _ if name.ends_with(".lock") || name.ends_with(".part") => {}
                    _ => names.push(name),
                }
            }
        }
        let mut names = Vec::new();
        walk(&self.0, &mut names);
        names.sort();
        names
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The message of a pull that must fail, with the server's address as ENDPOINT.
fn refused(hub: &Hub, repo: &str) -> String {
    let error = hub.pull(repo, |_, _, _| {}).expect_err("must fail");
    assert!(matches!(error, Error::Download(_)), "{error:?}");
    let text = error.to_string();
    assert!(!text.contains('\n'), "one line: {text}");
    text.replace(hub.endpoint.as_deref().unwrap_or("?"), "ENDPOINT")
}

#[test]
fn a_pull_brings_weights_and_config_and_leaves_them_in_the_cache() -> anyhow::Result<()> {
    for redirects in [false, true] {
        let (server, dir) = (Server::start(Content { redirects, ..content() }), Dir::new());
        let hub = dir.hub(&server);
        assert_eq!(hub.cached(REPO), None);
        let mut calls: Vec<(String, u64, u64)> = Vec::new();
        let pulled = hub.pull(REPO, |file, done, total| calls.push((file.into(), done, total)))?;

        let snapshot = dir.0.join("hub/models--someone--ghost_100.in1k/snapshots").join(COMMIT);
        assert_eq!(pulled.weights, snapshot.join("model.safetensors"));
        assert_eq!(pulled.config, Some(snapshot.join("config.json")));
        assert_eq!(fs::read(&pulled.weights)?, weights());
        assert_eq!(fs::read(snapshot.join("config.json"))?, content().files[1].1);

        // Progress: rising, of each file, up to its size.
        for (file, size) in [("model.safetensors", 100_003), ("config.json", content().files[1].1.len() as u64)] {
            let steps: Vec<_> = calls.iter().filter(|c| c.0 == file).collect();
            assert!(steps.iter().all(|c| c.2 == size) && steps.windows(2).all(|w| w[0].1 <= w[1].1), "{steps:?}");
            assert_eq!(steps.last().map(|c| c.1), Some(size));
        }
        assert!(calls.iter().filter(|c| c.0 == "model.safetensors").count() > 3, "{calls:?}");

        // A second pull asks for the revision only, and still reports the size.
        server.requests();
        calls.clear();
        assert_eq!(hub.pull(REPO, |file, done, total| calls.push((file.into(), done, total)))?, pulled);
        assert_eq!(server.requests().len(), 1);
        assert_eq!(calls[0], ("model.safetensors".into(), 100_003, 100_003));

        drop(server);
        assert_eq!(hub.cached(REPO), Some(pulled.weights));
        assert_eq!(hub.cached("someone/else"), None);
        assert_eq!(hub.cached("../models--someone--ghost_100.in1k"), None);
    }
    Ok(())
}

#[test]
fn a_new_revision_is_downloaded_beside_the_old() -> anyhow::Result<()> {
    let (server, dir) = (Server::start(content()), Dir::new());
    let hub = dir.hub(&server);
    let old = hub.pull(REPO, |_, _, _| {})?;
    server.change(|c| {
        c.commit = "ffff";
        c.etag = "new-";
        c.files[2].1.push(9);
    });
    let new = hub.pull(REPO, |_, _, _| {})?;
    assert_ne!(old.weights, new.weights);
    assert_eq!(fs::read(&new.weights)?.len(), 100_004);
    assert_eq!(hub.cached(REPO), Some(new.weights));
    assert_eq!(fs::read(&old.weights)?, weights());
    Ok(())
}

#[test]
fn without_safetensors_it_takes_pytorch_files() -> anyhow::Result<()> {
    for (names, expected) in [
        (&["a.pth", "pytorch_model.bin", "README.md"][..], "pytorch_model.bin"),
        (&["state_dict_73.98.pth", "deep/model.safetensors", "model-00001-of-00002.safetensors"], "state_dict_73.98.pth"),
        (&["pytorch_model.bin", "ghostnet.safetensors"], "ghostnet.safetensors"),
    ] {
        let files = names.iter().map(|name| (*name, vec![7; 10])).collect();
        let (server, dir) = (Server::start(Content { files, ..content() }), Dir::new());
        let pulled = dir.hub(&server).pull(REPO, |_, _, _| {})?;
        assert_eq!(pulled.weights.file_name().and_then(|n| n.to_str()), Some(expected));
        assert_eq!(pulled.config, None);
        assert_eq!(dir.hub(&server).cached(REPO), Some(pulled.weights));
    }
    Ok(())
}

#[test]
fn a_repository_without_weights_says_what_it_has() {
    let (server, dir) = (Server::start(content()), Dir::new());
    server.change(|c| c.files.truncate(2));
    let says = refused(&dir.hub(&server), REPO);
    assert_eq!(says, "`someone/ghost_100.in1k` has no .safetensors, pytorch_model.bin or .pth file, it has .gitattributes, config.json");
    // A name that would leave the folder is not even asked for.
    server.change(|c| c.files = vec![("../x.pth", vec![1]), ("a b.pth", vec![1]), ("line\nbreak.pth", vec![])]);
    assert!(refused(&dir.hub(&server), REPO).ends_with("it has ../x.pth, a b.pth, line\\nbreak.pth"));
    server.change(|c| c.files.clear());
    assert!(refused(&dir.hub(&server), REPO).ends_with("it is empty"));
    assert!(dir.finished().is_empty());
}

#[test]
fn unknown_private_and_gated_models_are_told_apart() {
    let (server, dir) = (Server::start(content()), Dir::new());
    let hub = dir.hub(&server);
    assert_eq!(refused(&hub, "someone/else"), "no model `someone/else` at ENDPOINT");
    server.change(|c| c.status = Some(503));
    assert_eq!(refused(&hub, REPO), "ENDPOINT answers with HTTP status 503 for `someone/ghost_100.in1k`");
    // Gated: the list is open, the files are not.
    server.change(|c| (c.status, c.file_status) = (None, Some(403)));
    let says = refused(&hub, REPO);
    assert!(says.starts_with("ENDPOINT refuses access to `someone/ghost_100.in1k`: a token (HF_TOKEN)"), "{says}");
    server.change(|c| c.file_status = Some(404));
    assert_eq!(refused(&hub, REPO), "no file model.safetensors in `someone/ghost_100.in1k` at ENDPOINT");
    server.change(|c| (c.file_status, c.token) = (None, Some("hf_right")));
    let says = refused(&hub, REPO);
    assert!(says.contains("`someone/ghost_100.in1k` is private") && says.contains("a token is needed"), "{says}");
    let says = refused(&Hub { token: Some("hf_wrong".into()), ..hub.clone() }, REPO);
    assert!(says.contains("the token is not accepted") && !says.contains("hf_wrong"), "{says}");
    assert!(dir.finished().is_empty());
    let hub = Hub { token: Some("hf_right".into()), ..hub };
    assert!(hub.pull(REPO, |_, _, _| {}).is_ok());
    assert!(!format!("{hub:?}").contains("hf_right"));
}

#[test]
fn a_download_that_breaks_off_leaves_no_model_and_goes_on_later() -> anyhow::Result<()> {
    let (server, dir) = (Server::start(Content { body: Body::Truncated, ..content() }), Dir::new());
    let hub = dir.hub(&server);
    let says = refused(&hub, REPO);
    assert!(says.starts_with("the download of model.safetensors of `someone/ghost_100.in1k` from ENDPOINT broke off: "), "{says}");
    assert_eq!((dir.finished(), hub.cached(REPO)), (vec![], None));

    server.change(|c| c.body = Body::Whole);
    server.requests();
    let pulled = hub.pull(REPO, |_, _, _| {})?;
    assert_eq!(fs::read(pulled.weights)?, weights());
    let resumed = format!("/{REPO}/resolve/main/model.safetensors 50001-");
    assert!(server.requests().contains(&resumed), "goes on at the half");
    Ok(())
}

#[test]
fn a_file_of_another_length_than_announced_is_taken_away() -> anyhow::Result<()> {
    let (server, dir) = (Server::start(Content { body: Body::Unmarked, ..content() }), Dir::new());
    let hub = dir.hub(&server);
    assert!(refused(&hub, REPO).ends_with("failed: 50001 bytes arrived, 100003 were announced"));
    assert_eq!((dir.finished(), hub.cached(REPO)), (vec!["main".to_string()], None));
    // A server that sends all of it where the rest was asked for.
    server.change(|c| c.body = Body::Truncated);
    refused(&hub, REPO);
    server.change(|c| c.body = Body::IgnoresRange);
    assert!(refused(&hub, REPO).ends_with("failed: 150004 bytes arrived, 100003 were announced"));
    assert_eq!(hub.cached(REPO), None);
    // And a config that is none.
    server.change(|c| (c.body, c.files[1].1) = (Body::Whole, b"<html>".to_vec()));
    assert!(refused(&hub, REPO).contains("config.json of `someone/ghost_100.in1k` from ENDPOINT failed: it is not JSON"));
    server.change(|c| *c = content());
    assert_eq!(fs::read(hub.pull(REPO, |_, _, _| {})?.weights)?, weights());
    Ok(())
}

#[test]
fn leftovers_of_killed_runs_are_no_obstacle() -> anyhow::Result<()> {
    let (server, dir) = (Server::start(content()), Dir::new());
    let hub = dir.hub(&server);
    let model = dir.0.join("hub/models--someone--ghost_100.in1k");
    fs::create_dir_all(model.join("blobs"))?;
    fs::create_dir_all(model.join("snapshots").join(COMMIT))?;
    // Killed before the rename; and more than the whole.
    let part = model.join("blobs/etag-model.part");
    for length in [100_003, 200_000] {
        fs::write(&part, vec![0; length])?;
        #[cfg(unix)]
        {
            // Killed, and the blob removed by hand.
            let link = model.join("snapshots").join(COMMIT).join("model.safetensors");
            let _ = fs::remove_file(&link);
            std::os::unix::fs::symlink("../../blobs/gone", link)?;
            assert_eq!(hub.cached(REPO), None);
        }
        let pulled = hub.pull(REPO, |_, _, _| {})?;
        assert_eq!(fs::read(&pulled.weights)?, weights());
        fs::remove_file(pulled.weights)?;
    }
    Ok(())
}

#[test]
fn names_that_would_leave_the_cache_are_refused() {
    let (server, dir) = (Server::start(content()), Dir::new());
    let hub = dir.hub(&server);
    for repo in [
        "../x", "a/../b", "", "/", "a/", "/a", "a/b/c", "a b/c", "a\\b", "a/b?x", "a/b#x", "a/.b", "-a/b", "a--b/c", "a..b/c", "é/a",
        "a/b\n",
    ] {
        let says = refused(&hub, repo);
        assert!(says.contains("is not the name of a model"), "{says}");
        assert_eq!(hub.cached(repo), None);
    }
    refused(&hub, &"a".repeat(97));
    assert!(server.requests().is_empty());
    // The hub's own names must not leave it either.
    for (commit, etag) in [("../../x", "e-"), ("c", "../../e-"), ("c", "/e-")] {
        server.change(|c| (c.commit, c.etag) = (commit, etag));
        assert!(refused(&hub, REPO).starts_with("ENDPOINT does not answer like a model hub: "));
    }
    assert!(dir.finished().is_empty());
}

#[test]
fn an_endpoint_that_is_no_hub_is_named() -> anyhow::Result<()> {
    let dir = Dir::new();
    // A port that was free a moment ago.
    let gone = format!("http://{}", TcpListener::bind("127.0.0.1:0")?.local_addr()?);
    let hub = |endpoint: &str| Hub { endpoint: Some(endpoint.into()), cache_dir: dir.0.clone(), token: None };
    assert!(refused(&hub(&gone), REPO).starts_with("cannot reach ENDPOINT: "), "{}", refused(&hub(&gone), REPO));
    for endpoint in ["not a web address", "ftp://127.0.0.1", ""] {
        let says = refused(&hub(endpoint), REPO);
        assert!(endpoint.is_empty() || says.contains("ENDPOINT"), "{says}");
    }
    // Some other web server.
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let other = format!("http://{}/", listener.local_addr()?);
    let server = std::thread::spawn(move || -> std::io::Result<()> {
        let (stream, _) = listener.accept()?;
        BufReader::new(&stream).lines().map_while(|line| line.ok().filter(|l| !l.is_empty())).for_each(drop);
        (&stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n<html")
    });
    let says = refused(&hub(&other), REPO);
    assert!(says.starts_with(&format!("no usable answer from {}: ", other.trim_end_matches('/'))), "{says}");
    assert!(server.join().is_ok_and(|r| r.is_ok()));
    Ok(())
}

#[test]
fn a_cache_that_cannot_be_written_is_named() -> anyhow::Result<()> {
    let (server, dir) = (Server::start(content()), Dir::new());
    fs::create_dir_all(&dir.0)?;
    fs::write(dir.0.join("hub"), "in the way")?;
    let error = dir.hub(&server).pull(REPO, |_, _, _| {}).expect_err("must fail");
    assert!(matches!(&error, Error::Io { file, .. } if file.ends_with("models--someone--ghost_100.in1k/blobs")), "{error:?}");
    Ok(())
}

/// Variables are of the whole process, so this runs the test below in one of its own.
#[test]
fn the_environment_is_respected() -> anyhow::Result<()> {
    let (server, dir) = (Server::start(Content { token: Some("hf_env"), ..content() }), Dir::new());
    let run = |vars: &[(&str, &str)]| -> anyhow::Result<bool> {
        let mut child = Command::new(std::env::current_exe()?);
        child.args(["--exact", "child_of_the_environment_test", "--nocapture"]);
        for name in ["HF_ENDPOINT", "HF_HOME", "HF_HUB_CACHE", "HF_TOKEN", "HF_TOKEN_PATH", "XDG_CACHE_HOME", "HOME"] {
            child.env_remove(name);
        }
        // The server's address is our own: no proxy.
        child.env("NO_PROXY", "127.0.0.1").env("HF_ENDPOINT", format!("{}/", server.endpoint)).envs(vars.iter().copied());
        Ok(child.output()?.status.success())
    };
    let home = dir.0.join("home");
    let (home, cache, xdg) =
        (home.display().to_string(), dir.0.join("cache").display().to_string(), dir.0.join("xdg").display().to_string());
    let weights = |cache: &str| format!("{cache}/models--someone--ghost_100.in1k/snapshots/{COMMIT}/model.safetensors");

    assert!(run(&[("HF_HOME", &home), ("HF_TOKEN", "hf_env"), ("GHOSTNET_TEST_PULLS", &weights(&format!("{home}/hub")))])?);
    let vars = [("HF_HOME", &*home), ("HF_HUB_CACHE", &*cache), ("HF_TOKEN", " hf_env\n"), ("GHOSTNET_TEST_PULLS", &*weights(&cache))];
    assert!(run(&vars)?);
    assert!(!run(&[("HF_HOME", &cache), ("HF_TOKEN", "hf_other"), ("GHOSTNET_TEST_PULLS", "")])?);
    // The token that a login left in the file.
    fs::create_dir_all(format!("{xdg}/huggingface"))?;
    fs::write(format!("{xdg}/huggingface/token"), "hf_env\n")?;
    let vars = [("XDG_CACHE_HOME", &*xdg), ("GHOSTNET_TEST_PULLS", &*weights(&format!("{xdg}/huggingface/hub")))];
    assert!(run(&vars)?);
    Ok(())
}

#[test]
fn child_of_the_environment_test() -> anyhow::Result<()> {
    let Some(expected) = std::env::var_os("GHOSTNET_TEST_PULLS") else { return Ok(()) };
    let pulled = ghostnet::hub::pull(REPO, |_, _, _| {})?;
    assert_eq!(pulled.weights, PathBuf::from(expected));
    assert_eq!(ghostnet::hub::cached(REPO), Some(pulled.weights));
    Ok(())
}
