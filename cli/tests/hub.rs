//! Pulling models, from a hub of our own on this machine: no test here uses the network.

#[path = "hub_parts/hostile.rs"]
mod hostile;
#[path = "hub_parts/server.rs"]
mod server;

use ghostnet::Error;
use ghostnet::hub::Hub;
use server::{Body, COMMIT, Content, Dir, REPO, Server, content, hang, list, refused, reply, serve, weights};
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

#[test]
fn a_pull_brings_weights_and_config_and_leaves_them_in_the_cache() -> anyhow::Result<()> {
    for redirects in [false, true] {
        let ((server, _), dir) = (serve(Content { redirects, ..content() }), Dir::new());
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
        assert_eq!(calls[1..], [("model.safetensors".into(), 100_003, 100_003)]);

        drop(server);
        assert_eq!(hub.cached(REPO), Some(pulled.weights));
        assert_eq!(hub.cached("someone/else"), None);
        assert_eq!(hub.cached("../models--someone--ghost_100.in1k"), None);
    }
    Ok(())
}

#[test]
fn a_new_revision_is_downloaded_beside_the_old() -> anyhow::Result<()> {
    let ((server, change), dir) = (serve(content()), Dir::new());
    let hub = dir.hub(&server);
    let old = hub.pull(REPO, |_, _, _| {})?;
    change(&|c| {
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
        let ((server, _), dir) = (serve(Content { files, ..content() }), Dir::new());
        let pulled = dir.hub(&server).pull(REPO, |_, _, _| {})?;
        assert_eq!(pulled.weights.file_name().and_then(|n| n.to_str()), Some(expected));
        assert_eq!(pulled.config, None);
        assert_eq!(dir.hub(&server).cached(REPO), Some(pulled.weights));
    }
    Ok(())
}

#[test]
fn a_repository_without_weights_says_what_it_has() {
    let ((server, change), dir) = (serve(content()), Dir::new());
    change(&|c| c.files.truncate(2));
    let says = refused(&dir.hub(&server), REPO);
    let what = "has no .safetensors, .bin, .pth, .pt or .onnx file with weights";
    assert_eq!(says, format!("`someone/ghost_100.in1k` {what}, it has .gitattributes, config.json"));
    // A name that would leave the folder is not even asked for.
    change(&|c| c.files = vec![("../x.pth", vec![1]), ("a b.pth", vec![1]), ("line\nbreak.pth", vec![])]);
    assert!(refused(&dir.hub(&server), REPO).ends_with("it has ../x.pth, a b.pth, line\\nbreak.pth"));
    change(&|c| c.files.clear());
    assert!(refused(&dir.hub(&server), REPO).ends_with("it is empty"));
    assert!(dir.finished().is_empty());
}

#[test]
fn unknown_private_and_gated_models_are_told_apart() {
    let ((server, change), dir) = (serve(content()), Dir::new());
    let hub = dir.hub(&server);
    assert_eq!(refused(&hub, "someone/else"), "no model `someone/else` at ENDPOINT");
    change(&|c| c.status = Some(503));
    let cache = hub.cache_dir.display();
    let nothing = format!(", and `{REPO}` is not in the cache {cache}");
    assert_eq!(refused(&hub, REPO), format!("ENDPOINT answers with HTTP status 503 for `{REPO}`{nothing}"));
    // Gated: the list is open, the files are not.
    change(&|c| (c.status, c.file_status) = (None, Some(403)));
    let says = refused(&hub, REPO);
    assert!(says.starts_with("ENDPOINT refuses access to `someone/ghost_100.in1k`: a token (HF_TOKEN)"), "{says}");
    change(&|c| c.file_status = Some(404));
    assert_eq!(refused(&hub, REPO), "no file config.json in `someone/ghost_100.in1k` at ENDPOINT");
    change(&|c| (c.file_status, c.token) = (None, Some("hf_right")));
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
    let ((server, change), dir) = (serve(Content { body: Body::Truncated, ..content() }), Dir::new());
    let hub = dir.hub(&server);
    let says = refused(&hub, REPO);
    assert!(says.starts_with("the download of model.safetensors of `someone/ghost_100.in1k` from ENDPOINT broke off: "), "{says}");
    assert_eq!((dir.finished(), hub.cached(REPO)), (vec!["config.json".to_string(), "etag-config.json".to_string()], None));

    change(&|c| c.body = Body::Whole);
    server.requests();
    let pulled = hub.pull(REPO, |_, _, _| {})?;
    assert_eq!(fs::read(pulled.weights)?, weights());
    let resumed = format!("/{REPO}/resolve/main/model.safetensors 50001-");
    assert!(server.asked().contains(&resumed), "goes on at the half");
    Ok(())
}

#[test]
fn a_file_that_is_not_what_was_announced_gets_no_name() -> anyhow::Result<()> {
    let ((server, change), dir) = (serve(Content { body: Body::Unmarked, ..content() }), Dir::new());
    let hub = dir.hub(&server);
    let says = refused(&hub, REPO);
    assert!(says.contains("broke off: 50001 of 100003 bytes arrived, then the connection was closed"), "{says}");
    assert_eq!((dir.finished(), hub.cached(REPO)), (vec!["config.json".to_string(), "etag-config.json".to_string()], None));
    // A config that is none, such as a page to log in at.
    fs::remove_dir_all(dir.model())?;
    change(&|c| (c.body, c.files[1].1) = (Body::Whole, b"<html>".to_vec()));
    assert!(refused(&hub, REPO).contains("config.json of `someone/ghost_100.in1k` from ENDPOINT failed: it is not JSON"));
    assert!(dir.all().iter().all(|name| name.ends_with(".lock")), "{:?}", dir.all());
    change(&|c| *c = content());
    assert_eq!(fs::read(hub.pull(REPO, |_, _, _| {})?.weights)?, weights());
    Ok(())
}

#[test]
fn a_server_that_knows_no_ranges_starts_over() -> anyhow::Result<()> {
    let ((server, change), dir) = (serve(Content { body: Body::Truncated, ..content() }), Dir::new());
    let hub = dir.hub(&server);
    refused(&hub, REPO);
    change(&|c| c.body = Body::IgnoresRange);
    // It sends 206, but all of it: that is not what was asked for.
    let says = refused(&hub, REPO);
    assert!(says.ends_with("failed: it comes from byte 0 on, 50001 was asked for"), "{says}");
    drop(server);
    // Another that answers 200, or 416, to each request for a part.
    for status in [200, 416] {
        let server = Server::start(move |request, stream| match request {
            _ if request.is_list() => list(stream, COMMIT, &["model.safetensors"]),
            _ if request.range.is_some() && status == 416 => reply(stream, 416, &["Content-Range: bytes */100003"], b""),
            _ => reply(stream, 200, &["ETag: \"etag-model.safetensors\"", &format!("X-Repo-Commit: {COMMIT}")], &weights()),
        });
        let hub = dir.hub(&server);
        let part = dir.model().join("blobs/etag-model.safetensors.incomplete");
        fs::write(&part, vec![0; 50_001])?;
        let pulled = hub.pull(REPO, |_, _, _| {})?;
        assert_eq!(fs::read(&pulled.weights)?, weights());
        assert!(!part.exists() && server.asked().iter().any(|asked| asked.ends_with(" 50001-")));
        fs::remove_dir_all(dir.model())?;
        fs::create_dir_all(part.parent().unwrap())?;
    }
    Ok(())
}

#[test]
fn leftovers_of_killed_runs_are_no_obstacle() -> anyhow::Result<()> {
    let ((server, _), dir) = (serve(content()), Dir::new());
    let hub = dir.hub(&server);
    let model = dir.model();
    fs::create_dir_all(model.join("blobs"))?;
    fs::create_dir_all(model.join("snapshots").join(COMMIT))?;
    // Killed before the rename; and more than the whole.
    let part = model.join("blobs/etag-model.safetensors.incomplete");
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
        fs::remove_file(fs::canonicalize(&pulled.weights)?)?;
    }
    Ok(())
}

