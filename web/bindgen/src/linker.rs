//! The linker of the browser package: takes the messages of panics out of what rustc made, then
//! calls rust-lld.
//!
//! A panic in the browser ends in the instruction `unreachable`. The profile `web` aborts, and std
//! writes a panic's message to a standard error output that WebAssembly has not. Still every place
//! that may panic builds its message, and thereby keeps much in the module: file names, texts, the
//! formatting of numbers and `Debug` of whole types.
//!
//! rustc leaves them out with `-Z build-std` and `panic=immediate-abort` only, which are unstable.
//! So it is done here, on the object file, where relocations still tell what uses what. Calls of
//! what never returns from `core::panicking` become `unreachable`, which they come to anyway, and
//! the instructions that build their arguments become nothing. The linker then drops functions and
//! data that nothing refers to any more. Every check stays.
//!
//! rustc calls it with the linker's own arguments. rust-lld is on the path that it sets.

use anyhow::{Context as _, Result, bail};
use std::{
    collections::{HashMap, HashSet},
    env, fs,
    ops::Range,
    process::Command,
};
use wasmparser::{
    FunctionBody, KnownCustom, Linking, LinkingSectionReader, Operator, Parser, Payload, RelocSectionReader, RelocationEntry,
    RelocationType, SymbolInfo, TypeRef,
};

fn main() -> Result<()> {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    for argument in arguments.iter_mut().filter(|argument| argument.ends_with(".rcgu.o")) {
        let object = fs::read(&argument).with_context(|| argument.clone())?;
        let trimmed = format!("{argument}.trimmed.o");
        fs::write(&trimmed, trim(&object).with_context(|| argument.clone())?)?;
        *argument = trimmed;
    }
    let status = Command::new("rust-lld").args(&arguments).status().context("rust-lld")?;
    for trimmed in arguments.iter().filter(|argument| argument.ends_with(".trimmed.o")) {
        fs::remove_file(trimmed)?;
    }
    if !status.success() {
        bail!("rust-lld: {status}");
    }
    Ok(())
}

/// Parts of the symbols, mangled in either way, of functions that panic, where they do not return.
const PANICS: [&str; 4] = ["4core9panicking", "4core3str16slice_error_fail", "5alloc5alloc18handle_alloc_error", "3std7process5abort"];

/// Parts of the symbol of the one `Debug` that only a panic's message would call: that of an error
/// made of a text, such as wgpu's carry. It brings the tables of Unicode into the package. To call
/// it would be a trap, as a panic is.
const DEBUG: [&str; 2] = ["11StringError", "5Debug"];

/// What this tool has to know of an object file.
#[derive(Default)]
struct Object<'a> {
    /// The contents of its code section.
    code: Range<usize>,
    bodies: Vec<FunctionBody<'a>>,
    /// How many functions are imported; their numbers come first.
    imported: u32,
    /// How many parameters the others have.
    parameters: Vec<usize>,
    names: HashMap<u32, &'a str>,
    /// Numbers of the symbols that [`DEBUG`] tells of.
    debug: HashSet<u32>,
    /// The sections of relocations, from the first on: each as a whole, its contents, where the
    /// section starts that they are of.
    relocations: Vec<(Range<usize>, RelocSectionReader<'a>, usize)>,
}

