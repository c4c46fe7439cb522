//! Installs a software Vulkan driver on systems on which that works: Debian, Ubuntu and what is
//! built on them. Elsewhere nothing is touched, and the package to install is named.

use crate::process::{output, say, status};
use anyhow::{Result, bail};
use std::process::{Command, Stdio};

/// The package with Mesa's Vulkan drivers, the one in software among them.
pub const PACKAGE: &str = "mesa-vulkan-drivers";

/// What to do about a missing driver, by operating system.
#[derive(Debug, PartialEq)]
enum Remedy {
    /// Install [`PACKAGE`] with apt-get.
    Apt,
    /// Tell the user what to install.
    Advise(&'static str),
}

/// Installs the driver, or fails with the name of what the user is to install.
pub fn driver() -> Result<()> {
    match remedy(&os_release()) {
        Remedy::Advise(what) => bail!("install {what}, then run this command again"),
        Remedy::Apt => apt(),
    }
}

/// Runs `apt-get update` and `apt-get install`, as root directly, else through `sudo -n`, which
/// asks for no password. A failed update alone is no failure: one broken source of many gives
/// that too, and the installation shows whether it matters.
fn apt() -> Result<()> {
    let prefix: &[&str] = if is_root() { &[] } else { &["sudo", "-n"] };
    let run = |words: &[&str]| -> Result<bool> {
        let line = [prefix, &["apt-get"], words].concat();
        say(format_args!("installing software Vulkan: {}", line.join(" ")));
        let mut command = Command::new(line[0]);
        command.args(&line[1..]).stdin(Stdio::null()).env("DEBIAN_FRONTEND", "noninteractive");
        Ok(status(&mut command)?.success())
    };
    let update = run(&["update"]);
    let install = match update {
        Ok(_) => run(&["install", "-y", "--no-install-recommends", PACKAGE]),
        Err(error) => Err(error),
    };
    let reason = match install {
        Ok(true) => return Ok(()),
        Ok(false) => "apt-get was refused or failed".to_string(),
        Err(error) => error.to_string(),
    };
    bail!("{reason}: run `apt-get install {PACKAGE}` as root, then this command again")
}

/// Whether this process is root's; a system without `id` is taken for one on which it is not.
fn is_root() -> bool {
    output(Command::new("id").arg("-u")).is_ok_and(|uid| uid.trim() == "0")
}

/// The text that names the operating system, empty where there is none.
fn os_release() -> String {
    ["/etc/os-release", "/usr/lib/os-release"]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok())
        .unwrap_or_default()
}

/// What to do on the system that an os-release text describes: by its `ID` first, then by
/// the systems it is like, nearest first.
fn remedy(os_release: &str) -> Remedy {
    let names = [field(os_release, "ID"), field(os_release, "ID_LIKE")];
    for name in names.iter().flat_map(|value| value.split_whitespace()) {
        match name {
            "debian" | "ubuntu" => return Remedy::Apt,
            "fedora" => return Remedy::Advise("the package mesa-vulkan-drivers"),
            "arch" => return Remedy::Advise("the package vulkan-swrast"),
            _ => {}
        }
    }
    Remedy::Advise("a Vulkan, Metal or DirectX 12 driver for the GPU")
}

/// The value of a field in an os-release text (shell assignments, in quotes or bare); empty if
/// it is absent.
fn field<'a>(os_release: &'a str, name: &str) -> &'a str {
    let value = os_release
        .lines()
        .filter_map(|line| line.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value));
    value.unwrap_or_default().trim_matches(['"', '\''])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_bare_and_in_quotes() {
        let text = "# a comment\nNAME=\"Some Linux\"\nVERSION_ID=1\nID='some'\nID_LIKE=\"a b\"\n";
        assert_eq!(field(text, "ID"), "some");
        assert_eq!(field(text, "ID_LIKE"), "a b");
        assert_eq!(field(text, "NAME"), "Some Linux");
        assert_eq!(field(text, "CODENAME"), "");
    }

    #[test]
    fn debian_and_its_kin_install() {
        assert_eq!(remedy("ID=debian\n"), Remedy::Apt);
        assert_eq!(remedy("ID_LIKE=debian\nID=ubuntu\n"), Remedy::Apt);
        assert_eq!(remedy("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"), Remedy::Apt);
    }

    #[test]
    fn others_are_told_what_to_install() {
        let told = |text| match remedy(text) {
            Remedy::Advise(what) => what,
            Remedy::Apt => "apt",
        };
        assert!(told("ID=\"rhel\"\nID_LIKE=\"fedora\"\n").contains("mesa-vulkan-drivers"));
        assert!(told("ID=arch\n").contains("vulkan-swrast"));
        assert!(told("ID=alpine\n").contains("Metal"));
        assert!(told("").contains("DirectX"));
        // The name of a system that only sounds like one of them decides nothing.
        assert!(told("ID=debianish\nVARIANT_ID=debian\n").contains("Metal"));
    }
}
