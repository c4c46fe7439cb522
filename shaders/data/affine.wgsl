// Images sampled through an affine map each: sampled[s, y, x, :] = image[s] at (m0 x + m1 y + m2, m3 x + m4 y + m5), where
// m is row s of `matrices`, and coordinates count pixels from the centre of the first.
//
// LINEAR: the mean of the four neighbours by their distance, else the nearest pixel; a half goes away from zero. FILL is
// what is outside: 0 `params.fill`, 1 the image reflected at its edge, 2 the image again, 3 the nearest pixel.
// PLACES: instead of the samples, the share of each neighbour and its row among all pixels of all images, one plane per
// neighbour; with FILL 0 a neighbour outside has the share 0. QUADS: channels are whole vec4s. BYTES: images
// are bytes, as in `lib/bytes`.
// A sum of products of two rounded numbers; coordinates beyond +-2^22 count as these.
// Dispatch: workgroups of X along a line of the result by Y lines, folded over y and z. Loops: channels, or vec4s of them.
#import lib/quad

struct Params {
    lines: u32, width: u32, height: u32, channels: u32,
    from_width: u32, from_height: u32, pixels: u32, fill: f32,
    factor: f32, limit: f32, pad0: u32, pad1: u32,
}
@group(0) @binding(8) var<uniform> params: Params;
@group(0) @binding(0) var<storage, read> matrices: array<f32>;
#if PLACES
@group(0) @binding(1) var<storage, read_write> shares: array<f32>;
@group(0) @binding(2) var<storage, read_write> places: array<u32>;
#else
#if QUADS
@group(0) @binding(2) var<storage, read_write> sampled: array<Quad>;
#else
@group(0) @binding(2) var<storage, read_write> sampled: array<f32>;
#endif
#if BYTES
#import lib/bytes
@group(0) @binding(1) var<storage, read> image: array<u32>;
#if QUADS
fn load(at: u32) -> vec4<f32> { return four_bytes(image[at]); }
#else
fn load(at: u32) -> f32 { return one_byte(image[at / 4u], at); }
#endif
#else
#if QUADS
@group(0) @binding(1) var<storage, read> image: array<Quad>;
fn load(at: u32) -> vec4<f32> { return from_quad(image[at]); }
#else
@group(0) @binding(1) var<storage, read> image: array<f32>;
fn load(at: u32) -> f32 { return image[at]; }
#endif
#endif
#endif

// i modulo n. The quotient is off by one at most; both are below 2^24, which f32 holds.
fn modulo(i: i32, n: i32) -> i32 {
    let r = i - n * i32(floor(f32(i) / f32(n)));
    return r + select(0, n, r < 0) - select(0, n, r >= n);
}

// The pixel of a line of n that place i shows.
fn inside(i: i32, n: i32) -> i32 {
#if FILL == 1
    let r = modulo(i, 2 * n);
    return clamp(min(r, 2 * n - 1 - r), 0, n - 1);
#else
#if FILL == 2
    return clamp(modulo(i, n), 0, n - 1);
#else
    return clamp(i, 0, n - 1);
#endif
#endif
}

struct Neighbour { place: u32, share: f32, outside: bool }

fn neighbour(x: i32, y: i32, share: f32, sample: u32) -> Neighbour {
    let size = vec2<i32>(vec2<u32>(params.from_width, params.from_height));
    let at = vec2<u32>(vec2<i32>(inside(x, size.x), inside(y, size.y)));
    var n: Neighbour;
    n.place = (sample * params.from_height + at.y) * params.from_width + at.x;
    n.share = share;
#if FILL == 0
    n.outside = x < 0 || y < 0 || x >= size.x || y >= size.y;
#endif
    return n;
}

@compute @workgroup_size(#{X}, #{Y})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let line = (id.y + id.z * count.y) * #{Y}u + local.y;
    let x = id.x * #{X}u + local.x;
    if line >= params.lines || x >= params.width { return; }
    let sample = line / params.height;
    let y = line - sample * params.height;
    let m = 6u * sample;
    let far = vec2<f32>(4194304.0);
    let at = clamp(
        vec2<f32>(matrices[m], matrices[m + 3u]) * f32(x) + vec2<f32>(matrices[m + 1u], matrices[m + 4u]) * f32(y)
            + vec2<f32>(matrices[m + 2u], matrices[m + 5u]),
        -far,
        far,
    );
#if LINEAR
    let low = floor(at);
    let high = at - low;
    let rest = 1.0 - high;
    let p = vec2<i32>(low);
    let n0 = neighbour(p.x, p.y, rest.x * rest.y, sample);
    let n1 = neighbour(p.x + 1, p.y, high.x * rest.y, sample);
    let n2 = neighbour(p.x, p.y + 1, rest.x * high.y, sample);
    let n3 = neighbour(p.x + 1, p.y + 1, high.x * high.y, sample);
#else
    let p = vec2<i32>(sign(at) * floor(abs(at) + 0.5));
    let n0 = neighbour(p.x, p.y, 1.0, sample);
#endif
    let pixel = line * params.width + x;
#if PLACES
#for k in 0..NEIGHBOURS
    shares[#{k}u * params.pixels + pixel] = select(n#{k}.share, 0.0, n#{k}.outside);
    places[#{k}u * params.pixels + pixel] = n#{k}.place;
#end
#else
    for (var c = 0u; c < params.channels; c++) {
#if QUADS
        let fill = vec4<f32>(params.fill);
#else
        let fill = params.fill;
#endif
#for k in 0..NEIGHBOURS
        let v#{k} = select(load(n#{k}.place * params.channels + c), fill, n#{k}.outside);
#end
#if LINEAR
        let v = v0 * n0.share + v1 * n1.share + v2 * n2.share + v3 * n3.share;
#else
        let v = v0;
#endif
#if QUADS
        sampled[pixel * params.channels + c] = to_quad(v);
#else
        sampled[pixel * params.channels + c] = v;
#endif
    }
#endif
}
