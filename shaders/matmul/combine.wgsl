// C[b,m,n] = f(sum_p chunks[p,b,m,n]): adds the chunks of divided sums in ascending order and applies the epilogue.
//
// Layout: `chunks` is [chunk, product, m, n], read as vec4 if lines are whole vec4s (VEC); an invocation
// computes four neighbouring columns.
// B_SUMS: the invocations of the first row also store sum_p chunk_sums[p, n].
// Dispatch: ceil(batch * m * ceil(n / 4) / WG) workgroups, folded over x and y. Guards: columns past the edge
// read the last one; stores are guarded. Loops: `chunks` iterations per invocation, twice with B_SUMS.
#import lib/index
#import lib/math
#import lib/quad
#if STEP
#import lib/step
#endif
#if RANDOM
#import lib/threefry
#endif

struct Params { m: u32, n: u32, batch: u32, chunks: u32, words: array<vec4<u32>, #{WORDS}> }
@group(0) @binding(8) var<uniform> params: Params;
#if VEC
@group(0) @binding(0) var<storage, read> chunks: array<Quad>;
#else
@group(0) @binding(0) var<storage, read> chunks: array<f32>;
#endif
#if B_SUMS
@group(0) @binding(1) var<storage, read> chunk_sums: array<f32>;
#endif
#{BINDINGS}

fn load(line: u32, col: u32) -> vec4<f32> {
#if VEC
    return from_quad(chunks[(line * params.n + col) / 4u]);
#else
    let base = line * params.n;
    let last = params.n - 1u;
    return vec4<f32>(
        chunks[base + col], chunks[base + min(col + 1u, last)],
        chunks[base + min(col + 2u, last)], chunks[base + min(col + 3u, last)],
    );
#endif
}

// The words in registers: a uniform is slow to read if lanes are SIMD.
var<private> store_words: array<vec4<u32>, #{WORDS}>;
#{STORE}

@compute @workgroup_size(#{WG})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let i = workgroup_index(id, count) * #{WG}u + local.x;
    let quads = (params.n + 3u) / 4u;
    let line = i / quads;
    let lines = params.batch * params.m;
    if line >= lines { return; }
    let len = vec2<u32>(params.m, params.n);
    store_words = params.words;
    let col = 4u * (i % quads);
    var sum = load(line, col);
    for (var p = 1u; p < params.chunks; p++) { sum += load(p * lines + line, col); }
    store4(sum, line / params.m, line % params.m, col, len);
#if B_SUMS
    if line == 0u {
#for c in 0..4
        if col + #{c}u < params.n {
            var total = 0.0;
            for (var p = 0u; p < params.chunks; p++) { total += chunk_sums[p * params.n + col + #{c}u]; }
            b_sums[col + #{c}u] = total;
        }
#end
    }
#endif
}
