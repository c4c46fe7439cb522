// y[o, i, c] = sum over the terms t of line i of weights[t] * x[o, t, c]: a few neighbours of each line.
//
// bands[i] is the first element of x along the axis, how many there are, and the place of the first weight. What has no
// weight is not read, so an infinity stays where it is. Each invocation writes COLUMNS neighbours of a row.
// Dispatch: ceil(rows * ceil(inner / COLUMNS) / WG) workgroups, folded over x and y. Guards: nothing past the last row is
// written. Loops: COLUMNS times the terms of the longest line.
#import lib/index

struct Params { rows: u32, inner: u32, extent: u32, count: u32 }
@group(0) @binding(8) var<uniform> params: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> bands: array<u32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(#{WG})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let i = workgroup_index(id, count) * #{WG}u + local.x;
    let groups = (params.inner + #{COLUMNS - 1}u) / #{COLUMNS}u;
    let row = i / groups;
    if row >= params.rows { return; }
    let line = row % params.count;
    let terms = bands[3u * line + 1u];
    let weight = bands[3u * line + 2u];
    let first = (row / params.count * params.extent + bands[3u * line]) * params.inner;
    let begin = #{COLUMNS}u * (i % groups);
    let end = min(begin + #{COLUMNS}u, params.inner);
    for (var c = begin; c < end; c++) {
        var sum = 0.0;
        for (var t = 0u; t < terms; t++) {
            sum += weights[weight + t] * x[first + t * params.inner + c];
        }
        y[row * params.inner + c] = sum;
    }
}