#[test]
fn names_that_would_leave_the_cache_are_refused() {
    let ((server, change), dir) = (serve(content()), Dir::new());
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
        change(&|c| (c.commit, c.etag) = (commit, etag));
        assert!(refused(&hub, REPO).starts_with("ENDPOINT does not answer like a model hub: "));
    }
    assert!(dir.finished().is_empty());
}

#[test]
fn an_endpoint_that_is_no_hub_is_named() -> anyhow::Result<()> {
    let dir = Dir::new();
    // A port that was free a moment ago.
    let gone = format!("http://{}", TcpListener::bind("127.0.0.1:0")?.local_addr()?);
    let hub = |endpoint: &str| dir.hub_at(endpoint);
    assert!(refused(&hub(&gone), REPO).starts_with("cannot reach ENDPOINT: "), "{}", refused(&hub(&gone), REPO));
    for endpoint in ["not a web address", "ftp://127.0.0.1", "127.0.0.1", "http://127.0.0.1?x", "http://127.0.0.1:x", "http://", ""] {
        let says = refused(&hub(endpoint), REPO);
        assert!(says.starts_with("bad address ") && (endpoint.is_empty() || says.contains("ENDPOINT")), "{says}");
    }
    // Some other web server.
    let server = Server::start(|_, stream| reply(stream, 200, &[], b"<html"));
    let says = refused(&hub(&server.endpoint), REPO);
    assert!(says.starts_with("no usable answer from ENDPOINT: "), "{says}");
    Ok(())
}

