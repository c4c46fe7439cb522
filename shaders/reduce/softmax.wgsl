// y = e^(x - max x) / sum e^(x - max x) over each row, or with LOG: y = x - max x - log sum e^(x - max x).
//
// One workgroup per row. The row maximum is subtracted first, so that no exponent is positive.
// Dispatch: `rows` workgroups, folded over x and y. Loops: 3 * ceil(cols / WG) per invocation.
#import lib/index
#import lib/lanes

struct Params { rows: u32, cols: u32, pad0: u32, pad1: u32 }
@group(0) @binding(8) var<uniform> params: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

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
    var largest = x[base];
    for (var j = lane; j < cols; j += #{WG}u) { largest = max(largest, x[base + j]); }
    let top = lanes_max(largest, lane);
    var total = 0.0;
    for (var j = lane; j < cols; j += #{WG}u) { total += exp(x[base + j] - top); }
    let sum = lanes_sum(total, lane);
#if LOG
    // The difference to the maximum first: near 1e4 the sum of both terms would lose the logarithm's digits.
    let log_sum = log(sum);
    for (var j = lane; j < cols; j += #{WG}u) { y[base + j] = (x[base + j] - top) - log_sum; }
#else
    let factor = 1.0 / sum;
    for (var j = lane; j < cols; j += #{WG}u) { y[base + j] = exp(x[base + j] - top) * factor; }
#endif
}
