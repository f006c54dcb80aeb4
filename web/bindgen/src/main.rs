//! `bindgen MODULE.wasm DIRECTORY NAME`: writes `DIRECTORY/NAME.js` and `DIRECTORY/NAME_bg.wasm`,
//! with the names of its functions.

use anyhow::{Result, bail};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [module, directory, name] = &arguments[..] else { bail!("usage: bindgen MODULE.wasm DIRECTORY NAME") };
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).out_name(name).web(true)?.typescript(false);
    bindgen.remove_producers_section(true).generate(directory)
}
