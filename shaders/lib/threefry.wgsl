// Threefry-2x32 with 13 rounds: a counter-based generator (Salmon et al., "Parallel random numbers: as easy
// as 1, 2, 3", 2011), four counters at a time. Key (seed, stream), counter (element, step).

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

// Uniform in [0, 1): the upper 24 bits of the first word.
fn random_uniform(seed: u32, stream: u32, element: vec4<u32>, step: u32) -> vec4<f32> {
    let v = threefry(vec2<u32>(seed, stream), element, vec4<u32>(step));
    return vec4<f32>(v[0] >> vec4<u32>(8u)) * 5.9604645e-8;
}
