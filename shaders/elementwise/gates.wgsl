// Elementwise programs over the parts of rows: an operand is [rows, parts, units], and so is a result.
//
// Each invocation has four neighbouring units of a row, in all parts. The generated parts are the bindings, the loads,
// the chain of expressions and the stores. If four divides the units, loads and stores are whole vec4s.
// Dispatch: ceil(rows * ceil(units / 4) / WG) workgroups, folded over x and y.
// Guards: past the last unit of a row its last one is read again, and nothing is stored. Loops: four per store.
// WIDE: four divides the units.
#import lib/index
#import lib/math
#import lib/quad

struct Params { units: u32, groups: u32, total: u32, pad: u32, words: array<vec4<u32>, #{WORDS}> }
@group(0) @binding(8) var<uniform> params: Params;
#{BINDINGS}

@compute @workgroup_size(#{WG})
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
) {
    let i = workgroup_index(id, count) * #{WG}u + local.x;
    if i >= params.total { return; }
    let row = i / params.groups;
    let e = 4u * (i % params.groups);
#{LOADS}
#{BODY}
#{STORES}
}
