// Numbers as keys in their order: -inf lowest, +inf next to highest, and every NaN the same highest key. The maximum of
// keys keeps NaN, which `max` may drop. The bits tell NaN: a compiler may assume that there is no NaN.
fn order_key(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    let number = select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
    return select(number, 0xffffffffu, (bits & 0x7fffffffu) > 0x7f800000u);
}

fn from_order_key(key: u32) -> f32 {
    return bitcast<f32>(select(~key, key & 0x7fffffffu, key >= 0x80000000u));
}
