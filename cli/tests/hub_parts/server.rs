//! A hub of our own on this machine, well-behaved or not, and a cache for one test.

use ghostnet::hub::{Hub, Timeouts};
use std::fs;
use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub const REPO: &str = "someone/ghost_100.in1k";
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    /// Without `bytes=`.
    pub range: Option<String>,
    pub authorization: Option<String>,
}

impl Request {
    pub fn is_list(&self) -> bool {
        self.path.starts_with("/api/")
    }
    fn read(stream: &TcpStream) -> Result<Self> {
        let mut lines = BufReader::new(stream).lines();
        let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
        let path = first.split(' ').nth(1).unwrap_or("").to_string();
        let mut request = Request { path, range: None, authorization: None };
        for line in lines {
            let line = line?;
            match line.split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("range") => request.range = value.strip_prefix("bytes=").map(String::from),
                Some((name, value)) if name.eq_ignore_ascii_case("authorization") => request.authorization = Some(value.into()),
                _ if line.is_empty() => break,
                _ => {}
            }
        }
        Ok(request)
    }
    /// The first byte that is asked for.
    pub fn from(&self) -> usize {
        self.range.as_deref().and_then(|r| r.split('-').next()?.parse().ok()).unwrap_or(0)
    }
}

/// Answers each request in a thread of its own, until dropped.
pub struct Server {
    pub endpoint: String,
    requests: Arc<Mutex<Vec<Request>>>,
    drained: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    pub fn start(answer: impl Fn(&Request, &mut TcpStream) -> Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let drained = Arc::new(AtomicBool::new(false));
        let answer = Arc::new(answer);
        let thread = std::thread::spawn({
            let (requests, stop, drained) = (requests.clone(), stop.clone(), drained.clone());
            move || {
                for mut stream in listener.incoming().flatten() {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let (requests, answer) = (requests.clone(), answer.clone());
                    // The client may hang up early: that is its right.
                    let drained = drained.clone();
                    std::thread::spawn(move || -> Result<()> {
                        let request = Request::read(&stream)?;
                        requests.lock().unwrap().push(request.clone());
                        let answered = answer(&request, &mut stream);
                        if answered.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::QuotaExceeded) {
                            drained.store(true, Ordering::SeqCst);
                        }
                        answered
                    });
                }
            }
        });
        Server { endpoint, requests, drained, stop, thread: Some(thread) }
    }
    pub fn port(&self) -> &str {
        self.endpoint.rsplit(':').next().unwrap()
    }
    /// Whether somebody took all of a flood.
    pub fn is_drained(&self) -> bool {
        self.drained.load(Ordering::SeqCst)
    }
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }
    /// "PATH RANGE" of each request.
    pub fn asked(&self) -> Vec<String> {
        self.requests().iter().map(|r| format!("{} {}", r.path, r.range.as_deref().unwrap_or("-"))).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.endpoint.trim_start_matches("http://"));
        let _ = self.thread.take().map(|t| t.join());
    }
}

