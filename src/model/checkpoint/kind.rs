//! What kind of weights file it is, by its first bytes.

use std::fmt::Write as _;

/// How much of a file tells its kind; the `ustar` mark of the TAR format, at 257, lies farthest in.
pub(super) const HEAD_BYTES: u64 = 512;

/// The kinds of weights files.
#[derive(Debug, PartialEq)]
pub(super) enum Kind {
    Safetensors,
    Pytorch,
}

/// Tells a file's kind from its first [`HEAD_BYTES`]; the error says what it is instead.
pub(super) fn recognise(head: &[u8]) -> Result<Kind, String> {
    // "ustar" marks a TAR archive, PyTorch's form before 0.1.10. The numbers are the magic that
    // opens its form before 1.6, as pickle protocols 2 and up and protocols 0 and 1 write it.
    let opening = &head[..head.len().min(64)];
    let has = |mark: &[u8]| opening.windows(mark.len()).any(|window| window == mark);
    if head.starts_with(b"PK\x03\x04")
        || head.starts_with(b"PK\x05\x06")
        || head.get(257..262) == Some(b"ustar")
        || has(b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19")
        || has(b"119547037146038801333356")
    {
        return Ok(Kind::Pytorch);
    }
    if head.is_empty() {
        return Err("the file is empty".into());
    }
    if let Some(text) = as_text(head) {
        let start = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).to_ascii_lowercase();
        return Err(if start.starts_with("version https://git-lfs") {
            "a git-LFS pointer, not the weights themselves; `git lfs pull` fetches them".into()
        } else if start.starts_with("<!doctype html") || start.starts_with("<html") {
            "an HTML page, not weights; the download gave an error or a login page".into()
        } else {
            "a text file, not weights".into()
        });
    }
    match head {
        // A safetensors file is the length of its header in 8 bytes, and a JSON object. The length
        // may begin as a pickle does.
        [_, _, _, _, _, _, _, _, b'{', ..] => Ok(Kind::Safetensors),
        [0x80, 2..=5, ..] => Ok(Kind::Pytorch),
        _ => {
            let mut what = "neither a safetensors file nor a PyTorch checkpoint; it begins with".to_string();
            for byte in head.iter().take(8) {
                let _ = write!(what, " {byte:02x}");
            }
            Err(what)
        }
    }
}

/// The head of a file as text, if that is what it is.
fn as_text(head: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The head may end inside a character.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&head[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    text.chars().all(|c| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\u{c}')).then_some(text)
}
