//! Asks a hub, and trusts no answer: where redirects lead, how long an answer takes and how much it
//! holds is bounded here.

use super::address::{basic, check, redirected, same_origin, without_credentials};
use super::choice::shown;
use super::watch::Watch;
use super::{Hub, Timeouts};
use crate::error::{Error, Result};
use std::io::Read as _;
use ureq::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_RANGE,
    LOCATION, RANGE,
};
use ureq::http::uri::Uri;

const PUBLIC_HUB: &str = "https://huggingface.co";

/// As browsers, curl and the Python tools allow, or fewer.
const MAX_REDIRECTS: usize = 10;

/// The public hub's headers take 5 KB.
const MAX_HEADERS: usize = 64 << 10;

/// The list of a repository of 100 files takes 10 KB.
const MAX_LIST: u64 = 16 << 20;

/// More files than any model's repository has.
const MAX_FILES: usize = 100_000;

/// What must arrive of a file in each [`Timeouts::stall`].
const QUOTA: u64 = 64 << 10;

/// Why there is no answer, or none that can be used.
pub(super) enum Failure {
    /// Nobody answers, or not in time, or only that the hub is out of order.
    Unreachable(String),
    /// A body ended before its end.
    Broken(String),
    /// The answer cannot be used.
    Refused(String),
    /// What was done with the answer failed.
    Own(Error),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unreachable(why) | Failure::Broken(why) | Failure::Refused(why) => Error::Download(why),
            Failure::Own(error) => error,
        }
    }
}

type Outcome<T> = Result<T, Failure>;

/// What a repository holds.
pub(super) struct List {
    pub commit: String,
    pub files: Vec<String>,
}

/// What an answer of the hub says about a file.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub commit: String,
    /// Without quotes and the mark of a weak one.
    pub etag: String,
    /// Of files that are stored elsewhere.
    size: Option<String>,
}

impl Told {
    fn of(headers: &HeaderMap) -> Option<Self> {
        const COMMIT: HeaderName = HeaderName::from_static("x-repo-commit");
        const LINKED_ETAG: HeaderName = HeaderName::from_static("x-linked-etag");
        const LINKED_SIZE: HeaderName = HeaderName::from_static("x-linked-size");
        let text = |name| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let etag = text(LINKED_ETAG).or_else(|| text(ETAG))?;
        let etag = etag.strip_prefix("W/").unwrap_or(&etag).trim_matches('"').to_string();
        Some(Told { commit: text(COMMIT)?, etag, size: text(LINKED_SIZE) })
    }
}

/// An answer whose body was not read yet.
pub(super) struct Answer {
    /// Of the last answer from the hub itself that tells; of the first from elsewhere if none of
    /// the hub's does.
    pub told: Option<Told>,
    from: Place,
    response: ureq::http::Response<ureq::Body>,
}

/// Where a request goes.
#[derive(Clone)]
struct Place {
    uri: Uri,
    /// Whether no redirect led away from the hub's scheme, host and port, not even for a while.
    is_hubs: bool,
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }
    pub fn is_hubs(&self) -> bool {
        self.from.is_hubs
    }

    /// The file's bytes in all, of an answer that brings all of it.
    pub fn size(&self) -> Result<u64, String> {
        let announced = match self.told.as_ref().and_then(|told| told.size.as_deref()) {
            Some(size) => Some(number(size)?),
            None => None,
        };
        let (from, total) = self.extent()?;
        match (announced, total) {
            _ if from != 0 => Err(format!("it comes from byte {from} on, unasked")),
            (Some(a), Some(b)) if a != b => Err(format!("{a} bytes are announced, {b} are sent")),
            (Some(size), _) | (None, Some(size)) => Ok(size),
            (None, None) => Err("no size is announced".into()),
        }
    }

    /// Checks that the answer brings the bytes from `from` to the end of a file of `size` bytes.
    pub fn begins(&self, from: u64, size: u64) -> Result<(), String> {
        let (begin, total) = self.extent()?;
        match total {
            _ if begin != from => Err(format!("it comes from byte {begin} on, {from} was asked for")),
            Some(total) if total != size => Err(format!("{size} bytes are announced, {total} are sent")),
            _ => Ok(()),
        }
    }

    /// The first byte that the body holds, and the file's bytes in all, if that is said. The body
    /// goes to the file's end.
    fn extent(&self) -> Result<(u64, Option<u64>), String> {
        let headers = self.response.headers();
        let text = |name: &HeaderName| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_string());
        if let Some(coding) = text(&CONTENT_ENCODING).filter(|c| !c.eq_ignore_ascii_case("identity")) {
            return Err(format!("it is compressed ({}), unasked", shown(&coding)));
        }
        let length = text(&CONTENT_LENGTH).map(|length| number(&length)).transpose()?;
        if self.status() != 206 {
            return Ok((0, length));
        }
        let range = text(&CONTENT_RANGE).unwrap_or_default();
        let bad = || format!("it is a part, of bytes {:?}", shown(&range));
        let (part, total) = range.strip_prefix("bytes ").and_then(|r| r.split_once('/')).ok_or_else(bad)?;
        let (from, last) = part.split_once('-').ok_or_else(bad)?;
        let (from, last, total) = (number(from)?, number(last)?, number(total)?);
        // Compared without a sum, which could overflow.
        if from > last || total == 0 || last != total - 1 || length.is_some_and(|length| length != total - from) {
            return Err(bad());
        }
        Ok((from, Some(total)))
    }
}

