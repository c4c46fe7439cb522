// What the three kernels of a depthwise convolution share.
#import lib/sliding

struct Params {
    samples: u32, chunk: u32, chunks: u32, segment: u32, segments: u32,
    factor: f32, limit: f32, pad0: u32,
}
@group(0) @binding(8) var<uniform> params: Params;
// The numbers of a layer are constants, so that the compiler turns divisions by them into products.
const a = Axis(#{A});
const b = Axis(#{B});
const c = Axis(#{C});
const channels = #{CHANNELS}u;
const multiplier = #{MULTIPLIER}u;
const filters = channels * multiplier;