#[test]
fn a_cache_that_cannot_be_written_is_named() -> anyhow::Result<()> {
    let ((server, _), dir) = (serve(content()), Dir::new());
    let hub = dir.hub(&server);
    let named = |end: &str| {
        let error = hub.pull(REPO, |_, _, _| {}).expect_err("must fail");
        assert!(matches!(&error, Error::Io { file, .. } if file.ends_with(end)), "{error:?}");
        error.to_string()
    };
    fs::create_dir_all(&dir.0)?;
    fs::write(dir.0.join("hub"), "in the way")?;
    named("hub");
    fs::remove_file(dir.0.join("hub"))?;
    fs::create_dir_all(dir.model())?;
    fs::write(dir.model().join("blobs"), "in the way")?;
    named("models--someone--ghost_100.in1k/blobs");
    fs::remove_file(dir.model().join("blobs"))?;
    fs::create_dir_all(dir.model().join("blobs/etag-model.safetensors/x"))?;
    named("models--someone--ghost_100.in1k/blobs/etag-model.safetensors");
    // The download itself was fine: it is there for the next time.
    assert!(dir.all().contains(&"etag-model.safetensors.incomplete".to_string()), "{:?}", dir.all());
    Ok(())
}

const VARIABLES: [&str; 12] = [
    "HF_ENDPOINT",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "HF_TOKEN_PATH",
    "HF_HUB_OFFLINE",
    "TRANSFORMERS_OFFLINE",
    "XDG_CACHE_HOME",
    "HOME",
    "GHOSTNET_TEST_OFFLINE",
];

