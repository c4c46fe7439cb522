// C[b,m,n] = f(sum_k A[b,m,k] B[b,k,n]) for GPUs: workgroup-memory tiles with a register block.
//
// Tile: 64 by 64 outputs, 16 of k at a time, 256 invocations of 4 by 4 outputs each. Consecutive
// invocations load consecutive elements of a line, whatever the layout, and put them into workgroup memory
// as [k][row] and [k][column].
// Layouts: A is [m,k] (A_KIN) or [k,m]; B is [n,k] (B_KIN) or [k,n]; C is [m,n].
// B_SUMS: the tiles of the first rows also store sum_k B[k, n].
// Dispatch: tiles_n * ceil(m / 64) workgroups folded over x and y; z is the batch.
// Guards: elements past an edge are zero in workgroup memory; stores are guarded. Loops: ceil(k / 16)
// iterations per invocation.
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
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
#{BINDINGS}

var<workgroup> tile_a: array<f32, 1024>;
var<workgroup> tile_b: array<f32, 1024>;

fn element_a(base: u32, row: u32, k: u32) -> f32 {
    if row >= params.m || k >= params.k { return 0.0; }
#if A_KIN
    return a[base + row * params.a_ld + k];
#else
    return a[base + k * params.a_ld + row];
#endif
}

fn element_b(base: u32, k: u32, col: u32) -> f32 {
    if col >= params.n || k >= params.k { return 0.0; }
#if B_KIN
    return b[base + col * params.b_ld + k];
#else
    return b[base + k * params.b_ld + col];
#endif
}

#{STORE}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let tile = workgroup_index(id, count);
    let t = local.x;
    let row = (tile / params.tiles_n) * 64u;
    let col = (tile % params.tiles_n) * 64u;
    let a_base = id.z * params.a_batch;
    let b_base = id.z * params.b_batch;
    let y = 4u * (t / 16u);
    let x = 4u * (t % 16u);
#for i in 0..4
    var s#{i} = vec4<f32>();
#end
#if B_SUMS
    var total = 0.0;
#endif
    // Surplus workgroups of the folded grid run no iteration instead of returning before a barrier.
    let blocks = select(0u, (params.k + 15u) / 16u, row < params.m);
    for (var block = 0u; block < blocks; block++) {
        let k = 16u * block;
#for u in 0..4
        {
#if A_KIN
            let ak = t % 16u;
            let ar = t / 16u + #{16 * u}u;
#else
            let ak = t / 64u + #{4 * u}u;
            let ar = t % 64u;
#endif
            tile_a[ak * 64u + ar] = element_a(a_base, row + ar, k + ak);
#if B_KIN
            let bk = t % 16u;
            let bc = t / 16u + #{16 * u}u;
#else
            let bk = t / 64u + #{4 * u}u;
            let bc = t % 64u;
#endif
            tile_b[bk * 64u + bc] = element_b(b_base, k + bk, col + bc);
        }
#end
        workgroupBarrier();
#if B_SUMS
        if row == 0u && t < 64u {
#for kk in 0..16
            total += tile_b[#{64 * kk}u + t];
#end
        }
#endif
#for kk in 0..16
        {
            let bv = vec4<f32>(
                tile_b[#{64 * kk}u + x], tile_b[#{64 * kk + 1}u + x],
                tile_b[#{64 * kk + 2}u + x], tile_b[#{64 * kk + 3}u + x],
            );
#for i in 0..4
            s#{i} = fma(vec4<f32>(tile_a[#{64 * kk + i}u + y]), bv, s#{i});
#end
        }
#end
        workgroupBarrier();
    }
#for i in 0..4
    if row + y + #{i}u < params.m && col + x < params.n {
        store4(s#{i}, id.z, row + y + #{i}u, col + x);
    }
#end
#if B_SUMS
    if row == 0u && t < 64u && col + t < params.n { b_sums[col + t] = total; }
#endif
}
