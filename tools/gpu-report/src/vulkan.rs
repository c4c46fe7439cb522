//! The way to Vulkan: as the machine offers it, else through the loader that the folder carries and the driver
//! files that NVIDIA's containers have, or lack.

use crate::part::{Ran, Site};
use crate::read;
use anyhow::Result;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use xtask::process::{Exit, say};

/// The place for a driver's description in containers, where no loader looks.
const DESCRIPTIONS: [&str; 2] = [
    "/usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json",
    "/usr/local/nvidia/vulkan/icd.d/nvidia_icd.json",
];
/// The place for a driver's libraries in containers.
const LIBRARIES: &str = "/usr/local/nvidia/lib64";
/// NVIDIA's driver for Vulkan, which may be there without a description.
const DRIVERS: [&str; 2] = ["libGLX_nvidia.so.0", "libEGL_nvidia.so.0"];

/// A way to try.
#[derive(Debug, PartialEq)]
struct Way {
    /// In words.
    what: String,
    /// What the environment has for it.
    vars: Vec<(String, OsString)>,
}

/// The ways in order. `there` tells what exists, `before` is the present `LD_LIBRARY_PATH`.
fn ways(root: &Path, before: &OsString, there: impl Fn(&Path) -> bool) -> Vec<Way> {
    let mut ways = vec![Way { what: "as it is".into(), vars: Vec::new() }];
    let mut paths = vec![root.join("lib"), PathBuf::from(LIBRARIES)];
    paths.retain(|path| there(path));
    paths.extend(std::env::split_paths(before).filter(|p| !p.as_os_str().is_empty()));
    let libraries = std::env::join_paths(paths).unwrap_or_default();
    let with = |what: &str, description: Option<PathBuf>| {
        let mut vars = vec![("LD_LIBRARY_PATH".to_string(), libraries.clone())];
        for name in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
            // The second is what older loaders read.
            vars.extend(description.iter().map(|d| (name.to_string(), d.clone().into_os_string())));
        }
        Way { what: what.into(), vars }
    };
    ways.push(with("the folder's loader", None));
    if there(Path::new("/dev/nvidiactl")) {
        for path in DESCRIPTIONS.map(PathBuf::from).into_iter().filter(|path| there(path)) {
            ways.push(with(&path.display().to_string(), Some(path)));
        }
        for driver in DRIVERS {
            ways.push(with(driver, Some(root.join(format!("work/{driver}.json")))));
        }
    }
    ways
}

/// Runs the doctor along each way and keeps the first that leads to a GPU, else the first to any adapter. Parts go
/// that way from then on.
pub fn find(site: &mut Site) -> Result<Ran> {
    for driver in DRIVERS {
        let text = format!(
            "{{\"file_format_version\": \"1.0.0\", \"ICD\": {{\"library_path\": \"{driver}\", \"api_version\": \"1.3.0\"}}}}\n"
        );
        std::fs::write(site.root.join(format!("work/{driver}.json")), text)?;
    }
    let before = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let nvidia = Path::new("/dev/nvidiactl").exists();
    // The reason of the last way is shown for all; the logs have the others.
    let (mut best, mut said): (Option<(Way, Ran)>, String) = (None, String::new());
    for (i, way) in ways(&site.root, &before, Path::exists).into_iter().enumerate() {
        let mut command = site.program("wgrad");
        command.arg("doctor");
        command.envs(way.vars.iter().map(|(name, value)| (name, value)));
        let ran = site.run(&format!("doctor-{}", i + 1), command, 30)?;
        said.clone_from(&ran.text);
        let kind = read::value(&ran.text, "kind");
        let gpu = kind == Some("GPU");
        if gpu || (kind.is_some() && best.is_none()) {
            best = Some((way, ran));
        }
        // An adapter that is not a GPU is the answer if there is no sign of a GPU.
        if gpu || (best.is_some() && !nvidia) {
            break;
        }
    }
    let Some((way, ran)) = best else {
        let why = format!(
            "{said}\nno adapter opens, so nothing can be measured; what was tried is in report/"
        );
        return Err(Exit { code: 3, why }.into());
    };
    say(format_args!("Vulkan: {}", way.what));
    site.vars.extend(way.vars);
    Ok(ran)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_goes_first_and_the_folders_loader_next() {
        let ways = ways(Path::new("/r"), &"/a".into(), |p| p == Path::new("/r/lib"));
        assert_eq!(ways.len(), 2);
        assert!(ways[0].vars.is_empty());
        assert_eq!(ways[1].vars, [("LD_LIBRARY_PATH".to_string(), "/r/lib:/a".into())]);
    }

    #[test]
    fn with_an_nvidia_device_its_drivers_are_tried() {
        let ways = ways(Path::new("/r"), &"".into(), |path| path != Path::new(DESCRIPTIONS[1]));
        let what: Vec<_> = ways.iter().map(|w| w.what.as_str()).collect();
        assert_eq!(what[2..], [DESCRIPTIONS[0], DRIVERS[0], DRIVERS[1]]);
        assert_eq!(ways[2].vars[1], ("VK_DRIVER_FILES".to_string(), DESCRIPTIONS[0].into()));
        assert_eq!(ways[3].vars[2].1, OsString::from("/r/work/libGLX_nvidia.so.0.json"));
        assert_eq!(
            ways[1].vars,
            [("LD_LIBRARY_PATH".to_string(), "/r/lib:/usr/local/nvidia/lib64".into())]
        );
    }
}
