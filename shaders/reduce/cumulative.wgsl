// cumulated[o, j, i] = values[o, 0, i] + ... + values[o, j, i]: KIND 0 adds, 1 multiplies.
// REVERSE: from the last j down. EXCLUSIVE: without element j itself.
// TOTALS: instead totals[o, c, i], all of chunk c. OFFSETS: what comes before each chunk, [o, c, i].
//
// One invocation per chunk of a column; it goes through its elements in order, so that the order of additions is
// fixed. Chunks count in the order in which elements are added up.
// Dispatch: ceil(outer * chunks * inner / WG) workgroups, folded over x and y. Loops: `chunk` per invocation.
#import lib/index

struct Params {
    outer: u32, len: u32, inner: u32, chunk: u32, chunks: u32, scale: f32, pad0: u32, pad1: u32,
}
@group(0) @binding(8) var<uniform> params: Params;
@group(0) @binding(0) var<storage, read> values: array<f32>;
#if OFFSETS
@group(0) @binding(1) var<storage, read> offsets: array<f32>;
@group(0) @binding(2) var<storage, read_write> cumulated: array<f32>;
#else
@group(0) @binding(1) var<storage, read_write> cumulated: array<f32>;
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
    let base = row * params.len;
#if OFFSETS
    var running = offsets[g];
#else
#if KIND == 0
    var running = 0.0;
#else
    var running = 1.0;
#endif
#endif
    for (var j = first; j < end; j++) {
#if REVERSE
        let at = (base + params.len - 1u - j) * params.inner + column;
#else
        let at = (base + j) * params.inner + column;
#endif
        let before = running;
#if KIND == 0
        running += values[at];
#else
        running *= values[at];
#endif
#if TOTALS
    }
    cumulated[g] = running;
#else
#if EXCLUSIVE
        cumulated[at] = before;
#else
        cumulated[at] = running;
#endif
    }
#endif
}
