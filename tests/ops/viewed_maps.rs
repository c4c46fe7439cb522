//! Maps and reductions that read operands through views.

use super::{Scene, zip};
use crate::reference::{linalg, reduce};

/// Copies that feed maps.
pub fn maps() -> Vec<Scene> {
    let mut all = vec![
        Scene::new(
            "transpose, add",
            &[&[5, 7], &[7, 5]],
            (2, 1),
            |g, x| {
                let t = g.transpose(x[0], &[1, 0])?;
                g.add(t, x[1])
            },
            |x| zip(&linalg::transpose(&x[0], &[5, 7], &[1, 0]), &x[1], |a, b| a + b),
        ),
        Scene::new(
            "a tensor and its transpose",
            &[&[9, 9]],
            (2, 1),
            |g, x| {
                let t = g.transpose(x[0], &[1, 0])?;
                g.mul(t, x[0])
            },
            |x| zip(&linalg::transpose(&x[0], &[9, 9], &[1, 0]), &x[0], |a, b| a * b),
        ),
        // Heads side by side, with a bias: an axis of the result is two axes of the view.
        Scene::new(
            "merged heads, add",
            &[&[2, 3, 5, 4], &[12]],
            (2, 1),
            |g, x| {
                let t = g.transpose(x[0], &[0, 2, 1, 3])?;
                let t = g.reshape(t, [2, 5, 12])?;
                g.add(t, x[1])
            },
            |x| linalg::add_bias(&linalg::transpose(&x[0], &[2, 3, 5, 4], &[0, 2, 1, 3]), &x[1]),
        ),
        Scene::new(
            "slice of a transpose of a slice, square",
            &[&[6, 7, 8]],
            (4, 1),
            |g, x| {
                let s = g.slice(x[0], 1, 2..6)?;
                let t = g.transpose(s, &[2, 0, 1])?;
                let s = g.slice(t, 0, 3..7)?;
                g.unary("square", s, &[])
            },
            |x| {
                let s = linalg::slice(&x[0], &[6, 7, 8], 1, 2..6);
                let t = linalg::transpose(&s, &[6, 4, 8], &[2, 0, 1]);
                linalg::slice(&t, &[8, 6, 4], 0, 3..7).iter().map(|v| v * v).collect()
            },
        ),
        // A part of a row for each of several rows.
        Scene::new(
            "transposed column, mul",
            &[&[5, 3], &[4, 5]],
            (3, 1),
            |g, x| {
                let column = g.slice(x[0], 1, 1..2)?;
                let row = g.transpose(column, &[1, 0])?;
                g.mul(row, x[1])
            },
            |x| {
                let column = linalg::slice(&x[0], &[5, 3], 1, 1..2);
                zip(&column.repeat(4), &x[1], |a, b| a * b)
            },
        ),
        // The copy is a result too, so it is made, and its reader reads it.
        Scene::new(
            "softmax of a transpose, and the transpose",
            &[&[5, 7]],
            (3, 3),
            |g, x| {
                let t = g.transpose(x[0], &[1, 0])?;
                let s = g.softmax(t)?;
                let n = g.neg(t)?;
                g.output("n", n);
                Ok(s)
            },
            |x| crate::reference::softmax::softmax(&linalg::transpose(&x[0], &[5, 7], &[1, 0]), 5),
        ),
        // A copy that stays reads through the one that goes.
        Scene::new(
            "softmax of a slice of a transpose",
            &[&[5, 7]],
            (3, 2),
            |g, x| {
                let t = g.transpose(x[0], &[1, 0])?;
                let s = g.slice(t, 0, 2..5)?;
                g.softmax(s)
            },
            |x| {
                let t = linalg::transpose(&x[0], &[5, 7], &[1, 0]);
                crate::reference::softmax::softmax(&linalg::slice(&t, &[7, 5], 0, 2..5), 5)
            },
        ),
    ];
    // The gates of an LSTM: whole vec4s, and not.
    for units in [8, 5] {
        all.push(Scene::new(
            format!("gates of {units} units"),
            &[&[3, 4 * units], &[3, units]],
            (5, 1),
            move |g, x| {
                let mut gate = |i: usize, f: &str| {
                    let z = g.slice(x[0], 1, i * units..(i + 1) * units)?;
                    g.unary(f, z, &[])
                };
                let (i, f) = (gate(0, "sigmoid")?, gate(1, "sigmoid")?);
                let (c, o) = (gate(2, "tanh")?, gate(3, "sigmoid")?);
                let (new, kept) = (g.mul(i, c)?, g.mul(f, x[1])?);
                let cell = g.add(new, kept)?;
                g.mul(o, cell)
            },
            move |x| {
                let gate = |i: usize, f: &dyn Fn(f64) -> f64| -> Vec<f64> {
                    let range = i * units..(i + 1) * units;
                    let z = linalg::slice(&x[0], &[3, 4 * units], 1, range);
                    z.iter().map(|&v| f(v)).collect()
                };
                let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
                let new = zip(&gate(0, &sigmoid), &gate(2, &f64::tanh), |a, b| a * b);
                let kept = zip(&gate(1, &sigmoid), &x[1], |a, b| a * b);
                zip(&gate(3, &sigmoid), &zip(&new, &kept, |a, b| a + b), |a, b| a * b)
            },
        ));
    }
    all
}

