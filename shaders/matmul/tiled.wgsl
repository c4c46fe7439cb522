// C[b,m,n] = f(sum_k A[b,m,k] B[b,k,n]) for GPUs: workgroup-memory tiles with a register block.
//
// Tile: TILE by TILE outputs, KB of k at a time. An invocation computes HALVES by HALVES blocks of 4 by 4
// outputs, the blocks TILE / HALVES apart, so that neighbours read neighbouring workgroup memory. Operands
// come as vec4s along their lines, whatever the layout, and lie in workgroup memory as [k][row] and
// [k][column], twice: while one buffer is multiplied, the next terms are loaded into registers and go to
// the other, with one barrier between.
// Layouts: A is [m,k] (A_KIN) or [k,m]; B is [n,k] (B_KIN) or [k,n]; C is [m,n]. VEC_A and VEC_B say that
// lines are whole vec4s.
// B_SUMS: the tiles of the first rows also store sum_k B[k, n].
// Dispatch: tiles_n * tiles_m workgroups folded over x and y; z is product + batch * part, where a part is
// k_part terms of each sum, a multiple of KB. Each part stores as a product of its own.
// Guards: elements past an edge are zero in workgroup memory; stores are guarded. Loops: ceil(k_part / KB)
// iterations per invocation.
#import lib/index
#import lib/band
#import lib/math
#import lib/quad
#if STEP
#import lib/step
#endif
#if RANDOM
#import lib/threefry
#endif

struct Params {
    m: u32, n: u32, k: u32, a_ld: u32, b_ld: u32, a_batch: u32, b_batch: u32,
    tiles_n: u32, tiles_m: u32, batch: u32, k_part: u32, pad0: u32,
    words: array<vec4<u32>, #{WORDS}>,
}
@group(0) @binding(8) var<uniform> params: Params;
#if VEC_A
@group(0) @binding(0) var<storage, read> a: array<Quad>;
#else
@group(0) @binding(0) var<storage, read> a: array<f32>;
#endif
#if VEC_B
@group(0) @binding(1) var<storage, read> b: array<Quad>;
#else
@group(0) @binding(1) var<storage, read> b: array<f32>;
#endif
#{BINDINGS}

var<workgroup> tile_a: array<f32, #{2 * KB * TILE}>;
var<workgroup> tile_b: array<f32, #{2 * KB * TILE}>;

// Four elements from `at` of a line of `len` elements that starts at element `line`; zero past its end, and
// everywhere where the line is not `live`.
fn load_a(line: u32, live: bool, at: u32, len: u32) -> vec4<f32> {
    var v = vec4<f32>();
#if VEC_A
    if live && at < len { v = from_quad(a[(line + at) / 4u]); }
#else
#for c in 0..4
    if live && at + #{c}u < len { v[#{c}] = a[line + at + #{c}u]; }
#end
#endif
    return v;
}

fn load_b(line: u32, live: bool, at: u32, len: u32) -> vec4<f32> {
    var v = vec4<f32>();
#if VEC_B
    if live && at < len { v = from_quad(b[(line + at) / 4u]); }
#else
#for c in 0..4
    if live && at + #{c}u < len { v[#{c}] = b[line + at + #{c}u]; }
#end
#endif
    return v;
}

// The words in registers: a uniform is slow to read where lanes are SIMD.
var<private> store_words: array<vec4<u32>, #{WORDS}>;
#{STORE}

