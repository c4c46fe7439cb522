//! The folder of the page: WebAssembly, its JavaScript, the files of `web/page`, and digits.

use crate::pack::pack;
use anyhow::{Context, Result, bail, ensure};
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use lzma_rust2::{LzmaOptions, LzmaWriter};
use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use xtask::mnist;
use xtask::process::{Exit, cargo, code, root, say, status, target};
use xtask::toolchain::WASM;

/// Digits of the training set, and of the test set, which follow them.
const DIGITS: [usize; 2] = [4000, 500];
/// The program that the page fetches.
const PROGRAM: &str = "wgrad_web.wasm.lzma";
/// The digits that the page fetches.
pub const DIGITS_FILE: &str = "digits.bin.lzma";
/// The JavaScript that the page fetches.
const SCRIPTS: [&str; 4] = ["wgrad_web.js", "worker.js", "page.js", "lzma.js"];

/// Builds the folder, and gives the bytes of WebAssembly and JavaScript to download: WebAssembly by LZMA, as it is sent, and
/// JavaScript by gzip, as most servers send it; that of `cargo xtask web` sends it as it is.
pub fn build(out: &Path, data: Option<PathBuf>) -> Result<usize> {
    let data = mnist::data_folder(data, std::env::var_os("WGRAD_DATA"))?;
    say("building the page for wasm32");
    let args = ["build", "--package", "wgrad-web", "--lib", "--profile", "web", "--target", WASM];
    let done = status(&mut cargo(&args))?;
    if !done.success() {
        return Err(Exit { code: code(done), why: format!("the build failed ({done})") }.into());
    }
    fs::create_dir_all(out).with_context(|| format!("{} cannot be made", out.display()))?;
    let wasm = target().join(WASM).join("web").join("wgrad_web.wasm");
    let mut bindgen = wasm_bindgen_cli_support::Bindgen::new();
    bindgen.input_path(wasm).web(true)?.typescript(false).omit_default_module_path(true);
    bindgen.remove_name_section(true).remove_producers_section(true);
    let mut bound =
        bindgen.generate_output().context("the JavaScript of the page cannot be made")?;
    let packed = pack(&bound.wasm_mut().emit_wasm())?;
    let program = lzma(&packed.wasm)?;
    fs::write(out.join(PROGRAM), &program)?;
    fs::write(out.join(SCRIPTS[0]), script(bound.js(), &packed.names)?)?;
    let page = root().join("web").join("page");
    for entry in fs::read_dir(&page).with_context(|| format!("{}", page.display()))? {
        let entry = entry?;
        fs::copy(entry.path(), out.join(entry.file_name()))?;
    }
    fs::write(out.join(DIGITS_FILE), lzma(&digits(&data, DIGITS)?)?)?;
    let mut bytes = program.len();
    for name in SCRIPTS {
        bytes += zipped(&fs::read(out.join(name))?)?.len();
    }
    Ok(bytes)
}

/// The bytes by LZMA, as `web/page/lzma.js` unpacks them: with their number in the header. The bits of their places tell
/// nothing of WebAssembly, and the byte before tells more.
fn lzma(bytes: &[u8]) -> Result<Vec<u8>> {
    let options = LzmaOptions { lc: 4, lp: 0, pb: 0, ..LzmaOptions::with_preset(9) };
    let size = Some(bytes.len() as u64);
    let mut packed = LzmaWriter::new_use_header(Vec::new(), &options, size)?;
    packed.write_all(bytes)?;
    Ok(packed.finish()?)
}

/// The bytes, gzipped.
fn zipped(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut zipped = GzEncoder::new(Vec::new(), Compression::best());
    zipped.write_all(bytes)?;
    Ok(zipped.finish()?)
}

/// The JavaScript of `wasm-bindgen` with the new names of imports, and without comments and indentation.
fn script(text: &str, names: &[(String, String)]) -> Result<String> {
    let names: HashMap<&str, &str> = names.iter().map(|(old, new)| (&**old, &**new)).collect();
    let (mut script, mut found) = (String::new(), 0);
    for line in text.lines().map(str::trim_start) {
        if ["/**", "* ", "*/"].iter().any(|comment| line.starts_with(comment)) {
            continue;
        }
        // Each import is the field of an object.
        let field = line.split_once(':').and_then(|(name, rest)| Some((names.get(name)?, rest)));
        found += usize::from(field.is_some());
        script += &field.map_or(line.to_owned(), |(name, rest)| format!("{name}:{rest}"));
        script.push('\n');
    }
    ensure!(found == names.len(), "{found} of {} imports are in the JavaScript", names.len());
    Ok(script)
}

/// The first images of both sets, then their labels.
fn digits(data: &Path, [train, test]: [usize; 2]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for (kind, header, size) in [("images-idx3", 16, 28 * 28), ("labels-idx1", 8, 1)] {
        for (set, count) in [("train", train), ("t10k", test)] {
            let content = content(data, &format!("{set}-{kind}-ubyte"))?;
            let end = header + count * size;
            ensure!(content.len() >= end, "{set}-{kind} has fewer than {count} digits");
            bytes.extend_from_slice(&content[header..end]);
        }
    }
    Ok(bytes)
}

