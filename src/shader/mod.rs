//! Shaders as text: composed from their templates, and what they declare.

mod template;

use crate::text::cut;

/// The text of `shaders/$path`. The browser package has it without what only people read: comments
/// and indentation would be 6 KB, compressed.
macro_rules! shader_text {
    ($path:expr) => {{
        const TEXT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $path));
        if cfg!(target_arch = "wasm32") {
            const SHORT: [u8; crate::shader::strip::<0>(TEXT).1] = crate::shader::strip(TEXT).0;
            const { crate::shader::text(&SHORT) }
        } else {
            TEXT
        }
    }};
}

pub(crate) use shader_text;

/// Expands a template with integer constants; the error names the line.
pub(crate) fn compose(template: &str, defines: template::Defines<'_>) -> Result<String, String> {
    template::compose(template, defines, &|name| shared(name))
}

/// The first `N` bytes of a shader without comments, indentation and empty lines, and how many
/// bytes there are. WGSL has no string literals, in which `//` would be none. Shaders here have no
/// block comments, which a test makes sure of.
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

fn shared(name: &str) -> Option<&'static str> {
    Some(match name {
        "activation" => shader_text!("shared/activation.wgsl"),
        "divide" => shader_text!("shared/divide.wgsl"),
        "dtype" => shader_text!("shared/dtype.wgsl"),
        "grid" => shader_text!("shared/grid.wgsl"),
        "reduce" => shader_text!("shared/reduce.wgsl"),
        "sum_over_input" => shader_text!("shared/sum_over_input.wgsl"),
        _ => return None,
    })
}

/// A storage buffer or texture as the shader declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// `@binding`, in group 0.
    pub index: u32,
    /// The variable's name.
    pub name: String,
    /// `read_write` rather than `read`.
    pub writes: bool,
    /// A texture rather than a buffer.
    pub texture: bool,
}

/// The storage buffers and textures that a composed shader declares.
pub fn bindings(source: &str) -> Vec<Binding> {
    source
        .lines()
        .filter_map(|line| {
            let (index, rest) = cut(line.strip_prefix("@group(0) @binding(")?, ") var")?;
            let index = index.parse().ok()?;
            let (space, rest) = rest.strip_prefix('<').and_then(|rest| cut(rest, "> ")).unwrap_or(("", rest));
            let (name, ty) = cut(rest.trim_ascii_start(), ": ")?;
            let (buffer, texture) = (space.starts_with("storage"), ty.starts_with("texture"));
            (buffer || texture).then(|| Binding { index, name: name.to_string(), writes: space.ends_with("read_write"), texture })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        device::{Choice, DeviceClass},
        graph::{Shape, passes},
        kernels::{
            self,
            sample::{self, Held},
        },
        model::{Source, families::ghostnet::GhostNet},
        plan::{ConstantCache, Form, PipelineKey, Plan, PlanOptions, Precision},
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
        let mut graph = GhostNet::new(1.0).graph(&mut Source::zeros()).unwrap();
        passes::run(&mut graph, passes::REQUIRED);
        passes::run(&mut graph, passes::FUSING);
        let mut seen = std::collections::HashSet::new();
        let mut compare = |key: &PipelineKey| {
            let of_short = |name: &str| shared(name).map(short);
            let composed = template::compose(short(key.kernel.spec().template), &key.defines, &of_short).unwrap();
            assert_eq!(code(&composed), code(&key.source()), "{}", key.file_name());
            naga::front::wgsl::parse_str(&composed).unwrap_or_else(|error| panic!("{}: {error}", key.file_name()));
            seen.insert(key.kernel);
        };
        for (f16, texture) in [(false, false), (false, true), (true, true)] {
            compare(&kernels::resize::key(f16, texture));
        }
        for held in [Held::Texture, Held::External] {
            let sample = sample::Problem {
                source_rows: 0..1,
                source_columns: 0..1,
                size: [1; 2],
                is_nhwc: false,
                is_bgr: false,
                mean: [0.0; 3],
                std: [1.0; 3],
                pad: [0.0; 3],
                taps: Vec::new(),
            };
            compare(&sample.key(false, held));
        }
        for (class, fuse_ghost) in [(DeviceClass::Gpu, true), (DeviceClass::Software, true), (DeviceClass::Gpu, false)] {
            let choice = Choice { fuse_ghost, ..Choice::new(class) };
            for (precision, multiplies_halves) in [(Precision::F32, false), (Precision::F16, false), (Precision::F16, true)] {
                let choice = Choice { multiplies_halves, ..choice };
                let options = PlanOptions { form: Form::Classify { k: 5 }, precision, choice, normalise: [[0.0; 3], [1.0; 3]] };
                let plan = Plan::new(&graph, &[Shape::new(1, 3, 224, 224)], &options, &mut ConstantCache::new()).unwrap();
                plan.steps.iter().for_each(|step| compare(&step.dispatch.key));
            }
        }
        assert!(seen.len() >= 10, "{seen:?}");
    }

    /// The text of every shader and of all that it imports.
    fn texts() -> Vec<&'static str> {
        let mut all: Vec<&str> = kernels::ALL.iter().map(|kernel| kernel.spec().template).collect();
        let mut at = 0;
        while at < all.len() {
            let imports = all[at].lines().filter_map(|line| line.trim().strip_prefix("#import "));
            let new: Vec<_> = imports.map(|name| shared(name).unwrap()).filter(|text| !all.contains(text)).collect();
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
