// sum + (w0 x0 + w1 x1 + w2 x2 + w3 x3). A driver that multiplies and adds in one instruction does so for `fma` alone.
fn add_products(
    sum: vec4<f32>, w0: f32, w1: f32, w2: f32, w3: f32,
    x0: vec4<f32>, x1: vec4<f32>, x2: vec4<f32>, x3: vec4<f32>,
) -> vec4<f32> {
    return sum + fma(vec4<f32>(w3), x3, fma(vec4<f32>(w2), x2, fma(vec4<f32>(w1), x1, w0 * x0)));
}
