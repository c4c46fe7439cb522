// Reductions over the WG invocations of a workgroup, a power of two; every invocation receives the result. The order of
// additions is fixed. With SUBGROUP the workgroup is exactly one subgroup. A
// single invocation has nothing to share. `lanes_max` may drop NaN; `lanes_max_key` over
// the keys of `lib/order` does not.
//
// In workgroup memory each step joins pairs of values, and every invocation writes one value and reads two: what is
// joined, and in which order, is that of a tree, and each invocation has the root at the end. A tree in which one
// invocation writes the root, for all to read after a barrier, is what Apple's compiler gets wrong: it loses the barrier.
// `wgrad doctor` tests both. The two halves of the memory take turns, so that a step needs one barrier.
#if SUBGROUP
fn lanes_sum(v: f32, lane: u32) -> f32 { return subgroupAdd(v); }
fn lanes_product(v: f32, lane: u32) -> f32 { return subgroupMul(v); }
fn lanes_max(v: f32, lane: u32) -> f32 { return subgroupMax(v); }
fn lanes_min_index(v: u32, lane: u32) -> u32 { return subgroupMin(v); }
fn lanes_max_key(v: u32, lane: u32) -> u32 { return subgroupMax(v); }
#else
#if WG == 1
fn lanes_sum(v: f32, lane: u32) -> f32 { return v; }
fn lanes_product(v: f32, lane: u32) -> f32 { return v; }
fn lanes_max(v: f32, lane: u32) -> f32 { return v; }
fn lanes_min_index(v: u32, lane: u32) -> u32 { return v; }
fn lanes_max_key(v: u32, lane: u32) -> u32 { return v; }
#else
var<workgroup> lane_values: array<f32, #{2 * WG}>;
var<workgroup> lane_indices: array<u32, #{2 * WG}>;

// The two values that lanes `lane` and `lane ^ step` join, the lower lane's first.
fn lane_pair(v: f32, lane: u32, step: u32, turn: u32) -> vec2<f32> {
    lane_values[turn + lane] = v;
    workgroupBarrier();
    return vec2<f32>(lane_values[turn + (lane & ~step)], lane_values[turn + (lane | step)]);
}

fn lane_index_pair(v: u32, lane: u32, step: u32, turn: u32) -> vec2<u32> {
    lane_indices[turn + lane] = v;
    workgroupBarrier();
    return vec2<u32>(lane_indices[turn + (lane & ~step)], lane_indices[turn + (lane | step)]);
}

fn lanes_sum(v: f32, lane: u32) -> f32 {
    var all = v;
    var turn = 0u;
    for (var s = #{WG}u / 2u; s > 0u; s >>= 1u) {
        let pair = lane_pair(all, lane, s, turn);
        all = pair.x + pair.y;
        turn ^= #{WG}u;
    }
    workgroupBarrier();
    return all;
}

fn lanes_product(v: f32, lane: u32) -> f32 {
    var all = v;
    var turn = 0u;
    for (var s = #{WG}u / 2u; s > 0u; s >>= 1u) {
        let pair = lane_pair(all, lane, s, turn);
        all = pair.x * pair.y;
        turn ^= #{WG}u;
    }
    workgroupBarrier();
    return all;
}

fn lanes_max(v: f32, lane: u32) -> f32 {
    var all = v;
    var turn = 0u;
    for (var s = #{WG}u / 2u; s > 0u; s >>= 1u) {
        let pair = lane_pair(all, lane, s, turn);
        all = max(pair.x, pair.y);
        turn ^= #{WG}u;
    }
    workgroupBarrier();
    return all;
}

fn lanes_min_index(v: u32, lane: u32) -> u32 {
    var all = v;
    var turn = 0u;
    for (var s = #{WG}u / 2u; s > 0u; s >>= 1u) {
        let pair = lane_index_pair(all, lane, s, turn);
        all = min(pair.x, pair.y);
        turn ^= #{WG}u;
    }
    workgroupBarrier();
    return all;
}

fn lanes_max_key(v: u32, lane: u32) -> u32 {
    var all = v;
    var turn = 0u;
    for (var s = #{WG}u / 2u; s > 0u; s >>= 1u) {
        let pair = lane_index_pair(all, lane, s, turn);
        all = max(pair.x, pair.y);
        turn ^= #{WG}u;
    }
    workgroupBarrier();
    return all;
}
#endif
#endif
