// C[b,m,n] = f(sum_k A[b,m,k] B[b,k,n]) for CPU adapters: one subgroup of eight lanes per output tile.
//
// Tile: TM rows by 32 * T4 columns; lane l owns columns 4l..4l+3 of each group of 32. Each lane loads other
// rows of A as vec4, and `subgroupShuffle` with a literal lane hands every row to all lanes: on an adapter
// that runs lanes as SIMD a shuffle is a register broadcast, where a shared load is a scalar loop.
// Layouts: A is [m,k] (A_KIN) or [k,m]; B is [n,k] (B_KIN) or [k,n]; C is [m,n]. VEC_A and VEC_B say that
// lines are whole vec4s.
// B_SUMS: the tiles of the first rows also store sum_k B[k, n].
// Dispatch: tiles_n * ceil(m / TM) workgroups folded over x and y; z is the batch.
// Guards: rows, columns and k past the edge read the last valid element; K_TAIL sets their terms to zero;
// stores are guarded. Loops: ceil(k / 4) iterations per invocation.
#import lib/index
#import lib/math
#if STEP
#import lib/step
#endif
#if RANDOM
#import lib/threefry
#endif

struct Params {
    m: u32, n: u32, k: u32, a_ld: u32, b_ld: u32, a_batch: u32, b_batch: u32, tiles_n: u32,
    words: array<vec4<u32>, #{WORDS}>,
}
@group(0) @binding(8) var<uniform> params: Params;
#if VEC_A
@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
#else
@group(0) @binding(0) var<storage, read> a: array<f32>;
#endif
#if VEC_B
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
#else
@group(0) @binding(1) var<storage, read> b: array<f32>;
#endif
#{BINDINGS}

// Four elements of a line that starts at element `line`, from position `at`; `len` bounds the line.
fn load_a(line: u32, at: u32, len: u32) -> vec4<f32> {
#if VEC_A
    return a[(line + min(at, len - 4u)) / 4u];
#else
    let last = len - 1u;
    return vec4<f32>(
        a[line + min(at, last)], a[line + min(at + 1u, last)],
        a[line + min(at + 2u, last)], a[line + min(at + 3u, last)],
    );
#endif
}

fn load_b(line: u32, at: u32, len: u32) -> vec4<f32> {
#if VEC_B
    return b[(line + min(at, len - 4u)) / 4u];
#else
    let last = len - 1u;
    return vec4<f32>(
        b[line + min(at, last)], b[line + min(at + 1u, last)],
        b[line + min(at + 2u, last)], b[line + min(at + 3u, last)],
    );
#endif
}

// `v` where its four k are inside, zero elsewhere.
fn inside(v: vec4<f32>, k: u32) -> vec4<f32> {
#if K_TAIL
    return select(vec4<f32>(0.0), v, vec4<u32>(k, k + 1u, k + 2u, k + 3u) < vec4<u32>(params.k));
#else
    return v;
#endif
}

// `v` where k is inside, zero elsewhere.
fn inside_line(v: vec4<f32>, k: u32) -> vec4<f32> {
#if K_TAIL
    return select(vec4<f32>(0.0), v, k < params.k);
#else
    return v;
#endif
}

fn k_line(k: u32) -> u32 {
#if K_TAIL
    return min(k, params.k - 1u);
#else
    return k;
#endif
}

#{STORE}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let tile = workgroup_index(id, count);
    let lane = local.x;
    let row = (tile / params.tiles_n) * #{TM}u;
    let col = (tile % params.tiles_n) * #{32 * T4}u;
    let a_base = id.z * params.a_batch;
    let b_base = id.z * params.b_batch;
    // Surplus workgroups of the folded grid run no iteration instead of returning before a shuffle.
    let blocks = select(0u, (params.k + 3u) / 4u, row < params.m);

#if A_KIN
#for q in 0..(TM / 8)
    let a_line#{q} = a_base + min(row + #{8 * q}u + lane, params.m - 1u) * params.a_ld;
#end
#endif
#for j in 0..T4
    let c#{j} = col + #{32 * j}u + 4u * lane;
#if B_KIN
#for c in 0..4
    let b_line#{j}_#{c} = b_base + min(c#{j} + #{c}u, params.n - 1u) * params.b_ld;
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
        let k = 4u * block;
#if A_KIN
#for q in 0..(TM / 8)
        let a#{q} = inside(load_a(a_line#{q}, k, params.k), k);
#end
#else
#for kk in 0..4
#for q in 0..((TM + 31) / 32)
        let a#{kk}_#{q} = inside_line(
            load_a(a_base + k_line(k + #{kk}u) * params.a_ld, row + #{32 * q}u + 4u * lane, params.m),
            k + #{kk}u,
        );
#end
#end
#endif
#for j in 0..T4
#if B_KIN
#for c in 0..4
        let r#{j}_#{c} = inside(load_b(b_line#{j}_#{c}, k, params.k), k);
#end
#for kk in 0..4
        let b#{j}_#{kk} = vec4<f32>(r#{j}_0[#{kk}], r#{j}_1[#{kk}], r#{j}_2[#{kk}], r#{j}_3[#{kk}]);
#end
#else
#for kk in 0..4
        let b#{j}_#{kk} = inside_line(
            load_b(b_base + k_line(k + #{kk}u) * params.b_ld, c#{j}, params.n), k + #{kk}u,
        );
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
#if A_KIN
        let f#{i}_#{kk} = subgroupShuffle(a#{i / 8}[#{kk}], #{i % 8}u);
#else
        let f#{i}_#{kk} = subgroupShuffle(a#{kk}_#{i / 32}[#{i % 4}], #{i % 32 / 4}u);
#endif
#end
#for j in 0..T4
        s#{i}_#{j} = s#{i}_#{j} + (f#{i}_0 * b#{j}_0 + f#{i}_1 * b#{j}_1 + f#{i}_2 * b#{j}_2 + f#{i}_3 * b#{j}_3);
#end
#end
    }

#for i in 0..TM
    if row + #{i}u < params.m {
#for j in 0..T4
        if c#{j} < params.n { store4(s#{i}_#{j}, id.z, row + #{i}u, c#{j}); }
#end
    }
#end
#if B_SUMS
    if row == 0u {
#for j in 0..T4
#for c in 0..4
        if c#{j} + #{c}u < params.n { b_sums[c#{j} + #{c}u] = total#{j}[#{c}]; }
#end
#end
    }
#endif
}
