// Reductions over each row, one after the other, and elementwise results that use them:
//   value_k = after_k(reduce_j before_k(operands[r, j], value_0 .. value_k-1))
//   out_o[r, j] = f_o(operands[r, j], value_0 ..)      kept_o[r, i] = value_i
//
// One workgroup per row; a lane takes four neighbouring columns at a time. The generated parts are the bindings, the
// offset functions, what is read once per row, and the loops with their programs.
// Dispatch: `rows` workgroups, folded over x and y. Loops: ceil(cols / 4 / WG) for each loop over the row.
// Guards: no lane of a surplus workgroup enters a loop or stores. Columns past the last one read the last one again,
// count as nothing in a reduction, and are not stored. No branch depends on a reduced value.
#import lib/index
#import lib/lanes
#import lib/math
#import lib/quad
#if STEP
#import lib/step
#endif
#if RANDOM
#import lib/threefry
#endif

struct Params { rows: u32, cols: u32, pad0: u32, pad1: u32, words: array<vec4<u32>, #{WORDS}> }
@group(0) @binding(8) var<uniform> params: Params;
#{BINDINGS}
#{FUNCTIONS}

const STRIDE = 4u * #{WG}u;

@compute @workgroup_size(#{WG})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let group = workgroup_index(id, count);
    let live = group < params.rows;
    let row = select(0u, group, live);
    let lane = local.x;
    let last = params.cols - 1u;
    let cols = select(0u, params.cols, live);
    let start = row * params.cols;
#{ROW}
#{BODY}
}
