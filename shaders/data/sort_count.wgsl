// The first of three kernels of a round of a radix sort: how often each digit occurs.
//
// Each invocation counts the digits of a chunk of `chunk` neighbouring elements; the chunks of a workgroup are a group.
//   counts[d, c] = elements with digit d in the chunks of c's group that come before c
//   totals[d, g] = elements with digit d in group g
// FIRST: the elements are ids, the key of i is min(ids[i], last). Otherwise they are pairs of key and position.
// The digit is key >> shift, modulo DIGITS. Invocations share data only through the barrier: no atomics.
//
// Dispatch: `groups` workgroups of WG, folded over x and y. Loops: chunk + DIGITS + WG * ceil(DIGITS / WG).
#import lib/index

struct Params { rows: u32, last: u32, chunk: u32, groups: u32, shift: u32, pad0: u32, pad1: u32, pad2: u32 }
@group(0) @binding(8) var<uniform> params: Params;
#if FIRST
@group(0) @binding(0) var<storage, read> elements: array<u32>;
#else
@group(0) @binding(0) var<storage, read> elements: array<vec2<u32>>;
#endif
@group(0) @binding(1) var<storage, read_write> counts: array<u32>;
@group(0) @binding(2) var<storage, read_write> totals: array<u32>;

@compute @workgroup_size(#{WG})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let group = workgroup_index(id, count);
    let live = group < params.groups;
    let lane = local.x;
    let chunks = params.groups * #{WG}u;
    let own = group * #{WG}u + lane;
    if live {
        for (var d = 0u; d < #{DIGITS}u; d++) { counts[d * chunks + own] = 0u; }
        let end = min((own + 1u) * params.chunk, params.rows);
        for (var i = own * params.chunk; i < end; i++) {
#if FIRST
            let key = min(elements[i], params.last);
#else
            let key = elements[i].x;
#endif
            counts[((key >> params.shift) % #{DIGITS}u) * chunks + own] += 1u;
        }
    }
    storageBarrier();
    if live {
        for (var d = lane; d < #{DIGITS}u; d += #{WG}u) {
            var sum = 0u;
            var at = d * chunks + group * #{WG}u;
            for (var c = 0u; c < #{WG}u; c++) {
                let here = counts[at];
                counts[at] = sum;
                sum += here;
                at++;
            }
            totals[d * params.groups + group] = sum;
        }
    }
}
