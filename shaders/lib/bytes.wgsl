// Elements that are bytes, four in a word: whole numbers times `params.factor`, held below `params.limit`, an infinity that no
// compiler sees: each must round here, and not multiply in another order.
fn four_bytes(word: u32) -> vec4<f32> {
    return min(vec4<f32>(unpack4xU8(word)) * params.factor, vec4<f32>(params.limit));
}

// The one at `at`, of the word that it is in.
fn one_byte(word: u32, at: u32) -> f32 {
    return min(f32((word >> (8u * (at % 4u))) & 255u) * params.factor, params.limit);
}
