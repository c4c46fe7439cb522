//! Makes a WebAssembly module smaller to download, once the compiler and `wasm-bindgen` are done with it.
//!
//! [`traps`] leaves out the texts of panics, which no page shows. [`order`] leaves out what nothing calls any more, puts
//! alike functions side by side, where LZMA finds them, and shortens the names of imports.

mod order;
mod traps;

use anyhow::{Context, Result, bail};
use std::ops::Range;
use wasmparser::{
    BinaryReader, DataKind, ElementItems, ExternalKind, FunctionBody, Operator, Parser, Payload,
    TypeRef,
};

/// A packed module, and the new name of each import by its old one.
pub struct Packed {
    /// The module.
    pub wasm: Vec<u8>,
    /// Old and new names of the imported functions.
    pub names: Vec<(String, String)>,
}

/// Packs a module that has functions, tables and active data at constant addresses, as the compiler makes them.
pub fn pack(wasm: &[u8]) -> Result<Packed> {
    let mut code = Code::read(wasm)?;
    let mut wasm = wasm.to_vec();
    for place in traps::silence(&mut code, &wasm)? {
        wasm[place].fill(0);
    }
    let packed = order::ordered(&wasm, code)?;
    let valid = wasmparser::validate(&packed.wasm);
    valid.context("the packed WebAssembly is wrong")?;
    Ok(packed)
}

/// The functions of a module, and what calls them from outside of it.
struct Code {
    /// The names of the imported functions, which have the first indices.
    imports: Vec<String>,
    /// The type of each other function.
    types: Vec<u32>,
    /// The body of each of them: locals and instructions.
    bodies: Vec<Vec<u8>>,
    /// Functions that are exported, in a table, or run at the start.
    roots: Vec<u32>,
    /// Active data: its address, and its bytes in the module.
    data: Vec<(u32, Range<usize>)>,
}

impl Code {
    /// Reads a module.
    fn read(wasm: &[u8]) -> Result<Self> {
        let (imports, types, bodies) = (Vec::new(), Vec::new(), Vec::new());
        let mut code = Self { imports, types, bodies, roots: Vec::new(), data: Vec::new() };
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import?;
                        if let TypeRef::Func(_) = import.ty {
                            code.imports.push(import.name.to_owned());
                        }
                    }
                }
                Payload::FunctionSection(section) => {
                    code.types = section.into_iter().collect::<Result<_, _>>()?;
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        if export.kind == ExternalKind::Func {
                            code.roots.push(export.index);
                        }
                    }
                }
                Payload::StartSection { func, .. } => code.roots.push(func),
                Payload::ElementSection(section) => {
                    for element in section {
                        let ElementItems::Functions(functions) = element?.items else {
                            bail!("a table of other things than functions");
                        };
                        for function in functions {
                            code.roots.push(function?);
                        }
                    }
                }
                Payload::CodeSectionEntry(body) => {
                    code.bodies.push(wasm[body.range()].to_vec());
                }
                Payload::DataSection(section) => {
                    for data in section {
                        let data = data?;
                        if let DataKind::Active { offset_expr, .. } = data.kind {
                            let mut offset = offset_expr.get_operators_reader();
                            let Operator::I32Const { value } = offset.read()? else {
                                bail!("data at an address that is not constant");
                            };
                            let end = data.range.end;
                            code.data.push((value as u32, end - data.data.len()..end));
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(code)
    }

    /// The place of a function among those that are not imported.
    fn own(&self, function: u32) -> Option<usize> {
        (function as usize).checked_sub(self.imports.len())
    }

    /// The functions that a body names.
    fn named(body: &[u8]) -> Result<Vec<u32>> {
        let mut named = Vec::new();
        for (instruction, _) in instructions(body)? {
            if let Operator::Call { function_index } | Operator::RefFunc { function_index } =
                instruction
            {
                named.push(function_index);
            }
        }
        Ok(named)
    }
}

/// The instructions of a body, and the bytes of each.
fn instructions(body: &[u8]) -> Result<Vec<(Operator<'_>, Range<usize>)>> {
    let mut reader = FunctionBody::new(BinaryReader::new(body, 0)).get_operators_reader()?;
    let mut all = Vec::new();
    while !reader.eof() {
        let start = reader.original_position();
        let instruction = reader.read()?;
        all.push((instruction, start..reader.original_position()));
    }
    Ok(all)
}