/// Variables are of the whole process, so this runs the test below in one of its own.
#[test]
fn the_environment_is_respected() -> anyhow::Result<()> {
    let ((server, _), dir) = (serve(Content { token: Some("hf_env"), ..content() }), Dir::new());
    let run = |vars: &[(&str, &str)]| -> anyhow::Result<bool> {
        let mut child = Command::new(std::env::current_exe()?);
        child.args(["--exact", "child_of_the_environment_test", "--nocapture"]);
        for name in VARIABLES {
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
    // Home, and variables in paths; the older names.
    let weights_in = |folder: &str| weights(&format!("{home}/{folder}"));
    fs::write(format!("{home}/secret"), "hf_env")?;
    for (variable, value, hub) in
        [("HF_HOME", "~/hf", "hf/hub"), ("HF_HUB_CACHE", "$HOME/${N}x", "1x"), ("HUGGINGFACE_HUB_CACHE", "~/old", "old")]
    {
        let vars =
            [("HOME", &*home), ("N", "1"), (variable, value), ("HF_TOKEN_PATH", "~/secret"), ("GHOSTNET_TEST_PULLS", &*weights_in(hub))];
        assert!(run(&vars)?, "{variable}");
    }
    assert!(run(&[("HOME", &home), ("HUGGING_FACE_HUB_TOKEN", "hf_env"), ("GHOSTNET_TEST_PULLS", &weights_in(".cache/huggingface/hub"))])?);
    server.requests();
    for (variable, value) in [("HF_HUB_OFFLINE", "1"), ("HF_HUB_OFFLINE", "yes"), ("TRANSFORMERS_OFFLINE", "True")] {
        let vars =
            [("HF_HUB_CACHE", &*cache), (variable, value), ("GHOSTNET_TEST_OFFLINE", "1"), ("GHOSTNET_TEST_PULLS", &*weights(&cache))];
        assert!(run(&vars)?, "{variable}={value}");
        let nothing = [("HF_HUB_CACHE", &*xdg), (variable, value), ("GHOSTNET_TEST_PULLS", "")];
        assert!(!run(&nothing)?);
    }
    assert!(server.requests().is_empty());
    for (variable, value) in [("HF_HUB_ETAG_TIMEOUT", "soon"), ("HF_HUB_DOWNLOAD_TIMEOUT", "-1")] {
        assert!(!run(&[("HF_HUB_CACHE", &*cache), ("HF_TOKEN", "hf_env"), (variable, value), ("GHOSTNET_TEST_PULLS", &*weights(&cache))])?);
    }
    Ok(())
}

#[test]
fn child_of_the_environment_test() -> anyhow::Result<()> {
    let Some(expected) = std::env::var_os("GHOSTNET_TEST_PULLS") else { return Ok(()) };
    let pulled = ghostnet::hub::pull(REPO, |_, _, _| {})?;
    assert_eq!(pulled.weights, PathBuf::from(expected));
    assert_eq!(ghostnet::hub::cached(REPO), Some(pulled.weights));
    assert_eq!(pulled.offline.is_some(), std::env::var_os("GHOSTNET_TEST_OFFLINE").is_some());
    Ok(())
}

#[test]
fn an_unreachable_hub_makes_do_with_the_cache() -> anyhow::Result<()> {
    let ((server, change), dir) = (serve(content()), Dir::new());
    let hub = dir.hub(&server);
    let pulled = hub.pull(REPO, |_, _, _| {})?;
    assert_eq!(pulled.offline, None);
    let left = |hub: &Hub| -> anyhow::Result<String> {
        let again = hub.pull(REPO, |_, _, _| {})?;
        assert_eq!((&again.weights, &again.config), (&pulled.weights, &pulled.config));
        Ok(again.offline.expect("says why"))
    };
    for status in [500, 502, 503, 504] {
        change(&|c| c.status = Some(status));
        assert!(left(&hub)?.contains(&format!("HTTP status {status}")));
    }
    // A hub that says no is not unreachable.
    for status in [401, 403, 404, 429, 418, 304] {
        change(&|c| c.status = Some(status));
        refused(&hub, REPO);
    }
    server.requests();
    assert_eq!(left(&Hub { offline: true, ..hub.clone() })?, "the hub must not be asked (HF_HUB_OFFLINE)");
    assert!(server.requests().is_empty());
    drop(server);
    assert!(left(&hub)?.starts_with("cannot reach "));
    let silent = Server::start(|_, stream| hang(stream));
    assert!(left(&dir.hasty(&silent))?.contains("no whole answer within 5s"));
    // Without a model there, the message says what was tried. A port that was free a moment ago:
    let gone = format!("http://{}", TcpListener::bind("127.0.0.1:0")?.local_addr()?);
    let nothing = Dir::new();
    let says = refused(&nothing.hub_at(&gone), REPO);
    assert!(says.starts_with("cannot reach ENDPOINT: ") && says.ends_with(&format!("{}", nothing.0.join("hub").display())), "{says}");
    let says = refused(&Hub { offline: true, ..nothing.hub(&silent) }, REPO);
    assert!(says.starts_with("the hub must not be asked (HF_HUB_OFFLINE), and `someone/ghost_100.in1k` is not in the cache "), "{says}");
    assert!(nothing.all().is_empty());
    Ok(())
}

#[test]
fn without_a_main_the_newest_revision_with_weights_is_found() -> anyhow::Result<()> {
    let dir = Dir::new();
    let hub = dir.hub_at("http://127.0.0.1:9");
    let snapshots = dir.model().join("snapshots");
    let write = |commit: &str, file: &str, age: u64| -> std::io::Result<()> {
        fs::create_dir_all(snapshots.join(commit))?;
        let file = fs::File::create(snapshots.join(commit).join(file))?;
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(age))
    };
    assert_eq!(hub.cached(REPO), None);
    write("aaa", "model.safetensors", 300)?;
    write("bbb", "model.safetensors", 200)?;
    write("ccc", "config.json", 100)?;
    assert_eq!(hub.cached(REPO), Some(snapshots.join("bbb/model.safetensors")));
    fs::create_dir_all(dir.model().join("refs"))?;
    for (main, found) in [("aaa", "aaa"), ("bbb\n", "bbb"), ("ccc", "bbb"), ("gone", "bbb"), ("../../x", "bbb"), ("", "bbb")] {
        fs::write(dir.model().join("refs/main"), main)?;
        assert_eq!(hub.cached(REPO), Some(snapshots.join(found).join("model.safetensors")), "{main:?}");
    }
    Ok(())
}

/// The bytes of a file under the name that git or git's large file storage has for it.
fn addressed(etag: &'static str, bytes: Vec<u8>) -> impl Fn(&server::Request, &mut std::net::TcpStream) -> std::io::Result<()> {
    move |request, stream| {
        if request.is_list() {
            return list(stream, COMMIT, &["model.safetensors"]);
        }
        let etag = format!("X-Linked-Etag: \"{etag}\"");
        let (from, end) = (request.from(), bytes.len());
        let commit = format!("X-Repo-Commit: {COMMIT}");
        match from {
            0 => reply(stream, 200, &["ETag: \"other\"", &etag, &commit], &bytes),
            _ => reply(stream, 206, &[&etag, &commit, &format!("Content-Range: bytes {from}-{}/{end}", end - 1)], &bytes[from..]),
        }
    }
}

/// `printf 'GhostNet GhostNet GhostNet' | sha256sum`, `git hash-object`, `sha1sum`.
const TEXT: &[u8] = b"GhostNet GhostNet GhostNet";
const DIGESTS: [&str; 3] = [
    "0da1328441d8b1e37a9de828283867b4174f0630803d6940f5bd0c09e1d69163",
    "3b25b34e2abef9a4b654eade396ec100d6b380bc",
    "4933053740b820bd0fc750b55381b8468bec4ca0",
];

#[test]
fn digests_are_compared_also_of_resumed_parts() -> anyhow::Result<()> {
    for etag in DIGESTS {
        let dir = Dir::new();
        let server = Server::start(addressed(etag, TEXT.to_vec()));
        let hub = dir.hub(&server);
        let blob = dir.model().join("blobs").join(etag);
        let part = dir.model().join("blobs").join(format!("{etag}.incomplete"));
        let again = || -> anyhow::Result<Vec<String>> {
            server.requests();
            assert_eq!(fs::read(hub.pull(REPO, |_, _, _| {})?.weights)?, TEXT);
            assert_eq!(fs::read(&blob)?, TEXT);
            assert!(!part.exists());
            fs::remove_dir_all(dir.model().join("snapshots"))?;
            Ok(server.asked().split_off(1).iter().map(|a| a.rsplit(' ').next().unwrap().into()).collect())
        };
        assert_eq!(again()?, ["-"]);
        // A blob that is there is compared too, and replaced if it is another.
        assert_eq!(again()?, ["-"]);
        for other in [&TEXT.to_ascii_uppercase()[..], b"", b"shorter"] {
            fs::write(&blob, other)?;
            assert_eq!(again()?, ["-"]);
        }
        // A part is gone on from; one that is whole only gets its name, and one that is too long is
        // begun again.
        let rename = |bytes: &[u8]| fs::write(&part, bytes).and_then(|()| fs::remove_file(&blob));
        rename(&TEXT[..9])?;
        assert_eq!(again()?, ["-", "9-"]);
        for bytes in [TEXT, &TEXT.to_ascii_uppercase(), &[7; 100]] {
            rename(bytes)?;
            assert_eq!(again()?, ["-"]);
        }
        // One that went wrong is known only at its end. It is removed, so that the next pull
        // succeeds.
        rename(b"ghostnet ")?;
        let says = refused(&hub, REPO);
        assert!(says.contains(" failed: its SHA-") && says.ends_with(&format!("{etag} was announced")), "{says}");
        assert!(dir.finished().iter().all(|name| name == "main") && !part.exists(), "{:?}", dir.all());
        assert_eq!(again()?, ["-"]);

        // Others' bytes under this name.
        let (dir, server) = (Dir::new(), Server::start(addressed(etag, TEXT.to_ascii_uppercase())));
        let says = refused(&dir.hub(&server), REPO);
        assert!(says.contains(" failed: its SHA-"), "{says}");
        assert_eq!(dir.all(), [format!("{etag}.lock")]);
    }
    Ok(())
}

#[test]
fn two_pulls_at_once_are_in_nobodys_way() -> anyhow::Result<()> {
    let ((server, _), dir) = (serve(content()), Dir::new());
    let hub = dir.hub(&server);
    let pulled: Vec<_> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(|| hub.pull(REPO, |_, _, _| {}))).collect();
        all.into_iter().map(|one| one.join().expect("no panic")).collect()
    });
    for one in pulled {
        assert_eq!(fs::read(one?.weights)?, weights());
    }
    assert!(!dir.all().iter().any(|name| name.ends_with(".incomplete")), "{:?}", dir.all());
    Ok(())
}

