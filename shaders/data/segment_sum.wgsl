// table[t, c] = sum of rows[i, c] over the i with indices[i] = t, in ascending i; zero where there is none.
//
// One invocation per table element finds its segment of the sorted order by bisection and adds it up: no
// atomics, one order of additions. Dispatch: ceil(table * width / WG) workgroups, folded over x and y.
// Loops: 32 + the segment's length per invocation.
#import lib/index

struct Params { rows: u32, width: u32, table: u32, pad0: u32 }
@group(0) @binding(8) var<uniform> params: Params;
@group(0) @binding(0) var<storage, read> indices: array<u32>;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read> rows: array<f32>;
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(#{WG})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let g = workgroup_index(id, count) * #{WG}u + local.x;
    if g >= params.table * params.width { return; }
    let row = g / params.width;
    let column = g % params.width;
    var low = 0u;
    var high = params.rows;
    while low < high {
        let middle = (low + high) / 2u;
        if indices[order[middle]] < row { low = middle + 1u; } else { high = middle; }
    }
    var total = 0.0;
    while low < params.rows && indices[order[low]] == row {
        total += rows[order[low] * params.width + column];
        low++;
    }
    sums[g] = total;
}
