// The tensor under the windows of a depthwise convolution, four elements at once. BYTES: they are bytes, as in `lib/bytes`.
#if BYTES
#import lib/bytes
@group(0) @binding(0) var<storage, read> x: array<u32>;
#if X_QUADS
fn load_x(at: u32, lanes: vec4<u32>) -> vec4<f32> { return four_bytes(x[(at + lanes.x) >> 2u]); }
#else
fn byte_of_x(at: u32) -> f32 { return one_byte(x[at / 4u], at); }
fn load_x(at: u32, lanes: vec4<u32>) -> vec4<f32> {
    let places = lanes + at;
    return vec4<f32>(byte_of_x(places.x), byte_of_x(places.y), byte_of_x(places.z), byte_of_x(places.w));
}
#endif
#else
#if X_QUADS
@group(0) @binding(0) var<storage, read> x: array<Quad>;
fn load_x(at: u32, lanes: vec4<u32>) -> vec4<f32> { return from_quad(x[(at + lanes.x) >> 2u]); }
#else
@group(0) @binding(0) var<storage, read> x: array<f32>;
fn load_x(at: u32, lanes: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(x[at + lanes.x], x[at + lanes.y], x[at + lanes.z], x[at + lanes.w]);
}
#endif
#endif