#[cfg(unix)]
#[test]
fn links_lead_no_write_out_of_the_cache() -> anyhow::Result<()> {
    use std::os::unix::fs::symlink;
    let ((server, _), dir) = (serve(content()), Dir::new());
    let hub = dir.hub(&server);
    let outside = dir.0.join("outside");
    let mine = |name: &str| outside.join(name);
    let reset = || -> std::io::Result<()> {
        let _ = fs::remove_dir_all(&dir.0);
        fs::create_dir_all(dir.model().join("blobs"))?;
        fs::create_dir_all(dir.model().join("refs"))?;
        fs::create_dir_all(dir.model().join("snapshots").join(COMMIT))?;
        fs::create_dir_all(dir.0.join("hub/.locks/models--someone--ghost_100.in1k"))?;
        fs::create_dir_all(&outside)?;
        fs::write(mine("file"), "mine")
    };
    let untouched = || {
        assert_eq!(fs::read(mine("file")).unwrap(), b"mine");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    };
    for link in [
        "blobs/etag-model.safetensors",
        "blobs/etag-model.safetensors.incomplete",
        "refs/main",
        "../.locks/models--someone--ghost_100.in1k/etag-model.safetensors.lock",
    ] {
        for to in ["file", "new"] {
            reset()?;
            symlink(mine(to), dir.model().join(link))?;
            assert_eq!(fs::read(hub.pull(REPO, |_, _, _| {})?.weights)?, weights(), "{link}");
            untouched();
        }
    }
    // A pipe is waited for by nobody.
    for pipe in ["blobs/etag-model.safetensors", "blobs/etag-model.safetensors.incomplete"] {
        reset()?;
        assert!(Command::new("mkfifo").arg(dir.model().join(pipe)).status()?.success());
        assert_eq!(fs::read(hub.pull(REPO, |_, _, _| {})?.weights)?, weights(), "{pipe}");
    }
    // A link to nowhere in the snapshot is replaced.
    reset()?;
    symlink(mine("new"), dir.model().join("snapshots").join(COMMIT).join("model.safetensors"))?;
    assert_eq!(fs::read(hub.pull(REPO, |_, _, _| {})?.weights)?, weights());
    untouched();
    // Whole folders.
    let snapshot = format!("snapshots/{COMMIT}");
    for link in ["", "blobs", "refs", "snapshots", &snapshot, "../.locks", "../.locks/models--someone--ghost_100.in1k"] {
        reset()?;
        let path = dir.0.join("hub/models--someone--ghost_100.in1k").join(link);
        fs::remove_dir_all(&path)?;
        symlink(&outside, path.components().collect::<PathBuf>())?;
        let error = hub.pull(REPO, |_, _, _| {}).expect_err(link).to_string();
        assert!(error.ends_with(": a link that leads out of the cache"), "{error}");
        untouched();
    }
    // One that stays inside is as good as a folder, and so is a cache that is a link as a whole.
    reset()?;
    fs::rename(dir.model().join("blobs"), dir.0.join("hub/elsewhere"))?;
    symlink(dir.0.join("hub/elsewhere"), dir.model().join("blobs"))?;
    assert_eq!(fs::read(hub.pull(REPO, |_, _, _| {})?.weights)?, weights());
    reset()?;
    symlink(dir.0.join("hub"), dir.0.join("link"))?;
    let hub = Hub { cache_dir: dir.0.join("link"), ..hub };
    assert_eq!(fs::read(hub.pull(REPO, |_, _, _| {})?.weights)?, weights());
    Ok(())
}

