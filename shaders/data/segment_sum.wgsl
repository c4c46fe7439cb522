// sums[t, c] = sum of rows[i, c] over the i with key t, in ascending order; zero if there is none.
// MAX: the maximum in place of the sum.
//
// The segment of t is sorted[starts[t]..starts[t + 1]]. It is added up from its first row to its last: rows up to the
// first block that is wholly inside, then such blocks of level 1, of level 2, ..., and down again. So a segment of any
// length takes few additions, in an order that depends only on its place.
//
// One invocation per table row and column. Dispatch: workgroups of X along a row by Y rows; x covers the width, the rows
// are folded over y and z. Loops: at most 62 * LEVELS + (rows >> (5 * LEVELS)) per invocation.
#import lib/segments

struct Params { rows: u32, width: u32, table: u32, level: u32 }
@group(0) @binding(8) var<uniform> params: Params;
@group(0) @binding(0) var<storage, read> sorted: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read> starts: array<u32>;
@group(0) @binding(2) var<storage, read> rows: array<Quad>;
@group(0) @binding(3) var<storage, read_write> sums: array<Quad>;
#if LEVELS > 0
@group(0) @binding(4) var<storage, read> blocks: array<Quad>;
#endif

fn row_at(i: u32, column: u32) -> Element { return from_quad(rows[sorted[i].y * params.width + column]); }
#if LEVELS > 0
fn block_at(i: u32, column: u32) -> Element { return from_quad(blocks[i * params.width + column]); }
#endif

@compute @workgroup_size(#{X}, #{Y})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let row = (id.y + id.z * count.y) * #{Y}u + local.y;
    let column = id.x * #{X}u + local.x;
    if row >= params.table || column >= params.width { return; }
    var total: Element;
    let first0 = starts[row];
    let end0 = starts[row + 1u];
    let base1 = 0u;
#if MAX
    // A maximum may meet one row twice.
    if first0 < end0 { total = row_at(first0, column); }
#endif
#for l in 0..LEVELS
    // Of level #{l}: what comes before the first whole block of the level above; everything, if there is none.
    let up#{l} = (first#{l} + SPAN - 1u) >> SPAN_BITS;
    let any#{l} = up#{l} < (end#{l} >> SPAN_BITS);
    let first#{l + 1} = select(0u, up#{l}, any#{l});
    let end#{l + 1} = select(0u, end#{l} >> SPAN_BITS, any#{l});
    let head#{l} = select(end#{l}, first#{l + 1} << SPAN_BITS, any#{l});
    let tail#{l} = select(end#{l}, end#{l + 1} << SPAN_BITS, any#{l});
#if l == 0
    for (var i = first0; i < head0; i++) { total = join(total, row_at(i, column)); }
#else
    let base#{l + 1} = base#{l} + (params.rows >> #{5 * l}u);
    for (var i = first#{l}; i < head#{l}; i++) { total = join(total, block_at(base#{l} + i, column)); }
#endif
#end
#if LEVELS == 0
    for (var i = first0; i < end0; i++) { total = join(total, row_at(i, column)); }
#else
    for (var i = first#{LEVELS}; i < end#{LEVELS}; i++) { total = join(total, block_at(base#{LEVELS} + i, column)); }
#endif
#for k in 1..LEVELS
    for (var i = tail#{LEVELS - k}; i < end#{LEVELS - k}; i++) { total = join(total, block_at(base#{LEVELS - k} + i, column)); }
#end
#if LEVELS > 0
    for (var i = tail0; i < end0; i++) { total = join(total, row_at(i, column)); }
#endif
    sums[row * params.width + column] = to_quad(total);
}