fn number(text: &str) -> Result<u64, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| format!("{:?} is no number of bytes", shown(text)))
}

pub(super) struct Client {
    agent: ureq::Agent,
    /// Without credentials and a slash at its end.
    endpoint: Uri,
    /// For the endpoint alone.
    authorization: Option<HeaderValue>,
    has_token: bool,
    timeouts: Timeouts,
    watch: Watch,
}

impl Client {
    pub fn new(hub: &Hub) -> Result<Self> {
        let address = hub.endpoint.as_deref().unwrap_or(PUBLIC_HUB).trim().trim_end_matches('/');
        let bad = |why: &str| Error::Download(format!("bad address {}: {why}", without_credentials(address)));
        let given: Uri = address.parse().map_err(|e: ureq::http::uri::InvalidUri| bad(&e.to_string()))?;
        check(&given).map_err(|why| bad(&why))?;
        if given.query().is_some() {
            return Err(bad("an endpoint has no `?`"));
        }
        let authority = given.authority().map_or("", |a| a.as_str());
        let (credentials, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        let endpoint = format!("{}://{host}{}", given.scheme_str().unwrap_or_default(), given.path().trim_end_matches('/'));
        let endpoint = endpoint.parse().map_err(|e: ureq::http::uri::InvalidUri| bad(&e.to_string()))?;
        let authorization = match (credentials, &hub.token) {
            (Some(credentials), _) => Some(basic(credentials)),
            (None, Some(token)) => Some(format!("Bearer {token}")),
            (None, None) => None,
        };
        let mut authorization = authorization
            .map(HeaderValue::try_from)
            .transpose()
            .map_err(|_| Error::Download("the token (HF_TOKEN) holds characters that no token has".into()))?;
        if let Some(value) = &mut authorization {
            value.set_sensitive(true);
        }
        let timeouts = hub.timeouts;
        // Redirects are followed here. One read waits no longer than all of them may.
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_response_header_size(MAX_HEADERS)
            .timeout_resolve(Some(timeouts.connect))
            .timeout_connect(Some(timeouts.connect))
            .timeout_per_read(Some(timeouts.answer.max(timeouts.stall)))
            .timeout_per_write(Some(timeouts.answer))
            .user_agent(concat!("ghostnet/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        let watch = Watch::new(agent.clone()).map_err(|e| Error::Download(format!("no thread for the download: {e}")))?;
        Ok(Client { agent, endpoint, authorization, has_token: hub.token.is_some() && credentials.is_none(), timeouts, watch })
    }

    /// For messages.
    pub fn endpoint(&self) -> String {
        shown(&self.endpoint.to_string()).trim_end_matches('/').to_string()
    }

    pub fn not_a_hub(&self, why: &str) -> Failure {
        Failure::Refused(format!("{} does not answer like a model hub: {why}", self.endpoint()))
    }

    /// What the repository's main revision holds.
    pub fn list(&self, repo: &str) -> Outcome<List> {
        #[derive(serde::Deserialize)]
        struct Info {
            sha: String,
            siblings: Vec<Sibling>,
        }
        #[derive(serde::Deserialize)]
        struct Sibling {
            rfilename: String,
        }
        let answer = self.get(self.place(&format!("/api/models/{repo}/revision/main"))?, &[])?;
        if answer.status() != 200 {
            return Err(self.explain(repo, None, &answer));
        }
        let endpoint = self.endpoint();
        let unusable = |why: String| Failure::Refused(format!("no usable answer from {endpoint}: {why}"));
        let (_, length) = answer.extent().map_err(|why| unusable(format!("the list of files: {why}")))?;
        let too_long = || unusable(format!("the list of files is longer than {MAX_LIST} bytes"));
        if length.is_some_and(|length| length > MAX_LIST) {
            return Err(too_long());
        }
        let mut text = Vec::new();
        // Still within the time of the answer.
        let read = answer.response.into_body().into_reader().take(MAX_LIST + 1).read_to_end(&mut text);
        let late = self.watch.rest();
        if late {
            return Err(Failure::Unreachable(self.late()));
        }
        read.map_err(|e| {
            Failure::Unreachable(format!("the list of files of `{repo}` from {endpoint} broke off: {}", shown(&e.to_string())))
        })?;
        if text.len() as u64 > MAX_LIST {
            return Err(too_long());
        }
        let info: Info = serde_json::from_slice(&text).map_err(|e| unusable(shown(&e.to_string())))?;
        if info.siblings.len() > MAX_FILES {
            return Err(unusable(format!("{} files are listed, {MAX_FILES} are the most", info.siblings.len())));
        }
        Ok(List { commit: info.sha, files: info.siblings.into_iter().map(|s| s.rfilename).collect() })
    }

    /// A file of the main revision, as a whole.
    pub fn file(&self, repo: &str, file: &str) -> Outcome<Answer> {
        let answer = self.get(self.place(&format!("/{repo}/resolve/main/{file}"))?, &[]);
        self.watch.rest();
        let answer = answer?;
        if !matches!(answer.status(), 200 | 206) {
            return Err(self.explain(repo, Some(file), &answer));
        }
        Ok(answer)
    }

    /// What follows the first `there` bytes of the file that `first` brings: 206, or 200 or 416
    /// where it cannot be had.
    pub fn rest(&self, first: Answer, there: u64, file: &str) -> Outcome<Answer> {
        let Answer { from, response, .. } = first;
        let mut headers = vec![(RANGE, HeaderValue::try_from(format!("bytes={there}-")).expect("digits"))];
        // Another file under the same address comes as a whole.
        let strong = response.headers().get(ETAG).filter(|etag| etag.as_bytes().starts_with(b"\""));
        headers.extend(strong.map(|etag| (IF_RANGE, etag.clone())));
        // Hung up on: a server may serve one after the other.
        drop(response);
        let answer = self.get(from, &headers);
        self.watch.rest();
        let answer = answer?;
        if !matches!(answer.status(), 200 | 206 | 416) {
            return Err(Failure::Refused(format!(
                "{} answers with HTTP status {} for the rest of {file}",
                self.shown(&answer.from),
                answer.status()
            )));
        }
        Ok(answer)
    }

    /// Hands over the body in pieces: exactly `length` bytes, or an error.
    pub fn copy(&self, answer: Answer, length: u64, mut take: impl FnMut(&[u8]) -> Result<()>) -> Outcome<()> {
        // With a length the HTTP client ends the body there; without, there may be more.
        let framed = answer.response.headers().contains_key(CONTENT_LENGTH);
        let mut reader = answer.response.into_body().into_reader();
        let mut buffer = [0; 16 << 10];
        let (mut done, mut quota) = (0, 0);
        while done < length || !framed {
            if done >= quota {
                quota = done + QUOTA;
                self.watch.within(self.timeouts.stall);
            }
            let most = (length - done).clamp(1, buffer.len() as u64) as usize;
            match reader.read(&mut buffer[..most]) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Ok(0) if done == length => break,
                Ok(_) if done == length => {
                    self.watch.rest();
                    return Err(Failure::Refused(format!("more than {length} bytes are sent")));
                }
                Ok(n) if n > 0 => {
                    done += n as u64;
                    take(&buffer[..n]).map_err(Failure::Own)?;
                }
                ended => {
                    if self.watch.rest() {
                        return Err(self.stalled());
                    }
                    return Err(Failure::Broken(ended.map_or_else(|e| shown(&e.to_string()), |_| "then the connection was closed".into())));
                }
            }
        }
        if self.watch.rest() {
            return Err(self.stalled());
        }
        Ok(())
    }

    fn stalled(&self) -> Failure {
        Failure::Broken(format!("and fewer than {QUOTA} of them in the last {:?}", self.timeouts.stall))
    }

    fn place(&self, path: &str) -> Outcome<Place> {
        let address = format!("{}{path}", self.endpoint.to_string().trim_end_matches('/'));
        let uri = address.parse().map_err(|e| Failure::Refused(format!("bad address {}: {e}", shown(&address))))?;
        Ok(Place { uri, is_hubs: true })
    }

    /// The answer at the end of all redirects; the watch goes on for its body.
    fn get(&self, mut place: Place, headers: &[(HeaderName, HeaderValue)]) -> Outcome<Answer> {
        self.watch.within(self.timeouts.answer);
        let mut told = None;
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self.agent.get(place.uri.clone()).header(ACCEPT_ENCODING, "identity");
            for (name, value) in headers {
                request = request.header(name, value);
            }
            if let Some(authorization) = self.authorization.as_ref().filter(|_| place.is_hubs) {
                request = request.header(AUTHORIZATION, authorization);
            }
            let response = request.call().map_err(|e| self.no_answer(&place, e))?;
            if place.is_hubs || told.is_none() {
                told = Told::of(response.headers()).or(told);
            }
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(Answer { told, from: place, response });
            }
            let from = self.shown(&place);
            let status = response.status().as_u16();
            let location = response.headers().get(LOCATION);
            let location =
                location.ok_or_else(|| Failure::Refused(format!("{from} redirects (HTTP status {status}) without saying where to")))?;
            let uri = redirected(&place.uri, location).map_err(|why| Failure::Refused(format!("{from} redirects, and {why}")))?;
            place = Place { is_hubs: place.is_hubs && same_origin(&uri, &self.endpoint), uri };
        }
        Err(Failure::Refused(format!("{} redirects more than {MAX_REDIRECTS} times", self.endpoint())))
    }

