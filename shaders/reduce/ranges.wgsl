// sums[first + i] = factor_i * sum of values[start_i..end_i].
//
// One workgroup per range; lanes read neighbouring elements, then combine in a fixed tree. A range's word is
// (start, end, factor, 0). Dispatch: a workgroup for each range, folded over x and y. Loops: ceil(longest / WG).
#import lib/index
#import lib/lanes

struct Params { first: u32, count: u32, begin: u32, end: u32, words: array<vec4<u32>, #{RANGES}> }
@group(0) @binding(8) var<uniform> params: Params;
@group(0) @binding(0) var<storage, read> values: array<f32>;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(#{WG})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let group = workgroup_index(id, count);
    let live = group < params.count;
    let range = params.words[select(0u, group, live)];
    let end = select(range.x, range.y, live);
    let lane = local.x;
    var total = 0.0;
    for (var j = range.x + lane; j < end; j += #{WG}u) { total += values[j]; }
    let sum = lanes_sum(total, lane) * bitcast<f32>(range.z);
    if live && lane == 0u { sums[params.first + group] = sum; }
}
