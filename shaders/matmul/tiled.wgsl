// C[b,m,n] = f(sum_k A[b,m,k] B[b,k,n]) for GPUs: workgroup-memory tiles with a register block.
//
// Tile: TILE by TILE outputs. SLICES groups of LANES invocations share the terms: in each iteration every group adds
// its KB, and at the end the groups' sums are added in a fixed tree (SLICES is 1, or 4 if HALVES is 1). An invocation
// computes HALVES by HALVES blocks of 4 by 4 outputs, the blocks TILE / HALVES apart. Operands come as vec4s along
// their lines, in any layout, and are stored in workgroup memory as they come, twice: while one buffer is multiplied,
// the next terms are loaded into registers and go to the other, with one barrier between.
// Workgroup memory: [k][line / 4] if lines are neighbours, and [line % 4][line / 4][k / 4] if lines run along k: then
// an invocation reads four terms of each of its lines, and a vec4 over lines costs nothing, since it is in registers.
// Banks: 32 neighbours are 8 by 4 blocks, so that their reads are broadcasts and runs of 128 bytes. The vec4s of lines
// along k are so few that every 32 / KB lines would meet in the same banks: their order differs (SWAP).
// Layouts: A is [m,k] (A_KIN) or [k,m]; B is [n,k] (B_KIN) or [k,n]; C is [m,n]. VEC_A and VEC_B say that
// lines are whole vec4s.
// A_GATHER, B_GATHER: the operand is no lines in memory. Generated functions read it: `a_line` is what depends on the
// row, `a_terms` what depends on the terms; both may leave the tensor, where zeros are. A load is four terms of a line (A_KIN),
// and then all loads of an invocation have the same terms, or four lines of a term; A_TERMS counts the terms that differ.
// B_SUMS: the tiles of the first rows also store sum_k B[k, n].
// Dispatch: tiles_n * tiles_m workgroups folded over x and y; z is product + batch * part. A part is
// k_chunk terms of each sum, a multiple of KB * SLICES. Each part stores a separate product.
// Guards: elements past an edge are zero in workgroup memory; stores are guarded. Loops: ceil(k_chunk / KB / SLICES) + 1
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
    tiles_n: u32, tiles_m: u32, batch: u32, k_chunk: u32, pad0: u32,
    words: array<vec4<u32>, #{WORDS}>,
}
@group(0) @binding(8) var<uniform> params: Params;
#{A_OPERAND}
#{B_OPERAND}
#{BINDINGS}

var<workgroup> tile_a: array<vec4<f32>, #{SLICES * KB * TILE / 2}>;
var<workgroup> tile_b: array<vec4<f32>, #{SLICES * KB * TILE / 2}>;

#if A_VIEW
#{A_LOADS}
#endif
#if B_VIEW
#{B_LOADS}
#endif
// Four elements from `at` of a line of `len` elements that starts at element `line`; zero past its end, and
// everywhere if the line is not `live`.
#if A_GATHER
#else
fn load_a(line: u32, live: bool, at: u32, len: u32) -> vec4<f32> {
    var v = vec4<f32>();
#if VEC_A
    if live && at < len { v = a_four((line + at) / 4u); }
#else
#for c in 0..4
    if live && at + #{c}u < len { v[#{c}] = a_one(line + at + #{c}u); }
#end
#endif
    return v;
}
#endif

#if B_GATHER
#else
fn load_b(line: u32, live: bool, at: u32, len: u32) -> vec4<f32> {
    var v = vec4<f32>();
#if VEC_B
    if live && at < len { v = b_four((line + at) / 4u); }
#else
#for c in 0..4
    if live && at + #{c}u < len { v[#{c}] = b_one(line + at + #{c}u); }
#end
#endif
    return v;
}
#endif

// The words in registers: a uniform is slow to read if lanes are SIMD.
var<private> store_words: array<vec4<u32>, #{WORDS}>;
#{STORE}

