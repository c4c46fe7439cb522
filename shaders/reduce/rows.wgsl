// out[o, c] = scale * reduce over the c-th chunk of in[o, 0..len]: KIND 0 sums, 1 takes the maximum, NaN if there is one.
//
// One workgroup per (row, chunk); lanes read neighbouring elements, then combine in a fixed tree.
// Dispatch: outer * chunks workgroups, folded over x and y. Loops: ceil(chunk / WG) per invocation.
#import lib/index
#import lib/lanes
#import lib/order

struct Params {
    outer: u32, len: u32, inner: u32, chunk: u32, chunks: u32, scale: f32, pad0: u32, pad1: u32,
}
@group(0) @binding(8) var<uniform> params: Params;
@group(0) @binding(0) var<storage, read> values: array<f32>;
@group(0) @binding(1) var<storage, read_write> reduced: array<f32>;

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
#if KIND == 0
    var total = 0.0;
    for (var j = first + lane; j < end; j += #{WG}u) { total += values[row * params.len + j]; }
    let result = lanes_sum(total, lane) * params.scale;
#else
    // Every lane starts from an element of the chunk, so that a chunk of -inf stays -inf.
    var largest = order_key(values[select(0u, row * params.len + first, live)]);
    for (var j = first + lane; j < end; j += #{WG}u) {
        largest = max(largest, order_key(values[row * params.len + j]));
    }
    let result = from_order_key(lanes_max_key(largest, lane));
#endif
    if live && lane == 0u { reduced[group] = result; }
}
