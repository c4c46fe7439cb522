// The second of three kernels of a round of a radix sort: totals[i] becomes the sum of totals[0..i].
//
// Each lane adds up a run of neighbouring totals, the lanes add up their sums in workgroup memory, and each lane goes
// through its run again. Dispatch: one workgroup. Loops: 2 * ceil(groups * DIGITS / WG) + log2(WG) per invocation.

struct Params { rows: u32, last: u32, chunk: u32, groups: u32, shift: u32, pad0: u32, pad1: u32, pad2: u32 }
@group(0) @binding(8) var<uniform> params: Params;
@group(0) @binding(0) var<storage, read_write> totals: array<u32>;

var<workgroup> sums: array<u32, #{WG}>;

@compute @workgroup_size(#{WG})
fn main(@builtin(local_invocation_id) local: vec3<u32>) {
    let lane = local.x;
    let len = params.groups * #{DIGITS}u;
    let run = (len + #{WG - 1}u) / #{WG}u;
    let first = min(lane * run, len);
    let end = min(first + run, len);
    var own = 0u;
    for (var i = first; i < end; i++) { own += totals[i]; }
    sums[lane] = own;
    workgroupBarrier();
    for (var step = 1u; step < #{WG}u; step *= 2u) {
        let before = select(0u, sums[select(0u, lane - step, lane >= step)], lane >= step);
        workgroupBarrier();
        sums[lane] += before;
        workgroupBarrier();
    }
    var sum = sums[lane] - own;
    for (var i = first; i < end; i++) {
        let here = totals[i];
        totals[i] = sum;
        sum += here;
    }
}
