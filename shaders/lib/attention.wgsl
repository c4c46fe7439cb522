// What the kernels of attention share.
//
// A workgroup owns rows and walks over columns. FORWARD, and the gradient of the queries (neither FORWARD nor KEYS): rows
// are queries, columns keys. KEYS, the gradient of keys and values: rows are keys, columns queries. D and E are the sizes
// of a key and of a value. The generated functions `load_q`, `store_dk` and so on move four neighbouring features from 4 f
// on, of a line that starts at an element; zeros are past the end of a line.
// MASK 1: a pair counts if its mask is above 0. MASK 2: the mask is added to the score. PAIRS: it differs by query.
// DROPS: some weights are 0, by the numbers that are drawn for all of them, [samples, heads, queries, keys].
#import lib/index
#import lib/quad
#if DROPS
#import lib/step
#import lib/threefry
#endif

struct Params {
    samples: u32, queries: u32, keys: u32, heads: u32, groups: u32, tiles: u32,
    mask_sample: u32, mask_head: u32, mask_query: u32, scale: f32, stream: u32, rate: f32, kept: f32,
    pad0: u32, pad1: u32, pad2: u32,
}
@group(0) @binding(8) var<uniform> params: Params;
#{BINDINGS}

// A sum of score and mask of this or less takes the pair out.
const OUT = -1e30;

// The score of four pairs of which some count.
struct Scores { z: vec4<f32>, counts: vec4<bool> }

// Four scores of products, and whether the pairs count: those that are `inside`, with their masks.
fn scores(products: vec4<f32>, scale: f32, inside: vec4<bool>, masks: vec4<f32>) -> Scores {
#if MASK == 2
    let z = products * scale + masks;
    // By its bits: a compiler may take it that a comparison meets no NaN.
    let nan = (bitcast<vec4<u32>>(z) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
    return Scores(z, inside & ((z > vec4<f32>(OUT)) | nan));
#else
#if MASK == 1
    return Scores(products * scale, inside & (masks > vec4<f32>(0.0)));
#else
    return Scores(products * scale, inside);
#endif
#endif
}

// Whether pairs are inside: columns before `columns`, and if CAUSAL no key after its query.
fn pairs_inside(row: u32, column: vec4<u32>, columns: u32) -> vec4<bool> {
    let inside = column < vec4<u32>(columns);
#if CAUSAL
#if KEYS
    return inside & (column >= vec4<u32>(row));
#else
    return inside & (column <= vec4<u32>(row));
#endif
#else
    return inside;
#endif
}

#if DROPS
// What the weights with these numbers are multiplied by.
fn dropout(element: vec4<u32>, seed: u32, step: u32, stream: u32, rate: f32, kept: f32) -> vec4<f32> {
    let drawn = random_uniform(seed, stream, element, step);
    return select(vec4<f32>(), vec4<f32>(kept), drawn >= vec4<f32>(rate));
}
#endif
