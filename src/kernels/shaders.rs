//! The text of every shader.

/// The text of `shaders/$path`. In the browser package without what only people read: comments and indentation are 5.5 KB of it, compressed.
macro_rules! shader_text {
    ($path:expr) => {{
        const TEXT: &str = include_str!(concat!("../../shaders/", $path));
        if cfg!(target_arch = "wasm32") {
            const SHORT: [u8; crate::kernels::shaders::strip::<0>(TEXT).1] = crate::kernels::shaders::strip(TEXT).0;
            const { crate::kernels::shaders::text(&SHORT) }
        } else {
            TEXT
        }
    }};
}

pub(crate) use shader_text;

/// The first `N` bytes of a shader without comments, indentation and empty lines, and how many bytes there are. WGSL has no texts, in
/// which `//` would be none, and shaders here have no `/* */` (a test looks).
pub(crate) const fn strip<const N: usize>(text: &str) -> ([u8; N], usize) {
    let text = text.as_bytes();
    let mut out = [0; N];
    let (mut at, mut len) = (0, 0);
    // Whether something of the line is out already.
    let mut begun = false;
    while at < text.len() {
        let byte = text[at];
        if byte == b'/' && at + 1 < text.len() && text[at + 1] == b'/' {
            while at < text.len() && text[at] != b'\n' {
                at += 1;
            }
            continue;
        }
        at += 1;
        let keep = if byte == b'\n' { begun } else { begun || byte != b' ' };
        if keep {
            if len < N {
                out[len] = byte;
            }
            len += 1;
        }
        begun = byte != b'\n' && (begun || byte != b' ');
    }
    (out, len)
}

/// Bytes that [`strip`] left of a text.
pub(crate) const fn text(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => panic!("only whole lines and their ends were left out"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_indentation_go() {
        const TEXT: &str = "// about\n\n    let a = 1; // one\n  #if B\n\tc / d\n// end";
        const SHORT: [u8; strip::<0>(TEXT).1] = strip(TEXT).0;
        assert_eq!(text(&SHORT), "let a = 1; \n#if B\n\tc / d\n");
    }

    #[test]
    fn shaders_have_line_comments_only() {
        for kernel in crate::kernels::Kernel::ALL {
            assert!(!kernel.file().1.contains("/*"), "{kernel}");
        }
    }
}
