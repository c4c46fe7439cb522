// Attention and its gradients for GPUs: 32 rows by 32 columns at a time in workgroup memory, 64 invocations.
//
// An invocation (x, y) of 8 by 8 has the scores of four rows, y and every eighth after it, by four columns, x and every
// eighth after it; and of the same rows the sums of the features 4 x to 4 x + 3 of each 32. Operands come in chunks of 32
// features. Lines of workgroup memory are 9 vec4s, or 33 numbers, so that neighbours meet in different banks.
// FORWARD: y = Σ p v over the keys, p = e^(z - max z) / Σ e^(z - max z). The largest score so far is subtracted, and sums
// are multiplied by e^(old - new) when it grows. Otherwise p is computed again from the logarithm of the sum, and
// dz = p (dy vᵀ - Σ dy y): dq = scale Σ dz k, dk = scale Σ dz q, dv = Σ p dy. See `lib/attention` for rows and columns.
// Dispatch: tiles * samples * heads (KEYS: groups) workgroups, folded over x and y. Loops: see TRIPS in the op's lowering.
// Guards: rows, columns and features past the end are zero in workgroup memory; such pairs do not count, such rows are not
// stored. Workgroup memory: 14,592 bytes.
#import lib/attention

var<workgroup> row_tile: array<vec4<f32>, 288>;
var<workgroup> column_tile: array<vec4<f32>, 288>;
var<workgroup> weights: array<f32, 1056>;
#if FORWARD
var<workgroup> shared_numbers: array<f32, 288>;
#endif

