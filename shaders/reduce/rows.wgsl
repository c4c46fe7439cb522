// out[o, c] = scale * reduce over the c-th chunk of in[o, 0..len]: KIND 0 sums, 1 takes the
// maximum and 2 the minimum, NaN if there is one, 3 multiplies.
//
// One workgroup per (row, chunk); lanes read neighbouring elements, then combine in a fixed tree.
// VIEW: the operand is read through a view: a row starts where `line_at` says, and its elements are TERM apart; or VALUE finds
// each from the numbers of row and element.
// Dispatch: outer * chunks workgroups, folded over x and y. Loops: ceil(chunk / WG) per invocation.
#import lib/index
#import lib/lanes
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
    let group = workgroup_index(id, count);
    let live = group < params.outer * params.chunks;
    let row = group / params.chunks;
    let first = (group % params.chunks) * params.chunk;
    let end = select(first, min(first + params.chunk, params.len), live);
    let lane = local.x;
#if VIEW
    let line = line_at(row);
    let term = #{TERM};
#endif
#if KIND == 0
    var total = 0.0;
#if VIEW
    for (var j = first + lane; j < end; j += #{WG}u) { total += #{VALUE}; }
#else
    for (var j = first + lane; j < end; j += #{WG}u) { total += values[row * params.len + j]; }
#endif
    let result = lanes_sum(total, lane) * params.scale;
#else
#if KIND == 3
    var all = 1.0;
#if VIEW
    for (var j = first + lane; j < end; j += #{WG}u) { all *= #{VALUE}; }
#else
    for (var j = first + lane; j < end; j += #{WG}u) { all *= values[row * params.len + j]; }
#endif
    let result = lanes_product(all, lane);
#else
    // Every lane starts from an element of the chunk, so that a chunk of -inf stays -inf.
#if VIEW
    var largest = key(#{FIRST});
    for (var j = first + lane; j < end; j += #{WG}u) {
        largest = max(largest, key(#{VALUE}));
    }
#else
    var largest = key(values[select(0u, row * params.len + first, live)]);
    for (var j = first + lane; j < end; j += #{WG}u) {
        largest = max(largest, key(values[row * params.len + j]));
    }
#endif
#if KIND == 2
    let result = -from_order_key(lanes_max_key(largest, lane));
#else
    let result = from_order_key(lanes_max_key(largest, lane));
#endif
#endif
#endif
    if live && lane == 0u { reduced[group] = result; }
}
