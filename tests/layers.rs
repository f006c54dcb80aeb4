//! Imports go downwards: from a floor of the library to those below it, and in no circle within a
//! folder.

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// The floors, the lowest first. Those of the lowest may import each other.
const FLOORS: [&[&str]; 14] = [
    &["block", "cache", "clock", "error", "file", "json", "npy", "parallel", "shader", "simd", "stats", "tensor", "text", "wait"],
    &["device"],
    &["graph"],
    &["plan"],
    &["kernels"],
    &["compile"],
    &["cpu", "gpu"],
    &["hub"],
    &["image_input"],
    &["detect"],
    &["model"],
    &["engine"],
    &["measure"],
    &["web"],
];

/// Each module's text by its path, such as `gpu::context`; the library's root is `crate`. Without
/// comments and tests.
fn read(folder: &Path, module: &str, into: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let inner = if module == "crate" { name.to_string() } else { format!("{module}::{name}") };
        match name {
            // The command is a crate of its own.
            "main" | "cli" | "tests" => {}
            _ if path.is_dir() => read(&path, &inner, into),
            "lib" | "mod" => _ = into.insert(module.into(), stripped(&fs::read_to_string(path).unwrap())),
            _ => _ = into.insert(inner, stripped(&fs::read_to_string(path).unwrap())),
        }
    }
}

fn stripped(text: &str) -> String {
    let mut lines = text.lines().map(|line| line.split("//").next().unwrap());
    let mut kept = String::new();
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]" {
            // An item at the margin ends there too, or with its first line.
            let _ = lines.by_ref().enumerate().find(|(at, line)| line.starts_with('}') || (*at == 0 && line.ends_with(';')));
        } else {
            kept += line;
            kept += "\n";
        }
    }
    kept
}

/// All paths of the tree at the start of `text`; what follows it.
fn paths<'t>(mut text: &'t str, so_far: &str, found: &mut Vec<String>) -> &'t str {
    text = text.trim_start();
    if let Some(group) = text.strip_prefix('{') {
        text = group.trim_start();
        while !text.starts_with('}') {
            text = paths(text, so_far, found);
            // `as NAME`, and the comma.
            text = &text[text.find([',', '}']).unwrap()..];
            text = text.strip_prefix(',').unwrap_or(text).trim_start();
        }
        return &text[1..];
    }
    let (name, rest) = text.split_at(text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len()));
    let path = format!("{so_far}::{name}");
    match rest.strip_prefix("::") {
        Some(more) => paths(more, &path, found),
        None => {
            found.push(path);
            rest
        }
    }
}

/// Every path after `mark` in a text.
fn after(text: &str, mark: &str, so_far: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices(mark) {
        if !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
            paths(&text[at + mark.len()..], so_far, &mut found);
        }
    }
    found
}

struct Library {
    modules: BTreeMap<String, String>,
    /// What a module's `pub use` names, and where that is from.
    exports: BTreeMap<String, String>,
}

fn parent(module: &str) -> &str {
    module.rsplit_once("::").map_or("crate", |(parent, _)| parent)
}

impl Library {
    fn read() -> Self {
        let mut library = Self { modules: BTreeMap::new(), exports: BTreeMap::new() };
        read(&common::path("src"), "crate", &mut library.modules);
        for (module, text) in &library.modules {
            for path in [after(text, "pub use ", ""), after(text, "pub(crate) use ", ""), after(text, "pub(super) use ", "")].concat() {
                let path = path.trim_start_matches("::");
                let name = path.rsplit("::").next().unwrap();
                let from = path.strip_prefix("crate::").map_or(format!("{module}::{path}"), str::to_string);
                // A macro is named by itself.
                if from != format!("{module}::{name}") {
                    library.exports.insert(format!("{module}::{name}"), from.trim_start_matches("crate::").into());
                }
            }
        }
        library
    }

    /// A path such as `graph::super::engine` as it is meant.
    fn without_super(&self, path: &str) -> String {
        let mut names: Vec<&str> = Vec::new();
        for name in path.split("::") {
            if name == "super" { _ = names.pop() } else { names.push(name) }
        }
        let known = names.first().is_some_and(|name| self.modules.contains_key(*name));
        // A module inside a file is one deeper than the file, and means the file's folder.
        if known { names.join("::") } else { path.replace("super::", "") }
    }

    /// The module in which that is, to which a path leads.
    fn home(&self, path: &str) -> String {
        let path = &self.without_super(path.trim_start_matches("crate::"));
        let ends = path.match_indices("::").map(|(at, _)| at).chain([path.len()]);
        let known = ends.map(|end| &path[..end]).take_while(|start| self.modules.contains_key(*start)).last().unwrap_or("crate");
        let rest = path.strip_prefix(known).unwrap_or(path).trim_start_matches("::");
        let (name, rest) = rest.split_once("::").unwrap_or((rest, ""));
        match self.exports.get(&format!("{known}::{name}")) {
            Some(from) => self.home(format!("{from}::{rest}").trim_end_matches(':')),
            None => known.into(),
        }
    }

    /// Who imports from whom.
    fn imports(&self) -> BTreeSet<(String, String)> {
        let of = |(module, text): (&String, &String)| {
            let paths = [after(text, "crate::", "crate"), after(text, "super::", parent(module))].concat();
            paths.iter().map(|path| (module.clone(), self.home(path))).collect::<Vec<_>>()
        };
        self.modules.iter().filter(|(module, _)| *module != "crate").flat_map(of).filter(|(from, to)| from != to).collect()
    }
}

#[test]
fn imports_go_downwards() {
    let floor = |module: &str| {
        let room = module.split("::").next().unwrap();
        FLOORS.iter().position(|rooms| rooms.contains(&room)).unwrap_or_else(|| panic!("{room} is on no floor"))
    };
    for (from, to) in Library::read().imports() {
        let room = |module: &str| module.split("::").next().unwrap().to_string();
        let is_inside = room(&from) == room(&to);
        assert!(is_inside || floor(&to) < floor(&from) || floor(&to) + floor(&from) == 0, "{from} imports {to}, which is not below it");
    }
}

#[test]
fn no_folder_has_a_circle() {
    let mut folders: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
    for (from, to) in Library::read().imports() {
        let (a, b): (Vec<&str>, Vec<&str>) = (from.split("::").collect(), to.split("::").collect());
        let same = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
        // A module and those in it may import each other.
        if same < a.len() && same < b.len() {
            folders.entry(a[..same].join("::")).or_default().insert((a[same].into(), b[same].into()));
        }
    }
    assert!(folders.contains_key("gpu"));
    for (folder, mut imports) in folders {
        // Who imports nothing is in no circle.
        while let Some((_, free)) = imports.iter().find(|(_, to)| !imports.iter().any(|(from, _)| from == to)).cloned() {
            imports.retain(|(_, to)| *to != free);
        }
        assert!(imports.is_empty(), "a circle in src/{folder}: {imports:?}");
    }
}