// The products of rows and columns: 0 of queries and keys, 1, backward alone, of values and the gradient of the result.
// Four features of a line, and how many fours a line has.
const fours0 = #{D4}u;
const fours1 = #{E4}u;
fn row_of0(line: u32, four: u32) -> vec4<f32> { return load_#{ROW1}(line * #{D}u, four); }
fn column_of0(line: u32, four: u32) -> vec4<f32> { return load_#{COLUMN1}(line * #{D}u, four); }
fn column_of1(line: u32, four: u32) -> vec4<f32> { return load_#{COLUMN2}(line * #{E}u, four); }
#if !FORWARD
fn row_of1(line: u32, four: u32) -> vec4<f32> { return load_#{ROW2}(line * #{E}u, four); }
#endif

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let t = local.x;
    let tx = t % 8u;
    let ty = t / 8u;
    let w = workgroup_index(id, count);
    let tile = w % params.tiles;
    let sample_head = w / params.tiles;
    let each = params.heads / params.groups;
#if KEYS
    let own_heads = params.groups;
    let rows = params.keys;
    let column_heads = params.heads;
    let columns = params.queries;
#else
    let own_heads = params.heads;
    let rows = params.queries;
    let column_heads = params.groups;
    let columns = params.keys;
#endif
    let sample = min(sample_head / own_heads, params.samples - 1u);
    let head = sample_head % own_heads;
    // Surplus workgroups of the folded grid run no iteration instead of returning before a barrier.
    let live = sample_head / own_heads < params.samples;
    let first_row = tile * 32u;
#if KEYS
    let turns = select(0u, each, live);
#if CAUSAL
    let begin = min(first_row, columns) / 32u * 32u;
#else
    let begin = 0u;
#endif
    let end = columns;
#else
    let begin = 0u;
#if CAUSAL
    let end = select(0u, min(columns, first_row + 32u), live);
#else
    let end = select(0u, columns, live);
#endif
#endif
    let row_line = sample * rows * own_heads + head;

#for i in 0..4
    let row#{i} = first_row + ty + #{8 * i}u;
    let line#{i} = row_line + min(row#{i}, rows - 1u) * own_heads;
#if FORWARD
    var top#{i} = #{FLOOR};
    var sum#{i} = 0.0;
#else
#if !KEYS
    let known#{i} = known[line#{i}];
#endif
#for g in 0..D_CHUNKS
    var d#{i}_#{g} = vec4<f32>();
#end
#endif
#if FORWARD || KEYS
#for g in 0..E_CHUNKS
    var e#{i}_#{g} = vec4<f32>();
#end
#endif
#end

#if KEYS
    for (var turn = 0u; turn < turns; turn++) {
    let column_head = head * each + turn;
    let mask_base = sample * params.mask_sample + column_head * params.mask_head;
#else
    let column_head = head / each;
    let mask_base = sample * params.mask_sample + head * params.mask_head;
#endif
    let column_line = sample * columns * column_heads + column_head;
#if DROPS
#if KEYS
    let weight_base = (sample * params.heads + column_head) * columns * rows;
#else
    let weight_base = (sample * params.heads + head) * columns * rows;
#endif
#endif
    for (var column = begin; column < end; column += 32u) {
        let last = columns - 1u;
#for k in 0..2 - FORWARD
#for i in 0..4
        var product#{k}_#{i} = vec4<f32>();
#end
#end
#for k in 0..2 - FORWARD
        for (var chunk = 0u; chunk < fours#{k}; chunk += 8u) {
            workgroupBarrier();
#for u in 0..4
            {
                let place = t / 8u + #{8 * u}u;
                var r = vec4<f32>();
                var c = vec4<f32>();
                if chunk + tx < fours#{k} {
                    if first_row + place < rows {
                        r = row_of#{k}(row_line + (first_row + place) * own_heads, chunk + tx);
                    }
                    if column + place < columns {
                        c = column_of#{k}(column_line + (column + place) * column_heads, chunk + tx);
                    }
                }
                row_tile[place * 9u + tx] = r;
                column_tile[place * 9u + tx] = c;
            }
#end
            workgroupBarrier();
            for (var f = 0u; f < 8u; f++) {
#for j in 0..4
                let c#{j} = column_tile[(tx + #{8 * j}u) * 9u + f];
#end
#for i in 0..4
                let r#{i} = row_tile[(ty + #{8 * i}u) * 9u + f];
                product#{k}_#{i} += vec4<f32>(dot(r#{i}, c0), dot(r#{i}, c1), dot(r#{i}, c2), dot(r#{i}, c3));
#end
            }
        }
#end

        let place = vec4<u32>(0u, 8u, 16u, 24u) + (column + tx);
        let column_at = min(place, vec4<u32>(last));
#if KEYS
        let known_at = vec4<u32>(column_line) + column_at * column_heads;
        let pair0 = known[known_at.x];
        let pair1 = known[known_at.y];
        let pair2 = known[known_at.z];
        let pair3 = known[known_at.w];
        let log_sum = vec4<f32>(pair0.x, pair1.x, pair2.x, pair3.x);
        let level = vec4<f32>(pair0.y, pair1.y, pair2.y, pair3.y);
#endif
#for i in 0..4
#if MASK
#if KEYS
        let mask_at#{i} = vec4<u32>(mask_base + min(row#{i}, rows - 1u)) + column_at * params.mask_query;
#else
        let mask_at#{i} = vec4<u32>(mask_base + min(row#{i}, rows - 1u) * params.mask_query) + column_at;
#endif
        let mask#{i} = vec4<f32>(
            mask[mask_at#{i}.x], mask[mask_at#{i}.y], mask[mask_at#{i}.z], mask[mask_at#{i}.w],
        );
#else
        let mask#{i} = vec4<f32>();
#endif
#if DROPS
#if KEYS
        let number#{i} = vec4<u32>(weight_base + row#{i}) + place * rows;
#else
        let number#{i} = vec4<u32>(weight_base + row#{i} * columns) + place;
#endif
        let drop#{i} = dropout(number#{i}, #{SEED}, #{STEP_COUNT}, params.stream, params.rate, params.kept);
#if !FORWARD
        product1_#{i} *= drop#{i};
#endif
#endif
        let x#{i} = scores(product0_#{i}, params.scale, pairs_inside(row#{i}, place, columns), mask#{i});
#if FORWARD
        let seen#{i} = select(vec4<f32>(#{FLOOR}), x#{i}.z, x#{i}.counts);
        shared_numbers[(ty + #{8 * i}u) * 9u + tx] = max(max(seen#{i}.x, seen#{i}.y), max(seen#{i}.z, seen#{i}.w));
#else
#if KEYS
        let p#{i} = select(vec4<f32>(), exp(x#{i}.z - log_sum), x#{i}.counts);
        let dz#{i} = select(vec4<f32>(), p#{i} * (product1_#{i} - level), x#{i}.counts);
#else
        let p#{i} = select(vec4<f32>(), exp(x#{i}.z - known#{i}.x), x#{i}.counts);
        let dz#{i} = select(vec4<f32>(), p#{i} * (product1_#{i} - known#{i}.y), x#{i}.counts);
#endif
#endif
#end

#if FORWARD
        workgroupBarrier();
#for i in 0..4
        var grown#{i} = top#{i};
        for (var n = 0u; n < 8u; n++) { grown#{i} = max(grown#{i}, shared_numbers[(ty + #{8 * i}u) * 9u + n]); }
        let shrink#{i} = exp(top#{i} - grown#{i});
        let p#{i} = select(vec4<f32>(), exp(x#{i}.z - grown#{i}), x#{i}.counts);
        sum#{i} = sum#{i} * shrink#{i} + ((p#{i}.x + p#{i}.y) + (p#{i}.z + p#{i}.w));
        top#{i} = grown#{i};
#for g in 0..E_CHUNKS
        e#{i}_#{g} *= shrink#{i};
#end
#end
#endif

#if FORWARD || KEYS
#for i in 0..4
#for j in 0..4
#if DROPS
        weights[(ty + #{8 * i}u) * 33u + tx + #{8 * j}u] = p#{i}[#{j}] * drop#{i}[#{j}];
#else
        weights[(ty + #{8 * i}u) * 33u + tx + #{8 * j}u] = p#{i}[#{j}];
#endif
#end
#end
#for g in 0..E_CHUNKS
        workgroupBarrier();
#for u in 0..4
        {
            let place = t / 8u + #{8 * u}u;
            var c = vec4<f32>();
            if column + place < columns && #{8 * g}u + tx < #{E4}u {
                c = column_of1(column_line + (column + place) * column_heads, #{8 * g}u + tx);
            }
            column_tile[place * 9u + tx] = c;
        }
#end
        workgroupBarrier();
        for (var n = 0u; n < 32u; n += 4u) {
#for m in 0..4
            let c#{m} = column_tile[(n + #{m}u) * 9u + tx];
#for i in 0..4
            e#{i}_#{g} += weights[(ty + #{8 * i}u) * 33u + n + #{m}u] * c#{m};
#end
#end
        }
#end
#endif

#if !FORWARD
#if KEYS
        // The other weights are read no more.
        workgroupBarrier();
#endif
#for i in 0..4
#for j in 0..4
        weights[(ty + #{8 * i}u) * 33u + tx + #{8 * j}u] = dz#{i}[#{j}];
#end
#end
#for g in 0..D_CHUNKS
        workgroupBarrier();
#for u in 0..4
        {
            let place = t / 8u + #{8 * u}u;
            var c = vec4<f32>();
            if column + place < columns && #{8 * g}u + tx < #{D4}u {
                c = column_of0(column_line + (column + place) * column_heads, #{8 * g}u + tx);
            }
            column_tile[place * 9u + tx] = c;
        }
#end
        workgroupBarrier();
        for (var n = 0u; n < 32u; n += 4u) {
#for m in 0..4
            let c#{m} = column_tile[(n + #{m}u) * 9u + tx];
#for i in 0..4
            d#{i}_#{g} += weights[(ty + #{8 * i}u) * 33u + n + #{m}u] * c#{m};
#end
#end
        }
#end
#endif
    }
#if KEYS
    }
#endif

#if FORWARD
    workgroupBarrier();
#for i in 0..4
    shared_numbers[(ty + #{8 * i}u) * 9u + tx] = sum#{i};
#end
    workgroupBarrier();
#endif
#for i in 0..4
#if FORWARD
    var total#{i} = 0.0;
    for (var n = 0u; n < 8u; n++) { total#{i} += shared_numbers[(ty + #{8 * i}u) * 9u + n]; }
    // Nothing counts: the sum is 0 in its bits, and so is the result. A NaN stays one.
    let empty#{i} = bitcast<u32>(total#{i}) == 0u;
    let factor#{i} = select(1.0 / total#{i}, 0.0, empty#{i});
#endif
    if live && row#{i} < rows {
#if FORWARD
        if tx == 0u { log_sums[line#{i}] = select(top#{i} + log(total#{i}), 0.0, empty#{i}); }
#for g in 0..E_CHUNKS
        if #{8 * g}u + tx < #{E4}u { store_y(line#{i} * #{E}u, #{8 * g}u + tx, e#{i}_#{g} * factor#{i}); }
#end
#else
#for g in 0..D_CHUNKS
        if #{8 * g}u + tx < #{D4}u { store_#{SUM1}(line#{i} * #{D}u, #{8 * g}u + tx, d#{i}_#{g} * params.scale); }
#end
#if KEYS
#for g in 0..E_CHUNKS
        if #{8 * g}u + tx < #{E4}u { store_dv(line#{i} * #{E}u, #{8 * g}u + tx, e#{i}_#{g}); }
#end
#endif
#endif
    }
#end
}
