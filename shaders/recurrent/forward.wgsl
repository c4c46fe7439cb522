// A recurrent layer through its steps of time, for CPU adapters: a workgroup of LANES lanes owns TM rows of the batch.
//
// Of products [times, rows, PARTS, units], a kernel [units, TERMS, units] and the states before the first step: sums
// [times, rows, PARTS, units], which are the products with h · kernel added from part FIRST on, and states
// [times + 1, rows, units], in the order of time. PARTS = FIRST + TERMS.
// A lane has four neighbouring units of each group of GROUP = 4 * LANES, in all parts, so a unit's gates meet in it. It reads what all
// lanes wrote: h of the step before. A barrier of the workgroup is between them.
// The generated parts: bindings with a load and a store for each, and the program of the gates.
// Dispatch: ceil(rows / TM) workgroups, folded over x and y. A long sequence is several dispatches of `steps` each.
// Guards: rows and units past the edge read the last valid element; stores are guarded. Loops: counted by the card.
// SHUFFLE: as in matmul/broadcast. VEC: lines are whole vec4s. MASKED: where the mask is zero, states stay.
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
    let tiles = (units + #{GROUP * T4 - 1}u) / #{GROUP * T4}u;
    let blocks = (units + 3u) / 4u;
#for q in 0..((TM + A_STEP - 1) / A_STEP)
    let a_row#{q} = min(row + #{A_STEP * q}u + a_lane, rows - 1u) * units;
#end

    if first == 0u && steps > 0u {
        let before = #{INITIAL} * rows;
        for (var e = 4u * lane; e < units; e += #{GROUP}u) {
            for (var i = 0u; i < min(#{TM}u, rows - row); i++) {
#for s in 0..STATES
                store_state#{s}((before + row + i) * units, e, units, load_initial#{s}((row + i) * units, e, last));
#end
            }
        }
    }
    storageBarrier();
    for (var step = 0u; step < steps; step++) {
#if REVERSE
        let t = times - 1u - first - step;
        let before = (t + 1u) * rows;
        let after = t * rows;
#else
        let t = first + step;
        let before = t * rows;
        let after = (t + 1u) * rows;
#endif
#for q in 0..((TM + A_STEP - 1) / A_STEP)
        let a_line#{q} = before * units + a_row#{q};
#end
        for (var tile = 0u; tile < tiles; tile++) {
#for j in 0..T4
            let c#{j} = tile * #{GROUP * T4}u + #{GROUP * j}u + 4u * lane;
#if VEC
            let e#{j} = min(c#{j}, units - 4u);
#else
            let e#{j} = min(c#{j}, last);
#endif
#end
#for i in 0..TM
#for p in 0..TERMS
#for j in 0..T4
            var s#{i}_#{p}_#{j} = vec4<f32>();
#end
#end
#end
            for (var block = 0u; block < blocks; block++) {
                let k = 4u * block;
#for q in 0..((TM + A_STEP - 1) / A_STEP)
                let a#{q} = inside(load_state0(a_line#{q}, k, last), k, units);
#end
#for kk in 0..4
                let line#{kk} = min(k + #{kk}u, last) * #{TERMS}u * units;
#end
#for p in 0..TERMS
#for j in 0..T4
#for kk in 0..4
                let b#{p}_#{j}_#{kk} = load_kernel(line#{kk} + #{p}u * units, e#{j}, last);
#end
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
#for p in 0..TERMS
#for j in 0..T4
                s#{i}_#{p}_#{j} = add_products(
                    s#{i}_#{p}_#{j}, f#{i}_0, f#{i}_1, f#{i}_2, f#{i}_3,
                    b#{p}_#{j}_0, b#{p}_#{j}_1, b#{p}_#{j}_2, b#{p}_#{j}_3,
                );
#end
#end
#end
            }
#for i in 0..TM
            if row + #{i}u < rows {
                let line = (t * rows + row + #{i}u) * #{FIRST + TERMS}u * units;
#for j in 0..T4
#for p in 0..FIRST
                store_sums(line + #{p}u * units, c#{j}, units, load_products(line + #{p}u * units, e#{j}, last));
#end
#for p in 0..TERMS
                store_sums(
                    line + #{FIRST + p}u * units, c#{j}, units,
                    load_products(line + #{FIRST + p}u * units, e#{j}, last) + s#{i}_#{p}_#{j},
                );
#end
#end
            }
#end
            // The gates read the sums that this lane wrote.
            for (var i = 0u; i < min(#{TM}u, rows - row); i++) {
                let line = (t * rows + row + i) * #{FIRST + TERMS}u * units;
                let old_line = (before + row + i) * units;
                let new_line = (after + row + i) * units;
#if MASKED
                let counts = mask[t * rows + row + i] > 0.0;
#endif
#for j in 0..T4
                if c#{j} < units {
#for p in 0..(FIRST + TERMS)
                    let x#{p} = load_sums(line + #{p}u * units, e#{j}, last);
#end
#for s in 0..STATES
                    let old#{s} = load_state#{s}(old_line, e#{j}, last);
#end
#{BODY}
#for s in 0..STATES
#if MASKED
                    store_state#{s}(new_line, c#{j}, units, select(old#{s}, new#{s}, counts));
#else
                    store_state#{s}(new_line, c#{j}, units, new#{s});
#endif
#end
                }
#end
            }
        }
        storageBarrier();
    }
}
