// blocks[level, b, c] = sum over i = 32 b .. 32 b + 31 of level - 1, in ascending order, if all rows of the block have
// one key. Other blocks are never read and stay as they are. LEAF: level 1; its terms are the rows themselves.
// MAX: the maximum.
//
// One invocation per block and column. Dispatch: workgroups of X along a row by Y blocks; x covers the width, the blocks
// are folded over y and z. Loops: 32 + level per invocation.
#import lib/segments

struct Params { rows: u32, width: u32, table: u32, level: u32 }
@group(0) @binding(8) var<uniform> params: Params;
@group(0) @binding(0) var<storage, read> sorted: array<vec2<u32>>;
#if LEAF
@group(0) @binding(1) var<storage, read> rows: array<Quad>;
@group(0) @binding(2) var<storage, read_write> blocks: array<Quad>;
#else
@group(0) @binding(1) var<storage, read_write> blocks: array<Quad>;
#endif

@compute @workgroup_size(#{X}, #{Y})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let block = (id.y + id.z * count.y) * #{Y}u + local.y;
    let column = id.x * #{X}u + local.x;
    let bits = SPAN_BITS * params.level;
    if block >= params.rows >> bits || column >= params.width { return; }
    if sorted[block << bits].x != sorted[((block + 1u) << bits) - 1u].x { return; }
    var total: Element;
#if LEAF
#if MAX
    total = from_quad(rows[sorted[block * SPAN].y * params.width + column]);
#endif
    for (var i = block * SPAN; i < (block + 1u) * SPAN; i++) {
        total = join(total, from_quad(rows[sorted[i].y * params.width + column]));
    }
#else
    let below = first_block(params.rows, params.level - 1u);
#if MAX
    total = from_quad(blocks[(below + block * SPAN) * params.width + column]);
#endif
    for (var i = block * SPAN; i < (block + 1u) * SPAN; i++) {
        total = join(total, from_quad(blocks[(below + i) * params.width + column]));
    }
#endif
    blocks[(first_block(params.rows, params.level) + block) * params.width + column] = to_quad(total);
}
