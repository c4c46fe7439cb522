// Four neighbouring elements as a buffer holds them. WIDE: as two 64-bit words, for adapters that run lanes as
// SIMD and access memory one lane and one word at a time, for any width of the word.
#if WIDE
alias Quad = vec2<u64>;

fn from_quad(q: Quad) -> vec4<f32> {
    return bitcast<vec4<f32>>(vec4<u32>(u32(q.x), u32(q.x >> 32u), u32(q.y), u32(q.y >> 32u)));
}

fn to_quad(v: vec4<f32>) -> Quad {
    let bits = bitcast<vec4<u32>>(v);
    return Quad(u64(bits.x) | (u64(bits.y) << 32u), u64(bits.z) | (u64(bits.w) << 32u));
}
#else
alias Quad = vec4<f32>;

fn from_quad(q: Quad) -> vec4<f32> { return q; }

fn to_quad(v: vec4<f32>) -> Quad { return v; }
#endif
