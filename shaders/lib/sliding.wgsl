// How windows slide along one axis of `extent` elements, `count` windows in all: tap t of window o is at element
// o * stride + t * dilation - before. `gcd` is the greatest common divisor of stride and dilation,
// period = stride / gcd, hop = dilation / gcd, and inverse * hop is 1 modulo period.
struct Axis {
    extent: u32, count: u32, taps: u32, stride: u32, dilation: u32, before: u32,
    gcd: u32, period: u32, hop: u32, inverse: u32,
}

// The numbers j below `limit` for which at + j * step - before is on the axis, from x to y, which is excluded.
fn inside(a: Axis, at: u32, step: u32, limit: u32) -> vec2<u32> {
    let missing = select(0u, a.before - at, at < a.before);
    let room = select(0u, a.extent + a.before - at, at < a.extent + a.before);
    let end = min(limit, (room + step - 1u) / step);
    return vec2<u32>(min((missing + step - 1u) / step, end), end);
}

// The taps of window `o` that are on the axis.
fn taps_inside(a: Axis, o: u32) -> vec2<u32> { return inside(a, o * a.stride, a.dilation, a.taps); }

// The windows of which tap `t` is on the axis.
fn windows_inside(a: Axis, t: u32) -> vec2<u32> { return inside(a, t * a.dilation, a.stride, a.count); }

// What reaches element `i`: tap x + j * period of window y - j * hop, for j below z.
fn reaching(a: Axis, i: u32) -> vec3<u32> {
    let at = i + a.before;
    let tap = at / a.gcd % a.period * a.inverse % a.period;
    let offset = tap * a.dilation;
    if at % a.gcd != 0u || tap >= a.taps || offset > at { return vec3<u32>(0u); }
    let window = (at - offset) / a.stride;
    let skipped = select(0u, (window - a.count) / a.hop + 1u, window >= a.count);
    let end = min((a.taps - tap + a.period - 1u) / a.period, window / a.hop + 1u);
    if skipped >= end { return vec3<u32>(0u); }
    return vec3<u32>(tap + skipped * a.period, window - skipped * a.hop, end - skipped);
}
