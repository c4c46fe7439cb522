// metrics[slot, c] = sum of vector c: the numbers of one step, in a slot of their own.
//
// One workgroup for all vectors. Dispatch: 1. Guards: a slot past the buffer writes nothing.
// Loops: sum over c of ceil(len_c / WG) per invocation.
#import lib/lanes
#if STEP
#import lib/step
#endif

struct Params { slots: u32, columns: u32, pad0: u32, pad1: u32, words: array<vec4<u32>, #{WORDS}> }
@group(0) @binding(8) var<uniform> params: Params;
@group(0) @binding(0) var<storage, read_write> metrics: array<f32>;
#for c in 0..COLUMNS
@group(0) @binding(#{1 + c}) var<storage, read> vector#{c}: array<f32>;
#end

@compute @workgroup_size(#{WG})
fn main(@builtin(local_invocation_id) local: vec3<u32>) {
    let lane = local.x;
    let slot = #{SLOT};
#for c in 0..COLUMNS
    {
        var part = 0.0;
        for (var j = lane; j < params.words[#{c / 4}][#{c % 4}]; j += #{WG}u) { part += vector#{c}[j]; }
        let total = lanes_sum(part, lane);
        if lane == 0u && slot < params.slots { metrics[slot * params.columns + #{c}u] = total; }
    }
#end
}
