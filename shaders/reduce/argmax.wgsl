// compared[r]: the scores x[r, :] compared with the target's class.
// KIND 0: 1 if the position of the largest score is the target's, else 0.
// KIND 1: the target's position times cols, plus that of the largest score (0 if the first is NaN).
// KIND 2: how many scores are not at most the target's: a NaN is above all.
// SPARSE: the target is labels[r]. Otherwise it is the position of the largest element of labels[r, :].
// Of equal elements the first counts.
//
// One workgroup per row. Dispatch: `rows` workgroups, folded over x and y.
// Loops: at most 3 * ceil(cols / WG) per invocation. Guards: a label past the classes counts as the last.
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
#if KIND < 2
    var largest = x[base];
    var place = 0u;
    for (var j = lane; j < cols; j += #{WG}u) {
        if x[base + j] > largest { largest = x[base + j]; place = j; }
    }
    let top = lanes_max(largest, lane);
    let found = lanes_min_index(select(0xffffffffu, place, largest == top), lane);
#endif
#if SPARSE
    let target_place = labels[select(0u, row, live)];
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
    let result = select(0.0, 1.0, found == target_place);
#else
    let right = min(target_place, params.cols - 1u);
#if KIND == 1
    let result = f32(right * params.cols + select(found, 0u, found >= params.cols));
#else
    let score = x[base + right];
    var above = 0.0;
    for (var j = lane; j < cols; j += #{WG}u) { above += select(1.0, 0.0, x[base + j] <= score); }
    let result = lanes_sum(above, lane);
#endif
#endif
    if live && lane == 0u { compared[row] = result; }
}
