// out[o, c] = scale * reduce over the c-th chunk of in[o, 0..len]: KIND 0 sums, 1 takes the maximum, NaN if there is one.
//
// One workgroup per (row, chunk); lanes read neighbouring elements, then combine in a fixed tree.
// VIEW: the operand is read through strides: a row starts where `line_at` says, its elements are TERM apart.
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
    for (var j = first + lane; j < end; j += #{WG}u) { total += values[line + j * term]; }
#else
    for (var j = first + lane; j < end; j += #{WG}u) { total += values[row * params.len + j]; }
#endif
    let result = lanes_sum(total, lane) * params.scale;
#else
    // Every lane starts from an element of the chunk, so that a chunk of -inf stays -inf.
#if VIEW
    var largest = order_key(values[select(0u, line + first * term, live)]);
    for (var j = first + lane; j < end; j += #{WG}u) {
        largest = max(largest, order_key(values[line + j * term]));
    }
#else
    var largest = order_key(values[select(0u, row * params.len + first, live)]);
    for (var j = first + lane; j < end; j += #{WG}u) {
        largest = max(largest, order_key(values[row * params.len + j]));
    }
#endif
    let result = from_order_key(lanes_max_key(largest, lane));
#endif
    if live && lane == 0u { reduced[group] = result; }
}
