// As `window/pool_gradient`, of windows that do not overlap, without dilation: each invocation spreads what one window
// has over the STRIDE elements from where it begins to where the next one does. Elements past its taps get zero.
// BLOCKS: how often STRIDE elements go into the tensor and the padding before it; the last may have no window.
// Dispatch: ceil(len / WG) workgroups, folded over x and y. Loops: the elements of STRIDE per invocation.
#import lib/index
#import lib/quad
#import lib/pool_upstream

const BLOCKS = vec3<u32>(#{BLOCKS});

@compute @workgroup_size(#{WG})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let i = workgroup_index(id, count) * #{WG}u + local.x;
    if i >= params.len { return; }
    let block = place_of(i, BLOCKS);
    let live = all(block.at < WINDOWS);
    let at = select(0u, cell_at(block, WINDOWS), live);
    let dy = select(Number(0.0), number(upstream[at]), Truth(live));
#if MAX
#if VEC
    let winner = (Whole(winners[at]) >> vec4<u32>(0u, 8u, 16u, 24u)) & Whole(0xffu);
#else
    let winner = winners[at];
#endif
#else
    let share = select(Number(0.0), dy / terms(taps_inside(block.at)), Truth(live));
#endif
    let first = block.at * STRIDE - BEFORE;
    let base = cell_at(Place(block.sample, first, block.channel), EXTENT);
    let step = vec3<u32>(EXTENT.y * EXTENT.z, EXTENT.z, 1u) * #{CELLS}u;
    // What is before the first element wraps around, and so is past the last.
    for (var x = 0u; x < STRIDE.x; x++) {
        if first.x + x >= EXTENT.x { continue; }
        for (var y = 0u; y < STRIDE.y; y++) {
            if first.y + y >= EXTENT.y { continue; }
            for (var z = 0u; z < STRIDE.z; z++) {
                if first.z + z >= EXTENT.z { continue; }
                let tap = vec3<u32>(x, y, z);
                let under = all(tap < TAPS);
#if MAX
                let wins = (winner == Whole(tap_number(tap))) & Truth(under);
                let d = select(Number(0.0), dy, wins);
#else
                let d = select(Number(0.0), share, Truth(under));
#endif
                d_values[base + x * step.x + y * step.y + z * step.z] = cell(d);
            }
        }
    }
}
