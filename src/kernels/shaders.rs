//! The text of every shader.

/// The text of `shaders/$path`. In the browser package without what only people read: comments, indentation and spaces beside punctuation are 6 KB of it, compressed.
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

/// Conditions of templates that no browser meets, which has neither subgroups nor words of 64 bits ([`DeviceClass::of_software`]). Such lines alone go: so what
/// holds without lanes stands behind `#if LANES` and `#else`.
///
/// [`DeviceClass::of_software`]: super::choice::DeviceClass::of_software
const NEVER_IN_BROWSERS: [&str; 8] = [
    "#if LANES",
    "#if LANES == 4",
    "#if GATE == 2 && LANES == 4",
    "#if GATE == 2 && LANES != 4",
    "#if WIDE",
    "#if WEIGHT_TEXTURE",
    "#if KW",
    "#if STORES_IN_LOOP",
];

/// The first `N` bytes of a shader without comments, indentation, empty lines, spaces and ends of lines beside punctuation and what depends on a condition of [`NEVER_IN_BROWSERS`], and how many bytes
/// there are. WGSL has no texts, in which `//` would be none, and shaders here have no `/* */` (a test looks).
pub(crate) const fn strip<const N: usize>(text: &str) -> ([u8; N], usize) {
    let text = text.as_bytes();
    let mut out = [0; N];
    let (mut at, mut len) = (0, 0);
    // Open conditions, of which `left_out` stands for one of `NEVER_IN_BROWSERS`, whose directives go too; and how many of them hold lines back.
    let mut left_out = [false; 16];
    let mut held = [false; 16];
    let (mut depth, mut holding) = (0, 0);
    // Whether the line before needs no end, if code follows.
    let mut joins = false;
    while at < text.len() {
        while at < text.len() && text[at] == b' ' {
            at += 1;
        }
        let first = at;
        let mut end = at;
        while at < text.len() && text[at] != b'\n' {
            let comment = text[at] == b'/' && at + 1 < text.len() && text[at + 1] == b'/';
            if comment && end == at {
                end = at;
                while at < text.len() && text[at] != b'\n' {
                    at += 1;
                }
                break;
            }
            at += 1;
            end = at;
        }
        at += 1;
        let mut keep = end > first;
        if starts_with(text, first, b"#if ") {
            left_out[depth] = is_false(text, first, end);
            held[depth] = left_out[depth];
            keep &= !left_out[depth] && holding == 0;
            holding += held[depth] as usize;
            depth += 1;
        } else if starts_with(text, first, b"#else") {
            keep &= !left_out[depth - 1] && holding == 0;
            if left_out[depth - 1] {
                held[depth - 1] = false;
                holding -= 1;
            }
        } else if starts_with(text, first, b"#endif") {
            depth -= 1;
            holding -= held[depth] as usize;
            keep &= !left_out[depth] && holding == 0;
        } else {
            keep &= holding == 0;
        }
        // Directives are read by the template, attributes by `bindings`: both as they are written.
        let code = keep && text[first] != b'#' && text[first] != b'@';
        if code && joins {
            len -= 1;
        }
        if keep {
            joins = code && is_punctuation(text[end - 1]);
        }
        let mut from = first;
        while keep && from <= end {
            let space = code && from + 1 < end && text[from] == b' ' && (is_punctuation(text[from - 1]) || is_punctuation(text[from + 1]));
            if !space {
                if len < N {
                    out[len] = if from < end { text[from] } else { b'\n' };
                }
                len += 1;
            }
            from += 1;
        }
    }
    (out, len)
}

/// Beside these a space parts no words, nor does the end of a line.
const fn is_punctuation(byte: u8) -> bool {
    matches!(byte, b'=' | b'+' | b'-' | b'*' | b'/' | b'<' | b'>' | b'&' | b'|' | b'!' | b',' | b':' | b';' | b'(' | b')' | b'{' | b'}')
}

const fn starts_with(text: &[u8], at: usize, word: &[u8]) -> bool {
    let mut same = 0;
    while same < word.len() && at + same < text.len() && text[at + same] == word[same] {
        same += 1;
    }
    same == word.len()
}

const fn is_false(text: &[u8], first: usize, end: usize) -> bool {
    let mut of = 0;
    while of < NEVER_IN_BROWSERS.len() {
        let condition = NEVER_IN_BROWSERS[of].as_bytes();
        if end - first == condition.len() && starts_with(text, first, condition) {
            return true;
        }
        of += 1;
    }
    false
}

