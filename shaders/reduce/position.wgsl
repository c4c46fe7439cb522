// positions[r]: the place of the largest element of x[r, :], or with SMALLEST of the smallest. The first of equal ones;
// -0 equals 0. If a row has NaN, the place of the first: so the element at the place is the maximum of the row.
//
// One workgroup per row; each lane visits its elements in ascending order.
// Dispatch: `rows` workgroups, folded over x and y. Loops: ceil(cols / WG) per invocation.
#import lib/index
#import lib/lanes
#import lib/order

struct Params { rows: u32, cols: u32, pad0: u32, pad1: u32 }
@group(0) @binding(8) var<uniform> params: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> positions: array<u32>;

// The key of -v or v, in which both zeros are equal. By the bits: NaN of either sign has the highest key.
fn key(v: f32) -> u32 {
#if SMALLEST
    let bits = bitcast<u32>(v) ^ 0x80000000u;
#else
    let bits = bitcast<u32>(v);
#endif
    return select(order_key(bitcast<f32>(bits)), 0x80000000u, (bits & 0x7fffffffu) == 0u);
}

@compute @workgroup_size(#{WG})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let row = workgroup_index(id, count);
    let live = row < params.rows;
    let lane = local.x;
    let base = select(0u, row, live) * params.cols;
    let cols = select(0u, params.cols, live);
    var largest = 0u;
    var place = 0u;
    for (var j = lane; j < cols; j += #{WG}u) {
        let k = key(x[base + j]);
        if k > largest { largest = k; place = j; }
    }
    let top = lanes_max_key(largest, lane);
    let found = lanes_min_index(select(0xffffffffu, place, largest == top), lane);
    if live && lane == 0u { positions[row] = found; }
}
