// joined[r, first_t + c] = part_t[r, c]: the rows of up to seven tensors side by side.
//
// Each invocation writes COLUMNS neighbours of a row. Dispatch: ceil(rows * ceil(cols / COLUMNS) / WG) workgroups,
// folded over x and y. Guards: nothing past the last row is written; each column is in exactly one part. Loops: COLUMNS
// per invocation.
#import lib/index

struct Params { rows: u32, cols: u32, pad0: u32, pad1: u32, words: array<vec4<u32>, #{PARTS}> }
@group(0) @binding(8) var<uniform> params: Params;
#for t in 0..PARTS
@group(0) @binding(#{t}) var<storage, read> part#{t}: array<f32>;
#end
@group(0) @binding(#{PARTS}) var<storage, read_write> joined: array<f32>;

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
    let begin = #{COLUMNS}u * (i % groups);
    let end = min(begin + #{COLUMNS}u, params.cols);
#for t in 0..PARTS
    {
        // Words of part t: its first column, and how many it has.
        let first = params.words[#{t}].x;
        let width = params.words[#{t}].y;
        for (var c = max(begin, first); c < min(end, first + width); c++) {
            joined[row * params.cols + c] = part#{t}[row * width + c - first];
        }
    }
#end
}