/// Bytes that [`strip`] left of a text.
pub(crate) const fn text(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => panic!("whole lines, their ends and spaces are all that was left out"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        graph::{Shape, passes},
        kernels::{
            PipelineKey,
            choice::{Choice, DeviceClass},
        },
        model::ghostnet::{GhostNet, Source},
        plan::{ConstantCache, Form, Plan, PlanOptions, Precision},
    };

    #[test]
    fn comments_and_indentation_go() {
        const TEXT: &str = "// about\n\n    let a = 1; // one\n  #if B == 2\n\tc / d\n#endif\n@group(0) var<a> b: c;\nd();\n\n  e\n// end";
        const SHORT: [u8; strip::<0>(TEXT).1] = strip(TEXT).0;
        assert_eq!(text(&SHORT), "let a=1; \n#if B == 2\n\tc/d\n#endif\n@group(0) var<a> b: c;\nd();e\n");
    }

    #[test]
    fn what_no_browser_meets_goes() {
        const TEXT: &str = "a\n#if LANES\n#if X\nb\n#else\nc\n#endif\n#else\n#if WIDE\nd\n#endif\ne\n#endif\n#if X\n#if KW\nf\n#else\ng\n#endif\n#else\nh\n#endif\n";
        const SHORT: [u8; strip::<0>(TEXT).1] = strip(TEXT).0;
        assert_eq!(text(&SHORT), "a\ne\n#if X\ng\n#else\nh\n#endif\n");
    }

    /// Shaders that are composed from what is left are those composed from the whole text.
    #[test]
    fn browsers_get_the_same_shaders() {
        const ROOM: usize = 1 << 16;
        fn short(whole: &'static str) -> &'static str {
            let (bytes, len) = strip::<ROOM>(whole);
            Box::leak(text(&bytes[..len]).to_string().into_boxed_str())
        }
        let code = |source: &str| -> String {
            source.lines().flat_map(|line| line.split("//").next().unwrap_or_default().split_whitespace()).collect()
        };
        let mut graph = GhostNet::new(1.0).graph(&mut Source::zeros(), false).unwrap();
        passes::run(&mut graph, passes::REQUIRED);
        passes::run(&mut graph, passes::FUSING);
        let mut kernels = std::collections::HashSet::new();
        let mut compare = |key: &PipelineKey| {
            let of_short = |name: &str| crate::kernels::shared(name).map(short);
            let composed = crate::kernels::template::compose(short(key.kernel.file().1), &key.defines, &of_short).unwrap();
            assert_eq!(code(&composed), code(&key.source()), "{}", key.file_name());
            // Nor does a space or an end of a line go that parts words.
            naga::front::wgsl::parse_str(&composed).unwrap_or_else(|error| panic!("{}: {error}", key.file_name()));
            kernels.insert(key.kernel);
        };
        for (f16, texture) in [(false, false), (false, true), (true, true)] {
            compare(&crate::kernels::resize_key(8, f16, texture));
        }
        for (class, fuse_ghost) in [(DeviceClass::Gpu, true), (DeviceClass::Software, true), (DeviceClass::Software, false)] {
            let choice = Choice { fuse_ghost, ..Choice::new(class) };
            for (precision, multiplies_halves) in [(Precision::F32, false), (Precision::F16, false), (Precision::F16, true)] {
                let choice = Choice { multiplies_halves, ..choice };
                let options = PlanOptions { form: Form::Classify { k: 5 }, precision, choice, normalise: [[0.0; 3], [1.0; 3]] };
                let plan = Plan::new(&graph, Shape::new(1, 3, 224, 224), &options, &mut ConstantCache::new()).unwrap();
                plan.steps.iter().for_each(|step| compare(&step.dispatch.key));
            }
        }
        assert!(kernels.len() >= 10, "{kernels:?}");
    }

    /// The text of every shader and of all that it imports.
    fn texts() -> Vec<&'static str> {
        let mut all: Vec<&str> = crate::kernels::Kernel::ALL.iter().map(|kernel| kernel.file().1).collect();
        let mut at = 0;
        while at < all.len() {
            let imports = all[at].lines().filter_map(|line| line.trim().strip_prefix("#import "));
            let new: Vec<_> = imports.map(|name| crate::kernels::shared(name).unwrap()).filter(|text| !all.contains(text)).collect();
            all.extend(new);
            at += 1;
        }
        all
    }

    #[test]
    fn shaders_have_line_comments_only() {
        assert!(texts().len() > 30);
        assert!(texts().iter().all(|text| !text.contains("/*")));
    }

    #[test]
    fn every_condition_that_no_browser_meets_is_there() {
        for condition in NEVER_IN_BROWSERS {
            assert!(texts().iter().any(|text| text.lines().any(|line| line.trim() == condition)), "{condition}");
        }
    }
}
