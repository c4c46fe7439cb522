//! Shaders, embedded in the library: a template is declared by the card that launches it, files that templates import
//! are listed here.

use super::ParamBlock;

/// A shader of the library, as its card declares it with `template!`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Template {
    /// The path below `shaders/` without its extension; the name of a kernel from outside of the library.
    pub path: &'static str,
    /// What the preprocessor fills in. Empty for a kernel from outside, which is whole.
    pub text: &'static str,
    /// What its `Params` begins with; `None` for a kernel from outside.
    pub block: Option<&'static ParamBlock>,
}

/// A shader's text without comments and indentation, as far as `N` bytes hold it, and its length. Every line stays where it
/// is, for messages. What a page embeds is downloaded, and a third of the files' bytes are comments.
pub(crate) const fn bare<const N: usize>(text: &str) -> ([u8; N], usize) {
    let (text, mut out, mut len) = (text.as_bytes(), [0; N], 0);
    let (mut at, mut code, mut comment) = (0, false, false);
    while at < text.len() {
        let byte = text[at];
        comment |= byte == b'/' && at + 1 < text.len() && text[at + 1] == b'/';
        if byte == b'\n' || !comment && (code || byte != b' ') {
            if len < N {
                out[len] = byte;
            }
            len += 1;
            code = byte != b'\n';
            comment &= code;
        }
        at += 1;
    }
    (out, len)
}

/// The text of a file below `shaders/`.
macro_rules! wgsl {
    ($path:literal) => {
        const {
            const TEXT: &str =
                include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $path, ".wgsl"));
            const BARE: [u8; $crate::kernels::bare::<0>(TEXT).1] = $crate::kernels::bare(TEXT).0;
            match str::from_utf8(&BARE) {
                Ok(text) => text,
                Err(_) => unreachable!(),
            }
        }
    };
}
pub(crate) use wgsl;

/// The template at this path below `shaders/`, whose `Params` begins with this block.
macro_rules! template {
    ($path:literal, $params:ty) => {
        $crate::kernels::Template {
            path: $path,
            text: $crate::kernels::wgsl!($path),
            block: Some(&<$params>::BLOCK),
        }
    };
}
pub(crate) use template;

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, wgsl!($path))),*]
    };
}

/// The files that templates import: path below `shaders/` without its extension, and text.
pub static LIBRARY: &[(&str, &str)] = files![
    "lib/add_products",
    "lib/attention",
    "lib/band",
    "lib/bytes",
    "lib/class",
    "lib/depthwise",
    "lib/depthwise_x",
    "lib/index",
    "lib/lanes",
    "lib/math",
    "lib/order",
    "lib/pool",
    "lib/pool_upstream",
    "lib/quad",
    "lib/recurrent",
    "lib/segments",
    "lib/sliding",
    "lib/step",
    "lib/threefry",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_indentation_are_left_out_and_lines_stay() {
        let text = "// A line.\n#if WIDE\n    let x = a / b; // why\n\n  #endif\n}";
        let (bytes, len) = bare::<64>(text);
        assert_eq!(
            str::from_utf8(&bytes[..len]).unwrap(),
            "\n#if WIDE\nlet x = a / b; \n\n#endif\n}"
        );
        assert_eq!(bare::<0>(text).1, len);
    }

    #[test]
    fn a_file_keeps_its_lines_and_its_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/lib/math.wgsl");
        let file = std::fs::read_to_string(path).unwrap();
        let (_, text) = LIBRARY.iter().find(|(path, _)| *path == "lib/math").unwrap();
        let code = |line: &str| line.split("//").next().unwrap().trim().to_owned();
        let kept: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
        assert_eq!(kept, file.lines().map(code).collect::<Vec<_>>());
        assert!(text.len() < file.len() && kept.iter().any(|line| line.starts_with("fn ")));
    }
}
