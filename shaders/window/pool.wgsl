// pooled[s, w, c] = the largest or the mean of the elements under window w of values[s, ., c].
//
// MAX: the largest, NaN if there is one; winners[s, w, c] is the number of the tap that gave it, the first of equal
// ones. Padding never wins. With VEC the winners of four channels are the bytes of a word.
// Otherwise the mean: without padding, or with zeros for it if PADDING_COUNTS is set.
// BYTES: values are bytes, as in `lib/bytes`.
// ALONG_X, ALONG_Y, ALONG_Z: whether windows have more than the element itself along an axis.
// Dispatch: ceil(len / WG) workgroups, folded over x and y. Loops: the taps of a window per invocation.
#import lib/index
#import lib/quad
#import lib/pool

struct Params { len: u32, factor: f32, limit: f32, pad0: u32 }
@group(0) @binding(8) var<uniform> params: Params;
#if BYTES
#import lib/bytes
@group(0) @binding(0) var<storage, read> values: array<u32>;
#if VEC
fn value(at: u32) -> Number { return four_bytes(values[at]); }
#else
fn value(at: u32) -> Number { return one_byte(values[at / 4u], at); }
#endif
#else
@group(0) @binding(0) var<storage, read> values: array<Cell>;
fn value(at: u32) -> Number { return number(values[at]); }
#endif
@group(0) @binding(1) var<storage, read_write> pooled: array<Cell>;
#if MAX
@group(0) @binding(2) var<storage, read_write> winners: array<u32>;

// By its bits: a compiler may assume that there is no NaN.
fn nan(v: Number) -> Truth { return (bitcast<Whole>(v) & Whole(0x7fffffffu)) > Whole(0x7f800000u); }
#endif

@compute @workgroup_size(#{WG})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let i = workgroup_index(id, count) * #{WG}u + local.x;
    if i >= params.len { return; }
    let window = place_of(i, WINDOWS);
    let inside = taps_inside(window.at);
    let origin = Place(window.sample, window.at * STRIDE - BEFORE, window.channel);
    let base = cell_at(origin, EXTENT);
    let step = DILATION * vec3<u32>(EXTENT.y * EXTENT.z, EXTENT.z, 1u) * #{CELLS}u;
#if MAX
    // The first element inside, which the loops meet again and do not take.
    let start = inside.first * step;
    var largest = value(base + start.x + start.y + start.z);
    var is_nan = nan(largest);
    var winner = Whole(tap_number(inside.first));
#else
    var total = Number(0.0);
#endif
#if ALONG_X
    for (var x = inside.first.x; x < inside.end.x; x++) {
#else
    { let x = 0u;
#endif
#if ALONG_Y
        for (var y = inside.first.y; y < inside.end.y; y++) {
#else
        { let y = 0u;
#endif
#if ALONG_Z
            for (var z = inside.first.z; z < inside.end.z; z++) {
#else
            { let z = 0u;
#endif
                let v = value(base + x * step.x + y * step.y + z * step.z);
#if MAX
                let v_nan = nan(v);
                let wins = !is_nan & (v_nan | (v > largest));
                largest = select(largest, v, wins);
                winner = select(winner, Whole(tap_number(vec3<u32>(x, y, z))), wins);
                is_nan = is_nan | v_nan;
#else
                total += v;
#endif
            }
        }
    }
#if MAX
    pooled[i] = cell(largest);
#if VEC
    winners[i] = winner.x | (winner.y << 8u) | (winner.z << 16u) | (winner.w << 24u);
#else
    winners[i] = winner;
#endif
#else
    pooled[i] = cell(total / terms(inside));
#endif
}
