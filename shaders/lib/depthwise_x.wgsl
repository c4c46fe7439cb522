// The tensor under the windows of a depthwise convolution, four elements at once.
#if X_QUADS
@group(0) @binding(0) var<storage, read> x: array<Quad>;
fn load_x(at: u32, lanes: vec4<u32>) -> vec4<f32> { return from_quad(x[(at + lanes.x) >> 2u]); }
#else
@group(0) @binding(0) var<storage, read> x: array<f32>;
fn load_x(at: u32, lanes: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(x[at + lanes.x], x[at + lanes.y], x[at + lanes.z], x[at + lanes.w]);
}
#endif
