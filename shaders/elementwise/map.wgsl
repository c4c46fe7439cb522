// out_j[i] = f_j(in_0[i], in_1[i], ...), four elements per invocation.
//
// Layout: outputs and full operands are contiguous, read as vec4; broadcast or strided operands go through
// an offset function over the collapsed axes. The generated parts are the bindings, the offset functions,
// the loads, the chain of expressions and the stores.
// Dispatch: ceil(len / 4 / WG) workgroups, folded over x and y.
// ITERATION: the kernel is in a loop, and each iteration draws further random numbers.
// Guards: the last vec4 is stored element by element; nothing past `len` is written. WIDE: `len` is a
// multiple of four.
#import lib/index
#import lib/math
#import lib/quad
#if STEP
#import lib/step
#endif
#if RANDOM
#import lib/threefry
#endif

struct Params { len: u32, vec_len: u32, pad0: u32, pad1: u32, words: array<vec4<u32>, #{WORDS}> }
@group(0) @binding(8) var<uniform> params: Params;
#{BINDINGS}
#{FUNCTIONS}

@compute @workgroup_size(#{WG})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let i = workgroup_index(id, count) * #{WG}u + local.x;
    if i >= params.vec_len { return; }
    let e = 4u * i;
#if ITERATION
    let index = vec4<u32>(e, e + 1u, e + 2u, e + 3u) + iteration.number.x * params.len;
#else
    let index = vec4<u32>(e, e + 1u, e + 2u, e + 3u);
#endif
#{LOADS}
#{BODY}
#if WIDE
#{STORES}
#else
    if e + 4u <= params.len {
#{STORES}
    } else {
        for (var c = 0u; e + c < params.len; c++) {
#{TAIL_STORES}
        }
    }
#endif
}
