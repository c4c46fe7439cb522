//! What passes make of loops.

use super::*;
use wgrad::graph::Class;
use wgrad::kernels::DeviceCaps;
use wgrad::plan::Plan;

/// Two loops over the same operands; `second` is the factor of the second, and `random` adds noise to both.
fn twice(second: f32, random: bool) -> Result<Graph> {
    let mut g = Graph::new();
    let (h, x) = (g.input("h", [64], DType::F32), g.input("x", [3, 64], DType::F32));
    let (seed, step) = (g.step_param("seed", DType::U32)?, g.step_param("step", DType::U32)?);
    for (i, factor) in [0.5, second].into_iter().enumerate() {
        let what = Loop { carries: &[h], sequences: &[x], outer: &[seed, step], ..Loop::default() };
        let result = g.scan(&what, |g, now| {
            let half = g.scale(now.carries[0], factor)?;
            let mut next = g.add(half, now.slices[0])?;
            if random {
                let noise = g.random_normal([64], now.outer[0], now.outer[1], 1)?;
                next = g.add(next, noise)?;
            }
            Ok(Looped { carries: vec![next], stacked: vec![half, next] })
        })?;
        g.output(&format!("h{i}"), result.carries[0]);
    }
    Ok(g)
}

fn loops(g: &Graph) -> usize {
    g.nodes().iter().filter(|n| matches!(n.op.class(), Class::Scan(_))).count()
}

#[test]
fn equal_loops_are_one_unless_they_draw() -> Result<()> {
    let after = |g: &Graph| {
        Passes::default().run(g, &DeviceCaps::webgpu_defaults()).map(|(g, _)| loops(&g))
    };
    assert_eq!(loops(&twice(0.5, false)?), 2);
    assert_eq!(after(&twice(0.5, false)?)?, 1);
    assert_eq!(after(&twice(0.25, false)?)?, 2);
    assert_eq!(after(&twice(0.5, true)?)?, 2);
    Ok(())
}

/// Tables that nothing reads are not written; the kernels of a body become one.
#[test]
fn bodies_are_fused_and_unread_tables_dropped() -> Result<()> {
    let g = twice(0.5, false)?;
    let caps = &families()[0];
    let plan = Plan::compile(&g, &Passes::default(), caps)?;
    assert_eq!(plan.repeats.len(), 1, "{plan}");
    assert_eq!(plan.repeats[0].body.len(), 1, "{plan}");
    let moving = |plan: &Plan| {
        let regions = plan.dispatches.iter().flat_map(|d| &d.bindings);
        regions.filter(|(region, _)| region.moves()).count()
    };
    assert_eq!(moving(&plan), 1, "the slice alone moves\n{plan}");
    let plain = Plan::compile(&g, &NO_PASSES, caps)?;
    assert!(plain.repeats.len() == 2 && plain.repeats[0].body.len() >= 3, "{plain}");
    assert!(moving(&plain) > 4, "{plain}");
    Ok(())
}
