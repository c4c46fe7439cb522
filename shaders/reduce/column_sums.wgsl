// sums_o[p, j] = sum over the rows r of chunk p of f_o(operands[r, j]).
//
// A workgroup takes LANES * 4 neighbouring columns; its ROWS lines of lanes take turns at the rows of a chunk, and a
// tree in workgroup memory adds the lines in a fixed order. The generated parts are the bindings, the offset
// functions, the loads, the program and the sums.
// Dispatch: ceil(cols / 4 / LANES) * chunks workgroups, folded over x and y. Loops: ceil(chunk / ROWS) per invocation,
// and log2(ROWS) for each sum. Guards: columns past the last one read the last one again and are not stored.
#import lib/index
#import lib/math
#import lib/quad
#if STEP
#import lib/step
#endif
#if RANDOM
#import lib/threefry
#endif

struct Params { rows: u32, cols: u32, chunk: u32, chunks: u32, words: array<vec4<u32>, #{WORDS}> }
@group(0) @binding(8) var<uniform> params: Params;
#{BINDINGS}
#{FUNCTIONS}

#if ROWS > 1
var<workgroup> lines: array<vec4<f32>, #{LANES * ROWS}>;

// The sum over the lines of lanes, in line 0.
fn add_lines(v: vec4<f32>, lane: u32, line: u32) -> vec4<f32> {
    lines[line * #{LANES}u + lane] = v;
    workgroupBarrier();
    for (var s = #{ROWS}u / 2u; s > 0u; s >>= 1u) {
        if line < s { lines[line * #{LANES}u + lane] += lines[(line + s) * #{LANES}u + lane]; }
        workgroupBarrier();
    }
    let total = lines[line * #{LANES}u + lane];
    workgroupBarrier();
    return total;
}
#else
fn add_lines(v: vec4<f32>, lane: u32, line: u32) -> vec4<f32> { return v; }
#endif

@compute @workgroup_size(#{LANES}, #{ROWS})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let group = workgroup_index(id, count);
    let tiles = (params.cols + 4u * #{LANES}u - 1u) / (4u * #{LANES}u);
    let chunk = group / tiles;
    let wanted = 4u * (group % tiles * #{LANES}u + local.x);
    let inside = chunk < params.chunks && wanted < params.cols;
    let c = select(0u, wanted, inside);
    let cols = params.cols;
    let last = params.cols - 1u;
    let first = chunk * params.chunk;
    let end = select(first, min(first + params.chunk, params.rows), inside);
#{DECLARE}
    for (var row = first + local.y; row < end; row += #{ROWS}u) {
        let start = row * params.cols;
#{BODY}
    }
#{TOTALS}
    if inside && local.y == 0u {
        let at = chunk * params.cols + c;
#{STORES}
    }
}