/// The content of an IDX file, plain or gzipped.
fn content(data: &Path, name: &str) -> Result<Vec<u8>> {
    let (plain, zipped) = (data.join(name), data.join(format!("{name}.gz")));
    if plain.is_file() {
        return fs::read(&plain).with_context(|| format!("{}", plain.display()));
    }
    if !zipped.is_file() {
        bail!("{} has no {name}", data.display());
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(&zipped).with_context(|| format!("{}", zipped.display()))?;
    MultiGzDecoder::new(file).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_images_and_then_labels() {
        let folder = std::env::temp_dir().join(format!("wgrad-digits-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (set, shade) in [("train", 1), ("t10k", 7)] {
            let images = [vec![0; 16], vec![shade; 2 * 784]].concat();
            fs::write(folder.join(format!("{set}-images-idx3-ubyte.gz")), zipped(&images).unwrap())
                .unwrap();
            let labels = [vec![0; 8], vec![shade + 1; 2]].concat();
            fs::write(folder.join(format!("{set}-labels-idx1-ubyte")), labels).unwrap();
        }
        let bytes = digits(&folder, [2, 1]).unwrap();
        assert_eq!(bytes, [vec![1; 2 * 784], vec![7; 784], vec![2, 2, 8]].concat());
        assert!(digits(&folder, [3, 1]).unwrap_err().to_string().contains("fewer than 3"));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_packed_file_says_how_long_it_is_and_unpacks_to_the_same() {
        let bytes: Vec<u8> = (0..20_000u32).map(|i| (i * i / 7 % 251) as u8).collect();
        let packed = lzma(&bytes).unwrap();
        assert_eq!(packed[5..13], 20_000u64.to_le_bytes());
        let mut unpacked = Vec::new();
        let mut reader = lzma_rust2::LzmaReader::new_mem_limit(&*packed, u32::MAX, None).unwrap();
        reader.read_to_end(&mut unpacked).unwrap();
        assert!(unpacked == bytes && packed.len() < bytes.len());
    }

    #[test]
    fn the_page_unpacks_what_is_packed_and_notices_damage() {
        let folder = std::env::temp_dir().join(format!("wgrad-lzma-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let bytes: Vec<u8> = (0..20_000u32).map(|i| (i * i / 7 % 251) as u8).collect();
        let packed = lzma(&bytes).unwrap();
        let (mut flipped, mut other) = (packed.clone(), packed.clone());
        let middle = packed.len() / 2;
        flipped[middle] ^= 1;
        other[0] = 255;
        let script = root().join("web/page/lzma.js");
        fs::copy(script, folder.join("lzma.mjs")).unwrap();
        fs::write(
            folder.join("run.mjs"),
            "import { unpack } from './lzma.mjs';\n\
             import fs from 'node:fs';\n\
             try { console.log(unpack(new Uint8Array(fs.readFileSync('packed'))).join(' ')); }\n\
             catch (error) { console.log(error.message); }",
        )
        .unwrap();
        let said = |packed: &[u8]| {
            fs::write(folder.join("packed"), packed).unwrap();
            let mut node = std::process::Command::new("node");
            let done = node.arg("run.mjs").current_dir(&folder);
            done.output().ok().map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned())
        };
        if said(&packed).is_none() {
            eprintln!("skipped: there is no node");
            return;
        }
        let whole: Vec<String> = bytes.iter().map(ToString::to_string).collect();
        assert!(said(&packed).unwrap() == whole.join(" "));
        assert_eq!(said(&other).unwrap(), "this is no file of the page");
        let cut = [5, 17, 100, packed.len() - 1].map(|length| &packed[..length]);
        for damaged in cut.into_iter().chain([&flipped[..]]) {
            let error = said(damaged).unwrap();
            assert!(["the file is cut off", "the file is damaged"].contains(&&*error), "{error}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_script_has_the_names_of_the_module() {
        let names = [("__wbg_now_1f".to_owned(), "i0".to_owned())];
        let text = "/**\n * A comment.\n */\n    __wbg_now_1f: f(a ? b : c),\n    d: e";
        assert_eq!(script(text, &names).unwrap(), "i0: f(a ? b : c),\nd: e\n");
        assert!(script("d: e", &names).unwrap_err().to_string().contains("0 of 1"));
    }

    #[test]
    fn both_halves_of_the_bindings_have_one_version() {
        let version = |manifest: &str, name: &str| {
            let text = fs::read_to_string(root().join(manifest)).unwrap();
            let line = text.lines().find(|l| l.starts_with(&format!("{name} = "))).unwrap();
            line.split('"').nth(1).unwrap().to_owned()
        };
        let cli = version("tools/web/Cargo.toml", "wasm-bindgen-cli-support");
        assert_eq!(version("web/Cargo.toml", "wasm-bindgen"), cli);
        assert!(cli.starts_with('='));
    }
}
