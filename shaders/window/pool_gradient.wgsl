// d_values[s, p, c] = sum over the windows w that contain p: of a maximum, upstream[s, w, c] if p won; of a mean,
// upstream[s, w, c] over the terms of w. Letters as in `window/pool`.
//
// Each invocation gathers what its own cell gets, so that nothing is added by two, in a fixed order: tap t is at p if
// w * STRIDE + t * DILATION = p + BEFORE. Of the taps t that leave a whole w, the first is FIRST * (p + BEFORE) modulo
// TAP_STEP; each next one is TAP_STEP further in a window WINDOW_STEP before. COMMON, the greatest common divisor of STRIDE
// and DILATION, divides p + BEFORE, or there is no such tap; TAP_STEP is STRIDE / COMMON and WINDOW_STEP DILATION / COMMON.
// Dispatch: ceil(len / WG) workgroups, folded over x and y. Loops: ceil(TAPS / TAP_STEP) along each axis.
#import lib/index
#import lib/quad
#import lib/pool_upstream

const COMMON = vec3<u32>(#{COMMON});
const FIRST = vec3<u32>(#{FIRST});
const TAP_STEP = vec3<u32>(#{TAP_STEP});
const WINDOW_STEP = vec3<u32>(#{WINDOW_STEP});

@compute @workgroup_size(#{WG})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let i = workgroup_index(id, count) * #{WG}u + local.x;
    if i >= params.len { return; }
    let place = place_of(i, EXTENT);
    let padded = place.at + BEFORE;
    let multiple = padded / COMMON;
    let first = multiple % TAP_STEP * FIRST % TAP_STEP;
    // Exact, and perhaps negative: as u32 it is then past the last window.
    let last = vec3<u32>((vec3<i32>(padded) - vec3<i32>(first * DILATION)) / vec3<i32>(STRIDE));
    let end = select(vec3<u32>(0u), TAPS, multiple * COMMON == padded);
    var total = Number(0.0);
#if ALONG_X
    for (var a = 0u; first.x + a * TAP_STEP.x < end.x; a++) {
        let x = vec2<u32>(first.x + a * TAP_STEP.x, last.x - a * WINDOW_STEP.x);
        if x.y >= WINDOWS.x { continue; }
#else
    { let x = vec2<u32>(0u, place.at.x);
#endif
#if ALONG_Y
        for (var b = 0u; first.y + b * TAP_STEP.y < end.y; b++) {
            let y = vec2<u32>(first.y + b * TAP_STEP.y, last.y - b * WINDOW_STEP.y);
            if y.y >= WINDOWS.y { continue; }
#else
        { let y = vec2<u32>(0u, place.at.y);
#endif
#if ALONG_Z
            for (var c = 0u; first.z + c * TAP_STEP.z < end.z; c++) {
                let z = vec2<u32>(first.z + c * TAP_STEP.z, last.z - c * WINDOW_STEP.z);
                if z.y >= WINDOWS.z { continue; }
#else
            { let z = vec2<u32>(0u, place.at.z);
#endif
                let window = Place(place.sample, vec3<u32>(x.y, y.y, z.y), place.channel);
                let at = cell_at(window, WINDOWS);
                let dy = number(upstream[at]);
#if MAX
#if VEC
                let winner = (Whole(winners[at]) >> vec4<u32>(0u, 8u, 16u, 24u)) & Whole(0xffu);
#else
                let winner = winners[at];
#endif
                let tap = Whole(tap_number(vec3<u32>(x.x, y.x, z.x)));
                total += select(Number(0.0), dy, winner == tap);
#else
                total += dy / terms(taps_inside(window.at));
#endif
            }
        }
    }
    d_values[i] = cell(total);
}
