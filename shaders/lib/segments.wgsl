// Rows of a matrix and sums of whole blocks of them. Level 0 is the rows in sorted order; block b of level l is the
// sum of blocks 32 b .. 32 b + 31 of the level below. `rows` counts level 0. A partial block at the end is never used.
// VEC: an element is four neighbouring columns, and widths count such elements. MAX: maxima in place of sums, NaN if
// there is one.
#if VEC
#import lib/quad
alias Element = vec4<f32>;
#else
alias Element = f32;
alias Quad = f32;
fn from_quad(q: Quad) -> f32 { return q; }
fn to_quad(v: f32) -> Quad { return v; }
#endif

#if MAX
#import lib/order
#if VEC
fn keys(v: vec4<f32>) -> vec4<u32> {
    return vec4<u32>(order_key(v.x), order_key(v.y), order_key(v.z), order_key(v.w));
}
#else
fn keys(v: f32) -> u32 { return order_key(v); }
#endif
fn join(a: Element, b: Element) -> Element { return select(a, b, keys(b) > keys(a)); }
#else
fn join(a: Element, b: Element) -> Element { return a + b; }
#endif

const SPAN = 32u;
const SPAN_BITS = 5u;

// How many blocks come before those of `level` in the buffer of blocks, which begins with level 1.
fn first_block(rows: u32, level: u32) -> u32 {
    var first = 0u;
    for (var l = 1u; l < level; l++) { first += rows >> (SPAN_BITS * l); }
    return first;
}
