//! The functions that are left, in an order that a compressor likes: by type, then by their bytes. And short names of imports.

use super::{Code, Packed};
use anyhow::{Result, anyhow};
use std::convert::Infallible;
use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{CodeSection, FunctionSection, ImportSection, Module};
use wasmparser::{BinaryReader, FunctionBody, Parser};

/// Writes the module with the functions of `code`.
pub fn ordered(wasm: &[u8], code: Code) -> Result<Packed> {
    let live = live(&code)?;
    let mut order: Vec<usize> = (0..code.bodies.len()).filter(|&f| live[f]).collect();
    order.sort_by_key(|&f| (code.types[f], &code.bodies[f]));
    let mut places = vec![u32::MAX; code.bodies.len()];
    for (place, &function) in order.iter().enumerate() {
        places[function] = u32::try_from(code.imports.len() + place)?;
    }
    let mut writer = Writer { code, order, places, names: Vec::new() };
    let mut module = Module::new();
    let written = writer.parse_core_module(&mut module, Parser::new(0), wasm);
    written.map_err(|error| anyhow!("the WebAssembly cannot be written: {error}"))?;
    Ok(Packed { wasm: module.finish(), names: writer.names })
}

/// Which functions can be called.
fn live(code: &Code) -> Result<Vec<bool>> {
    let mut live = vec![false; code.bodies.len()];
    let mut open = code.roots.clone();
    while let Some(function) = open.pop() {
        let Some(own) = code.own(function) else { continue };
        if !std::mem::replace(&mut live[own], true) {
            open.extend(Code::named(&code.bodies[own])?);
        }
    }
    Ok(live)
}

/// Writes a module again, with functions in another order.
struct Writer {
    /// The functions.
    code: Code,
    /// Those that are written, in their order.
    order: Vec<usize>,
    /// The new index of each.
    places: Vec<u32>,
    /// The names of imports, old and new.
    names: Vec<(String, String)>,
}

/// What writing can fail with.
type Written<T = ()> = Result<T, reencode::Error<Infallible>>;

