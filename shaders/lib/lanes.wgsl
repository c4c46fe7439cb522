// Reductions over the WG invocations of a workgroup; every invocation receives the result. The order of
// additions is fixed. With SUBGROUP the workgroup is exactly one subgroup. A
// single invocation has nothing to share. `lanes_max` may drop NaN; `lanes_max_key` over
// the keys of `lib/order` does not.
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
var<workgroup> lane_values: array<f32, #{WG}>;
var<workgroup> lane_indices: array<u32, #{WG}>;

fn lanes_sum(v: f32, lane: u32) -> f32 {
    lane_values[lane] = v;
    workgroupBarrier();
    for (var s = #{WG}u / 2u; s > 0u; s >>= 1u) {
        if lane < s { lane_values[lane] += lane_values[lane + s]; }
        workgroupBarrier();
    }
    let total = lane_values[0];
    workgroupBarrier();
    return total;
}

fn lanes_product(v: f32, lane: u32) -> f32 {
    lane_values[lane] = v;
    workgroupBarrier();
    for (var s = #{WG}u / 2u; s > 0u; s >>= 1u) {
        if lane < s { lane_values[lane] *= lane_values[lane + s]; }
        workgroupBarrier();
    }
    let product = lane_values[0];
    workgroupBarrier();
    return product;
}

fn lanes_max(v: f32, lane: u32) -> f32 {
    lane_values[lane] = v;
    workgroupBarrier();
    for (var s = #{WG}u / 2u; s > 0u; s >>= 1u) {
        if lane < s { lane_values[lane] = max(lane_values[lane], lane_values[lane + s]); }
        workgroupBarrier();
    }
    let largest = lane_values[0];
    workgroupBarrier();
    return largest;
}

fn lanes_min_index(v: u32, lane: u32) -> u32 {
    lane_indices[lane] = v;
    workgroupBarrier();
    for (var s = #{WG}u / 2u; s > 0u; s >>= 1u) {
        if lane < s { lane_indices[lane] = min(lane_indices[lane], lane_indices[lane + s]); }
        workgroupBarrier();
    }
    let smallest = lane_indices[0];
    workgroupBarrier();
    return smallest;
}

fn lanes_max_key(v: u32, lane: u32) -> u32 {
    lane_indices[lane] = v;
    workgroupBarrier();
    for (var s = #{WG}u / 2u; s > 0u; s >>= 1u) {
        if lane < s { lane_indices[lane] = max(lane_indices[lane], lane_indices[lane + s]); }
        workgroupBarrier();
    }
    let largest = lane_indices[0];
    workgroupBarrier();
    return largest;
}
#endif
#endif
