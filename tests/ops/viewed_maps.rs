//! Maps and reductions that read operands through views.

use super::{Graph, Scene, Value, zip};
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
    // Zeros around: whole vec4s, single elements, and padding of a broadcast operand.
    for channels in [8, 3] {
        let around = [[0, 0], [1, 2], [0, 1], [0, 0]];
        let (shape, padded) = ([2, 4, 5, channels], [2, 7, 6, channels]);
        all.push(Scene::new(
            format!("padded images of {channels} channels, add, relu"),
            &[&shape, &padded],
            (2, 1),
            move |g, x| {
                let p = g.pad(x[0], &around, 0.0)?;
                let s = g.add(p, x[1])?;
                g.unary("softplus", s, &[])
            },
            move |x| {
                let p = linalg::pad(&x[0], &shape, &around, 0.0);
                zip(&p, &x[1], |a, b| (a + b).exp().ln_1p())
            },
        ));
    }
    all.push(Scene::new(
        "padded rows, and a padded slice of padded columns",
        &[&[5, 7], &[7, 5]],
        (6, 2),
        |g, x| {
            let (p, q) =
                (g.pad(x[0], &[[2, 0], [0, 2]], 0.0)?, g.pad(x[1], &[[0, 0], [1, 3]], 0.0)?);
            let (q, one) = (g.transpose(q, &[1, 0])?, g.constant(1.5));
            // Nine by nine: the second from a padded tensor that is turned.
            let q = g.pad(q, &[[0, 0], [2, 0]], 0.0)?;
            let q = g.slice(q, 0, 1..8)?;
            let s = g.mul(p, one)?;
            g.add(s, q)
        },
        |x| {
            let p = linalg::pad(&x[0], &[5, 7], &[[2, 0], [0, 2]], 0.0);
            let q = linalg::pad(&x[1], &[7, 5], &[[0, 0], [1, 3]], 0.0);
            let q = linalg::transpose(&q, &[7, 9], &[1, 0]);
            let q = linalg::pad(&q, &[9, 7], &[[0, 0], [2, 0]], 0.0);
            let q = linalg::slice(&q, &[9, 9], 0, 1..8);
            zip(&p, &q, |a, b| 1.5 * a + b)
        },
    ));
    // The gradient of a slice: differences of neighbours.
    all.push(Scene::new(
        "shifted edges, differences",
        &[&[6, 9]],
        (3, 1),
        |g, x| {
            let ahead = g.pad(x[0], &[[0, 0], [1, 0]], 0.0)?;
            let behind = g.pad(x[0], &[[0, 0], [0, 1]], 0.0)?;
            g.sub(behind, ahead)
        },
        |x| {
            let ahead = linalg::pad(&x[0], &[6, 9], &[[0, 0], [1, 0]], 0.0);
            zip(&linalg::pad(&x[0], &[6, 9], &[[0, 0], [0, 1]], 0.0), &ahead, |a, b| a - b)
        },
    ));
    // Another number around is no view.
    all.push(Scene::new(
        "a margin of ones, square",
        &[&[4, 3]],
        (2, 2),
        |g, x| {
            let p = g.pad(x[0], &[[1, 0], [0, 2]], 1.0)?;
            g.unary("square", p, &[])
        },
        |x| {
            let p = linalg::pad(&x[0], &[4, 3], &[[1, 0], [0, 2]], 1.0);
            p.iter().map(|v| v * v).collect()
        },
    ));
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
    // The terms are two axes that do not walk evenly: each is found from its number.
    all.push(Scene::new(
        "transpose, sum over two axes",
        &[&[4, 5, 6]],
        (2, 1),
        |g, x| {
            let t = g.transpose(x[0], &[1, 2, 0])?;
            g.sum(t, &[1, 2], false)
        },
        |x| reduce::sum(&x[0], &[4, 5, 6], &[0, 2]),
    ));
    for kind in ["sum", "max", "min", "product"] {
        let build = move |g: &mut Graph, x: Value, over: &[usize]| match kind {
            "sum" => g.sum(x, over, false),
            "max" => g.max(x, over, false),
            "min" => g.min(x, over, false),
            _ => g.product(x, over, false),
        };
        let of = match kind {
            "sum" => reduce::sum,
            "max" => reduce::max,
            "min" => reduce::min,
            _ => reduce::product,
        };
        for (axes, over) in [([1, 3, 0, 2], &[2, 3][..]), ([3, 0, 2, 1], &[0, 1])] {
            let shape = axes.map(|a| [3, 4, 5, 2][a]);
            all.push(Scene::new(
                format!("permute {axes:?}, {kind} over two axes {over:?}"),
                &[&[3, 4, 5, 2]],
                (3, 2),
                // Numbers near 2, of which products are neither small nor large.
                move |g, x| {
                    let two = g.constant(2.0);
                    let x = g.add(x[0], two)?;
                    let t = g.transpose(x, &axes)?;
                    build(g, t, over)
                },
                move |x| {
                    let x: Vec<f64> = x[0].iter().map(|v| v + 2.0).collect();
                    of(&linalg::transpose(&x, &[3, 4, 5, 2], &axes), &shape, over)
                },
            ));
        }
        // Zeros around, which count: along the terms, and across them.
        let sides = [(&[1][..], [[1, 2], [3, 1], [0, 0]]), (&[2], [[0, 0], [1, 0], [0, 2]])];
        for (over, around) in sides.into_iter().filter(|_| kind != "product") {
            let shape = [0, 1, 2].map(|a| [3, 5, 4][a] + around[a][0] + around[a][1]);
            all.push(Scene::new(
                format!("pad {around:?}, {kind} over {over:?}"),
                &[&[3, 5, 4]],
                (2, 1),
                move |g, x| {
                    let p = g.pad(x[0], &around, 0.0)?;
                    build(g, p, over)
                },
                move |x| of(&linalg::pad(&x[0], &[3, 5, 4], &around, 0.0), &shape, over),
            ));
        }
    }
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