#[test]
fn the_cache_is_laid_out_as_in_python() -> anyhow::Result<()> {
    let ((server, _), dir) = (serve(content()), Dir::new());
    dir.hub(&server).pull(REPO, |_, _, _| {})?;
    assert_eq!(fs::read_to_string(dir.model().join("refs/main"))?, COMMIT);
    assert_eq!(fs::read(dir.model().join("blobs/etag-model.safetensors"))?, weights());
    assert!(dir.0.join("hub/.locks/models--someone--ghost_100.in1k/etag-model.safetensors.lock").is_file());
    #[cfg(unix)]
    {
        let link = dir.model().join("snapshots").join(COMMIT).join("model.safetensors");
        assert_eq!(fs::read_link(&link)?, PathBuf::from("../../blobs/etag-model.safetensors"));
        // Readable by whoever may read what the user writes, as Python sees to.
        fs::write(dir.0.join("plain"), "")?;
        assert_eq!(fs::metadata(&link)?.permissions(), fs::metadata(dir.0.join("plain"))?.permissions());
        assert_eq!(fs::metadata(dir.model().join("refs/main"))?.permissions(), fs::metadata(dir.0.join("plain"))?.permissions());
    }
    Ok(())
}

mod command {
    use super::*;
    use ghostnet::{
        graph::Constant,
        model::{
            Source,
            families::ghostnet::{GhostNet, Version},
        },
    };
    use std::process::{Output, Stdio};
    use std::time::Instant;

