// C[b,m,n] = f(sum_k A[b,m,k] B[b,k,n]) for CPU adapters: LANES lanes per output tile, without workgroup memory.
//
// Tile: TM rows by 4 * LANES * T4 columns; lane l owns columns 4l..4l+3 of each group of 4 * LANES.
// SHUFFLE: the lanes, 4, 8 or 16, are one subgroup. Each lane loads other rows of A as vec4, and `subgroupShuffle` with a
// literal lane hands every row to all lanes: on an adapter that runs lanes as SIMD a shuffle is a register broadcast, but
// a shared load is a scalar loop. Without SHUFFLE each lane loads all rows of A. A_STEP is how many rows, or groups of
// four rows, the lanes load together: LANES or 1. Both forms add the same terms in the same order.
// Layouts: A is [m,k] (A_KIN) or [k,m]; B is [n,k] (B_KIN) or [k,n]; C is [m,n]. VEC_A and VEC_B say that
// lines are whole vec4s.
// A_GATHER, B_GATHER: the operand is no lines in memory. Generated functions read it: `a_line` is what depends on the
// row, `a_terms` what depends on the terms; both may leave the tensor, where zeros are. Four terms of a line are read at
// once (A_KIN), or four lines of a term.
// B_SUMS: the tiles of the first rows also store sum_k B[k, n].
// Dispatch: tiles_n * tiles_m workgroups folded over x and y; z is product + batch * part. A part is
// k_chunk terms of each sum, a multiple of 4. Each part stores a separate product.
// Guards: rows, columns and k past the edge read the last valid element; K_TAIL sets their terms to zero;
// stores are guarded. Loops: ceil(k_chunk / 4) iterations per invocation.
// A load or a uniform inside the loop costs a scalar loop over the lanes: uniforms are read before it.
#import lib/index
#import lib/add_products
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

// Four elements from `at` of a line that starts at `line` and whose last position is `last`: in elements,
// or all three in vec4s if lines are whole vec4s.
#if A_VIEW
#{A_LOADS}
#endif
#if A_GATHER
#else
#if VEC_A
fn load_a(line: u32, at: u32, last: u32) -> vec4<f32> { return a_four(line + min(at / 4u, last)); }
#else
fn load_a(line: u32, at: u32, last: u32) -> vec4<f32> {
    return vec4<f32>(
        a_one(line + min(at, last)), a_one(line + min(at + 1u, last)),
        a_one(line + min(at + 2u, last)), a_one(line + min(at + 3u, last)),
    );
}
#endif
#endif
#if B_VIEW
#{B_LOADS}
#endif
#if B_GATHER
#else
#if VEC_B
fn load_b(line: u32, at: u32, last: u32) -> vec4<f32> { return b_four(line + min(at / 4u, last)); }
#else
fn load_b(line: u32, at: u32, last: u32) -> vec4<f32> {
    return vec4<f32>(
        b_one(line + min(at, last)), b_one(line + min(at + 1u, last)),
        b_one(line + min(at + 2u, last)), b_one(line + min(at + 3u, last)),
    );
}
#endif
#endif

// `v` if its four k are inside, else zero.
fn inside(v: vec4<f32>, k: u32, len: u32) -> vec4<f32> {
#if K_TAIL
    return select(vec4<f32>(0.0), v, vec4<u32>(k, k + 1u, k + 2u, k + 3u) < vec4<u32>(len));
#else
    return v;
#endif
}

// `v` if k is inside, else zero.
fn inside_line(v: vec4<f32>, k: u32, len: u32) -> vec4<f32> {
#if K_TAIL
    return select(vec4<f32>(0.0), v, k < len);
#else
    return v;
#endif
}

fn k_line(k: u32, len: u32) -> u32 {
#if K_TAIL
    return min(k, len - 1u);
#else
    return k;
#endif
}

// The words in registers: a uniform is slow to read if lanes are SIMD.
var<private> store_words: array<vec4<u32>, #{WORDS}>;
#{STORE}

