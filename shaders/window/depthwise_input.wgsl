// dx[n, i, c] = Σ over the taps t and windows o with o * stride + t * dilation - before = i, and over m:
// dy[n, o, c, m] * kernel[t, c, m], along three axes.
//
// One invocation gives four neighbouring channels of one element of the tensor. The taps that reach it are `period`
// apart, so a stride multiplies no zeros.
// X_QUADS: four neighbours of dx are one store. Y_QUADS: those of dy and of kernel are one load, with one filter for
// each channel.
// Dispatch: ceil(elements * ceil(channels / 4) / WG) workgroups, folded over x and y. Loops: at most multiplier times
// the taps of a window, and once for each of these and for each line of them. Guards: channels past the last read the
// last again and are not stored.
#import lib/index
#import lib/quad
#import lib/depthwise

#if Y_QUADS
@group(0) @binding(0) var<storage, read> dy: array<Quad>;
@group(0) @binding(1) var<storage, read> kernel: array<Quad>;
fn term(dy_at: u32, kernel_at: u32, lanes: vec4<u32>) -> vec4<f32> {
    return from_quad(dy[(dy_at + lanes.x) >> 2u]) * from_quad(kernel[(kernel_at + lanes.x) >> 2u]);
}
#else
@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read> kernel: array<f32>;
fn term(dy_at: u32, kernel_at: u32, lanes: vec4<u32>) -> vec4<f32> {
    let d = dy_at + lanes;
    let k = kernel_at + lanes;
    return vec4<f32>(dy[d.x], dy[d.y], dy[d.z], dy[d.w]) *
        vec4<f32>(kernel[k.x], kernel[k.y], kernel[k.z], kernel[k.w]);
}
#endif
#if X_QUADS
@group(0) @binding(2) var<storage, read_write> dx: array<Quad>;
#else
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;
#endif

@compute @workgroup_size(#{WG})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let g = workgroup_index(id, count) * #{WG}u + local.x;
    let quads = (channels + 3u) / 4u;
    let position = g / quads;
    if position >= params.samples * a.extent * b.extent * c.extent { return; }
    let first = 4u * (g % quads);
    let lanes = multiplier * min(vec4<u32>(0u, 1u, 2u, 3u) + first, vec4<u32>(channels - 1u));
    let line = position / c.extent / b.extent;
    let sample = line / a.extent;
    let ra = reaching(a, line % a.extent);
    let rb = reaching(b, position / c.extent % b.extent);
    let rc = reaching(c, position % c.extent);
    var sum = vec4<f32>(0.0);
    for (var ja = 0u; ja < ra.z; ja++) {
        let tap_a = (ra.x + ja * a.period) * b.taps;
        let line_a = (sample * a.count + ra.y - ja * a.hop) * b.count;
        for (var jb = 0u; jb < rb.z; jb++) {
            let line_b = (line_a + rb.y - jb * b.hop) * c.count;
            var kernel_at = ((tap_a + rb.x + jb * b.period) * c.taps + rc.x) * filters;
            var dy_at = (line_b + rc.y) * filters;
            for (var jc = 0u; jc < rc.z; jc++) {
#if SINGLE
                sum += term(dy_at, kernel_at, lanes);
#else
                for (var m = 0u; m < multiplier; m++) { sum += term(dy_at + m, kernel_at + m, lanes); }
#endif
                kernel_at += c.period * filters;
                dy_at -= c.hop * filters;
            }
        }
    }
    let at = position * channels + first;
#if X_QUADS
    dx[at >> 2u] = to_quad(sum);
#else
    dx[at] = sum.x;
    if first + 1u < channels { dx[at + 1u] = sum.y; }
    if first + 2u < channels { dx[at + 2u] = sum.z; }
    if first + 3u < channels { dx[at + 3u] = sum.w; }
#endif
}
