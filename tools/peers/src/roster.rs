//! Who takes part, and how each is started.

/// A library in the comparison.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Its name on the command line and in the tables.
    pub name: &'static str,
    /// What it is written in.
    pub kind: Kind,
}

/// How a peer is made and started.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A crate under `benches/peers`; `package` is the library's package in its lock file.
    Rust {
        /// The library's package.
        package: &'static str,
    },
    /// A script under `benches/peers`.
    Python {
        /// The script.
        script: &'static str,
        /// The modules it imports.
        modules: &'static [&'static str],
        /// Arguments for this peer.
        args: &'static [&'static str],
        /// Python that says whether it finds a CUDA device.
        cuda: &'static str,
    },
}

/// Whether PyTorch finds a CUDA device.
const TORCH_CUDA: &str = "torch.cuda.is_available()";
/// Whether JAX does.
const JAX_CUDA: &str = "any(d.platform == 'gpu' for d in jax.devices())";

/// All peers, in the order of a round. wgrad comes first: the others are compared with it.
pub const ROSTER: [Peer; 8] = [
    Peer { name: "wgrad", kind: Kind::Rust { package: "wgrad" } },
    Peer { name: "meganeura", kind: Kind::Rust { package: "meganeura" } },
    Peer { name: "burn", kind: Kind::Rust { package: "burn" } },
    Peer { name: "candle", kind: Kind::Rust { package: "candle-core" } },
    Peer {
        name: "jax",
        kind: Kind::Python {
            script: "jax_peer.py",
            modules: &["jax", "numpy", "safetensors"],
            args: &[],
            cuda: JAX_CUDA,
        },
    },
    Peer {
        name: "keras",
        kind: Kind::Python {
            script: "keras_peer.py",
            modules: &["keras", "jax", "numpy", "safetensors"],
            args: &[],
            cuda: JAX_CUDA,
        },
    },
    Peer {
        name: "torch",
        kind: Kind::Python {
            script: "torch_peer.py",
            modules: &["torch", "numpy", "safetensors"],
            args: &[],
            cuda: TORCH_CUDA,
        },
    },
    Peer {
        name: "torch-compile",
        kind: Kind::Python {
            script: "torch_peer.py",
            modules: &["torch", "numpy", "safetensors"],
            args: &["--compile"],
            cuda: TORCH_CUDA,
        },
    },
];