@compute @workgroup_size(#{WG})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let tile = banded_tile(workgroup_index(id, count), params.tiles_m, params.tiles_n);
    // The group, and the place in it.
    let slice = local.x / #{LANES}u;
    let t = local.x % #{LANES}u;
    let len = vec2<u32>(params.m, params.n);
    store_words = params.words;
    let row = tile.x * #{TILE}u;
    let col = tile.y * #{TILE}u;
    let part = id.z / params.batch;
    let product = id.z - part * params.batch;
    let a_base = #{A_BASE};
    let b_base = #{B_BASE};
    let k_first = part * params.k_chunk;
    let terms = min(params.k_chunk, params.k - k_first);
    // Surplus workgroups of the folded grid run no iteration instead of returning before a barrier.
    let blocks = select(0u, (terms + #{KB * SLICES - 1}u) / #{KB * SLICES}u, row < params.m);
    let x = 4u * (t % 8u + 8u * (t / 32u % #{TILE / 4 / HALVES / 8}u));
    let y = 4u * (t / 8u % 4u + 4u * (t / 32u / #{TILE / 4 / HALVES / 8}u));
#for i in 0..(4 * HALVES)
#for h in 0..HALVES
    var s#{i}_#{h} = vec4<f32>();
#end
#end
    // The place of the first line in workgroup memory, and the order of its vec4s, if lines run along k.
#if A_KIN
    let a_place = y / 4u * #{KB / 4}u;
    let a_swap = y / #{4 * SWAP}u % #{KB / 4}u;
#endif
#if B_KIN
    let b_place = x / 4u * #{KB / 4}u;
    let b_swap = x / #{4 * SWAP}u % #{KB / 4}u;
#endif
#if B_SUMS
    var total = 0.0;
#endif
#for u in 0..LOADS
    // The vec4 number t + u * LANES of each operand's KB by TILE elements.
    let at#{u} = t + #{u * LANES}u;
#if A_KIN
    let aq#{u} = at#{u} / #{KB / 4}u;
    let ar#{u} = 4u * (aq#{u} % #{TILE / 4}u) + aq#{u} / #{TILE / 4}u;
    let ak#{u} = 4u * (at#{u} % #{KB / 4}u);
#else
    let ar#{u} = 4u * (at#{u} % #{TILE / 4}u);
    let ak#{u} = at#{u} / #{TILE / 4}u;
#endif
#if B_KIN
    let bq#{u} = at#{u} / #{KB / 4}u;
    let bc#{u} = 4u * (bq#{u} % #{TILE / 4}u) + bq#{u} / #{TILE / 4}u;
    let bk#{u} = 4u * (at#{u} % #{KB / 4}u);
#else
    let bc#{u} = 4u * (at#{u} % #{TILE / 4}u);
    let bk#{u} = at#{u} / #{TILE / 4}u;
#endif
#if A_GATHER
#if A_KIN
    let a_line#{u} = a_line(a_base, min(row + ar#{u}, params.m - 1u));
#else
    let a_line#{u} = a_line(a_base, min(row + ar#{u}, params.m - 4u));
#endif
#endif
    var a#{u} = vec4<f32>();
#if B_GATHER
#if B_KIN
    let b_line#{u} = b_line(b_base, min(col + bc#{u}, params.n - 1u));
#else
    let b_line#{u} = b_line(b_base, min(col + bc#{u}, params.n - 4u));
#endif
#endif
    var b#{u} = vec4<f32>();
#end
#if A_GATHER
#for u in 0..A_TERMS
    var term_a#{u} = a_first(k_first + #{KB}u * slice + ak#{u});
#end
#endif
#if B_GATHER
#for u in 0..B_TERMS
    var term_b#{u} = b_first(k_first + #{KB}u * slice + bk#{u});
#end
#endif
    // Iteration `block` loads its terms and multiplies those of the iteration before.
    for (var block = 0u; block <= blocks; block++) {
        let k = k_first + #{KB}u * (#{SLICES}u * block + slice);
        if block < blocks {
#if A_GATHER
#for u in 0..A_TERMS
            let terms_a#{u} = a_terms(term_a#{u});
            term_a#{u} = a_next(term_a#{u});
#end
#endif
#if B_GATHER
#for u in 0..B_TERMS
            let terms_b#{u} = b_terms(term_b#{u});
            term_b#{u} = b_next(term_b#{u});
#end
#endif
#for u in 0..LOADS
#if A_GATHER
            a#{u} = a_load(a_line#{u}, terms_a#{u % A_TERMS});
#else
#if A_KIN
            a#{u} = load_a(a_base + (row + ar#{u}) * params.a_ld, row + ar#{u} < params.m, k + ak#{u}, params.k);
#else
            a#{u} = load_a(a_base + (k + ak#{u}) * params.a_ld, k + ak#{u} < params.k, row + ar#{u}, params.m);
#endif
#endif
#if B_GATHER
            b#{u} = b_load(b_line#{u}, terms_b#{u % B_TERMS});
#else
#if B_KIN
            b#{u} = load_b(b_base + (col + bc#{u}) * params.b_ld, col + bc#{u} < params.n, k + bk#{u}, params.k);
#else
            b#{u} = load_b(b_base + (k + bk#{u}) * params.b_ld, k + bk#{u} < params.k, col + bc#{u}, params.n);
#endif
#endif
#end
        }
        if block > 0u {
            let base = ((block + 1u) % 2u * #{SLICES}u + slice) * #{KB * TILE / 4}u;
#if B_SUMS
            if row == 0u && t < #{TILE}u {
#for kk in 0..KB
#if B_KIN
                total += tile_b[base + (t % 4u * #{TILE / 4}u + t / 4u) * #{KB / 4}u + (#{kk / 4}u ^ (t / #{4 * SWAP}u % #{KB / 4}u))][#{kk % 4}];
#else
                total += tile_b[base + (#{TILE * kk}u + t) / 4u][t % 4u];
#endif
#end
            }
#endif
#for q in 0..(KB / 4)
            {
                // Four terms of eight lines at most.
#for h in 0..HALVES
#for i in 0..4
#if A_KIN
                let a#{h}_#{i} = tile_a[base + a_place + #{(TILE / 4 * i + TILE / HALVES / 4 * h) * KB / 4}u + (#{q}u ^ a_swap)];
#else
                let a#{h}_#{i} = tile_a[base + (#{TILE * (4 * q + i) + TILE / HALVES * h}u + y) / 4u];
#endif
#if B_KIN
                let b#{h}_#{i} = tile_b[base + b_place + #{(TILE / 4 * i + TILE / HALVES / 4 * h) * KB / 4}u + (#{q}u ^ b_swap)];
#else
                let b#{h}_#{i} = tile_b[base + (#{TILE * (4 * q + i) + TILE / HALVES * h}u + x) / 4u];
#endif
#end
#end
#for kk in 0..4
#for h in 0..HALVES
#if B_KIN
                let c#{h}_#{kk} = vec4<f32>(b#{h}_0[#{kk}], b#{h}_1[#{kk}], b#{h}_2[#{kk}], b#{h}_3[#{kk}]);
#else
                let c#{h}_#{kk} = b#{h}_#{kk};
#endif
#end
#for i in 0..(4 * HALVES)
#for h in 0..HALVES
#if A_KIN
                s#{i}_#{h} = fma(vec4<f32>(a#{i / 4}_#{i % 4}[#{kk}]), c#{h}_#{kk}, s#{i}_#{h});
#else
                s#{i}_#{h} = fma(vec4<f32>(a#{i / 4}_#{kk}[#{i % 4}]), c#{h}_#{kk}, s#{i}_#{h});
#endif
#end
#end
#end
            }
#end
        }
        if block < blocks {
            let to = (block % 2u * #{SLICES}u + slice) * #{KB * TILE / 4}u;
#for u in 0..LOADS
#if A_KIN
            tile_a[to + aq#{u} * #{KB / 4}u + ((ak#{u} / 4u) ^ (aq#{u} / #{SWAP}u % #{KB / 4}u))] = a#{u};
#else
            tile_a[to + (ak#{u} * #{TILE}u + ar#{u}) / 4u] = a#{u};
#endif
#if B_KIN
            tile_b[to + bq#{u} * #{KB / 4}u + ((bk#{u} / 4u) ^ (bq#{u} / #{SWAP}u % #{KB / 4}u))] = b#{u};
#else
            tile_b[to + (bk#{u} * #{TILE}u + bc#{u}) / 4u] = b#{u};
#endif
#end
        }
        workgroupBarrier();
    }
#if SLICES > 1
    // The upper half of the groups that are left gives its sums to the lower half.
#for level in 0..2
    if slice / #{SLICES / (2 + 2 * level)}u == 1u {
        let to = slice % #{SLICES / (2 + 2 * level)}u * #{4 * LANES}u + t;
#for i in 0..4
        tile_b[to + #{LANES * i}u] = s#{i}_0;
#end
    }
    workgroupBarrier();
    if slice < #{SLICES / (2 + 2 * level)}u {
        let source = slice * #{4 * LANES}u + t;
#for i in 0..4
        s#{i}_0 += tile_b[source + #{LANES * i}u];
#end
    }
    workgroupBarrier();
#end
#if B_SUMS
    if t < #{TILE}u { tile_b[slice * #{TILE}u + t] = vec4<f32>(total); }
    workgroupBarrier();
#for other in 1..SLICES
    if slice == 0u && t < #{TILE}u { total += tile_b[#{TILE * other}u + t].x; }
#end
#endif
#endif
#for i in 0..(4 * HALVES)
    if slice == 0u && row + y + #{i / 4 * (TILE / HALVES) + i % 4}u < params.m {
#for h in 0..HALVES
        if col + x + #{TILE / HALVES * h}u < params.n {
            store4(s#{i}_#{h}, id.z, row + y + #{i / 4 * (TILE / HALVES) + i % 4}u, col + x + #{TILE / HALVES * h}u, len);
        }
#end
    }
#end
#if B_SUMS
    if slice == 0u && row == 0u && t < #{TILE}u && col + t < params.n { b_sums[part * params.n + col + t] = total; }
#endif
}
