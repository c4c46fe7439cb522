// The block that the host writes for each step; bound with a dynamic offset.
struct Step { words: array<vec4<u32>, 16> }
@group(0) @binding(9) var<uniform> step_block: Step;
