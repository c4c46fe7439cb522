// starts[t] = how many keys are below t, for t from 0 to `table`: the start of each key's segment in sorted order.
//
// One invocation per t, by bisection. Dispatch: ceil((table + 1) / WG) workgroups, folded over x and y. Loops: 32.
#import lib/index

struct Params { rows: u32, width: u32, table: u32, level: u32 }
@group(0) @binding(8) var<uniform> params: Params;
@group(0) @binding(0) var<storage, read> sorted: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read_write> starts: array<u32>;

@compute @workgroup_size(#{WG})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let t = workgroup_index(id, count) * #{WG}u + local.x;
    if t > params.table { return; }
    var low = 0u;
    var high = params.rows;
    while low < high {
        let middle = (low + high) / 2u;
        if sorted[middle].x < t { low = middle + 1u; } else { high = middle; }
    }
    starts[t] = low;
}
