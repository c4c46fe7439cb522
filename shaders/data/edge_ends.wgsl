// nodes[e * ENDS + k] = the node at end (first + k) mod 2 of edge e, counted over all samples:
// min(edges[e, end], nodes of a sample - 1) + (e / edges of a sample) * nodes of a sample.
//
// One invocation per result. Dispatch: ceil(edges * ENDS / WG) workgroups, folded over x and y. Guards: a node past the
// last of its sample is the last, so that no edge leaves its sample (the host refuses such edges).
#import lib/index

struct Params { edges: u32, per_sample: u32, nodes: u32, first: u32 }
@group(0) @binding(8) var<uniform> params: Params;
@group(0) @binding(0) var<storage, read> edges: array<u32>;
@group(0) @binding(1) var<storage, read_write> ends: array<u32>;

@compute @workgroup_size(#{WG})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let i = workgroup_index(id, count) * #{WG}u + local.x;
    if i >= params.edges * #{ENDS}u { return; }
    let edge = i / #{ENDS}u;
    let end = (params.first + i % #{ENDS}u) & 1u;
    ends[i] = min(edges[2u * edge + end], params.nodes - 1u) + edge / params.per_sample * params.nodes;
}
