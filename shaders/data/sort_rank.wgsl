// sorted[rank of i] = (key_i, i). The rank is by (key_i, i), and key_i = min(ids[i], last): a stable sort of few ids.
//
// One invocation per id counts the ids before it. Dispatch: ceil(rows / WG) workgroups, folded over x and y.
// Loops: `rows` per invocation.
#import lib/index

struct Params { rows: u32, last: u32, chunk: u32, groups: u32, shift: u32, pad0: u32, pad1: u32, pad2: u32 }
@group(0) @binding(8) var<uniform> params: Params;
@group(0) @binding(0) var<storage, read> ids: array<u32>;
@group(0) @binding(1) var<storage, read_write> sorted: array<vec2<u32>>;

@compute @workgroup_size(#{WG})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let i = workgroup_index(id, count) * #{WG}u + local.x;
    if i >= params.rows { return; }
    let own = min(ids[i], params.last);
    var rank = 0u;
    for (var j = 0u; j < params.rows; j++) {
        let other = min(ids[j], params.last);
        if other < own || (other == own && j < i) { rank++; }
    }
    sorted[rank] = vec2<u32>(own, i);
}