    fn ghostnet(dir: &Dir, endpoint: &str, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ghostnet"));
        for name in VARIABLES {
            command.env_remove(name);
        }
        command.args(args).env("HF_ENDPOINT", endpoint).env("HF_HUB_CACHE", dir.0.join("hub")).env("GHOSTNET_CACHE_DIR", "");
        command.env("NO_PROXY", "127.0.0.1,localhost").env("NO_COLOR", "1").stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn pull(dir: &Dir, endpoint: &str) -> Command {
        ghostnet(dir, endpoint, &["pull", REPO, "--json"])
    }

    fn text(output: &Output) -> (Option<i32>, String, String) {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("the output is text");
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    /// For a long while at most.
    fn wait_for(what: impl Fn() -> bool) {
        let start = Instant::now();
        while !what() {
            assert!(start.elapsed() < Duration::from_secs(120), "it never happens");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_killed_pull_goes_on_and_brings_the_same_bytes() -> anyhow::Result<()> {
        let ((server, change), dir) = (serve(Content { body: Body::Stuck, ..content() }), Dir::new());
        let mut child = pull(&dir, &server.endpoint).spawn()?;
        let part = dir.model().join("blobs/etag-model.safetensors.incomplete");
        wait_for(|| fs::metadata(&part).is_ok_and(|m| m.len() == 50_001));
        // SIGKILL on Unix.
        child.kill()?;
        child.wait()?;
        let hub = dir.hub(&server);
        assert_eq!(hub.cached(REPO), None);
        assert!(dir.finished().iter().all(|name| name.ends_with("config.json")), "{:?}", dir.finished());
        change(&|c| c.body = Body::Whole);
        server.requests();
        let (status, stdout, stderr) = text(&pull(&dir, &server.endpoint).output()?);
        assert_eq!((status, stderr), (Some(0), String::new()));
        let pulled: serde_json::Value = serde_json::from_str(&stdout)?;
        assert_eq!(pulled.as_object().map(|o| o.len()), Some(2));
        assert_eq!(fs::read(pulled["weights"].as_str().unwrap())?, weights());
        assert!(server.asked().iter().any(|asked| asked.ends_with("/model.safetensors 50001-")));
        Ok(())
    }

    #[test]
    fn whoever_holds_a_lock_without_end_is_named() -> anyhow::Result<()> {
        let ((server, change), dir) = (serve(Content { body: Body::Stuck, ..content() }), Dir::new());
        let mut child = pull(&dir, &server.endpoint).spawn()?;
        let part = dir.model().join("blobs/etag-model.safetensors.incomplete");
        wait_for(|| fs::metadata(&part).is_ok_and(|m| m.len() == 50_001));
        change(&|c| c.body = Body::Whole);
        let hub = dir.hasty(&server);
        let error = hub.pull(REPO, |_, _, _| {}).expect_err("must fail");
        assert!(matches!(&error, Error::Io { file, .. } if file.ends_with("etag-model.safetensors.lock")), "{error}");
        // Its end frees the lock.
        child.kill()?;
        child.wait()?;
        assert_eq!(fs::read(hub.pull(REPO, |_, _, _| {})?.weights)?, weights());
        Ok(())
    }

    #[test]
    fn what_the_cache_has_is_used_with_a_note() -> anyhow::Result<()> {
        let ((server, _), dir) = (serve(content()), Dir::new());
        let (status, first, stderr) = text(&pull(&dir, &server.endpoint).output()?);
        assert_eq!((status, stderr), (Some(0), String::new()));
        let endpoint = server.endpoint.clone();
        drop(server);
        for offline in ["", "1"] {
            let (status, stdout, stderr) = text(&pull(&dir, &endpoint).env("HF_HUB_OFFLINE", offline).output()?);
            assert_eq!((status, &stdout), (Some(0), &first));
            assert!(stderr.starts_with("note: ") && stderr.lines().count() == 1 && stderr.contains("cache"), "{stderr}");
        }
        // Without anything there, one line of error.
        let (status, stdout, stderr) = text(&pull(&Dir::new(), &endpoint).output()?);
        assert_eq!((status, stdout.as_str(), stderr.lines().count()), (Some(1), "", 1), "{stderr}");
        Ok(())
    }

    fn safetensors<'a>(tensors: impl Iterator<Item = &'a Constant>) -> Vec<u8> {
        let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
        for Constant { name, shape, data: values } in tensors {
            let start = data.len();
            data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            header.insert(name.clone(), serde_json::json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, data.len()] }));
        }
        let header = serde_json::Value::Object(header).to_string();
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
    }

