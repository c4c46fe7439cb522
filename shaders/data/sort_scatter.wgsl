// The last of three kernels of a round of a radix sort: each element goes to its place, as (key, position).
//
// An element of digit d in chunk c of group g goes to totals[d, g] + counts[d, c], plus the elements of the same digit
// before it in its chunk: equal digits keep their order. `counts` and `totals` are those of `sort_count`, `totals` summed
// by `sort_scan`.
// Dispatch: `groups` workgroups of WG, folded over x and y. Loops: `chunk` per invocation.
#import lib/index

struct Params { rows: u32, last: u32, chunk: u32, groups: u32, shift: u32, pad0: u32, pad1: u32, pad2: u32 }
@group(0) @binding(8) var<uniform> params: Params;
#if FIRST
@group(0) @binding(0) var<storage, read> elements: array<u32>;
#else
@group(0) @binding(0) var<storage, read> elements: array<vec2<u32>>;
#endif
@group(0) @binding(1) var<storage, read> totals: array<u32>;
@group(0) @binding(2) var<storage, read_write> counts: array<u32>;
@group(0) @binding(3) var<storage, read_write> sorted: array<vec2<u32>>;

@compute @workgroup_size(#{WG})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let group = workgroup_index(id, count);
    if group >= params.groups { return; }
    let chunks = params.groups * #{WG}u;
    let own = group * #{WG}u + local.x;
    let end = min((own + 1u) * params.chunk, params.rows);
    for (var i = own * params.chunk; i < end; i++) {
#if FIRST
        let element = vec2<u32>(min(elements[i], params.last), i);
#else
        let element = elements[i];
#endif
        let digit = (element.x >> params.shift) % #{DIGITS}u;
        let at = digit * chunks + own;
        let place = counts[at];
        counts[at] = place + 1u;
        sorted[totals[digit * params.groups + group] + place] = element;
    }
}