impl Reencode for Writer {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Written<u32> {
        Ok(self.code.own(function).map_or(function, |own| self.places[own]))
    }

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: wasmparser::ImportSectionReader<'_>,
    ) -> Written {
        for import in section.into_imports() {
            let import = import?;
            let mut name = import.name.to_owned();
            if let wasmparser::TypeRef::Func(_) = import.ty {
                name = format!("i{}", self.names.len());
                self.names.push((import.name.to_owned(), name.clone()));
            }
            imports.import(import.module, &name, self.entity_type(import.ty)?);
        }
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        _: wasmparser::FunctionSectionReader<'_>,
    ) -> Written {
        for &function in &self.order {
            functions.function(self.code.types[function]);
        }
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        _: wasmparser::CodeSectionReader<'_>,
    ) -> Written {
        for at in 0..self.order.len() {
            let body = std::mem::take(&mut self.code.bodies[self.order[at]]);
            self.parse_function_body(code, FunctionBody::new(BinaryReader::new(&body, 0)))?;
        }
        Ok(())
    }

    fn parse_custom_section(
        &mut self,
        _: &mut Module,
        _: wasmparser::CustomSectionReader<'_>,
    ) -> Written {
        // Names of functions and the like: a browser needs none.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::pack::pack;
    use std::process::Command;
    use wasm_encoder::{
        CodeSection, ConstExpr, DataSection, EntityType, ExportKind, ExportSection, Function,
        FunctionSection, ImportSection, Instruction, MemorySection, MemoryType, Module,
        TypeSection, ValType,
    };
    use wasmparser::{Parser, Payload};

    /// Function 0 is imported and told 3 by `run`, which is function 4 and panics if its argument is 0. Function 1 is never
    /// called, 2 is the panic, 3 adds 1 and is called by `run`.
    fn module() -> Vec<u8> {
        let (mut module, mut types) = (Module::new(), TypeSection::new());
        types.ty().function([ValType::I32], []);
        types.ty().function([ValType::I32], [ValType::I32]);
        let mut imports = ImportSection::new();
        imports.import("./page.js", "__wbg_tell_1f", EntityType::Function(0));
        let mut functions = FunctionSection::new();
        for ty in [1, 0, 1, 0] {
            functions.function(ty);
        }
        let mut memories = MemorySection::new();
        let memory64 = false;
        memories.memory(MemoryType {
            minimum: 1,
            maximum: None,
            memory64,
            shared: false,
            page_size_log2: None,
        });
        let mut exports = ExportSection::new();
        exports.export("run", ExportKind::Func, 4).export("memory", ExportKind::Memory, 0);
        let mut code = CodeSection::new();
        let own = Instruction::LocalGet(0);
        let body = |instructions: &[Instruction<'_>]| {
            let mut body = Function::new([]);
            for instruction in instructions {
                body.instruction(instruction);
            }
            body.instruction(&Instruction::End);
            body
        };
        code.function(&body(std::slice::from_ref(&own)));
        code.function(&body(&[Instruction::Unreachable]));
        code.function(&body(&[own.clone(), Instruction::I32Const(1), Instruction::I32Add]));
        let run = [
            Instruction::Block(wasm_encoder::BlockType::Empty),
            own.clone(),
            Instruction::BrIf(0),
            Instruction::I32Const(16),
            Instruction::Call(2),
            Instruction::Unreachable,
            Instruction::End,
            own,
            Instruction::Call(3),
            Instruction::Call(0),
        ];
        code.function(&body(&run));
        let mut data = DataSection::new();
        let place = [32u32, 4, 7, 5].map(u32::to_le_bytes).concat();
        data.active(0, &ConstExpr::i32_const(16), [&place, &b"a.rs"[..]].concat());
        module.section(&types).section(&imports).section(&functions).section(&memories);
        module.section(&exports).section(&code).section(&data);
        module.finish()
    }

    #[test]
    fn a_packed_module_has_what_is_called_in_order() {
        let (plain, packed) = (module(), pack(&module()).unwrap());
        assert_eq!(packed.names, [("__wbg_tell_1f".to_owned(), "i0".to_owned())]);
        let mut bodies = Vec::new();
        for payload in Parser::new(0).parse_all(&packed.wasm) {
            if let Payload::CodeSectionEntry(body) = payload.unwrap() {
                bodies.push(packed.wasm[body.range()].to_vec());
            }
        }
        // The panic is called no more, so two functions are left: by type, `run`, which calls function 2, and that.
        let run = [0, 0x02, 0x40, 0x20, 0, 0x0d, 0, 0x00, 0x0b, 0x20, 0, 0x10, 2, 0x10, 0, 0x0b];
        assert_eq!(bodies, [run.to_vec(), vec![0, 0x20, 0, 0x41, 1, 0x6a, 0x0b]]);
        // The place of the panic is zeros now, the name of its file is there.
        let place = [32u32, 4, 7, 5].map(u32::to_le_bytes).concat();
        let has = |wasm: &[u8], bytes: &[u8]| wasm.windows(bytes.len()).any(|w| w == bytes);
        assert!(has(&plain, &place) && !has(&packed.wasm, &place) && has(&packed.wasm, b"a.rs"));
        assert!(pack(&plain[..plain.len() - 3]).is_err());
    }

    #[test]
    fn a_packed_module_does_the_same() {
        if Command::new("node").arg("--version").output().is_err() {
            eprintln!("skipped: there is no node");
            return;
        }
        // What `run` tells, or that it trapped.
        let run = |wasm: &[u8], name: &str, x: u32| {
            let script = "const [bytes, name, x] = process.argv.slice(1);\n\
                          const tell = (n) => console.log(n), imports = { './page.js': { [name]: tell } };\n\
                          const module = new WebAssembly.Module(Uint8Array.from(bytes.split(',')));\n\
                          try { new WebAssembly.Instance(module, imports).exports.run(+x); }\n\
                          catch (error) { console.log(error.constructor.name); }";
            let bytes: Vec<String> = wasm.iter().map(ToString::to_string).collect();
            let mut node = Command::new("node");
            node.args(["-e", script, &bytes.join(","), name, &x.to_string()]);
            String::from_utf8(node.output().unwrap().stdout).unwrap()
        };
        let packed = pack(&module()).unwrap().wasm;
        for (x, said) in [(4, "5\n"), (0, "RuntimeError\n")] {
            assert_eq!(run(&module(), "__wbg_tell_1f", x), said);
            assert_eq!(run(&packed, "i0", x), said);
        }
        assert_eq!(run(&packed, "i1", 4), "LinkError\n", "a name that is not there is an error");
    }
}
