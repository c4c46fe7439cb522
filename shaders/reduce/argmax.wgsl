// compared[r]: the scores x[r, :] compared with the target's class.
// KIND 0: 1 if the class of the scores is the target, else 0.
// KIND 1: target * cols + class, or -1 - target if the scores have no class.
// KIND 2: how many scores are larger than the target's, or cols if the scores have no class.
// SPARSE: the target is labels[r]. Otherwise it is the class of labels[r, :], and NaN is never the largest.
// `lib/class` says what the class of scores is.
//
// One workgroup per row. Dispatch: `rows` workgroups, folded over x and y.
// Loops: at most 3 * ceil(cols / WG) per invocation. Guards: a label past the classes counts as the
// last one (the host refuses such labels).
#import lib/class
#import lib/index
#import lib/lanes

struct Params { rows: u32, cols: u32, pad0: u32, pad1: u32 }
@group(0) @binding(8) var<uniform> params: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>;
#if SPARSE
@group(0) @binding(1) var<storage, read> labels: array<u32>;
#else
@group(0) @binding(1) var<storage, read> labels: array<f32>;
#endif
@group(0) @binding(2) var<storage, read_write> compared: array<f32>;

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
    var place = 0u;
    var nan = false;
    for (var j = lane; j < cols; j += #{WG}u) {
        let v = x[base + j];
        nan = nan || is_nan(v);
        if v > largest { largest = v; place = j; }
    }
    let top = lanes_max(largest, lane);
    let found = lanes_min_index(class_key(place, largest == top, nan), lane) - 1u;
#if SPARSE
    let target_place = min(labels[select(0u, row, live)], params.cols - 1u);
#else
    var target_largest = labels[base];
    var target_first = 0u;
    for (var j = lane; j < cols; j += #{WG}u) {
        if labels[base + j] > target_largest { target_largest = labels[base + j]; target_first = j; }
    }
    let target_top = lanes_max(target_largest, lane);
    let target_place = lanes_min_index(select(0xffffffffu, target_first, target_largest == target_top), lane);
#endif
#if KIND == 0
    let result = select(0.0, 1.0, found == target_place && found != NO_CLASS);
#else
    let right = min(target_place, params.cols - 1u);
#if KIND == 1
    let result = select(f32(right * params.cols + found), -1.0 - f32(right), found == NO_CLASS);
#else
    let score = x[base + right];
    var above = 0.0;
    for (var j = lane; j < cols; j += #{WG}u) { above += select(0.0, 1.0, x[base + j] > score); }
    let result = select(lanes_sum(above, lane), f32(params.cols), found == NO_CLASS);
#endif
#endif
    if live && lane == 0u { compared[row] = result; }
}