@compute @workgroup_size(#{WG})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let tile = banded_tile(workgroup_index(id, count), params.tiles_m, params.tiles_n);
    let t = local.x;
    let len = vec2<u32>(params.m, params.n);
    store_words = params.words;
    let row = tile.x * #{TILE}u;
    let col = tile.y * #{TILE}u;
    let part = id.z / params.batch;
    let product = id.z - part * params.batch;
    let a_base = product * params.a_batch;
    let b_base = product * params.b_batch;
    let k_first = part * params.k_part;
    let terms = min(params.k_part, params.k - k_first);
    // Surplus workgroups of the folded grid run no iteration instead of returning before a barrier.
    let blocks = select(0u, (terms + #{KB - 1}u) / #{KB}u, row < params.m);
    let y = 4u * (t / #{TILE / 4 / HALVES}u);
    let x = 4u * (t % #{TILE / 4 / HALVES}u);
#for i in 0..(4 * HALVES)
#for h in 0..HALVES
    var s#{i}_#{h} = vec4<f32>();
#end
#end
#if B_SUMS
    var total = 0.0;
#endif
#for u in 0..LOADS
    // The vec4 number t + u * WG of each operand's KB by TILE elements.
    let at#{u} = t + #{u * WG}u;
#if A_KIN
    let ar#{u} = at#{u} / #{KB / 4}u;
    let ak#{u} = 4u * (at#{u} % #{KB / 4}u);
#else
    let ar#{u} = 4u * (at#{u} % #{TILE / 4}u);
    let ak#{u} = at#{u} / #{TILE / 4}u;
#endif
#if B_KIN
    let bc#{u} = at#{u} / #{KB / 4}u;
    let bk#{u} = 4u * (at#{u} % #{KB / 4}u);
#else
    let bc#{u} = 4u * (at#{u} % #{TILE / 4}u);
    let bk#{u} = at#{u} / #{TILE / 4}u;
#endif
    var a#{u} = vec4<f32>();
    var b#{u} = vec4<f32>();
#end
    // Iteration `block` loads its terms and multiplies those of the iteration before.
    for (var block = 0u; block <= blocks; block++) {
        let k = k_first + #{KB}u * block;
        if block < blocks {
#for u in 0..LOADS
#if A_KIN
            a#{u} = load_a(a_base + (row + ar#{u}) * params.a_ld, row + ar#{u} < params.m, k + ak#{u}, params.k);
#else
            a#{u} = load_a(a_base + (k + ak#{u}) * params.a_ld, k + ak#{u} < params.k, row + ar#{u}, params.m);
#endif
#if B_KIN
            b#{u} = load_b(b_base + (col + bc#{u}) * params.b_ld, col + bc#{u} < params.n, k + bk#{u}, params.k);
#else
            b#{u} = load_b(b_base + (k + bk#{u}) * params.b_ld, k + bk#{u} < params.k, col + bc#{u}, params.n);
#endif
#end
        }
        if block > 0u {
            let base = (block + 1u) % 2u * #{KB * TILE}u;
#if B_SUMS
            if row == 0u && t < #{TILE}u {
#for kk in 0..KB
                total += tile_b[base + #{TILE * kk}u + t];
#end
            }
#endif
#for kk in 0..KB
            {
                let pa = base + #{TILE * kk}u + y;
                let pb = base + #{TILE * kk}u + x;
#for h in 0..HALVES
                let b#{h} = vec4<f32>(
                    tile_b[pb + #{TILE / HALVES * h}u], tile_b[pb + #{TILE / HALVES * h + 1}u],
                    tile_b[pb + #{TILE / HALVES * h + 2}u], tile_b[pb + #{TILE / HALVES * h + 3}u],
                );
#end
#for i in 0..(4 * HALVES)
                let a#{i} = vec4<f32>(tile_a[pa + #{i / 4 * (TILE / HALVES) + i % 4}u]);
#for h in 0..HALVES
                s#{i}_#{h} = fma(a#{i}, b#{h}, s#{i}_#{h});
#end
#end
            }
#end
        }
        if block < blocks {
            let to = block % 2u * #{KB * TILE}u;
#for u in 0..LOADS
#for c in 0..4
#if A_KIN
            tile_a[to + (ak#{u} + #{c}u) * #{TILE}u + ar#{u}] = a#{u}[#{c}];
#else
            tile_a[to + ak#{u} * #{TILE}u + ar#{u} + #{c}u] = a#{u}[#{c}];
#endif
#if B_KIN
            tile_b[to + (bk#{u} + #{c}u) * #{TILE}u + bc#{u}] = b#{u}[#{c}];
#else
            tile_b[to + bk#{u} * #{TILE}u + bc#{u} + #{c}u] = b#{u}[#{c}];
#endif
#end
#end
        }
        workgroupBarrier();
    }
#for i in 0..(4 * HALVES)
    if row + y + #{i / 4 * (TILE / HALVES) + i % 4}u < params.m {
#for h in 0..HALVES
        if col + x + #{TILE / HALVES * h}u < params.n {
            store4(s#{i}_#{h}, id.z, row + y + #{i / 4 * (TILE / HALVES) + i % 4}u, col + x + #{TILE / HALVES * h}u, len);
        }
#end
    }
#end
#if B_SUMS
    if row == 0u && t < #{TILE}u && col + t < params.n { b_sums[part * params.n + col + t] = total; }
#endif
}