    fn late(&self) -> String {
        format!("cannot reach {}: no whole answer within {:?}", self.endpoint(), self.timeouts.answer)
    }

    fn no_answer(&self, place: &Place, error: ureq::Error) -> Failure {
        if self.watch.rest() {
            return Failure::Unreachable(self.late());
        }
        use ureq::Error::{BadUri, Http, Io, LargeResponseHeader, Protocol};
        let place = self.shown(place);
        match error {
            Io(e) => Failure::Unreachable(format!("cannot reach {place}: {}", shown(&e.to_string()))),
            e @ (Protocol(_) | LargeResponseHeader(..) | BadUri(_) | Http(_)) => {
                Failure::Refused(format!("no usable answer from {place}: {}", shown(&e.to_string())))
            }
            e => Failure::Unreachable(format!("cannot reach {place}: {}", shown(&e.to_string()))),
        }
    }

    /// For messages; the path may hold what is secret, such as a signature.
    fn shown(&self, place: &Place) -> String {
        if place.is_hubs {
            return self.endpoint();
        }
        let origin = format!("{}://{}", place.uri.scheme_str().unwrap_or_default(), place.uri.authority().map_or("", |a| a.as_str()));
        format!("{}, where {} redirects to,", shown(&origin), self.endpoint())
    }

