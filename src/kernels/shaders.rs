//! The text of every shader.

/// The text of `shaders/$path`. In the browser package without what only people read: comments and indentation are 6 KB of it, compressed.
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

/// The first `N` bytes of a shader without comments, indentation and empty lines, and how many bytes there are. WGSL has no texts, in which `//` would be
/// none, and shaders here have no `/* */` (a test looks).
pub(crate) const fn strip<const N: usize>(text: &str) -> ([u8; N], usize) {
    let text = text.as_bytes();
    let mut out = [0; N];
    let (mut at, mut len) = (0, 0);
    while at < text.len() {
        while at < text.len() && text[at] == b' ' {
            at += 1;
        }
        let first = at;
        let mut comment = false;
        while at < text.len() && text[at] != b'\n' {
            comment |= text[at] == b'/' && at + 1 < text.len() && text[at + 1] == b'/';
            if !comment {
                if len < N {
                    out[len] = text[at];
                }
                len += 1;
            }
            at += 1;
        }
        if at > first && !(comment && text[first] == b'/') {
            if len < N {
                out[len] = b'\n';
            }
            len += 1;
        }
        at += 1;
    }
    (out, len)
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
        const TEXT: &str = "// about\n\n    let a = 1; // one\n  #if B == 2\n\tc / d\n#endif\n\n  e\n// end";
        const SHORT: [u8; strip::<0>(TEXT).1] = strip(TEXT).0;
        assert_eq!(text(&SHORT), "let a = 1; \n#if B == 2\n\tc / d\n#endif\ne\n");
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
            naga::front::wgsl::parse_str(&composed).unwrap_or_else(|error| panic!("{}: {error}", key.file_name()));
            kernels.insert(key.kernel);
        };
        for (f16, texture) in [(false, false), (false, true), (true, true)] {
            compare(&crate::kernels::resize_key(f16, texture));
        }
        for (class, fuse_ghost) in [(DeviceClass::Gpu, true), (DeviceClass::Software, true), (DeviceClass::Gpu, false)] {
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
        assert!(texts().len() > 15);
        assert!(texts().iter().all(|text| !text.contains("/*")));
    }
}
