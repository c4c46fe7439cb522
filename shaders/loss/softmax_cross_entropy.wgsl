// Softmax cross-entropy on logits, its gradient and the hits, in one pass over each row:
//   loss[r] = scale * sum_j t_j (lse - x_j),  lse = max x + log sum e^(x - max x)
//   gradient[r, j] = scale * (e^(x_j - lse) * sum t - t_j)
//   hits[r] = 1 if the class of the logits (`lib/class`) is the target's, else 0.
// SPARSE: t is one at labels[r]. Otherwise t = labels[r, :].
//
// GRADIENT: the gradient is written. IN_PLACE: over the logits, and a lane reads only the elements that it writes once
// the maximum is known.
//
// One workgroup per row. Dispatch: `rows` workgroups, folded over x and y.
// Guards: the row maximum is subtracted; a label past the classes counts as the last one (the host refuses
// such labels). Loops: 3 * ceil(cols / WG) per invocation.
#import lib/class
#import lib/index
#import lib/lanes

struct Params { rows: u32, cols: u32, scale: f32, pad0: u32 }
@group(0) @binding(8) var<uniform> params: Params;
#if SPARSE
@group(0) @binding(0) var<storage, read> labels: array<u32>;
#else
@group(0) @binding(0) var<storage, read> labels: array<f32>;
#endif
@group(0) @binding(1) var<storage, read_write> loss: array<f32>;
@group(0) @binding(2) var<storage, read_write> hits: array<f32>;
#if IN_PLACE
@group(0) @binding(3) var<storage, read_write> gradient: array<f32>;
fn logit(i: u32) -> f32 { return gradient[i]; }
#else
@group(0) @binding(3) var<storage, read> logits: array<f32>;
fn logit(i: u32) -> f32 { return logits[i]; }
#if GRADIENT
@group(0) @binding(4) var<storage, read_write> gradient: array<f32>;
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
    var largest = logit(base);
    var place = 0u;
    var nan = false;
#if SPARSE
    let label = min(labels[select(0u, row, live)], params.cols - 1u);
    for (var j = lane; j < cols; j += #{WG}u) {
        let v = logit(base + j);
        nan = nan || is_nan(v);
        if v > largest { largest = v; place = j; }
    }
#else
    var target_largest = labels[base];
    var target_first = 0u;
    var weight = 0.0;
    for (var j = lane; j < cols; j += #{WG}u) {
        let v = logit(base + j);
        nan = nan || is_nan(v);
        if v > largest { largest = v; place = j; }
        let t = labels[base + j];
        weight += t;
        if t > target_largest { target_largest = t; target_first = j; }
    }
    let target_top = lanes_max(target_largest, lane);
    let label = lanes_min_index(select(0xffffffffu, target_first, target_largest == target_top), lane);
    let weights = lanes_sum(weight, lane);
#endif
    let top = lanes_max(largest, lane);
    let found = lanes_min_index(class_key(place, largest == top, nan), lane) - 1u;
    var total = 0.0;
    for (var j = lane; j < cols; j += #{WG}u) { total += exp(logit(base + j) - top); }
    let sum = lanes_sum(total, lane);
    let lse = log(sum);
#if SPARSE
    // The lane that writes the gradient of the label's logit reads the logit.
    if live && lane == label % #{WG}u {
        loss[row] = params.scale * (lse - (logit(base + label) - top));
    }
#if GRADIENT
    for (var j = lane; j < cols; j += #{WG}u) {
        let p = exp(logit(base + j) - top) / sum;
        gradient[base + j] = params.scale * (p - select(0.0, 1.0, j == label));
    }
#endif
#else
    var part = 0.0;
    for (var j = lane; j < cols; j += #{WG}u) {
        let v = logit(base + j) - top;
        let t = labels[base + j];
#if GRADIENT
        gradient[base + j] = params.scale * (exp(v) / sum * weights - t);
#endif
        // A zero target contributes nothing even if its logit is -inf.
        if t != 0.0 { part += t * (lse - v); }
    }
    let entropy = lanes_sum(part, lane);
    if live && lane == 0u { loss[row] = params.scale * entropy; }
#endif
    if live && lane == 0u { hits[row] = select(0.0, 1.0, found == label && found != NO_CLASS); }
}
