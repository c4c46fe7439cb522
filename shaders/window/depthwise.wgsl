// y[n, o, c, m] = Σ over taps t: x[n, o * stride + t * dilation - before, c] * kernel[t, c, m], along three axes.
//
// One invocation gives four neighbouring filters c * multiplier + m of one window; neighbours have the next four. The
// taps beside the tensor are left out by the bounds of the loops, so no zeros are multiplied.
// X_QUADS, Y_QUADS: four neighbours of x, or of kernel and y, are one load.
// Dispatch: ceil(windows * ceil(filters / 4) / WG) workgroups, folded over x and y. Loops: at most the taps of a
// window, and once for each line of them. Guards: filters past the last read the last again and are not stored.
#import lib/index
#import lib/quad
#import lib/depthwise
#import lib/depthwise_x

#if Y_QUADS
@group(0) @binding(1) var<storage, read> kernel: array<Quad>;
@group(0) @binding(2) var<storage, read_write> y: array<Quad>;
fn load_kernel(at: u32, lanes: vec4<u32>) -> vec4<f32> { return from_quad(kernel[(at + lanes.x) >> 2u]); }
#else
@group(0) @binding(1) var<storage, read> kernel: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
fn load_kernel(at: u32, lanes: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(kernel[at + lanes.x], kernel[at + lanes.y], kernel[at + lanes.z], kernel[at + lanes.w]);
}
#endif

@compute @workgroup_size(#{WG})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let g = workgroup_index(id, count) * #{WG}u + local.x;
    let quads = (filters + 3u) / 4u;
    let position = g / quads;
    if position >= params.samples * a.count * b.count * c.count { return; }
    let first = 4u * (g % quads);
    let lanes = min(vec4<u32>(0u, 1u, 2u, 3u) + first, vec4<u32>(filters - 1u));
    let seen = lanes / multiplier;
    let oc = position % c.count;
    let ob = position / c.count % b.count;
    let line = position / c.count / b.count;
    let oa = line % a.count;
    let sample = line / a.count;
    let ta = taps_inside(a, oa);
    let tb = taps_inside(b, ob);
    let tc = taps_inside(c, oc);
    let first_c = oc * c.stride + tc.x * c.dilation - c.before;
    var sum = vec4<f32>(0.0);
    for (var ja = ta.x; ja < ta.y; ja++) {
        let line_a = (sample * a.extent + oa * a.stride + ja * a.dilation - a.before) * b.extent;
        for (var jb = tb.x; jb < tb.y; jb++) {
            let line_b = (line_a + ob * b.stride + jb * b.dilation - b.before) * c.extent;
            var x_at = (line_b + first_c) * channels;
            var kernel_at = ((ja * b.taps + jb) * c.taps + tc.x) * filters;
            for (var jc = tc.x; jc < tc.y; jc++) {
                sum += load_x(x_at, seen) * load_kernel(kernel_at, lanes);
                x_at += c.dilation * channels;
                kernel_at += filters;
            }
        }
    }
    let at = position * filters + first;
#if Y_QUADS
    y[at >> 2u] = to_quad(sum);
#else
    y[at] = sum.x;
    if first + 1u < filters { y[at + 1u] = sum.y; }
    if first + 2u < filters { y[at + 2u] = sum.z; }
    if first + 3u < filters { y[at + 3u] = sum.w; }
#endif
}