impl<'a> Object<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self> {
        let mut object = Self::default();
        let mut end = 0;
        // Where the contents of each section start.
        let mut sections = Vec::new();
        let mut types = Vec::new();
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload?;
            let start = end;
            if let Some((_, range)) = payload.as_section() {
                end = range.end;
                sections.push(range.start);
            } else if let Payload::Version { range, .. } = &payload {
                end = range.end;
            }
            match payload {
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        let import = import?;
                        if let TypeRef::Func(_) = import.ty {
                            object.names.insert(object.imported, import.name);
                            object.imported += 1;
                        }
                    }
                }
                Payload::TypeSection(section) => {
                    types = section.into_iter_err_on_gc_types().map(|ty| Ok(ty?.params().len())).collect::<Result<_>>()?;
                }
                Payload::FunctionSection(section) => {
                    object.parameters = section.into_iter().map(|ty| Ok(types[ty? as usize])).collect::<Result<_>>()?;
                }
                Payload::CodeSectionStart { range, .. } => {
                    object.code = range;
                }
                Payload::CodeSectionEntry(body) => object.bodies.push(body),
                Payload::CustomSection(section) => match section.as_known() {
                    KnownCustom::Linking(linking) => object.read_names(linking)?,
                    KnownCustom::Reloc(relocations) => {
                        let of = sections[relocations.section_index() as usize];
                        object.relocations.push((start..section.range().end, relocations, of));
                    }
                    _ => {}
                },
                _ => {}
            }
        }
        Ok(object)
    }

    fn read_names(&mut self, linking: LinkingSectionReader<'a>) -> Result<()> {
        for part in linking.subsections() {
            if let Linking::SymbolTable(symbols) = part? {
                for (number, symbol) in (0..).zip(symbols) {
                    if let SymbolInfo::Func { index, name: Some(name), .. } = symbol? {
                        self.names.insert(index, name);
                        if DEBUG.iter().all(|part| name.contains(part)) {
                            self.debug.insert(number);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// A relocatable object without what only serves panics. Nothing changes its place, but for the
/// relocations, which are fewer.
fn trim(bytes: &[u8]) -> Result<Vec<u8>> {
    let object = Object::read(bytes)?;
    let bodies: Vec<Vec<(Operator<'_>, usize)>> = object
        .bodies
        .iter()
        .map(|body| body.get_operators_reader()?.into_iter_with_offsets().collect::<Result<_, _>>())
        .collect::<Result<_, _>>()?;

    // Those that are known by their names and never return, then those that do nothing but call
    // them, until there are no more.
    let never_returns: HashSet<u32> = bodies.iter().flat_map(|body| body.windows(2)).filter_map(|pair| ends_at_a_call(pair)).collect();
    let named = |at: &u32| object.names.get(at).is_some_and(|name| PANICS.iter().any(|part| name.contains(part)));
    let mut panicking: HashSet<u32> = never_returns.into_iter().filter(named).collect();
    loop {
        let numbered = (object.imported..).zip(&bodies);
        let more = numbered.filter(|(at, body)| !panicking.contains(at) && only_panics(body, &panicking)).map(|(at, _)| at);
        let more: Vec<u32> = more.collect();
        if more.is_empty() {
            break;
        }
        panicking.extend(more);
    }

    let mut trimmed = bytes.to_vec();
    let mut gone = Vec::new();
    for body in &bodies {
        let mut start = 0;
        for (at, (operator, _)) in body.iter().enumerate() {
            if calls(operator).is_some_and(|callee| panicking.contains(&callee)) {
                gone.push(body[start].1..body[at + 1].1);
            }
            if !is_straight(operator) {
                start = at + 1;
            }
        }
    }
    for range in &gone {
        // Instructions that do nothing, and at the end `unreachable`.
        trimmed[range.clone()].fill(0x01);
        trimmed[range.end - 1] = 0x00;
    }
    // Where a panic would have been: a last parameter that nobody reads any more. Callers pass
    // zero.
    for range in unread(&object, &bodies, &gone) {
        trimmed[range.clone()].copy_from_slice(&[0x80, 0x80, 0x80, 0x80, 0x00]);
        gone.push(range);
    }
    gone.sort_by_key(|range| range.start);
    // From the last on, for each that is shorter moves those behind it.
    for (section, relocations, of) in object.relocations.iter().rev() {
        let kept = without(bytes, relocations, |relocation| {
            let at = of + relocation.offset as usize;
            let debug = relocation.ty == RelocationType::TableIndexI32 && object.debug.contains(&relocation.index);
            if debug {
                // The table's first entry is none.
                trimmed[at..at + 4].fill(0);
            }
            debug || gone.get(gone.partition_point(|range| range.end <= at)).is_some_and(|range| range.contains(&at))
        })?;
        trimmed.splice(section.clone(), kept);
    }
    Ok(trimmed)
}

/// The constants that are passed as last parameters to functions that do not read these, or only
/// pass them on to such functions.
fn unread(object: &Object<'_>, bodies: &[Vec<(Operator<'_>, usize)>], gone: &[Range<usize>]) -> Vec<Range<usize>> {
    let is_gone = |at: usize| gone.get(gone.partition_point(|range| range.end <= at)).is_some_and(|range| range.contains(&at));
    let mut without: HashSet<u32> = HashSet::new();
    let passed_on = |pair: &[(Operator<'_>, usize)], without: &HashSet<u32>| calls(&pair[1].0).is_some_and(|at| without.contains(&at));
    loop {
        let reads = |(body, &parameters): (&Vec<(Operator<'_>, usize)>, &usize)| {
            let last =
                |operator: &Operator<'_>| matches!(operator, Operator::LocalGet { local_index } if *local_index as usize + 1 == parameters);
            parameters == 0 || body.windows(2).any(|pair| last(&pair[0].0) && !is_gone(pair[0].1) && !passed_on(pair, &without))
        };
        let numbered = (object.imported..).zip(bodies.iter().zip(&object.parameters));
        let more: Vec<u32> = numbered.filter(|(at, body)| !without.contains(at) && !reads(*body)).map(|(at, _)| at).collect();
        if more.is_empty() {
            break;
        }
        without.extend(more);
    }
    let constants = bodies.iter().flat_map(|body| body.windows(2)).filter(|pair| passed_on(pair, &without) && !is_gone(pair[0].1));
    // Of an address the linker fills in: five bytes behind the instruction's own.
    let addresses = constants.filter(|pair| matches!(pair[0].0, Operator::I32Const { .. }) && pair[1].1 - pair[0].1 == 6);
    addresses.map(|pair| pair[0].1 + 1..pair[1].1).collect()
}

/// The function that is called, if it is known which.
fn calls(operator: &Operator<'_>) -> Option<u32> {
    if let Operator::Call { function_index } = operator { Some(*function_index) } else { None }
}

/// The function called by the first of two instructions if the second says that the call never
/// returns.
fn ends_at_a_call(pair: &[(Operator<'_>, usize)]) -> Option<u32> {
    calls(&pair[0].0).filter(|_| matches!(pair[1].0, Operator::Unreachable))
}

/// Whether all ways through a function end in a panic, and nothing else is called on any.
fn only_panics(body: &[(Operator<'_>, usize)], panicking: &HashSet<u32>) -> bool {
    use Operator::*;
    // How many blocks are open; a branch by as many leaves the function.
    let mut depth = 0;
    let mut comes_to_its_end = true;
    for (operator, _) in body {
        let leaves = |label: u32| label == depth;
        match operator {
            Block { .. } | Loop { .. } | If { .. } => depth += 1,
            End if depth == 0 => return !comes_to_its_end,
            End => depth -= 1,
            Br { relative_depth } | BrIf { relative_depth } if leaves(*relative_depth) => return false,
            BrTable { targets } if leaves(targets.default()) || targets.targets().any(|t| t.is_ok_and(leaves)) => return false,
            Return | CallIndirect { .. } | ReturnCall { .. } | ReturnCallIndirect { .. } => return false,
            Call { function_index } if !panicking.contains(function_index) => return false,
            _ => {}
        }
        comes_to_its_end = !matches!(operator, Unreachable | Br { .. } | BrTable { .. } | Call { .. });
    }
    false
}

/// Whether control goes from this instruction to the next and nowhere else, and nobody but this
/// module sees what it does.
fn is_straight(operator: &Operator<'_>) -> bool {
    use Operator::*;
    !matches!(
        operator,
        Block { .. }
            | Loop { .. }
            | If { .. }
            | Else
            | End
            | Br { .. }
            | BrIf { .. }
            | BrTable { .. }
            | Return
            | Unreachable
            | Call { .. }
            | CallIndirect { .. }
            | ReturnCall { .. }
            | ReturnCallIndirect { .. }
    )
}

/// A section of relocations without those that are `gone`.
fn without(bytes: &[u8], relocations: &RelocSectionReader<'_>, mut gone: impl FnMut(&RelocationEntry) -> bool) -> Result<Vec<u8>> {
    let entries = relocations.entries().into_iter_with_offsets().collect::<Result<Vec<_>, _>>()?;
    let ends = entries.iter().skip(1).map(|(offset, _)| *offset).chain([relocations.range().end]);
    let (mut count, mut kept) = (0, Vec::new());
    for ((start, entry), end) in entries.iter().zip(ends) {
        if !gone(entry) {
            kept.extend_from_slice(&bytes[*start..end]);
            count += 1;
        }
    }
    // The linker goes by the number of the section that they are of.
    let name = b"reloc.";
    let contents = [&leb(name.len() as u32)[..], name, &leb(relocations.section_index()), &leb(count), &kept].concat();
    Ok([&[0][..], &leb(contents.len() as u32), &contents].concat())
}

/// A number as WebAssembly writes it.
fn leb(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}
