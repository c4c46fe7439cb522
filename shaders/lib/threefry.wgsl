// Threefry-2x32 with 13 rounds: a counter-based generator (Salmon et al., "Parallel random numbers: as easy
// as 1, 2, 3", 2011), four counters at a time. Key (seed, stream), counter (element, step).

#if ITERATION
// The number of the iteration, for a kernel in a loop; bound with a dynamic offset.
struct Iteration { number: vec4<u32> }
@group(0) @binding(10) var<uniform> iteration: Iteration;
#endif

fn threefry_round(v: array<vec4<u32>, 2>, r: u32) -> array<vec4<u32>, 2> {
    let a = v[0] + v[1];
    let b = (v[1] << vec4<u32>(r)) | (v[1] >> vec4<u32>(32u - r));
    return array<vec4<u32>, 2>(a, b ^ a);
}

fn threefry(key: vec2<u32>, c0: vec4<u32>, c1: vec4<u32>) -> array<vec4<u32>, 2> {
    let k2 = 0x1BD11BDAu ^ key.x ^ key.y;
    var v = array<vec4<u32>, 2>(c0 + key.x, c1 + key.y);
    v = threefry_round(v, 13u);
    v = threefry_round(v, 15u);
    v = threefry_round(v, 26u);
    v = threefry_round(v, 6u);
    v = array<vec4<u32>, 2>(v[0] + key.y, v[1] + (k2 + 1u));
    v = threefry_round(v, 17u);
    v = threefry_round(v, 29u);
    v = threefry_round(v, 16u);
    v = threefry_round(v, 24u);
    v = array<vec4<u32>, 2>(v[0] + k2, v[1] + (key.x + 2u));
    v = threefry_round(v, 13u);
    v = threefry_round(v, 15u);
    v = threefry_round(v, 26u);
    v = threefry_round(v, 6u);
    v = array<vec4<u32>, 2>(v[0] + key.x, v[1] + (key.y + 3u));
    v = threefry_round(v, 17u);
    return v;
}

// A number in [0, 1) from the upper 24 bits of a word.
fn unit_interval(word: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(word >> vec4<u32>(8u)) * 5.9604645e-8;
}

// Uniform in [0, 1), from the first word.
fn random_uniform(seed: u32, stream: u32, element: vec4<u32>, step: u32) -> vec4<f32> {
    return unit_interval(threefry(vec2<u32>(seed, stream), element, vec4<u32>(step))[0]);
}

// cos(2 pi v) = sin(2 pi (|v - 1/2| - 1/4)) for v in [0, 1): the shift is exact, and Taylor's series to the
// 11th power is off by less than 6e-8 up to a quarter turn. `cos` itself may be off by 2^-11 on some drivers.
fn cos_turn(v: vec4<f32>) -> vec4<f32> {
    let a = 6.2831853 * (abs(v - 0.5) - 0.25);
    let s = a * a;
    let inner = 1.0 - s / 42.0 * (1.0 - s / 72.0 * (1.0 - s / 110.0));
    return a * (1.0 - s / 6.0 * (1.0 - s / 20.0 * inner));
}

// Standard normal, from both words: sqrt(-2 log(1 - u)) cos(2 pi v) (Box and Muller, "A note on the
// generation of random normal deviates", 1958). At most 5.77 in size.
fn random_normal(seed: u32, stream: u32, element: vec4<u32>, step: u32) -> vec4<f32> {
    let words = threefry(vec2<u32>(seed, stream), element, vec4<u32>(step));
    let u = unit_interval(words[0]);
    // Near 0 the series keeps the relative error that the logarithm loses, and is never below 0.
    let series = u * (1.0 + u * (0.5 + u * (1.0 / 3.0 + u * (0.25 + u * 0.2))));
    let exponent = select(-log(1.0 - u), series, u < vec4<f32>(0.05));
    return sqrt(2.0 * exponent) * cos_turn(unit_interval(words[1]));
}