/// Copies that feed reductions.
pub fn reductions() -> Vec<Scene> {
    let mut all = Vec::new();
    for (axes, over) in [
        ([2, 0, 1], &[1][..]),
        ([1, 2, 0], &[2]),
        ([2, 1, 0], &[0]),
        ([1, 0, 2], &[2]),
        ([0, 2, 1], &[0]),
        ([2, 0, 1], &[1, 2]),
    ] {
        for kind in ["sum", "max"] {
            all.push(Scene::new(
                format!("permute {axes:?}, {kind} over {over:?}"),
                &[&[3, 5, 8]],
                (2, 1),
                move |g, x| {
                    let t = g.transpose(x[0], &axes)?;
                    if kind == "sum" { g.sum(t, over, false) } else { g.max(t, over, false) }
                },
                move |x| {
                    let t = linalg::transpose(&x[0], &[3, 5, 8], &axes);
                    let shape = axes.map(|a| [3, 5, 8][a]);
                    let f = if kind == "sum" { reduce::sum } else { reduce::max };
                    f(&t, &shape, over)
                },
            ));
        }
    }
    all.push(Scene::new(
        "slice, mean",
        &[&[7, 6, 5]],
        (2, 1),
        |g, x| {
            let s = g.slice(x[0], 1, 2..5)?;
            g.mean(s, &[1], false)
        },
        |x| reduce::mean(&linalg::slice(&x[0], &[7, 6, 5], 1, 2..5), &[7, 3, 5], &[1]),
    ));
    // The terms are two axes that do not walk evenly: the copy stays.
    all.push(Scene::new(
        "transpose, sum over two axes",
        &[&[4, 5, 6]],
        (2, 2),
        |g, x| {
            let t = g.transpose(x[0], &[1, 2, 0])?;
            g.sum(t, &[1, 2], false)
        },
        |x| reduce::sum(&x[0], &[4, 5, 6], &[0, 2]),
    ));
    // Divided into chunks: the first kernel reads the view.
    all.push(Scene::new(
        "slice of a long row, sum",
        &[&[2, 9000]],
        (3, 2),
        |g, x| {
            let s = g.slice(x[0], 1, 3..8999)?;
            g.sum(s, &[1], false)
        },
        |x| reduce::sum(&linalg::slice(&x[0], &[2, 9000], 1, 3..8999), &[2, 8996], &[1]),
    ));
    all.push(Scene::new(
        "repeat, sum",
        &[&[4, 1], &[4, 6]],
        (3, 2),
        |g, x| {
            let r = g.broadcast_to(x[0], [4, 6])?;
            let s = g.sum(r, &[0], false)?;
            g.add(s, x[1])
        },
        |x| {
            let s: f64 = x[0].iter().sum();
            x[1].iter().map(|v| v + s).collect()
        },
    ));
    all
}
