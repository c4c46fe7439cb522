// Windows that slide over the axes x, y and z of a tensor [samples, x, y, z, channels]: tap t of window w reads the
// element at w * STRIDE + t * DILATION - BEFORE. An axis that the tensor does not have has an extent of one.
// All sizes are in the text, so that the divisions below are by literals, which become products.
//
// A cell is one channel, or four neighbouring channels if VEC is set.
const EXTENT = vec3<u32>(#{EXTENT});
const WINDOWS = vec3<u32>(#{WINDOWS});
const TAPS = vec3<u32>(#{TAPS});
const STRIDE = vec3<u32>(#{STRIDE});
const DILATION = vec3<u32>(#{DILATION});
const BEFORE = vec3<u32>(#{BEFORE});

#if VEC
alias Cell = Quad;
alias Number = vec4<f32>;
alias Whole = vec4<u32>;
alias Truth = vec4<bool>;
fn number(cell: Cell) -> Number { return from_quad(cell); }
fn cell(v: Number) -> Cell { return to_quad(v); }
#else
alias Cell = f32;
alias Number = f32;
alias Whole = u32;
alias Truth = bool;
fn number(cell: Cell) -> Number { return cell; }
fn cell(v: Number) -> Cell { return v; }
#endif

struct Place { sample: u32, at: vec3<u32>, channel: u32 }

// The place of cell `i` of [samples, extent, cells].
fn place_of(i: u32, extent: vec3<u32>) -> Place {
    let element = i / #{CELLS}u;
    let line = element / extent.z;
    let plane = line / extent.y;
    let sample = plane / extent.x;
    let at = vec3<u32>(plane - sample * extent.x, line - plane * extent.y, element - line * extent.z);
    return Place(sample, at, i - element * #{CELLS}u);
}

// The cell at a place of [samples, extent, cells]. It may be before the first: numbers wrap around.
fn cell_at(place: Place, extent: vec3<u32>) -> u32 {
    let line = (place.sample * extent.x + place.at.x) * extent.y + place.at.y;
    return (line * extent.z + place.at.z) * #{CELLS}u + place.channel;
}

// The number of a tap in its window, in row-major order.
fn tap_number(tap: vec3<u32>) -> u32 {
    return (tap.x * TAPS.y + tap.y) * TAPS.z + tap.z;
}

// The taps of a window that are inside of the tensor: from `first` to before `end` along each axis, one or more.
struct Inside { first: vec3<u32>, end: vec3<u32> }

fn taps_inside(window: vec3<u32>) -> Inside {
#if PADDED
    let origin = vec3<i32>(window * STRIDE) - vec3<i32>(BEFORE);
    let step = vec3<i32>(DILATION);
    let first = max((step - 1 - origin) / step, vec3<i32>(0));
    let end = (vec3<i32>(EXTENT) - origin + step - 1) / step;
    return Inside(vec3<u32>(first), min(vec3<u32>(end), TAPS));
#else
    return Inside(vec3<u32>(0u), TAPS);
#endif
}

// What the sum over a window is divided by.
fn terms(inside: Inside) -> f32 {
#if PADDING_COUNTS
    let taps = TAPS;
#else
    let taps = inside.end - inside.first;
#endif
    return f32(taps.x * taps.y * taps.z);
}
