// Rows of a matrix and sums of whole blocks of them. Level 0 is the rows in sorted order; block b of level l is the
// sum of blocks 32 b .. 32 b + 31 of the level below. `rows` counts level 0. A partial block at the end is never used.
// VEC: an element is four neighbouring columns, and widths count such elements.
#if VEC
#import lib/quad
alias Element = vec4<f32>;
#else
alias Element = f32;
alias Quad = f32;
fn from_quad(q: Quad) -> f32 { return q; }
fn to_quad(v: f32) -> Quad { return v; }
#endif

const SPAN = 32u;
const SPAN_BITS = 5u;

// How many blocks come before those of `level` in the buffer of blocks, which begins with level 1.
fn first_block(rows: u32, level: u32) -> u32 {
    var first = 0u;
    for (var l = 1u; l < level; l++) { first += rows >> (SPAN_BITS * l); }
    return first;
}
