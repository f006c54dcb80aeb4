//! Addresses: which may be asked, where redirects lead, and what of them a message may show.

use super::choice::shown;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ureq::http::header::HeaderValue;
use ureq::http::uri::{Scheme, Uri};

/// The header's value for `user:password` as it stands in an address.
pub(super) fn basic(credentials: &str) -> String {
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let decoded = |text| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
    format!("Basic {}", BASE64_STANDARD.encode([decoded(user), b":".to_vec(), decoded(password)].concat()))
}

/// An address as messages show it. It may be no address at all, so that everything before the last
/// `@` counts as secret.
pub(super) fn without_credentials(address: &str) -> String {
    let Some((before, rest)) = address.rsplit_once('@') else { return shown(address) };
    let scheme = before.split_once("://").map_or(String::new(), |(scheme, _)| format!("{scheme}://"));
    shown(&format!("{scheme}***@{rest}"))
}

/// Whether this is an address to ask. The HTTP client would take the usual port for one that is no
/// number.
pub(super) fn check(uri: &Uri) -> Result<(), String> {
    match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS => {}
        Some(scheme) => return Err(format!("{}: is neither http: nor https:", shown(scheme.as_str()))),
        None => return Err("neither http:// nor https:// is before it".into()),
    }
    let authority = uri.authority().map_or("", |a| a.as_str());
    let host = uri.host().filter(|host| !host.is_empty()).ok_or("it names no host")?;
    match authority.rsplit('@').next().and_then(|rest| rest.strip_prefix(host)) {
        Some("") => Ok(()),
        Some(port) if port.strip_prefix(':').is_some_and(|p| p.bytes().all(|b| b.is_ascii_digit()) && p.parse::<u16>().is_ok()) => Ok(()),
        _ => Err("its port is none".into()),
    }
}

/// Scheme, host and port.
pub(super) fn same_origin(a: &Uri, b: &Uri) -> bool {
    let port = |uri: &Uri| uri.port_u16().or(if uri.scheme() == Some(&Scheme::HTTPS) { Some(443) } else { Some(80) });
    let host = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
    a.scheme() == b.scheme() && host(a) == host(b) && port(a) == port(b)
}

/// The address that a `Location` at `from` means (RFC 3986, section 5.2; the server takes care of
/// `..`), if it may be followed.
///
/// The parts that matter for safety are read by the parser that the HTTP client itself uses, after
/// all is put together.
pub(super) fn redirected(from: &Uri, location: &HeaderValue) -> Result<Uri, String> {
    let bad =
        |why: &str| format!("{:?} is no address to go to: {why}", shown(&without_query(&String::from_utf8_lossy(location.as_bytes()))));
    let text = location.to_str().map_err(|_| bad("it is not ASCII"))?;
    let text = text.split('#').next().unwrap_or_default();
    let scheme = from.scheme_str().unwrap_or_default();
    let authority = from.authority().map_or("", |a| a.as_str());
    let is_absolute = text.find([':', '/', '?']).is_some_and(|at| at > 0 && text[at..].starts_with(':'));
    let whole = if is_absolute {
        text.to_string()
    } else if text.starts_with("//") {
        format!("{scheme}:{text}")
    } else {
        let path = match text.chars().next() {
            None => from.path_and_query().map_or("/", |p| p.as_str()),
            Some('/') => "",
            Some('?') => from.path(),
            Some(_) => &from.path()[..from.path().rfind('/').map_or(0, |at| at + 1)],
        };
        format!("{scheme}://{authority}{path}{text}")
    };
    let uri: Uri = whole.parse().map_err(|e: ureq::http::uri::InvalidUri| bad(&e.to_string()))?;
    check(&uri).map_err(|why| bad(&why))?;
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(bad("it carries a user name"));
    }
    if from.scheme() == Some(&Scheme::HTTPS) && uri.scheme() != Some(&Scheme::HTTPS) {
        return Err(bad("it would leave https"));
    }
    Ok(uri)
}

/// Neither a signature nor credentials belong into a message.
pub(super) fn without_query(location: &str) -> String {
    let (path, query) = location.split_once('?').map_or((location, ""), |(path, _)| (path, "?..."));
    format!("{}{query}", without_credentials(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_read_as_the_standard_says() {
        let from: Uri = "http://hub:81/a/b/c?d".parse().unwrap();
        for (location, whole) in [
            ("https://cdn/x?y=1#z", "https://cdn/x?y=1"),
            ("HTTP://Hub:81/x", "http://Hub:81/x"),
            ("//cdn:82/x", "http://cdn:82/x"),
            ("/x/y", "http://hub:81/x/y"),
            ("x", "http://hub:81/a/b/x"),
            ("./x:y", "http://hub:81/a/b/./x:y"),
            ("*", "http://hub:81/a/b/*"),
            ("?e", "http://hub:81/a/b/c?e"),
            ("#e", "http://hub:81/a/b/c?d"),
            ("", "http://hub:81/a/b/c?d"),
            ("/x?u=http://y", "http://hub:81/x?u=http://y"),
        ] {
            assert_eq!(redirected(&from, &HeaderValue::from_static(location)).map(|u| u.to_string()), Ok(whole.into()), "{location}");
        }
    }

    #[test]
    fn only_http_addresses_are_followed_and_never_out_of_https() {
        let follow = |from: &'static str, to: &'static str| {
            redirected(&Uri::from_static(from), &HeaderValue::from_bytes(to.as_bytes()).unwrap()).map_err(|e| e.to_string())
        };
        for to in [
            "file:///etc/passwd",
            "ftp://hub/x",
            "javascript:x",
            "data:,x",
            "http:",
            "http:x",
            "http://",
            "http:///x",
            "http://:80/",
            "http://h:/",
            "http://h:x/",
            "http://h:99999/",
            "http://h:-1/",
            "http://a b/",
            "http://user@hub/",
            "http://user:secret@hub/",
            "//user:secret@hub/",
            "http://hub\\@evil/",
            "http://[::1/",
            "http://\u{e9}/",
            "https://hub@evil/",
            "http://hub/a b",
        ] {
            let error = follow("http://hub/a", to).expect_err(to);
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(follow("https://hub/a", "http://hub/b").unwrap_err().contains("it would leave https"));
        assert!(follow("https://hub/a", "HTTP://hub:443/b").is_err());
        assert!(follow("https://hub/a", "//cdn/b?Signature=s").is_ok_and(|u| u.scheme() == Some(&Scheme::HTTPS)));
        assert!(!follow("https://hub/a", "http://hub/b?Signature=secret").unwrap_err().contains("secret"));
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let same = |a: &'static str, b: &'static str| same_origin(&Uri::from_static(a), &Uri::from_static(b));
        assert!(same("http://hub/x", "http://HUB:80/y"));
        assert!(same("HTTPS://hub", "https://hub:443/"));
        for other in ["https://hub/", "http://hub:81/", "http://hub./", "http://hub.evil/", "http://evil/hub", "http://127.0.0.1/"] {
            assert!(!same("http://hub/", other), "{other}");
        }
    }

    #[test]
    fn credentials_are_shown_nowhere() {
        for address in ["http://me:secret@hub/x", "http://me:se/secret@hub", "me:secret@hub", "http://me:#secret@secret@hub", "secret@"] {
            let text = without_credentials(address);
            assert!(!text.contains("secret") && text.contains("***@"), "{text}");
        }
        assert_eq!(without_credentials("http://hub/x"), "http://hub/x");
        assert_eq!(basic("me:p%40ss:word"), "Basic bWU6cEBzczp3b3Jk");
        assert_eq!(basic("me"), "Basic bWU6");
    }
}
