// What the kernels of a recurrence share: the uniform block, the generated bindings, and what is past the end of a line.
#import lib/index
#import lib/math
#import lib/quad

struct Params {
    rows: u32, units: u32, times: u32, first: u32, steps: u32, pad0: u32, pad1: u32, pad2: u32,
    words: array<vec4<u32>, #{WORDS}>,
}
@group(0) @binding(8) var<uniform> params: Params;
#{BINDINGS}

// `v` if its four k are inside, else zero.
fn inside(v: vec4<f32>, k: u32, len: u32) -> vec4<f32> {
#if VEC
    return v;
#else
    return select(vec4<f32>(), v, vec4<u32>(k, k + 1u, k + 2u, k + 3u) < vec4<u32>(len));
#endif
}
