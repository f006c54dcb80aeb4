//! Hubs that mean harm, or are broken the same ways: each pull ends in time with one line, and
//! touches nothing outside the cache.

use super::server::{COMMIT, Dir, REPO, Request, Server, flood, hang, list, pour, refused, reply, trickle};
use ghostnet::hub::Hub;
use std::fs;
use std::io::{Result, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// More than any of these pulls may take, on a machine that is busy with other things.
const LONG: Duration = Duration::from_secs(60);

const WEIGHTS: &[u8] = b"1234567890";
const FILES: [&str; 1] = ["model.safetensors"];

type Handler = Box<dyn Fn(&mut TcpStream) -> Result<()> + Send + Sync>;

fn by(handler: impl Fn(&mut TcpStream) -> Result<()> + Send + Sync + 'static) -> Handler {
    Box::new(handler)
}

/// Exactly these bytes, then the end.
fn raw(bytes: impl Into<Vec<u8>>) -> Handler {
    let bytes = bytes.into();
    by(move |stream| stream.write_all(&bytes))
}

/// These bytes, then others without end.
fn then(first: &'static str, rest: fn(&mut TcpStream, &[u8]) -> Result<()>, again: &'static str) -> Handler {
    by(move |stream| {
        stream.write_all(first.as_bytes())?;
        rest(stream, again.as_bytes())
    })
}

/// A whole answer with these headers and this body.
fn answer(status: u16, headers: &[&str], body: &[u8]) -> Handler {
    let headers: Vec<String> = headers.iter().map(|h| h.to_string()).collect();
    let body = body.to_vec();
    by(move |stream| reply(stream, status, &headers.iter().map(String::as_str).collect::<Vec<_>>(), &body))
}

/// A file's answer that is right but for what is added.
fn file(headers: &[&str]) -> Handler {
    answer(200, &[headers, &["ETag: \"e\"", &format!("X-Repo-Commit: {COMMIT}")]].concat(), WEIGHTS)
}

/// As [`file`], up to the headers' end, with no length.
fn head(rest: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nETag: \"e\"\r\nX-Repo-Commit: {COMMIT}\r\nConnection: close\r\n{rest}")
}

