// Attention and its gradients for CPU adapters: LANES lanes, without workgroup memory.
//
// A lane owns R rows, LANES apart, with their features and sums in registers, so that no softmax goes across lanes.
// SHUFFLE: the lanes, 4, 8 or 16, are one subgroup. In each iteration they load four columns together, a quad each, and
// `subgroupShuffle` with a literal lane hands them to all: a register broadcast. Without SHUFFLE each lane loads all four
// columns itself. Both forms add the same terms in the same order. See `lib/attention` for rows and columns.
// FORWARD: y = Σ p v over the keys, p = e^(z - max z) / Σ e^(z - max z). The largest score so far is subtracted, and sums
// are multiplied by e^(old - new) when it grows. Otherwise p is computed again from the logarithm of the sum, and
// dz = p (dy vᵀ - Σ dy y): dq = scale Σ dz k, dk = scale Σ dz q, dv = Σ p dy.
// Dispatch: tiles * samples * heads (KEYS: groups) workgroups, folded over x and y. Loops: a quarter of the columns per
// invocation, times heads over groups for KEYS.
// Guards: rows and columns past the end read the last one; such pairs do not count, such rows are not stored.
#import lib/attention
#import lib/add_products

@compute @workgroup_size(#{LANES})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let lane = local.x;
    let w = workgroup_index(id, count);
    let tiles = params.tiles;
    let heads = params.heads;
    let groups = params.groups;
    let scale = params.scale;
    let mask_query = params.mask_query;
#if DROPS
    let seed = #{SEED};
    let step = #{STEP_COUNT};
    let stream = params.stream;
    let rate = params.rate;
    let kept = params.kept;
#endif
    let tile = w % tiles;
    let sample_head = w / tiles;
    let each = heads / groups;
#if KEYS
    let own_heads = groups;
    let rows = params.keys;
    let column_heads = heads;
    let columns = params.queries;
#else
    let own_heads = heads;
    let rows = params.queries;
    let column_heads = groups;
    let columns = params.keys;
#endif
    let sample = min(sample_head / own_heads, params.samples - 1u);
    let head = sample_head % own_heads;
    // Surplus workgroups of the folded grid run no iteration instead of returning before a shuffle.
    let live = sample_head / own_heads < params.samples;
    let first_row = tile * #{LANES * R}u;
    #if KEYS
    let turns = select(0u, each, live);
#if CAUSAL
    let begin = min(first_row, columns) / 4u * 4u;
#else
    let begin = 0u;
#endif
    let end = columns;
#else
    let begin = 0u;
#if CAUSAL
    let end = select(0u, min(columns, first_row + #{LANES * R}u), live);
#else
    let end = select(0u, columns, live);
#endif
#endif

#for r in 0..R
    let row#{r} = first_row + #{LANES * r}u + lane;
    let line#{r} = (sample * rows + min(row#{r}, rows - 1u)) * own_heads + head;
#for f in 0..D4
    let a#{r}_#{f} = load_#{ROW1}(line#{r} * #{D}u, #{f}u);
#if FORWARD
#else
    var d#{r}_#{f} = vec4<f32>();
#endif
#end
#for f in 0..E4
#if FORWARD
#else
    let b#{r}_#{f} = load_#{ROW2}(line#{r} * #{E}u, #{f}u);
#endif
#if FORWARD || KEYS
    var e#{r}_#{f} = vec4<f32>();
#endif
#end
#if FORWARD
    var top#{r} = #{FLOOR};
    var sum#{r} = 0.0;
#else
#if !KEYS
    let known#{r} = known[line#{r}];
#endif
#endif
#end

#if SHUFFLE
    // The column and the features of the quads that this lane loads.
#for m in 0..D_LOADS
    let dn#{m} = lane + #{LANES * m}u;
    let dc#{m} = min(dn#{m} / #{D4}u, 3u);
    let df#{m} = dn#{m} % #{D4}u;
#end
#for m in 0..E_LOADS
    let en#{m} = lane + #{LANES * m}u;
    let ec#{m} = min(en#{m} / #{E4}u, 3u);
    let ef#{m} = en#{m} % #{E4}u;
#end
#endif

#if KEYS
    for (var turn = 0u; turn < turns; turn++) {
    let column_head = head * each + turn;
    let mask_base = sample * params.mask_sample + column_head * params.mask_head;
#if MASK && !PAIRS
#for r in 0..R
    let mask#{r} = vec4<f32>(mask[mask_base + min(row#{r}, rows - 1u)]);
#end
#endif
#else
    let column_head = head / each;
    let mask_base = sample * params.mask_sample + head * params.mask_head;
#endif
    let column_line = sample * columns * column_heads + column_head;
#if DROPS
#if KEYS
    let weights = (sample * heads + column_head) * columns * rows;
#else
    let weights = (sample * heads + head) * columns * rows;
#endif
#endif
    for (var column = begin; column < end; column += 4u) {
        let last = columns - 1u;
#if SHUFFLE
#for m in 0..D_LOADS
        let dl#{m} = load_#{COLUMN1}((column_line + min(column + dc#{m}, last) * column_heads) * #{D}u, df#{m});
#end
#for m in 0..E_LOADS
        let el#{m} = load_#{COLUMN2}((column_line + min(column + ec#{m}, last) * column_heads) * #{E}u, ef#{m});
#end
#else
#for c in 0..4
        let column#{c} = column_line + min(column + #{c}u, last) * column_heads;
#end
#endif
        let place = vec4<u32>(0u, 1u, 2u, 3u) + column;
#if KEYS
#if SHUFFLE
        let of_lane = known[column_line + min(column + lane % 4u, last) * column_heads];
        let log_sum = vec4<f32>(
            subgroupShuffle(of_lane.x, 0u), subgroupShuffle(of_lane.x, 1u),
            subgroupShuffle(of_lane.x, 2u), subgroupShuffle(of_lane.x, 3u),
        );
        let level = vec4<f32>(
            subgroupShuffle(of_lane.y, 0u), subgroupShuffle(of_lane.y, 1u),
            subgroupShuffle(of_lane.y, 2u), subgroupShuffle(of_lane.y, 3u),
        );
#else
#for c in 0..4
        let known#{c} = known[column#{c}];
#end
        let log_sum = vec4<f32>(known0.x, known1.x, known2.x, known3.x);
        let level = vec4<f32>(known0.y, known1.y, known2.y, known3.y);
#endif
#endif
#if MASK && !PAIRS && !KEYS
#if SHUFFLE
        let mask_of_lane = mask[mask_base + min(column + lane % 4u, last)];
        let mask_all = vec4<f32>(
            subgroupShuffle(mask_of_lane, 0u), subgroupShuffle(mask_of_lane, 1u),
            subgroupShuffle(mask_of_lane, 2u), subgroupShuffle(mask_of_lane, 3u),
        );
#else
        let mask_all = vec4<f32>(
            mask[mask_base + min(column, last)], mask[mask_base + min(column + 1u, last)],
            mask[mask_base + min(column + 2u, last)], mask[mask_base + min(column + 3u, last)],
        );
#endif
#for r in 0..R
        let mask#{r} = mask_all;
#end
#endif
#if PAIRS
#for r in 0..R
#if KEYS
        let mask_at#{r} = vec4<u32>(mask_base + min(row#{r}, rows - 1u)) + min(place, vec4<u32>(last)) * mask_query;
#else
        let mask_at#{r} = vec4<u32>(mask_base + min(row#{r}, rows - 1u) * mask_query) + min(place, vec4<u32>(last));
#endif
        let mask#{r} = vec4<f32>(
            mask[mask_at#{r}.x], mask[mask_at#{r}.y], mask[mask_at#{r}.z], mask[mask_at#{r}.w],
        );
#end
#endif
#for r in 0..R
        var s#{r} = vec4<f32>();
#if !FORWARD
        var t#{r} = vec4<f32>();
#endif
#end
#for c in 0..4
#for f in 0..D4
#if SHUFFLE
        let dx#{c}_#{f} = subgroupShuffle(dl#{(c * D4 + f) / LANES}, #{(c * D4 + f) % LANES}u);
#else
        let dx#{c}_#{f} = load_#{COLUMN1}(column#{c} * #{D}u, #{f}u);
#endif
#for r in 0..R
        s#{r}[#{c}] += dot(a#{r}_#{f}, dx#{c}_#{f});
#end
#end
#for f in 0..E4
#if SHUFFLE
        let ex#{c}_#{f} = subgroupShuffle(el#{(c * E4 + f) / LANES}, #{(c * E4 + f) % LANES}u);
#else
        let ex#{c}_#{f} = load_#{COLUMN2}(column#{c} * #{E}u, #{f}u);
#endif
#if !FORWARD
#for r in 0..R
        t#{r}[#{c}] += dot(b#{r}_#{f}, ex#{c}_#{f});
#end
#endif
#end
#end
#for r in 0..R
        let inside#{r} = pairs_inside(row#{r}, place, columns);
#if MASK
        let x#{r} = scores(s#{r}, scale, inside#{r}, mask#{r});
#else
        let x#{r} = scores(s#{r}, scale, inside#{r}, vec4<f32>());
#endif
#if DROPS
#if KEYS
        let drop#{r} = dropout(vec4<u32>(weights + row#{r}) + place * rows, seed, step, stream, rate, kept);
#else
        let drop#{r} = dropout(vec4<u32>(weights + row#{r} * columns) + place, seed, step, stream, rate, kept);
#endif
#endif
#if FORWARD
        let seen#{r} = select(vec4<f32>(#{FLOOR}), x#{r}.z, x#{r}.counts);
        let grown#{r} = max(top#{r}, max(max(seen#{r}.x, seen#{r}.y), max(seen#{r}.z, seen#{r}.w)));
        let shrink#{r} = exp(top#{r} - grown#{r});
        let p#{r} = select(vec4<f32>(), exp(x#{r}.z - grown#{r}), x#{r}.counts);
        sum#{r} = sum#{r} * shrink#{r} + ((p#{r}.x + p#{r}.y) + (p#{r}.z + p#{r}.w));
        top#{r} = grown#{r};
#if DROPS
        let w#{r} = p#{r} * drop#{r};
#else
        let w#{r} = p#{r};
#endif
#else
#if DROPS
        t#{r} *= drop#{r};
#endif
#if KEYS
        let p#{r} = select(vec4<f32>(), exp(x#{r}.z - log_sum), x#{r}.counts);
        let dz#{r} = select(vec4<f32>(), p#{r} * (t#{r} - level), x#{r}.counts);
#if DROPS
        let w#{r} = p#{r} * drop#{r};
#else
        let w#{r} = p#{r};
#endif
#else
        let p#{r} = select(vec4<f32>(), exp(x#{r}.z - known#{r}.x), x#{r}.counts);
        let dz#{r} = select(vec4<f32>(), p#{r} * (t#{r} - known#{r}.y), x#{r}.counts);
#endif
#for f in 0..D4
        d#{r}_#{f} = add_products(
            d#{r}_#{f}, dz#{r}.x, dz#{r}.y, dz#{r}.z, dz#{r}.w, dx0_#{f}, dx1_#{f}, dx2_#{f}, dx3_#{f},
        );
#end
#endif
#for f in 0..E4
#if FORWARD
        e#{r}_#{f} *= shrink#{r};
#endif
#if FORWARD || KEYS
        e#{r}_#{f} = add_products(
            e#{r}_#{f}, w#{r}.x, w#{r}.y, w#{r}.z, w#{r}.w, ex0_#{f}, ex1_#{f}, ex2_#{f}, ex3_#{f},
        );
#endif
#end
#end
    }
#if KEYS
    }
#endif

#for r in 0..R
    if live && row#{r} < rows {
#if FORWARD
        // Nothing counts: the sum is 0 in its bits, and so is the result. A NaN stays one.
        let empty = bitcast<u32>(sum#{r}) == 0u;
        let factor = select(1.0 / sum#{r}, 0.0, empty);
#for f in 0..E4
        store_y(line#{r} * #{E}u, #{f}u, e#{r}_#{f} * factor);
#end
        log_sums[line#{r}] = select(top#{r} + log(sum#{r}), 0.0, empty);
#else
#for f in 0..D4
        store_#{SUM1}(line#{r} * #{D}u, #{f}u, d#{r}_#{f} * scale);
#end
#if KEYS
#for f in 0..E4
        store_dv(line#{r} * #{E}u, #{f}u, e#{r}_#{f});
#end
#endif
#endif
    }
#end
}
