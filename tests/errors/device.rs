//! No adapter: the message says what the environment excludes; tested in a separate process.

use std::process::Command;
use wgrad::gpu::{Device, DeviceOptions, block_on};
use wgrad::{Error, Result};

/// Marks the process that only opens a device.
const CHILD: &str = "WGRAD_TEST_OPENS_A_DEVICE";

/// Opens the device that the environment names. The tests below run it, each with its own environment.
#[test]
fn the_environment_chooses_the_adapter() {
    let opened = Device::new();
    if std::env::var_os(CHILD).is_none() {
        let device = opened.expect("the tests need an adapter");
        assert!(Device::adapters().contains(device.info()));
        return;
    }
    match opened {
        Ok(device) => println!("taken: {}", device.info()),
        Err(Error::NoAdapter(words)) => println!("no adapter: {words}"),
        Err(other) => println!("other error: {other:?}"),
    }
}

/// What the child says with this variable set.
fn opened_with(name: &str, value: &str) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "device::the_environment_chooses_the_adapter", "--nocapture"])
        .env(CHILD, "1")
        .env(name, value)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn an_adapter_that_is_not_there_is_named_beside_those_that_are() {
    let there = Device::adapters();
    let text = opened_with("WGRAD_ADAPTER", "no such adapter");
    assert!(text.contains("no adapter: no name contains `no such adapter`"), "{text}");
    assert!(there.iter().all(|a| text.contains(&a.to_string())), "{text}");
}

#[test]
fn part_of_a_name_in_any_case_is_enough() {
    let device = Device::new().unwrap();
    let name = device.info().name.to_uppercase();
    let text = opened_with("WGRAD_ADAPTER", &name[..name.len() / 2]);
    assert!(text.contains("taken: "), "{text}");
    // An empty name is no name.
    assert!(opened_with("WGRAD_ADAPTER", "").contains("taken: "));
}

#[test]
fn a_backend_that_this_system_lacks_gives_no_adapter() {
    let absent = if cfg!(windows) { "metal" } else { "dx12" };
    for backend in [absent, "nonsense"] {
        let text = opened_with("WGPU_BACKEND", backend);
        assert!(text.contains("no adapter: none was found"), "{backend}: {text}");
        assert!(text.contains("mesa-vulkan-drivers") && text.contains("WGPU_BACKEND"), "{text}");
    }
}

#[test]
fn options_are_refused_like_the_environment() -> Result<()> {
    let options =
        DeviceOptions { adapter: Some("no such adapter".into()), ..DeviceOptions::default() };
    match block_on(Device::open(&options)) {
        Err(error @ Error::NoAdapter(_)) => {
            super::says(&error, &["no GPU adapter", "`no such adapter`", "there are: "]);
            Ok(())
        }
        other => panic!("expected NoAdapter, got {other:?}"),
    }
}
