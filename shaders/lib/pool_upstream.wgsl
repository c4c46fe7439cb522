// What a gradient of pooling reads and writes.
#import lib/pool

struct Params { len: u32, factor: f32, limit: f32, pad0: u32 }
@group(0) @binding(8) var<uniform> params: Params;
@group(0) @binding(0) var<storage, read> upstream: array<Cell>;
#if MAX
@group(0) @binding(1) var<storage, read> winners: array<u32>;
@group(0) @binding(2) var<storage, read_write> d_values: array<Cell>;
#else
@group(0) @binding(1) var<storage, read_write> d_values: array<Cell>;
#endif
