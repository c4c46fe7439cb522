// padded = x with a margin of one value around it.
//
// A row is the last axis with a margin and those inside it; words[a] is an axis before it, from the inside: its extent,
// the margin before x, the extent of x, and the elements of x from one to the next. Each invocation writes COLUMNS
// neighbours of a row. Dispatch: ceil(rows * ceil(cols / COLUMNS) / WG) workgroups, folded over x and y. Guards: nothing
// past the last row is written; x is read inside it alone. Loops: COLUMNS per invocation.
#import lib/index

struct Params {
    rows: u32, cols: u32, first: u32, width: u32, fill: f32, pad0: u32, pad1: u32, pad2: u32,
    words: array<vec4<u32>, #{AXES}>,
}
@group(0) @binding(8) var<uniform> params: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> padded: array<f32>;

@compute @workgroup_size(#{WG})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let i = workgroup_index(id, count) * #{WG}u + local.x;
    let groups = (params.cols + #{COLUMNS - 1}u) / #{COLUMNS}u;
    let row = i / groups;
    if row >= params.rows { return; }
    var rest = row;
    var line = 0u;
    var inside = true;
#for a in 0..AXES
    {
        // What is before x wraps to a large number.
        let axis = params.words[#{a}];
        let at = rest % axis.x - axis.y;
        rest = rest / axis.x;
        inside = inside && at < axis.z;
        line += at * axis.w;
    }
#end
    let begin = #{COLUMNS}u * (i % groups);
    let end = min(begin + #{COLUMNS}u, params.cols);
    for (var c = begin; c < end; c++) {
        let at = c - params.first;
        var value = params.fill;
        if inside && at < params.width { value = x[line + at]; }
        padded[row * params.cols + c] = value;
    }
}