    /// `file` is `None` while asking what the repository has.
    fn explain(&self, repo: &str, file: Option<&str>, answer: &Answer) -> Failure {
        let endpoint = self.endpoint();
        let code = answer.status();
        if !answer.from.is_hubs {
            let what = file.unwrap_or("the list of files");
            return Failure::Refused(format!("{} answers with HTTP status {code} for {what} of `{repo}`", self.shown(&answer.from)));
        }
        let why = match (code, file) {
            // The public hub answers 401 for what does not exist as well, to those without a token.
            (401, _) => {
                let hint = if self.has_token { "the token is not accepted" } else { "a token is needed if it is private, in HF_TOKEN" };
                format!("`{repo}` is private or does not exist at {endpoint}: {hint}")
            }
            (403, _) => format!("{endpoint} refuses access to `{repo}`: a token (HF_TOKEN) of an account that may read it is needed"),
            (404, None) => format!("no model `{repo}` at {endpoint}"),
            (404, Some(file)) => format!("no file {file} in `{repo}` at {endpoint}"),
            (429, _) => format!("too many requests to {endpoint} for now: try again later"),
            _ => format!("{endpoint} answers with HTTP status {code} for `{repo}`"),
        };
        // Out of order, or a proxy before it that gets no answer.
        if matches!(code, 500 | 502..=504) { Failure::Unreachable(why) } else { Failure::Refused(why) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_whole_numbers() {
        assert_eq!(number("18446744073709551615"), Ok(u64::MAX));
        for text in ["", "-1", "+1", "1.0", "0x1", " 1", "1000000000000000000000000000000", "9,223"] {
            assert!(number(text).is_err(), "{text}");
        }
    }
}
