//! From graph to graph, one file per pass. Each can be switched off; it changes only speed and memory. A pass runs in the
//! bodies of loops too.

mod bodies;
mod bytes;
mod column_sums;
mod cse;
mod dce;
mod ends;
mod expand;
mod fold;
mod fuse;
mod merge_rows;
mod rewrite;
mod rows;
mod search;
mod shaped;
mod views;

pub(crate) use rewrite::Rewrite;

use crate::error::Result;
use crate::graph::Graph;
use crate::kernels::DeviceCaps;

/// A pass, for a graph and for the bodies of its loops.
type Pass<'a> = &'a dyn Fn(&Graph) -> Result<Graph>;

/// Which passes run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passes {
    /// Constants are computed once; neutral operands disappear.
    pub fold: bool,
    /// Equal computations are done once.
    pub cse: bool,
    /// Nodes that no root needs disappear.
    pub dce: bool,
    /// Elementwise chains become one kernel, the epilogue of a contraction, or a part of a row kernel.
    pub fuse: bool,
    /// A contraction yields the column sums of its operand B if some node needs them.
    pub column_sums: bool,
    /// Kernels read slices, transposes and repeated tensors where they are, instead of copies.
    pub views: bool,
    /// A batch of bytes stays bytes if all that read it can decode it: products, elementwise kernels, pooling, depthwise
    /// convolutions and images sampled through maps.
    pub bytes: bool,
}

impl Default for Passes {
    fn default() -> Self {
        Self::all()
    }
}

impl Passes {
    /// All passes: the default.
    #[must_use]
    pub const fn all() -> Self {
        Self {
            fold: true,
            cse: true,
            dce: true,
            fuse: true,
            column_sums: true,
            views: true,
            bytes: true,
        }
    }

    /// No pass at all.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            fold: false,
            cse: false,
            dce: false,
            fuse: false,
            column_sums: false,
            views: false,
            bytes: false,
        }
    }

    /// Each pass by name, with its switch. A new pass has its place here, or this does not compile.
    #[cfg(feature = "testing")]
    const fn switches(&mut self) -> [(&'static str, &mut bool); 7] {
        let Self { fold, cse, dce, fuse, column_sums, views, bytes } = self;
        [
            ("fold", fold),
            ("cse", cse),
            ("dce", dce),
            ("fuse", fuse),
            ("column_sums", column_sums),
            ("views", views),
            ("bytes", bytes),
        ]
    }

    /// For each pass its name, all passes without it, and it alone.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn each() -> Vec<(&'static str, Self, Self)> {
        let of = |i: usize| {
            let (mut without, mut alone) = (Self::default(), Self::none());
            *without.switches()[i].1 = false;
            *alone.switches()[i].1 = true;
            (without.switches()[i].0, without, alone)
        };
        (0..Self::none().switches().len()).map(of).collect()
    }

    /// Runs the passes in order for this device, verifying the graph after each. The second result names each pass with
    /// the graph after it.
    ///
    /// # Errors
    /// A graph that a pass broke: a defect of the pass.
    pub fn run(
        &self,
        graph: &Graph,
        caps: &DeviceCaps,
    ) -> Result<(Graph, Vec<(&'static str, usize)>)> {
        // What fusion may bind to one kernel.
        let max_buffers = caps.storage_buffers() as usize;
        let mut graph = graph.clone();
        let mut sizes = vec![("built", graph.nodes().len())];
        graph.verify("building")?;
        let mut apply = |name: &'static str, on: bool, pass: Pass<'_>| {
            if on {
                graph = bodies::everywhere(&graph, pass)?;
                graph.verify(name)?;
                sizes.push((name, graph.nodes().len()));
            }
            Ok::<(), crate::error::Error>(())
        };
        apply("expand", true, &|g| expand::expand(g, caps))?;
        apply("fold", self.fold, &fold::fold)?;
        apply("cse", self.cse, &cse::cse)?;
        apply("dce", self.dce, &dce::dce)?;
        apply("fuse", self.fuse, &|g| fuse::fuse(&bodies::separate(g)?, max_buffers))?;
        apply("fuse_rows", self.fuse, &|g| rows::fuse_rows(g, max_buffers))?;
        apply("dce", self.fuse && self.dce, &dce::dce)?;
        apply("column_sums", self.column_sums, &|g| column_sums::column_sums(g, max_buffers))?;
        apply("dce", self.column_sums && self.dce, &dce::dce)?;
        apply("views", self.views, &views::views)?;
        apply("dce", self.views && self.dce, &dce::dce)?;
        apply("bytes", self.bytes, &bytes::bytes)?;
        Ok((graph, sizes))
    }
}
