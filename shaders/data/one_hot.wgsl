// encoded[r, c] = 1 if labels[r] = c, else 0.
//
// Dispatch: ceil(rows * cols / WG) workgroups, folded over x and y. Guards: a label past the classes counts as the
// last one (the host refuses such labels).
#import lib/index

struct Params { rows: u32, cols: u32, pad0: u32, pad1: u32 }
@group(0) @binding(8) var<uniform> params: Params;
@group(0) @binding(0) var<storage, read> labels: array<u32>;
@group(0) @binding(1) var<storage, read_write> encoded: array<f32>;

@compute @workgroup_size(#{WG})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let i = workgroup_index(id, count) * #{WG}u + local.x;
    if i >= params.rows * params.cols { return; }
    let label = min(labels[i / params.cols], params.cols - 1u);
    encoded[i] = select(0.0, 1.0, label == i % params.cols);
}
