//! What an adapter says of itself, in words.

/// What an adapter says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdapterInfo {
    /// The product's name.
    pub name: String,
    /// The API: `vulkan`, `metal`, `dx12`, or `webgpu` in a browser.
    pub backend: String,
    /// `discrete GPU`, `integrated GPU`, `virtual GPU`, `CPU` or `other`.
    pub kind: String,
    /// Driver and its version.
    pub driver: String,
}

impl std::fmt::Display for AdapterInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}, {}", self.name, self.kind, self.backend)?;
        match self.driver.as_str() {
            "" => f.write_str(")"),
            driver => write!(f, "; {driver})"),
        }
    }
}

pub(super) fn info_of(info: &wgpu::AdapterInfo) -> AdapterInfo {
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => "discrete GPU",
        wgpu::DeviceType::IntegratedGpu => "integrated GPU",
        wgpu::DeviceType::VirtualGpu => "virtual GPU",
        wgpu::DeviceType::Cpu => "CPU",
        wgpu::DeviceType::Other => "other",
    };
    let driver = format!("{} {}", info.driver, info.driver_info);
    AdapterInfo {
        name: name_of(&info.name, info.backend),
        backend: info.backend.to_string(),
        kind: kind.into(),
        driver: driver.trim().to_owned(),
    }
}

/// The adapter's name. Browsers keep it to themselves, unless a developer's switch is set.
fn name_of(name: &str, backend: wgpu::Backend) -> String {
    match (name.trim(), backend) {
        ("", wgpu::Backend::BrowserWebGpu) => "the browser's adapter".into(),
        ("", _) => "unnamed adapter".into(),
        (name, _) => name.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nameless_adapter_has_words() {
        assert_eq!(name_of("", wgpu::Backend::BrowserWebGpu), "the browser's adapter");
        assert_eq!(name_of(" ", wgpu::Backend::Vulkan), "unnamed adapter");
        assert_eq!(name_of("llvmpipe", wgpu::Backend::Vulkan), "llvmpipe");
        let mut info = AdapterInfo {
            name: name_of("", wgpu::Backend::BrowserWebGpu),
            backend: "webgpu".into(),
            kind: "other".into(),
            driver: String::new(),
        };
        assert_eq!(info.to_string(), "the browser's adapter (other, webgpu)");
        info.driver = "x 1".into();
        assert_eq!(info.to_string(), "the browser's adapter (other, webgpu; x 1)");
    }
}
