// Binary cross-entropy on logits and its gradient, per row the mean over its outputs:
//   loss[r] = scale * sum_j (max(x, 0) - x t + log(1 + e^-|x|))
//   gradient[r, j] = scale * (sigmoid(x) - t)
// with `scale` = 1 / (rows * cols) for the mean over a batch.
//
// GRADIENT: the gradient is written; IN_PLACE: over the logits, each element by the lane that read it.
//
// One workgroup per row. Dispatch: `rows` workgroups, folded over x and y.
// Guards: no exponent is positive. Loops: ceil(cols / WG) per invocation.
#import lib/index
#import lib/lanes
#import lib/math

struct Params { rows: u32, cols: u32, scale: f32, pad0: u32 }
@group(0) @binding(8) var<uniform> params: Params;
@group(0) @binding(0) var<storage, read> labels: array<f32>;
@group(0) @binding(1) var<storage, read_write> loss: array<f32>;
#if IN_PLACE
@group(0) @binding(2) var<storage, read_write> gradient: array<f32>;
#else
@group(0) @binding(2) var<storage, read> logits: array<f32>;
#if GRADIENT
@group(0) @binding(3) var<storage, read_write> gradient: array<f32>;
#endif
#endif

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
    var part = 0.0;
    for (var j = lane; j < cols; j += #{WG}u) {
#if IN_PLACE
        let x = gradient[base + j];
#else
        let x = logits[base + j];
#endif
        let t = labels[base + j];
#if GRADIENT
        gradient[base + j] = params.scale * (sigmoid(vec4<f32>(x))[0] - t);
#endif
        part += max(x, 0.0) - x * t + log1p_unit(vec4<f32>(exp(-abs(x))))[0];
    }
    let entropy = lanes_sum(part, lane);
    if live && lane == 0u { loss[row] = params.scale * entropy; }
}
