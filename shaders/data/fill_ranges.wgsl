// filled[j] = factor_i * values[first + i] if j is in range i, zero outside all, for j in begin..end.
//
// One invocation per element finds its range by bisection: ranges ascend and do not overlap. A range's word is
// (start, end, factor, 0). Dispatch: ceil((end - begin) / WG) workgroups, folded over x and y. Loops: at most 9.
#import lib/index

struct Params { first: u32, count: u32, begin: u32, end: u32, words: array<vec4<u32>, #{RANGES}> }
@group(0) @binding(8) var<uniform> params: Params;
@group(0) @binding(0) var<storage, read> values: array<f32>;
@group(0) @binding(1) var<storage, read_write> filled: array<f32>;

@compute @workgroup_size(#{WG})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let j = params.begin + workgroup_index(id, count) * #{WG}u + local.x;
    if j >= params.end { return; }
    var low = 0u;
    var high = params.count;
    while low < high {
        let middle = (low + high) / 2u;
        if params.words[middle].y <= j { low = middle + 1u; } else { high = middle; }
    }
    let at = min(low, params.count - 1u);
    let range = params.words[at];
    let inside = low < params.count && range.x <= j;
    filled[j] = select(0.0, values[params.first + at] * bitcast<f32>(range.z), inside);
}
