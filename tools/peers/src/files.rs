//! The folder of results, and the README's tables of them.

use crate::record::Results;
use crate::table;
use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use xtask::process::root;

/// The marks before and after the README's table.
const MARKS: [&str; 2] = ["<!-- peers:begin -->", "<!-- peers:end -->"];

/// The folder of results that are kept.
pub fn kept() -> PathBuf {
    root().join("benches/peers/results")
}

/// Writes results as `<adapter>.json` and `<adapter>.md` into a folder; gives the page's path.
pub fn write(results: &Results, folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let name = file_name(&results.adapter.name);
    let json = serde_json::to_string_pretty(results)? + "\n";
    fs::write(folder.join(format!("{name}.json")), json)?;
    let page = folder.join(format!("{name}.md"));
    fs::write(&page, table::page(results))?;
    Ok(page)
}

/// All results of a folder, by file name.
pub fn read<T: DeserializeOwned>(folder: &Path) -> Result<Vec<T>> {
    let mut paths: Vec<PathBuf> = match fs::read_dir(folder) {
        Ok(entries) => entries.map(|e| Ok(e?.path())).collect::<Result<_>>()?,
        Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(e).with_context(|| folder.display().to_string()),
    };
    paths.retain(|path| path.extension().is_some_and(|e| e == "json"));
    paths.sort();
    let read = |path: &PathBuf| {
        serde_json::from_slice(&fs::read(path)?).with_context(|| path.display().to_string())
    };
    paths.iter().map(read).collect()
}

/// Makes the README's table again from the kept results.
pub fn update_readme() -> Result<()> {
    update(MARKS, &table::readme(&read(&kept())?))
}

/// Puts a table between its marks in the README.
pub fn update(marks: [&str; 2], table: &str) -> Result<()> {
    let path = root().join("README.md");
    let text = fs::read_to_string(&path)?;
    let new = with_table(&text, marks, table).context("README.md")?;
    if new != text {
        fs::write(&path, new)?;
    }
    Ok(())
}

/// A text with this table between its marks.
pub fn with_table(text: &str, [begin, end]: [&str; 2], table: &str) -> Result<String> {
    let (before, rest) = text.split_once(begin).context("the mark of the table is missing")?;
    let (_, after) = rest.split_once(end).context("the mark of the table's end is missing")?;
    Ok(format!("{before}{begin}\n{table}{end}{after}"))
}

/// An adapter's name as a file name: small letters and digits, anything else a dash.
pub fn file_name(adapter: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { ' ' };
    let words: String = adapter.chars().map(plain).collect();
    words.split_whitespace().collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_and_the_pages_are_made_of_the_kept_results() {
        let kept_results: Vec<Results> = read(&kept()).unwrap();
        let readme = fs::read_to_string(root().join("README.md")).unwrap();
        assert_eq!(
            readme,
            with_table(&readme, MARKS, &table::readme(&kept_results)).unwrap(),
            "`cargo xtask peers --tables` makes it anew"
        );
        for results in &kept_results {
            let page = kept().join(file_name(&results.adapter.name) + ".md");
            assert_eq!(fs::read_to_string(page).unwrap(), table::page(results));
        }
    }

    #[test]
    fn only_what_stands_between_the_marks_changes() {
        let text = format!("a\n{}\nold\n{}\nb\n", MARKS[0], MARKS[1]);
        let new = with_table(&text, MARKS, "| new |\n").unwrap();
        assert_eq!(new, format!("a\n{}\n| new |\n{}\nb\n", MARKS[0], MARKS[1]));
        assert!(with_table("a", MARKS, "").is_err() && with_table(MARKS[0], MARKS, "").is_err());
    }

    #[test]
    fn adapters_name_files() {
        assert_eq!(file_name("llvmpipe (LLVM 15.0.6, 256 bits)"), "llvmpipe-llvm-15-0-6-256-bits");
        assert_eq!(file_name("NVIDIA H200"), "nvidia-h200");
    }
}