@compute @workgroup_size(#{LANES})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let len_m = params.m;
    let len_n = params.n;
    let len_k = params.k;
    let len = vec2<u32>(len_m, len_n);
    store_words = params.words;
    let tile = banded_tile(workgroup_index(id, count), params.tiles_m, params.tiles_n);
    let lane = local.x;
#if SHUFFLE
    let a_lane = lane;
#else
    let a_lane = 0u;
#endif
    let row = tile.x * #{TM}u;
    let col = tile.y * #{4 * LANES * T4}u;
    let part = id.z / params.batch;
    let product = id.z - part * params.batch;
    // Lines, and the last position in a line.
#if VEC_A && !A_GATHER
    let a_base = #{A_BASE} / 4u;
    let a_ld = params.a_ld / 4u;
    let a_last = #{A_LAST};
#else
    let a_base = #{A_BASE};
    let a_ld = params.a_ld;
    let a_last = #{A_LAST};
#endif
#if VEC_B && !B_GATHER
    let b_base = #{B_BASE} / 4u;
    let b_ld = params.b_ld / 4u;
    let b_last = #{B_LAST};
#else
    let b_base = #{B_BASE};
    let b_ld = params.b_ld;
    let b_last = #{B_LAST};
#endif
    let k_first = part * params.k_chunk;
    let terms = min(params.k_chunk, len_k - k_first);
    // Surplus workgroups of the folded grid run no iteration instead of returning before a shuffle.
    let blocks = select(0u, (terms + 3u) / 4u, row < len_m);

#if A_KIN
#for q in 0..((TM + A_STEP - 1) / A_STEP)
#if A_GATHER
    let a_line#{q} = a_line(a_base, min(row + #{A_STEP * q}u + a_lane, len_m - 1u));
#else
    let a_line#{q} = a_base + min(row + #{A_STEP * q}u + a_lane, len_m - 1u) * a_ld;
#endif
#end
#endif
#if A_GATHER
#if A_KIN
#else
#for q in 0..((TM + 4 * A_STEP - 1) / (4 * A_STEP))
    let a_line#{q} = a_line(a_base, min(row + #{4 * A_STEP * q}u + 4u * a_lane, len_m - 4u));
#end
#endif
    var term_a = a_first(k_first);
#endif
#if B_GATHER
    var term_b = b_first(k_first);
#endif
#for j in 0..T4
    let c#{j} = col + #{4 * LANES * j}u + 4u * lane;
#if B_GATHER && !B_KIN
    let b_line#{j} = b_line(b_base, min(c#{j}, len_n - 4u));
#endif
#if B_KIN
#for c in 0..4
#if B_GATHER
    let b_line#{j}_#{c} = b_line(b_base, min(c#{j} + #{c}u, len_n - 1u));
#else
    let b_line#{j}_#{c} = b_base + min(c#{j} + #{c}u, len_n - 1u) * b_ld;
#endif
#end
#endif
#end
#for i in 0..TM
#for j in 0..T4
    var s#{i}_#{j} = vec4<f32>();
#end
#end

#if B_SUMS
#for j in 0..T4
    var total#{j} = vec4<f32>();
#end
#endif

    for (var block = 0u; block < blocks; block++) {
        let k = k_first + 4u * block;
#if A_KIN
#if A_GATHER
        let terms_a = a_terms(term_a);
        term_a = a_next(term_a);
#for q in 0..((TM + A_STEP - 1) / A_STEP)
        let a#{q} = a_load(a_line#{q}, terms_a);
#end
#else
#for q in 0..((TM + A_STEP - 1) / A_STEP)
        let a#{q} = inside(load_a(a_line#{q}, k, a_last), k, len_k);
#end
#endif
#else
#for kk in 0..4
#if A_GATHER
        let terms_a#{kk} = a_terms(term_a);
        term_a = a_after(term_a);
#for q in 0..((TM + 4 * A_STEP - 1) / (4 * A_STEP))
        let a#{kk}_#{q} = a_load(a_line#{q}, terms_a#{kk});
#end
#else
#for q in 0..((TM + 4 * A_STEP - 1) / (4 * A_STEP))
        let a#{kk}_#{q} = inside_line(
            load_a(a_base + k_line(k + #{kk}u, len_k) * a_ld, row + #{4 * A_STEP * q}u + 4u * a_lane, a_last),
            k + #{kk}u, len_k,
        );
#end
#endif
#end
#endif
#if B_GATHER
#if B_KIN
        let terms_b = b_terms(term_b);
        term_b = b_next(term_b);
#else
#for kk in 0..4
        let terms_b#{kk} = b_terms(term_b);
        term_b = b_after(term_b);
#end
#endif
#endif
#for j in 0..T4
#if B_KIN
#for c in 0..4
#if B_GATHER
        let r#{j}_#{c} = b_load(b_line#{j}_#{c}, terms_b);
#else
        let r#{j}_#{c} = inside(load_b(b_line#{j}_#{c}, k, b_last), k, len_k);
#endif
#end
#for kk in 0..4
        let b#{j}_#{kk} = vec4<f32>(r#{j}_0[#{kk}], r#{j}_1[#{kk}], r#{j}_2[#{kk}], r#{j}_3[#{kk}]);
#end
#else
#for kk in 0..4
#if B_GATHER
        let b#{j}_#{kk} = b_load(b_line#{j}, terms_b#{kk});
#else
        let b#{j}_#{kk} = inside_line(
            load_b(b_base + k_line(k + #{kk}u, len_k) * b_ld, c#{j}, b_last), k + #{kk}u, len_k,
        );
#endif
#end
#endif
#end
#if B_SUMS
#for j in 0..T4
        total#{j} += (b#{j}_0 + b#{j}_1) + (b#{j}_2 + b#{j}_3);
#end
#endif
#for i in 0..TM
#for kk in 0..4
#if SHUFFLE
#if A_KIN
        let f#{i}_#{kk} = subgroupShuffle(a#{i / LANES}[#{kk}], #{i % LANES}u);
#else
        let f#{i}_#{kk} = subgroupShuffle(a#{kk}_#{i / (4 * LANES)}[#{i % 4}], #{i % (4 * LANES) / 4}u);
#endif
#else
#if A_KIN
        let f#{i}_#{kk} = a#{i}[#{kk}];
#else
        let f#{i}_#{kk} = a#{kk}_#{i / 4}[#{i % 4}];
#endif
#endif
#end
#for j in 0..T4
        s#{i}_#{j} = add_products(s#{i}_#{j}, f#{i}_0, f#{i}_1, f#{i}_2, f#{i}_3, b#{j}_0, b#{j}_1, b#{j}_2, b#{j}_3);
#end
#end
    }

#for i in 0..TM
    if row + #{i}u < len_m {
#for j in 0..T4
        if c#{j} < len_n { store4(s#{i}_#{j}, id.z, row + #{i}u, c#{j}, len); }
#end
    }
#end
#if B_SUMS
    if row == 0u {
#for j in 0..T4
#for c in 0..4
        if c#{j} + #{c}u < len_n { b_sums[part * len_n + c#{j} + #{c}u] = total#{j}[#{c}]; }
#end
#end
    }
#endif
}
