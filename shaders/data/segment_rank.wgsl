// order[rank of i] = i, where i ranks by (indices[i], i): a stable sort of the gathered rows by table row.
//
// One invocation per row counts the rows before it. Dispatch: ceil(rows / WG) workgroups, folded over x and
// y. Loops: `rows` per invocation.
#import lib/index

struct Params { rows: u32, width: u32, table: u32, pad0: u32 }
@group(0) @binding(8) var<uniform> params: Params;
@group(0) @binding(0) var<storage, read> indices: array<u32>;
@group(0) @binding(1) var<storage, read_write> order: array<u32>;

@compute @workgroup_size(#{WG})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let i = workgroup_index(id, count) * #{WG}u + local.x;
    if i >= params.rows { return; }
    let own = indices[i];
    var rank = 0u;
    for (var j = 0u; j < params.rows; j++) {
        let other = indices[j];
        if other < own || (other == own && j < i) { rank++; }
    }
    order[rank] = i;
}
