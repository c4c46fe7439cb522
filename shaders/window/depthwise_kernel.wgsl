// dkernel[p, t, c, m] = Σ over the windows o of chunk p: x[n, o * stride + t * dilation - before, c] * dy[n, o, c, m],
// along three axes.
//
// One invocation gives four neighbouring filters c * multiplier + m of one tap and chunk. A chunk is `chunk` segments of
// lines of windows, a segment `segment` windows. The windows whose tap is beside the tensor are left out.
// X_QUADS, Y_QUADS: four neighbours of x, or of dy and dkernel, are one load or store.
// Dispatch: ceil(chunks * taps * ceil(filters / 4) / WG) workgroups, folded over x and y. Loops: at most
// chunk * (segment + 1). Guards: filters past the last read the last again and are not stored.
#import lib/index
#import lib/quad
#import lib/depthwise
#import lib/depthwise_x

#if Y_QUADS
@group(0) @binding(1) var<storage, read> dy: array<Quad>;
@group(0) @binding(2) var<storage, read_write> dkernel: array<Quad>;
fn load_dy(at: u32, lanes: vec4<u32>) -> vec4<f32> { return from_quad(dy[(at + lanes.x) >> 2u]); }
#else
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dkernel: array<f32>;
fn load_dy(at: u32, lanes: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(dy[at + lanes.x], dy[at + lanes.y], dy[at + lanes.z], dy[at + lanes.w]);
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
    let taps = a.taps * b.taps * c.taps;
    let chunk = g / quads / taps;
    if chunk >= params.chunks { return; }
    let first = 4u * (g % quads);
    let lanes = min(vec4<u32>(0u, 1u, 2u, 3u) + first, vec4<u32>(filters - 1u));
    let seen = lanes / multiplier;
    let tap = g / quads % taps;
    let tc = tap % c.taps;
    let tb = tap / c.taps % b.taps;
    let ta = tap / c.taps / b.taps;
    let wa = windows_inside(a, ta);
    let wb = windows_inside(b, tb);
    let wc = windows_inside(c, tc);
    // The digits of the first piece, which are counted on.
    let begin = chunk * params.chunk;
    let lines = begin / params.segments;
    var segment = begin % params.segments;
    var ob = lines % b.count;
    var oa = lines / b.count % a.count;
    var sample = lines / b.count / a.count;
    let end = min(begin + params.chunk, params.segments * b.count * a.count * params.samples);
    var sum = vec4<f32>(0.0);
    for (var piece = begin; piece < end; piece++) {
        if oa >= wa.x && oa < wa.y && ob >= wb.x && ob < wb.y {
            let low = max(wc.x, segment * params.segment);
            let high = min(wc.y, (segment + 1u) * params.segment);
            let x_a = sample * a.extent + oa * a.stride + ta * a.dilation - a.before;
            let x_b = x_a * b.extent + ob * b.stride + tb * b.dilation - b.before;
            var x_at = (x_b * c.extent + low * c.stride + tc * c.dilation - c.before) * channels;
            var dy_at = (((sample * a.count + oa) * b.count + ob) * c.count + low) * filters;
            for (var o = low; o < high; o++) {
                sum += load_x(x_at, seen) * load_dy(dy_at, lanes);
                x_at += c.stride * channels;
                dy_at += filters;
            }
        }
        segment++;
        if segment == params.segments {
            segment = 0u;
            ob++;
            if ob == b.count {
                ob = 0u;
                oa++;
                if oa == a.count {
                    oa = 0u;
                    sample++;
                }
            }
        }
    }
    let at = (chunk * taps + tap) * filters + first;
#if Y_QUADS
    dkernel[at >> 2u] = to_quad(sum);
#else
    dkernel[at] = sum.x;
    if first + 1u < filters { dkernel[at + 1u] = sum.y; }
    if first + 2u < filters { dkernel[at + 2u] = sum.z; }
    if first + 3u < filters { dkernel[at + 3u] = sum.w; }
#endif
}
