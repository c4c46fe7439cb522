// rows_t[r, :] = factor_t * table_t[indices[start + r], :] for every table t, in one dispatch.
//
// KIND per table: 0 f32, 1 u8 packed four to a word (decoded to f32), 2 u32 (copied); rows of whole vec4s: 3 u8, 4 f32.
// Bytes that stay bytes: 5, where a word of the result may hold the end of a row and the beginning of others, and is written
// by the invocation of the row of its first byte; 6 if rows are whole words.
// Width and rows of each table are uniform words. Each invocation moves four elements of a row of each table.
// Dispatch: workgroups of X along a row by Y rows; x covers the widest row's vec4s, the rows are folded over y
// and z. No division: software Vulkan divides integers lane by lane.
// Guards: an index past the table reads its last row, and an index position past the buffer reads its last element (the
// host refuses both).
#import lib/quad
#if STEP
#import lib/step
#endif

struct Params { rows: u32, indices: u32, pad0: u32, pad1: u32, words: array<vec4<u32>, #{WORDS}> }
@group(0) @binding(8) var<uniform> params: Params;
@group(0) @binding(0) var<storage, read> indices: array<u32>;
#for t in 0..TABLES
#if KIND#{t} == 0
@group(0) @binding(#{1 + 2 * t}) var<storage, read> table#{t}: array<f32>;
#else
#if KIND#{t} == 4
@group(0) @binding(#{1 + 2 * t}) var<storage, read> table#{t}: array<Quad>;
#else
@group(0) @binding(#{1 + 2 * t}) var<storage, read> table#{t}: array<u32>;
#endif
#endif
#if KIND#{t} == 2 || KIND#{t} >= 5
@group(0) @binding(#{2 + 2 * t}) var<storage, read_write> rows#{t}: array<u32>;
#else
#if KIND#{t} >= 3
@group(0) @binding(#{2 + 2 * t}) var<storage, read_write> rows#{t}: array<Quad>;
#else
@group(0) @binding(#{2 + 2 * t}) var<storage, read_write> rows#{t}: array<f32>;
#endif
#endif
#end

@compute @workgroup_size(#{X}, #{Y})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let row = (id.y + id.z * count.y) * #{Y}u + local.y;
    if row >= params.rows { return; }
    let e = 4u * (id.x * #{X}u + local.x);
    let index = indices[min(#{START} + row, params.indices - 1u)];
#for t in 0..TABLES
    {
        // Words of table t: elements per row, rows, factor.
        let width = params.words[#{t}].x;
        let source = min(index, params.words[#{t}].y - 1u) * width + e;
        let dest = row * width + e;
#if KIND#{t} == 6
        if e < width { rows#{t}[dest / 4u] = table#{t}[source / 4u]; }
#else
#if KIND#{t} == 5
        let word = (row * width + 3u) / 4u + e / 4u;
        var at = 4u * word - row * width;
        if at < width {
            var bytes = 0u;
            var r = row;
            var begin = source - e;
            for (var c = 0u; c < 4u; c++) {
                if r < params.rows {
                    let place = begin + at;
                    bytes |= ((table#{t}[place / 4u] >> (8u * (place % 4u))) & 255u) << (8u * c);
                }
                at += 1u;
                if at == width {
                    at = 0u;
                    r += 1u;
                    let next = indices[min(#{START} + r, params.indices - 1u)];
                    begin = min(next, params.words[#{t}].y - 1u) * width;
                }
            }
            rows#{t}[word] = bytes;
        }
#else
#if KIND#{t} == 1
        let factor = bitcast<f32>(params.words[#{t}].z);
        for (var c = 0u; c < 4u && e + c < width; c++) {
            let at = source + c;
            let byte = (table#{t}[at / 4u] >> (8u * (at % 4u))) & 255u;
            rows#{t}[dest + c] = f32(byte) * factor;
        }
#else
#if KIND#{t} >= 3
        if e < width {
#if KIND#{t} == 3
            let values = vec4<f32>(unpack4xU8(table#{t}[source / 4u]));
#else
            let values = from_quad(table#{t}[source / 4u]);
#endif
            rows#{t}[dest / 4u] = to_quad(values * bitcast<f32>(params.words[#{t}].z));
        }
#else
#if KIND#{t} == 0
        let factor = bitcast<f32>(params.words[#{t}].z);
        for (var c = 0u; c < 4u && e + c < width; c++) { rows#{t}[dest + c] = table#{t}[source + c] * factor; }
#else
        for (var c = 0u; c < 4u && e + c < width; c++) { rows#{t}[dest + c] = table#{t}[source + c]; }
#endif
#endif
#endif
#endif
#endif
    }
#end
}