/// What a pull must say, and whether only after it waited; or that it must succeed.
#[derive(Clone, Copy)]
enum Must {
    Say(&'static str),
    Wait(&'static str),
    Succeed,
}
use Must::{Say, Succeed, Wait};

/// Runs all cases at the same time: most of them wait. `wanted` is what they answer to, the rest is
/// answered as by a good hub.
fn all(cases: Vec<(&'static str, Handler, Must)>, wanted: fn(&Request) -> bool) {
    std::thread::scope(|scope| {
        for (name, handler, must) in cases {
            scope.spawn(move || {
                let server = Server::start(move |request, stream| match request {
                    _ if wanted(request) => handler(stream),
                    _ if request.is_list() => list(stream, COMMIT, &FILES),
                    _ => file(&[])(stream),
                });
                let dir = Dir::new();
                let start = Instant::now();
                match must {
                    Succeed => {
                        let pulled = dir.hub(&server).pull(REPO, |_, _, _| {}).unwrap_or_else(|e| panic!("{name}: {e}"));
                        assert!(pulled.weights.starts_with(dir.model().join("snapshots").join(COMMIT)), "{name}");
                    }
                    Say(what) | Wait(what) => {
                        // The others shall not fail because this machine is busy.
                        let hub = if matches!(must, Wait(_)) { dir.hasty(&server) } else { dir.hub(&server) };
                        let says = refused(&hub, REPO);
                        assert!(says.contains(what), "{name}: {says}");
                        assert_eq!(dir.finished(), [""; 0], "{name}");
                    }
                }
                assert!(start.elapsed() < LONG, "{name}: {:?}", start.elapsed());
                assert!(server.requests().len() <= 12 && !server.is_drained(), "{name}");
                // Nothing but the cache is there.
                assert!(fs::read_dir(&dir.0).into_iter().flatten().flatten().all(|e| e.file_name() == "hub"), "{name}");
            });
        }
    });
}

/// JSON of a list with this commit and these files, and whatever is put before them.
fn json(before: &str, commit: &str, files: &str) -> Handler {
    answer(200, &[], format!("{{{before}\"sha\":{commit},\"siblings\":{files}}}").as_bytes())
}

const GOOD: &str = "\"0123456789abcdef0123456789abcdef01234567\"";
const ONE: &str = "[{\"rfilename\":\"model.safetensors\"}]";

#[test]
fn lists_that_do_not_end_or_are_none() {
    let late = Wait("cannot reach ENDPOINT: no whole answer within 5s");
    let unusable = Say("no usable answer from ENDPOINT: ");
    let ok = "HTTP/1.1 200 OK\r\n";
    let mut cases = vec![
        ("silence", by(hang), late),
        ("a status line that trickles", then("", trickle, "H"), unusable),
        ("headers that trickle", then("HTTP/1.1 200 OK\r\nX: ", trickle, "x"), late),
        ("headers without end", then(ok, flood, "X: abcdefghijklmnopqrstuvwxyz\r\n"), unusable),
        ("a header without end", then("HTTP/1.1 200 OK\r\nX: ", flood, "x"), unusable),
        ("informational answers without end", then("", flood, "HTTP/1.1 102 Processing\r\n\r\n"), Say("ENDPOINT")),
        ("informational answers that trickle", then("", trickle, "HTTP/1.1 100 Continue\r\n\r\n"), late),
        ("a body that trickles", then("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", trickle, " "), late),
        ("a body without length that trickles", then("HTTP/1.1 200 OK\r\n\r\n", trickle, " "), late),
        ("chunks that trickle", then("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", trickle, "1\r\n \r\n"), late),
        ("a chunk's size that trickles", then("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", trickle, "0"), Say("ENDPOINT")),
        ("chunks without end", then("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", flood, "5\r\n     \r\n"), Say("ENDPOINT")),
        ("trailers without end", then("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", pour, "X: y\r\n"), late),
        ("a body without end", then("HTTP/1.1 200 OK\r\n\r\n", flood, " "), unusable),
        ("a length beyond all", raw("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000000000000000000000\r\n\r\n"), unusable),
        ("a length of half of all", raw("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\n{}"), unusable),
        ("a negative length", raw("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}"), unusable),
        ("two lengths", raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 20\r\n\r\n{}"), unusable),
        ("less than announced", raw("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}"), Say("the list of files of")),
        ("the end at once", raw(""), Say("cannot reach ENDPOINT: ")),
        ("no HTTP", raw("SSH-2.0-OpenSSH_9.9\r\n\r\n"), unusable),
        ("HTTP/2", raw("HTTP/2 200 OK\r\n\r\n{}"), unusable),
        ("zeros", by(|stream| flood(stream, b"\0")), unusable),
        ("compressed", answer(200, &["Content-Encoding: gzip"], b"\x1f\x8b\x08\0"), unusable),
        ("no object", answer(200, &[], b"\"x\""), unusable),
        ("a list", answer(200, &[], b"[]"), unusable),
        ("nothing", answer(200, &[], b""), unusable),
        ("not UTF-8", answer(200, &[], b"{\"sha\":\"\xff\"}"), unusable),
        ("no files", answer(200, &[], b"{\"sha\":\"c\"}"), unusable),
        ("deep in a field that is none of ours", answer(200, &[], format!("{{\"x\":{}", "[".repeat(3_000_000)).as_bytes()), unusable),
        ("deep among the files", json("", GOOD, &"[".repeat(3_000_000)), unusable),
        (
            "many files",
            json("", GOOD, &format!("[{}{{\"rfilename\":\"x\"}}]", "{\"rfilename\":\"x\"},".repeat(100_000))),
            Say("100001 files are listed"),
        ),
        ("one file twice", json("", GOOD, "[{\"rfilename\":\"model.safetensors\"},{\"rfilename\":\"model.safetensors\"}]"), Succeed),
        ("the files twice", json("\"siblings\":[],", GOOD, ONE), unusable),
        ("deep and well-formed", json(&format!("\"x\":{}{},", "[".repeat(100_000), "]".repeat(100_000)), GOOD, ONE), Succeed),
        (
            "names that drive a terminal",
            json("", GOOD, "[{\"rfilename\":\"\\u001b[2J\\r\\n\\u202e.pth\"}]"),
            Say("it has \\u{1b}[2J\\r\\n\\u{202e}.pth"),
        ),
        ("a type that drives a terminal", json("", GOOD, "\"\\u001b[2J\\n\""), Say("\\u{1b}[2J\\n")),
        (
            "a path behind a name",
            json("", GOOD, "[{\"rfilename\":\"config.json/../x\"},{\"rfilename\":\"model.safetensors/\"}]"),
            Say("it has config.json/../x"),
        ),
    ];
    for commit in ["\"\"", "\".\"", "\"..\"", "\"CON\"", "\"a/b\"", "\"..\\\\x\"", "\"c\\u0000\"", "\"c\\n\""] {
        cases.push(("a commit that is no name", json("", commit, ONE), Say("ENDPOINT does not answer like a model hub: ")));
    }
    cases.push(("a long commit", json("", &format!("\"{}\"", "c".repeat(300)), ONE), Say("ENDPOINT does not answer like a model hub: ")));
    for commit in ["null", "1", "[]"] {
        cases.push(("a commit that is no text", json("", commit, ONE), unusable));
    }
    for status in [101, 199, 204, 206, 300, 304, 305, 306, 400, 451, 505, 600, 999] {
        // Informational answers announce another, which never comes.
        let must = if status == 199 { Say("cannot reach ENDPOINT: ") } else { Say("ENDPOINT answers with HTTP status ") };
        cases.push(("another status", raw(format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")), must));
    }
    cases.push(("no status", raw("HTTP/1.1 000 x\r\n\r\n"), unusable));
    all(cases, Request::is_list);
}

#[test]
fn files_that_are_not_what_they_are_said_to_be() {
    let not_a_hub = Say("ENDPOINT does not answer like a model hub: ");
    let failed = Say("the download of model.safetensors of `someone/ghost_100.in1k` from ENDPOINT failed: ");
    let broke = Say("from ENDPOINT broke off: ");
    let stalls = Wait("fewer than 65536 of them in the last 5s");
    let chunked = head("X-Linked-Size: 10\r\nTransfer-Encoding: chunked\r\n\r\n");
    let with = |rest: &str| raw([chunked.as_str(), rest].concat());
    let slowly = |first: String, rest: fn(&mut TcpStream, &[u8]) -> Result<()>, again: &'static str| {
        by(move |stream: &mut TcpStream| {
            stream.write_all(first.as_bytes())?;
            rest(stream, again.as_bytes())
        })
    };
    let commit = format!("X-Repo-Commit: {COMMIT}");
    let part = |range: &str| answer(206, &[range, "ETag: \"e\"", &commit], WEIGHTS);
    let cases = vec![
        ("as it should be", file(&[]), Succeed),
        ("a weak etag", answer(200, &["ETag: W/\"e\"", &commit], WEIGHTS), Succeed),
        ("a commit for an etag", answer(200, &[&format!("ETag: \"{COMMIT}\""), &commit], WEIGHTS), Succeed),
        ("all of it as a part", part("Content-Range: bytes 0-9/10"), Succeed),
        ("nothing", answer(200, &["ETag: \"e\"", &commit], b""), Succeed),
        ("more than is announced, but for the length", raw(head("Content-Length: 10\r\n\r\n12345678901234567890")), Succeed),
        ("in chunks", with("4\r\n1234\r\n6;x=y\r\n567890\r\n0\r\nX: y\r\n\r\n"), Succeed),
        ("until the connection closes", raw(head("X-Linked-Size: 10\r\n\r\n1234567890")), Succeed),
        ("no etag", answer(200, &[&commit], WEIGHTS), not_a_hub),
        ("no commit", answer(200, &["ETag: \"e\""], WEIGHTS), not_a_hub),
        ("another commit", answer(200, &["ETag: \"e\"", "X-Repo-Commit: abc"], WEIGHTS), Say("changed while it was downloaded")),
        ("a commit that is a path", answer(200, &["ETag: \"e\"", "X-Repo-Commit: ../../../evil"], WEIGHTS), not_a_hub),
        ("compressed", file(&["Content-Encoding: gzip"]), failed),
        ("a size beyond all", file(&["X-Linked-Size: 1000000000000000000000000000000"]), failed),
        (
            "a size of half of all",
            raw(head("Content-Length: 9223372036854775807\r\n\r\nabc")),
            Say("9223372036854775807 bytes are announced, 2147483648 are the most"),
        ),
        ("all bytes that there are", part("Content-Range: bytes 0-18446744073709551615/18446744073709551615"), failed),
        ("a negative size", file(&["X-Linked-Size: -1"]), failed),
        ("a size in words", file(&["X-Linked-Size: many\x1b[2J"]), Say("ENDPOINT")),
        ("too large", file(&["X-Linked-Size: 2147483649"]), failed),
        ("less than announced", file(&["X-Linked-Size: 11"]), failed),
        ("more than announced", file(&["X-Linked-Size: 9"]), failed),
        ("no size", raw(head("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")), Say("no size is announced")),
        ("no size and no end", slowly(head("\r\n"), flood, "x"), Say("no size is announced")),
        ("a part", part("Content-Range: bytes 0-9/11"), failed),
        ("another part", part("Content-Range: bytes 1-10/11"), failed),
        ("a part backwards", part("Content-Range: bytes 9-0/10"), failed),
        ("a part of nothing", part("Content-Range: bytes 0-0/0"), failed),
        ("a part of something", part("Content-Range: bytes 0-9/*"), failed),
        ("a part of lines", part("Content-Range: lines 0-9/10"), failed),
        ("parts", part("Content-Type: multipart/byteranges; boundary=x"), failed),
        ("the end early", raw(head("Content-Length: 10\r\n\r\n12345")), broke),
        ("the end early, unmarked", raw(head("X-Linked-Size: 10\r\n\r\n12345")), broke),
        ("the end early, in chunks", with("5\r\n12345\r\n0\r\n\r\n"), broke),
        ("the end in a chunk", with("8\r\n12345"), broke),
        ("more than announced, in chunks", with("b\r\n12345678901\r\n0\r\n\r\n"), Say("more than 10 bytes are sent")),
        ("more than announced, unmarked", slowly(head("X-Linked-Size: 10\r\n\r\n"), flood, "x"), Say("more than 10 bytes are sent")),
        ("chunks of no size", with("zz\r\n12345\r\n"), Say("ENDPOINT")),
        ("a chunk of all bytes that there are", with("ffffffffffffffff\r\n12345678901"), Say("more than 10 bytes are sent")),
        ("a chunk beyond all", with("fffffffffffffffff\r\n1"), Say("ENDPOINT")),
        ("a chunk's size without end", slowly(chunked.clone(), flood, "0"), Say("ENDPOINT")),
        ("empty trailers without end", slowly([&chunked, "a\r\n1234567890\r\n0\r\n"].concat(), pour, "X: y\r\n"), stalls),
        (
            "a body that trickles",
            slowly(head("Content-Length: 1000000\r\n\r\n"), trickle, "x"),
            Wait("fewer than 65536 of them in the last 5s"),
        ),
        (
            "chunks that trickle",
            slowly(head("X-Linked-Size: 1000000\r\nTransfer-Encoding: chunked\r\n\r\n"), trickle, "1\r\nx\r\n"),
            stalls,
        ),
        ("a body that stops", slowly(head("Content-Length: 1000000\r\n\r\n12345"), |s, _| hang(s), ""), Wait("5 of 1000000 bytes arrived")),
        ("an answer that never comes", by(hang), Wait("no whole answer within 5s")),
        ("headers that trickle", slowly(head("X: "), trickle, "x"), Wait("no whole answer within 5s")),
        ("not modified", raw(format!("HTTP/1.1 304 x\r\nETag: \"e\"\r\n{commit}\r\n\r\n")), Say("ENDPOINT answers with HTTP status 304")),
        ("choices", answer(300, &["ETag: \"e\"", &commit, "Location: /x"], WEIGHTS), Say("ENDPOINT answers with HTTP status 300")),
        ("no content", raw(format!("HTTP/1.1 204 x\r\nETag: \"e\"\r\n{commit}\r\n\r\n")), Say("ENDPOINT answers with HTTP status 204")),
        ("no such part", answer(416, &["ETag: \"e\"", &commit], b""), Say("ENDPOINT answers with HTTP status 416")),
        (
            "another digest",
            answer(200, &["ETag: \"g\"", &format!("X-Linked-Etag: \"{}\"", "0".repeat(64)), &commit], WEIGHTS),
            Say("its SHA-256 is c775e7b757ede630"),
        ),
        ("another digest of git", answer(200, &[&format!("ETag: \"{}\"", "0".repeat(40)), &commit], WEIGHTS), Say("its SHA-1 in git is ")),
    ];
    all(cases, |request| !request.is_list());
}

#[test]
fn etags_that_are_no_names() {
    let not_a_hub = Say("ENDPOINT does not answer like a model hub: ");
    let commit = format!("X-Repo-Commit: {COMMIT}");
    let etags = [
        "",
        ".",
        "..",
        "../../../../evil",
        "/evil",
        "a/b",
        "a\\b",
        "..\\evil",
        "C:evil",
        "con",
        "NUL.txt",
        "x.incomplete",
        ".x",
        "x.",
        "a b",
        "\u{e9}",
    ];
    let long = "e".repeat(201);
    let cases = etags.iter().copied().chain([long.as_str()]).flat_map(|etag| {
        ["ETag: \"E\"", "ETag: W/\"E\"", "ETag: E", "ETag: \"g\"\r\nX-Linked-Etag: \"E\""].map(|header| {
            let header = header.replace('E', etag).replace(&format!("{etag}Tag"), "ETag").replace(&format!("-{etag}tag"), "-Etag");
            ("an etag that is no name", answer(200, &[&header, &commit], WEIGHTS), not_a_hub)
        })
    });
    all(cases.collect(), |request| !request.is_list());
}

#[test]
fn redirects_lead_to_an_end() {
    let ways = |status: u16, location: &str| {
        answer(status, &[&format!("Location: {location}"), "ETag: \"e\"", &format!("X-Repo-Commit: {COMMIT}")], b"")
    };
    for wanted in [Request::is_list as fn(&Request) -> bool, |request: &Request| !request.is_list()] {
        let mut cases =
            vec![("nowhere", answer(302, &["ETag: \"e\""], b""), Say("ENDPOINT redirects (HTTP status 302) without saying where to"))];
        for location in [
            "file:///etc/passwd",
            "ftp://127.0.0.1/x",
            "javascript:1",
            "data:,x",
            "http:",
            "http://",
            "http:///x",
            "http://127.0.0.1:x/",
            "http://127.0.0.1:99999/",
            "http://me:secret@127.0.0.1/",
            "http://127.0.0.1@localhost/",
            "//me@127.0.0.1/",
            "http://a b/",
            "http://[::1/",
            "http://\u{e9}/",
            "https://127.0.0.1:1 /",
        ] {
            cases.push(("somewhere else", ways(302, location), Say("ENDPOINT redirects, and \"")));
        }
        for location in ["*", "?x", "#", "x", "/", "", "//", "/../../x", "./."] {
            // Answered the same again, wherever it leads to.
            cases.push(("to itself", ways(307, location), Say("ENDPOINT redirects")));
        }
        for status in [301, 302, 303, 307, 308] {
            cases.push(("round and round", ways(status, "/again"), Say("ENDPOINT redirects more than 10 times")));
        }
        cases.push(("to where nobody is", ways(302, "http://127.0.0.1:1/x"), Say("http://127.0.0.1:1, where ENDPOINT redirects to,")));
        cases.push(("to a header's end", raw("HTTP/1.1 302 x\r\nLocation: /x"), Say("cannot reach ENDPOINT: ")));
        // The path is another after the first redirect.
        let also = if wanted(&request("/api/x")) { |_: &Request| true } else { wanted };
        all(cases, also);
    }
    // Slow redirects are waited for once, not ten times.
    let server = Server::start(|_, stream| {
        std::thread::sleep(Duration::from_millis(900));
        reply(stream, 302, &["Location: /x"], b"")
    });
    let says = refused(&Dir::new().hasty(&server), REPO);
    assert!(says.contains("no whole answer within 5s") && server.requests().len() < 10, "{says}");
    // A signature is no part of a message.
    let server = Server::start(|_, stream| reply(stream, 302, &["Location: ftp://cdn/x?Signature=secret"], b""));
    assert!(!refused(&Dir::new().hub(&server), REPO).contains("secret"));
}

#[test]
fn a_handshake_that_trickles_is_waited_for_in_vain() -> anyhow::Result<()> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let dir = Dir::new();
    let hub = Hub { endpoint: Some(format!("https://{}", listener.local_addr()?)), ..dir.hasty(&Server::start(|_, _| Ok(()))) };
    std::thread::spawn(move || -> Result<()> {
        let (mut stream, _) = listener.accept()?;
        // The beginning of a record of TLS.
        stream.write_all(b"\x16\x03\x03\x40\x00\x02")?;
        trickle(&mut stream, b"\0")
    });
    let start = Instant::now();
    let says = refused(&hub, REPO);
    assert!(says.starts_with("cannot reach ENDPOINT: no whole answer within 5s") && start.elapsed() < LONG, "{says}");
    Ok(())
}

fn request(path: &str) -> Request {
    Request { path: path.into(), range: None, authorization: None }
}

#[test]
fn the_token_is_sent_to_the_hub_alone() -> anyhow::Result<()> {
    for (host, list_too) in [("127.0.0.1", false), ("127.0.0.1", true), ("localhost", false)] {
        // Storage on another port. What it cannot serve it redirects back to where it came from.
        let storage = Server::start(move |request, stream| match request.path.strip_prefix("/back/") {
            Some(to) => reply(stream, 302, &[&format!("Location: http://{to}")], b""),
            None if request.is_list() => list(stream, COMMIT, &FILES),
            None => file(&[])(stream),
        });
        let elsewhere = format!("http://{host}:{}", storage.port());
        let hub = Server::start(move |request, stream| match request.path.as_str() {
            path if path.starts_with("/api/") && !list_too => list(stream, COMMIT, &FILES),
            "/end" => file(&[])(stream),
            "/here" => reply(stream, 302, &[&format!("Location: {elsewhere}/back/{}/end", stream.local_addr()?)], b""),
            path if path.starts_with("/api/") => reply(stream, 302, &[&format!("Location: {elsewhere}{path}")], b""),
            _ => reply(stream, 307, &["Location: /here"], b""),
        });
        let dir = Dir::new();
        let pulled = Hub { token: Some("hf_secret".into()), ..dir.hub(&hub) }.pull(REPO, |_, _, _| {})?;
        assert_eq!(fs::read(pulled.weights)?, WEIGHTS);
        let asked = hub.requests();
        let with: Vec<&str> = asked.iter().filter(|r| r.authorization.is_some()).map(|r| r.path.as_str()).collect();
        assert!(asked.iter().all(|r| r.authorization.as_deref().is_none_or(|a| a == "Bearer hf_secret")), "{asked:?}");
        // Once away from the hub, nobody else's redirect makes use of the token.
        assert_eq!(with.len(), asked.len() - 1, "{asked:?}");
        assert!(!with.contains(&"/end") && with.contains(&"/here"), "{asked:?}");
        let foreign = storage.requests();
        assert!(!foreign.is_empty() && foreign.iter().all(|r| r.authorization.is_none()), "{foreign:?}");
    }
    Ok(())
}

#[test]
fn storage_elsewhere_decides_nothing() -> anyhow::Result<()> {
    // It names another etag, another commit and another size than the hub.
    let storage = Server::start(|request, stream| match request.from() {
        0 => reply(stream, 200, &["ETag: \"../../x\"", "X-Repo-Commit: ../x", "X-Linked-Size: 5"], WEIGHTS),
        from => reply(stream, 206, &["ETag: \"y\"", &format!("Content-Range: bytes {from}-9/10")], &WEIGHTS[from..]),
    });
    let location = format!("Location: {}/file", storage.endpoint);
    let hub = Server::start(move |request, stream| match request.is_list() {
        true => list(stream, COMMIT, &FILES),
        false => reply(stream, 302, &[&location, "X-Linked-Etag: \"e\"", "X-Linked-Size: 10", &format!("X-Repo-Commit: {COMMIT}")], b""),
    });
    let dir = Dir::new();
    let pull = || dir.hub(&hub).pull(REPO, |_, _, _| {});
    assert_eq!(fs::read(pull()?.weights)?, WEIGHTS);
    assert!(dir.model().join("blobs/e").is_file());
    // Gone on from at the storage itself.
    fs::rename(dir.model().join("blobs/e"), dir.model().join("blobs/e.incomplete"))?;
    fs::write(dir.model().join("blobs/e.incomplete"), &WEIGHTS[..4])?;
    fs::remove_dir_all(dir.model().join("snapshots"))?;
    storage.requests();
    assert_eq!(fs::read(pull()?.weights)?, WEIGHTS);
    assert_eq!(storage.asked(), ["/file -", "/file 4-"]);
    Ok(())
}

#[test]
fn the_rest_of_a_part_must_be_of_the_same_file() -> anyhow::Result<()> {
    let commit = format!("X-Repo-Commit: {COMMIT}");
    let cases: [(u16, &[&str], &[u8], &str); 8] = [
        (206, &["ETag: \"e\"", "Content-Range: bytes 3-9/10"], b"4567890", "it comes from byte 3 on, 4 was asked for"),
        (206, &["ETag: \"e\"", "Content-Range: bytes 4-10/11"], b"567890x", "10 bytes are announced, 11 are sent"),
        (206, &["ETag: \"e\"", "Content-Range: bytes 4-8/10"], b"56789", "it is a part, of bytes \"bytes 4-8/10\""),
        (206, &["ETag: \"e\""], b"567890", "it is a part, of bytes \"\""),
        (206, &["ETag: \"f\"", "Content-Range: bytes 4-9/10"], b"567890", "changed while it was downloaded"),
        (206, &["Content-Range: bytes 4-9/10"], b"567890", "changed while it was downloaded"),
        (200, &["ETag: \"f\""], WEIGHTS, "changed while it was downloaded"),
        (503, &[], b"", "ENDPOINT answers with HTTP status 503 for the rest of model.safetensors"),
    ];
    for (status, headers, body, must) in cases {
        let headers: Vec<String> = headers.iter().map(|h| h.to_string()).chain([commit.clone()]).collect();
        let server = Server::start(move |request, stream| match request.from() {
            _ if request.is_list() => list(stream, COMMIT, &FILES),
            0 => file(&[])(stream),
            _ => reply(stream, status, &headers.iter().map(String::as_str).collect::<Vec<_>>(), body),
        });
        let dir = Dir::new();
        let part = dir.model().join("blobs/e.incomplete");
        fs::create_dir_all(part.parent().unwrap())?;
        fs::write(&part, &WEIGHTS[..4])?;
        let says = refused(&dir.hub(&server), REPO);
        assert!(says.contains(must), "{says}");
        assert_eq!(dir.finished(), [""; 0]);
        assert_eq!(fs::read(&part)?, &WEIGHTS[..4]);
    }
    Ok(())
}

#[test]
fn credentials_of_the_endpoint_are_used_and_never_shown() -> anyhow::Result<()> {
    let server = Server::start(|request, stream| match request.authorization.as_deref() {
        // `printf 'me:s%cret@' @ | base64`, as curl sends it.
        Some("Basic bWU6cyVjcmV0QA==") if request.is_list() => list(stream, COMMIT, &FILES),
        Some("Basic bWU6cyVjcmV0QA==") => file(&[])(stream),
        _ => reply(stream, 401, &[], b""),
    });
    let dir = Dir::new();
    let at = |credentials: &str| Hub {
        token: Some("hf_token".into()),
        ..dir.hub_at(&server.endpoint.replace("http://", &format!("http://{credentials}@")))
    };
    assert_eq!(fs::read(at("me:s%25cret%40").pull(REPO, |_, _, _| {})?.weights)?, WEIGHTS);
    assert!(!format!("{:?}", at("me:s%25cret%40")).contains("cret"));
    for hub in
        [at("me:secret"), at("secret"), at("me:secret/x"), at("me: secret"), at("http://me:secret"), dir.hub_at("me:secret@127.0.0.1")]
    {
        let says = refused(&hub, "someone/else");
        assert!(!says.contains("secret") && !format!("{hub:?}").contains("secret"), "{says}");
    }
    // Nor where nobody answers, or not as wanted.
    let gone = at("me:secret");
    let port = server.port().to_string();
    drop(server);
    let says = refused(&gone, "someone/else");
    assert!(says.contains(&format!("http://127.0.0.1:{port}")) && !says.contains("secret"), "{says}");
    let hub = Hub { token: Some("hf_\nsecret".into()), ..gone };
    let hub = Hub { endpoint: Some(format!("http://127.0.0.1:{port}")), ..hub };
    assert_eq!(refused(&hub, REPO), "the token (HF_TOKEN) holds characters that no token has");
    Ok(())
}

/// The modes of a hostile hub that is kept beside the repository, if that and a Python are there.
#[cfg(unix)]
mod kept_beside {
    use super::*;
    use std::path::{Path, PathBuf};
    use std::process::{Child, Command, Stdio};

    const VICTIM: &[u8] = b"mine\n";

    fn script() -> Option<PathBuf> {
        let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
        let script = std::env::var_os("GHOSTNET_SHARED").map_or_else(beside, PathBuf::from).join("data/faults/hub-server.py");
        let python = Command::new("python3").arg("--version").stdout(Stdio::null()).status();
        Some(script).filter(|script| script.is_file() && python.is_ok_and(|status| status.success()))
    }

    struct Ended(Child);

    impl Drop for Ended {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// A port that was free a moment ago.
    fn port() -> u16 {
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port is free").port()
    }

    fn run(script: &Path, mode: &str, fails: bool) {
        let dir = Dir::new();
        let victim = dir.0.join("victim");
        fs::create_dir_all(&victim).unwrap();
        for name in [".bashrc", "Cargo.toml"] {
            fs::write(victim.join(name), VICTIM).unwrap();
        }
        let (a, b) = (port(), port());
        let log = fs::File::create(dir.0.join("log")).unwrap();
        let _server = Ended(
            Command::new("python3")
                .arg(script)
                .args([mode, &a.to_string(), &b.to_string(), "120"])
                .env("WEIGHTS", Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/ghostnet_050_cifar10.safetensors"))
                .env("VICTIM", &victim)
                .stdout(log)
                .stderr(Stdio::null())
                .spawn()
                .expect("python3 starts"),
        );
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", a)).is_err() {
            assert!(start.elapsed() < LONG, "{mode}: the server does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        // More memory than this is none that a pull needs.
        let limited =
            if cfg!(target_os = "linux") { "ulimit -v 1000000; exec \"$0\" pull someone/net" } else { "exec \"$0\" pull someone/net" };
        let start = Instant::now();
        let output = Command::new("sh")
            .args(["-c", limited, env!("CARGO_BIN_EXE_ghostnet")])
            .envs([("HF_ENDPOINT", format!("http://127.0.0.1:{a}").as_str()), ("HF_TOKEN", "hf_secret"), ("NO_COLOR", "1")])
            .envs([("HF_HUB_ETAG_TIMEOUT", "4"), ("HF_HUB_DOWNLOAD_TIMEOUT", "4"), ("NO_PROXY", "127.0.0.1,127.0.0.2,localhost")])
            .env("HF_HOME", dir.0.join("home"))
            .env("HOME", &victim)
            .env_remove("HF_HUB_CACHE")
            .env_remove("HF_HUB_OFFLINE")
            .output()
            .expect("sh starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(start.elapsed() < LONG, "{mode}: {:?}", start.elapsed());
        assert_eq!(output.status.code(), Some(i32::from(fails)), "{mode}: {stderr}");
        assert_eq!(stderr.lines().count(), usize::from(fails), "{mode}: {stderr}");
        assert_eq!(stderr.starts_with("error: "), fails, "{mode}: {stderr}");
        assert!(!stderr.chars().any(|c| c.is_control() && c != '\n'), "{mode}: {stderr:?}");

        // Nothing else was made or changed.
        let names = |folder: &Path| -> Vec<String> {
            let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&victim), [".bashrc", "Cargo.toml"], "{mode}");
        for name in [".bashrc", "Cargo.toml"] {
            assert_eq!(fs::read(victim.join(name)).unwrap(), VICTIM, "{mode}: {name}");
        }
        assert!(names(&dir.0).iter().all(|name| ["home", "log", "victim"].contains(&name.as_str())), "{mode}: {:?}", names(&dir.0));
        if dir.0.join("home").exists() {
            assert_eq!(names(&dir.0.join("home")), ["hub"], "{mode}");
        }
        let log = fs::read_to_string(dir.0.join("log")).unwrap();
        assert!(log.lines().count() < 20, "{mode}: {log}");
        assert!(!log.lines().any(|line| line.starts_with("B ") && line.contains("hf_secret")), "{mode}: {log}");
    }

    #[test]
    fn a_hostile_hub_in_all_its_modes() {
        let Some(script) = script() else {
            eprintln!("skipped: no python3, or no hub-server.py beside the repository");
            return;
        };
        let fail = "traversal badsha listhang listslow listbig listdeep listredirectfile listredirectother listredirectother2 listredirectloop \
                    relativeloop nolocation status304 status300 filescheme badlocation badlocation2 badlocation3 badlocation4 etagtraversal \
                    etagweak commit2 etagother wrongsha hugesize hugesize2 endless slowbody midslow headers";
        let harmless = "none storage storageport toctou toctou2 toctou3 wrongbytes";
        let modes: Vec<(&str, bool)> = fail.split_whitespace().map(|m| (m, true)).chain(harmless.split(' ').map(|m| (m, false))).collect();
        std::thread::scope(|scope| {
            for some in modes.chunks(modes.len().div_ceil(6)) {
                scope.spawn(|| some.iter().for_each(|(mode, fails)| run(&script, mode, *fails)));
            }
        });
    }
}