/// A whole answer. `headers` are lines without their ends.
pub fn reply(stream: &mut TcpStream, status: u16, headers: &[&str], body: &[u8]) -> Result<()> {
    let headers: String = headers.iter().map(|h| format!("{h}\r\n")).collect();
    write!(stream, "HTTP/1.1 {status} x\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    stream.write_all(body)
}

/// A list of files, as the hub writes it.
pub fn list(stream: &mut TcpStream, commit: &str, files: &[&str]) -> Result<()> {
    let siblings: Vec<_> = files.iter().map(|name| serde_json::json!({"rfilename": name})).collect();
    reply(stream, 200, &[], serde_json::json!({"id": REPO, "sha": commit, "siblings": siblings}).to_string().as_bytes())
}

/// Until the other side hangs up.
pub fn hang(stream: &mut TcpStream) -> Result<()> {
    stream.read_to_end(&mut Vec::new()).map(drop)
}

/// The same bytes again and again, a few a second, until the other side hangs up.
pub fn trickle(stream: &mut TcpStream, bytes: &[u8]) -> Result<()> {
    loop {
        stream.write_all(bytes)?;
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The same bytes again and again until the other side hangs up.
pub fn pour(stream: &mut TcpStream, bytes: &[u8]) -> Result<()> {
    let block = bytes.repeat((64 << 10) / bytes.len() + 1);
    loop {
        stream.write_all(&block)?;
    }
}

/// As [`pour`], up to more than anybody should take: see [`Server::is_drained`].
pub fn flood(stream: &mut TcpStream, bytes: &[u8]) -> Result<()> {
    let block = bytes.repeat((64 << 10) / bytes.len() + 1);
    for _ in 0..1000 {
        stream.write_all(&block)?;
    }
    Err(std::io::ErrorKind::QuotaExceeded.into())
}

/// A cache of one test, removed at its end.
pub struct Dir(pub PathBuf);

impl Dir {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("hub-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Dir(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))
    }
    pub fn hub(&self, server: &Server) -> Hub {
        self.hub_at(&server.endpoint)
    }
    pub fn hub_at(&self, endpoint: &str) -> Hub {
        Hub { endpoint: Some(endpoint.into()), ..Hub::new(self.0.join("hub")) }
    }
    /// For a server that must not be waited for.
    pub fn hasty(&self, server: &Server) -> Hub {
        let timeouts = Timeouts { connect: Duration::from_secs(10), answer: Duration::from_secs(5), stall: Duration::from_secs(5) };
        Hub { timeouts, ..self.hub(server) }
    }
    pub fn model(&self) -> PathBuf {
        self.0.join("hub/models--someone--ghost_100.in1k")
    }
    /// Names of all files and links below, without folders, locks and part files.
    pub fn finished(&self) -> Vec<String> {
        let mut names = self.all();
        names.retain(|name| !name.ends_with(".lock") && !name.ends_with(".incomplete"));
        names
    }
    /// Names of all files and links below.
    pub fn all(&self) -> Vec<String> {
        fn walk(dir: &Path, names: &mut Vec<String>) {
            for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => walk(&entry.path(), names),
                    _ => names.push(entry.file_name().to_string_lossy().into_owned()),
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
pub fn refused(hub: &Hub, repo: &str) -> String {
    let error = hub.pull(repo, |_, _, _| {}).expect_err("must fail");
    assert!(matches!(error, ghostnet::Error::Download(_)), "{error:?}");
    let text = error.to_string();
    assert!(!text.chars().any(char::is_control), "one line: {text:?}");
    assert!(text.len() < 1200, "{text}");
    text.replace(hub.endpoint.as_deref().filter(|e| !e.is_empty()).unwrap_or("?"), "ENDPOINT")
}

/// How a well-behaved server treats the body of weights.
#[derive(Clone, Copy, PartialEq)]
pub enum Body {
    Whole,
    /// Half of what Content-Length says.
    Truncated,
    /// Half, and no Content-Length to see it by.
    Unmarked,
    /// Whole from the start, whatever Range says.
    IgnoresRange,
    /// The first half, then nothing more.
    Stuck,
}

#[derive(Clone)]
pub struct Content {
    pub files: Vec<(&'static str, Vec<u8>)>,
    pub body: Body,
    /// Answers every request for the list with this status.
    pub status: Option<u16>,
    /// Answers every request for a file with this status.
    pub file_status: Option<u16>,
    pub token: Option<&'static str>,
    pub commit: &'static str,
    pub etag: &'static str,
    /// Files are redirected: to a relative address, and from there to another path, as the public
    /// hub does with large files.
    pub redirects: bool,
}

pub fn weights() -> Vec<u8> {
    (0..100_003u32).map(|i| (i * 7 % 251) as u8).collect()
}

pub fn content() -> Content {
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

/// A hub that serves one repository, and how to change what it serves.
pub fn serve(content: Content) -> (Server, Change) {
    let content = Arc::new(Mutex::new(content));
    let served = content.clone();
    let server = Server::start(move |request, stream| {
        let content = served.lock().unwrap().clone();
        answer(request, stream, &content)
    });
    (server, Box::new(move |how| how(&mut content.lock().unwrap())))
}

pub type Change = Box<dyn Fn(&dyn Fn(&mut Content))>;

fn answer(request: &Request, stream: &mut TcpStream, content: &Content) -> Result<()> {
    let path = &request.path;
    let token = request.authorization.as_deref().and_then(|a| a.strip_prefix("Bearer "));
    if content.token.is_some() && token != content.token {
        return reply(stream, 401, &[], b"");
    }
    if *path == format!("/api/models/{REPO}/revision/main") {
        if let Some(code) = content.status {
            return reply(stream, code, &[], b"");
        }
        let names: Vec<&str> = content.files.iter().map(|(name, _)| *name).collect();
        return list(stream, content.commit, &names);
    }
    let find = |prefix: &str| content.files.iter().find(|(name, _)| path.strip_prefix(prefix) == Some(*name));
    let resolve = format!("/{REPO}/resolve/main/");
    let Some((name, bytes)) = find(&resolve).or_else(|| find("/moved/")).or_else(|| find("/storage/")) else {
        return reply(stream, 404, &[], b"");
    };
    if let Some(code) = content.file_status {
        return reply(stream, code, &[], b"");
    }
    let etag = format!("ETag: \"{}{name}\"", content.etag);
    let commit = format!("X-Repo-Commit: {}", content.commit);
    if content.redirects && path.starts_with(&resolve) {
        return reply(stream, 307, &[&etag, &commit, &format!("Location: /moved/{name}")], b"");
    }
    if content.redirects && path.starts_with("/moved/") {
        let host = stream.local_addr()?;
        return reply(stream, 302, &[&etag, &commit, &format!("Location: http://{host}/storage/{name}")], b"");
    }
    let is_weights = name.ends_with("safetensors");
    let mut from = request.from();
    if is_weights && content.body == Body::IgnoresRange {
        from = 0;
    }
    let mut to = bytes.len();
    if from >= to && !bytes.is_empty() {
        return reply(stream, 416, &[], b"");
    }
    write!(stream, "HTTP/1.1 206 x\r\n{etag}\r\n{commit}\r\nConnection: close\r\nContent-Range: bytes {from}-{}/{to}\r\n", to.max(1) - 1)?;
    if !(is_weights && content.body == Body::Unmarked) {
        write!(stream, "Content-Length: {}\r\n", to - from)?;
    }
    if is_weights && matches!(content.body, Body::Truncated | Body::Unmarked | Body::Stuck) {
        to = from + (to - from) / 2;
    }
    stream.write_all(b"\r\n")?;
    stream.write_all(&bytes[from..to])?;
    if is_weights && content.body == Body::Stuck { hang(stream) } else { Ok(()) }
}
