// The class of a row of scores: the position of the largest, the first of equal ones. A row with a NaN has no class.
//
// Each lane visits its own scores in ascending order: it keeps the largest with its position, and whether it met a
// NaN. The smallest `class_key` of all lanes, less one, is the class.
const NO_CLASS: u32 = 0xffffffffu;

// By its bits: a compiler may assume that there is no NaN.
fn is_nan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }

// 0 if the lane met a NaN, else the position plus one if the lane has the largest score of the row.
fn class_key(position: u32, largest: bool, nan: bool) -> u32 {
    return select(select(NO_CLASS, position + 1u, largest), 0u, nan);
}
