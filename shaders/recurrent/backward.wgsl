// The gradient of a recurrent layer, from its last step to its first, for CPU adapters: a workgroup of LANES lanes owns TM
// rows of the batch.
//
// Of the sums [times, rows, PARTS, units] that the layer kept, its kernel [units, TERMS, units], the states that its
// gates read and the gradients of its states [times + 1, rows, units]: the gradients of the sums, and those of the
// initial states [STATES, rows, units], which hold the gradients of the states of each step meanwhile.
// A step is the gates' gradient, in which a lane has four neighbouring units of each group of GROUP, a barrier, and the
// product with the kernel, which reads the gradients of sums that all lanes wrote.
// The generated parts: bindings with a load and a store for each, and the program of the gates' gradient.
// Dispatch, guards, loops, SHUFFLE, VEC, MASKED: as in recurrent/forward.
#import lib/recurrent
#import lib/add_products

@compute @workgroup_size(#{LANES})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let rows = params.rows;
    let units = params.units;
    let times = params.times;
    let first = params.first;
    let lane = local.x;
#if SHUFFLE
    let a_lane = min(lane, #{TM - 1}u);
#else
    let a_lane = 0u;
#endif
    let row = workgroup_index(id, count) * #{TM}u;
    let steps = select(0u, params.steps, row < rows);
    let last = units - 1u;
    let terms = #{TERMS}u * units;
    let tiles = (units + #{GROUP * T4 - 1}u) / #{GROUP * T4}u;
    let blocks = (terms + 3u) / 4u;
    let size = rows * units;
#for q in 0..((TM + A_STEP - 1) / A_STEP)
    let a_row#{q} = min(row + #{A_STEP * q}u + a_lane, rows - 1u);
#end

    for (var step = 0u; step < steps; step++) {
        let number = first + step;
#if REVERSE
        let t = number;
        let before = (t + 1u) * rows;
        let after = t * rows;
#else
        let t = times - 1u - number;
        let before = t * rows;
        let after = (t + 1u) * rows;
#endif
        for (var e = 4u * lane; e < units; e += #{GROUP}u) {
            for (var i = 0u; i < min(#{TM}u, rows - row); i++) {
                let line = (t * rows + row + i) * #{FIRST + TERMS}u * units;
                let old_line = (before + row + i) * units;
                let new_line = (after + row + i) * units;
                let own = (row + i) * units;
#if MASKED
                let counts = mask[t * rows + row + i] > 0.0;
#endif
#for p in 0..(FIRST + TERMS)
                let x#{p} = load_sums(line + #{p}u * units, e, last);
#end
#if READS
                let old = load_old(old_line, e, last);
#endif
#for s in 0..STATES
                var d#{s} = vec4<f32>();
                if number > 0u { d#{s} = load_carry(own + #{s}u * size, e, last); }
#end
#{UPSTREAM}
#{BODY}
#for p in 0..(FIRST + TERMS)
#if MASKED
                store_d_sums(line + #{p}u * units, e, units, select(vec4<f32>(), dx#{p}, counts));
#else
                store_d_sums(line + #{p}u * units, e, units, dx#{p});
#endif
#end
#for s in 0..STATES
#if MASKED
                store_carry(own + #{s}u * size, e, units, select(d#{s}, direct#{s}, counts));
#else
#if DIRECT || s > 0
                store_carry(own + #{s}u * size, e, units, direct#{s});
#endif
#endif
#end
            }
        }
        storageBarrier();
#for q in 0..((TM + A_STEP - 1) / A_STEP)
        let a_line#{q} = (t * rows + a_row#{q}) * #{FIRST + TERMS}u * units + #{FIRST}u * units;
#end
        for (var tile = 0u; tile < tiles; tile++) {
#for j in 0..T4
            let c#{j} = tile * #{GROUP * T4}u + #{GROUP * j}u + 4u * lane;
#for c in 0..4
            let line#{j}_#{c} = min(c#{j} + #{c}u, last) * terms;
#end
#end
#for i in 0..TM
#for j in 0..T4
            var s#{i}_#{j} = vec4<f32>();
#end
#end
            for (var block = 0u; block < blocks; block++) {
                let k = 4u * block;
#for q in 0..((TM + A_STEP - 1) / A_STEP)
                let a#{q} = inside(load_d_sums(a_line#{q}, k, terms - 1u), k, terms);
#end
#for j in 0..T4
#for c in 0..4
                let r#{j}_#{c} = load_kernel(line#{j}_#{c}, k, terms - 1u);
#end
#for kk in 0..4
                let b#{j}_#{kk} = vec4<f32>(r#{j}_0[#{kk}], r#{j}_1[#{kk}], r#{j}_2[#{kk}], r#{j}_3[#{kk}]);
#end
#end
#for i in 0..TM
#for kk in 0..4
#if SHUFFLE
                let f#{i}_#{kk} = subgroupShuffle(a#{i / LANES}[#{kk}], #{i % LANES}u);
#else
                let f#{i}_#{kk} = a#{i}[#{kk}];
#endif
#end
#for j in 0..T4
                s#{i}_#{j} = add_products(s#{i}_#{j}, f#{i}_0, f#{i}_1, f#{i}_2, f#{i}_3, b#{j}_0, b#{j}_1, b#{j}_2, b#{j}_3);
#end
#end
            }
#for i in 0..TM
            if row + #{i}u < rows {
                let own = (row + #{i}u) * units;
#for j in 0..T4
#if DIRECT
                let kept#{j} = load_carry(own, min(c#{j}, #{LAST_QUAD}), last);
                store_carry(own, c#{j}, units, kept#{j} + s#{i}_#{j});
#else
                store_carry(own, c#{j}, units, s#{i}_#{j});
#endif
#end
            }
#end
        }
    }
#if UPSTREAMS
    // The states before the first step are results too.
    if first + steps == times {
        let before = #{INITIAL} * rows;
        for (var e = 4u * lane; e < units; e += #{GROUP}u) {
            for (var i = 0u; i < min(#{TM}u, rows - row); i++) {
                let own = (row + i) * units;
                let new_line = (before + row + i) * units;
#for s in 0..STATES
                var d#{s} = load_carry(own + #{s}u * size, e, last);
#end
#{UPSTREAM}
#for s in 0..STATES
                store_carry(own + #{s}u * size, e, units, d#{s});
#end
            }
        }
    }
#endif
}
