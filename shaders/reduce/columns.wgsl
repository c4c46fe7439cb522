// out[o, c, i] = scale * reduce over the c-th chunk of in[o, 0..len, i]: KIND 0 sums, 1 takes
// the maximum and 2 the minimum, NaN if there is one, 3 multiplies.
//
// One invocation per output; neighbouring invocations read neighbouring columns.
// VIEW: the operand is read through a view: a column starts where `line_at` says, and its elements are TERM apart; or VALUE
// finds each from the numbers of column and element.
// Dispatch: ceil(outer * chunks * inner / WG) workgroups, folded over x and y. Loops: `chunk` per invocation.
#import lib/index
#import lib/order

struct Params {
    outer: u32, len: u32, inner: u32, chunk: u32, chunks: u32, scale: f32, pad0: u32, pad1: u32,
#if VIEW
    words: array<vec4<u32>, #{WORDS}>,
#endif
}
@group(0) @binding(8) var<uniform> params: Params;
@group(0) @binding(0) var<storage, read> values: array<f32>;
@group(0) @binding(1) var<storage, read_write> reduced: array<f32>;
#if VIEW
#{LINES}
#endif

// The minimum is the maximum with the signs turned.
#if KIND == 2
fn key(v: f32) -> u32 { return order_key(-v); }
#else
fn key(v: f32) -> u32 { return order_key(v); }
#endif

@compute @workgroup_size(#{WG})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let g = workgroup_index(id, count) * #{WG}u + local.x;
    if g >= params.outer * params.chunks * params.inner { return; }
    let column = g % params.inner;
    let chunk = g / params.inner % params.chunks;
    let row = g / params.inner / params.chunks;
    let first = chunk * params.chunk;
    let end = min(first + params.chunk, params.len);
#if VIEW
    let term = #{TERM};
    var at = line_at(row * params.inner + column) + first * term;
#else
    var at = (row * params.len + first) * params.inner + column;
#endif
#if KIND == 0
    var result = 0.0;
#if VIEW
    for (var j = first; j < end; j++) { result += #{VALUE}; at += term; }
#else
    for (var j = first; j < end; j++) { result += values[at]; at += params.inner; }
#endif
    result *= params.scale;
#else
#if KIND == 3
    var result = 1.0;
#if VIEW
    for (var j = first; j < end; j++) { result *= #{VALUE}; at += term; }
#else
    for (var j = first; j < end; j++) { result *= values[at]; at += params.inner; }
#endif
#else
#if VIEW
    var largest = key(#{FIRST});
    for (var j = first; j < end; j++) { largest = max(largest, key(#{VALUE})); at += term; }
#else
    var largest = key(values[at]);
    for (var j = first; j < end; j++) { largest = max(largest, key(values[at])); at += params.inner; }
#endif
#if KIND == 2
    let result = -from_order_key(largest);
#else
    let result = from_order_key(largest);
#endif
#endif
#endif
    reduced[g] = result;
}
