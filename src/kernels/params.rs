//! Typed uniform blocks. Each mirrors the `Params` struct of the templates that name it; a test compares names, offsets
//! and sizes with naga's reflection of the shader. A block that one op alone needs is declared in the file of its card.

/// A uniform block's layout, for the reflection test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParamBlock {
    /// The Rust struct's name.
    pub name: &'static str,
    /// Member names and byte offsets.
    pub fields: &'static [(&'static str, usize)],
    /// Bytes of the block, a multiple of 16.
    pub size: usize,
}

/// Declares uniform blocks: structs of `u32` and `f32`.
macro_rules! param_blocks {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident : $ty:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct $name { $($(#[$fdoc])* pub $field: $ty),* }
        impl $name {
            /// The layout, for the templates that begin with this block.
            pub const BLOCK: $crate::kernels::ParamBlock = $crate::kernels::ParamBlock {
                name: stringify!($name),
                fields: &[$((stringify!($field), std::mem::offset_of!($name, $field))),*],
                size: size_of::<$name>(),
            };

            /// The block followed by `words`, padded to whole vec4s.
            #[must_use]
            pub fn with_words(&self, words: &[u32]) -> Vec<u8> {
                let mut bytes = bytemuck::bytes_of(self).to_vec();
                bytes.extend_from_slice(bytemuck::cast_slice(words));
                bytes.resize(bytes.len().next_multiple_of(16), 0);
                bytes
            }
        }
    )*};
}
pub(crate) use param_blocks;

param_blocks! {
    /// Elementwise maps: element count and vec4 count.
    MapParams {
        /// Elements.
        len: u32,
        /// `len` over 4, rounded up.
        vec_len: u32,
        /// Padding.
        pad0: u32,
        /// Padding.
        pad1: u32,
    }
    /// Ranges of a vector: which of them, and the elements that they cover.
    RangeParams {
        /// The first range.
        first: u32,
        /// Ranges.
        count: u32,
        /// The first element.
        begin: u32,
        /// The element after the last.
        end: u32,
    }
    /// Matrix products: extents, leading dimensions and batch strides in elements.
    MatmulParams {
        /// Rows of the product.
        m: u32,
        /// Columns of the product.
        n: u32,
        /// Terms of each sum.
        k: u32,
        /// Elements between consecutive lines of A in memory.
        a_ld: u32,
        /// Elements between consecutive lines of B in memory.
        b_ld: u32,
        /// Elements between batches of A, 0 if A is shared.
        a_batch: u32,
        /// Elements between batches of B, 0 if B is shared.
        b_batch: u32,
        /// Column tiles.
        tiles_n: u32,
        /// Row tiles.
        tiles_m: u32,
        /// Products: the grid's z holds product + batch * part.
        batch: u32,
        /// Terms of a part of each sum.
        k_chunk: u32,
        /// Padding.
        pad0: u32,
    }
    /// Sums over the chunks of a divided matrix product.
    CombineParams {
        /// Rows of each product.
        m: u32,
        /// Columns of each product.
        n: u32,
        /// Products.
        batch: u32,
        /// Parts of each sum.
        chunks: u32,
    }
    /// Reductions of `[outer, len, inner]` over `len`, in chunks.
    ReduceParams {
        /// Product of the extents before the reduced axes.
        outer: u32,
        /// Extent reduced.
        len: u32,
        /// Product of the extents after the reduced axes.
        inner: u32,
        /// Elements per chunk.
        chunk: u32,
        /// Chunks per reduction.
        chunks: u32,
        /// Factor on the result: 1/len for the mean.
        scale: f32,
        /// Padding.
        pad0: u32,
        /// Padding.
        pad1: u32,
    }
    /// Kernels over rows.
    RowParams {
        /// Rows.
        rows: u32,
        /// Elements per row.
        cols: u32,
        /// Padding.
        pad0: u32,
        /// Padding.
        pad1: u32,
    }
    /// Losses on logits.
    LossParams {
        /// Rows (samples).
        rows: u32,
        /// Classes, or outputs per sample.
        cols: u32,
        /// Factor on loss and gradient: 1 over the batch.
        scale: f32,
        /// Padding.
        pad0: u32,
    }
    /// A stable sort of ids with their positions.
    SortParams {
        /// Ids.
        rows: u32,
        /// The largest key: an id past it counts as this one.
        last: u32,
        /// Ids that one invocation goes through.
        chunk: u32,
        /// Workgroups; each invocation has one chunk.
        groups: u32,
        /// Bits below the digit that a round sorts by.
        shift: u32,
        /// Padding.
        pad0: u32,
        /// Padding.
        pad1: u32,
        /// Padding.
        pad2: u32,
    }
    /// Sums of the rows of each key, in sorted order: the gradient of a gather.
    SegmentParams {
        /// Rows that are summed.
        rows: u32,
        /// Elements per row: numbers, or vectors of four.
        width: u32,
        /// Rows of the table.
        table: u32,
        /// The level of blocks that is summed.
        level: u32,
    }
}