    /// Under timm's names, GhostNetV3 as it is trained, with what timm says in `config.json`.
    #[test]
    fn pulled_networks_of_the_family_classify() -> anyhow::Result<()> {
        let image = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/images/chelsea.png");
        for (name, width, version) in [("ghostnetv2_100", 1.0, Version::V2), ("ghostnetv3_050", 0.5, Version::V3)] {
            let network = GhostNet::new(width).version(version).classes(3);
            let mut source = Source::formula_of(0, 1.0);
            let graph = network.graph(&mut source)?;
            let tensors = source.tensors.iter().filter_map(|(name, _)| graph.tensor(name));
            let config = serde_json::json!({
                "architecture": name, "num_classes": 3, "label_names": ["cat", "dog", "horse"], "pretrained_cfg": { "input_size": [3, 64, 64] },
            });
            let files = vec![("config.json", config.to_string().into_bytes()), ("model.safetensors", safetensors(tensors))];
            let ((server, _), dir) = (serve(Content { files, ..content() }), Dir::new());
            assert_eq!(text(&pull(&dir, &server.endpoint).output()?).0, Some(0));
            let classify = ["classify", "--backend", "cpu", "--model", REPO, "--json", "--top", "3", image];
            let (status, stdout, stderr) = text(&ghostnet(&dir, &server.endpoint, &classify).output()?);
            assert_eq!(status, Some(0), "{stderr}");
            let answer: serde_json::Value = serde_json::from_str(&stdout)?;
            let mut labels: Vec<&str> = answer["top"].as_array().unwrap().iter().map(|top| top["label"].as_str().unwrap()).collect();
            labels.sort();
            assert_eq!((answer["model"].as_str(), labels), (Some(name), vec!["cat", "dog", "horse"]), "{stdout}");
            // Another network's name does not fit these weights.
            let weights = fs::read_dir(dir.model().join("snapshots").join(COMMIT))?.flatten().map(|entry| entry.path());
            let weights = weights.into_iter().find(|path| path.ends_with("model.safetensors")).unwrap();
            let wrong = ["classify", "--backend", "cpu", "--model", "ghostnet_100", "--weights", weights.to_str().unwrap(), image];
            let (status, _, stderr) = text(&ghostnet(&dir, &server.endpoint, &wrong).output()?);
            assert!(status == Some(1) && stderr.contains(&format!("holds {name} (width ")), "{stderr}");
        }
        Ok(())
    }

    /// Pulled last, and read by nobody yet: that is said in one line.
    #[test]
    fn an_onnx_file_is_pulled_and_refused_by_classify() -> anyhow::Result<()> {
        let files = vec![("model.onnx", b"\x08\x08\x12\x07pytorch\x1a\x052.1.0".to_vec())];
        let ((server, _), dir) = (serve(Content { files, ..content() }), Dir::new());
        assert_eq!(text(&pull(&dir, &server.endpoint).output()?).0, Some(0));
        let image = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/images/chelsea.png");
        let classify = ["classify", "--backend", "cpu", "--model", REPO, image];
        let (status, _, stderr) = text(&ghostnet(&dir, &server.endpoint, &classify).output()?);
        assert!(status == Some(1) && stderr.lines().count() == 1 && stderr.contains("model.onnx"), "{stderr}");
        Ok(())
    }
}
