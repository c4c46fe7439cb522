//! Graphs whose kernels read operands through views, with what they compute in f64.

#[path = "viewed_maps.rs"]
mod maps;
#[path = "viewed_rows.rs"]
mod rows;

use crate::reference::linalg;
use maps::{maps, reductions};
use rows::rows;
use wgrad::graph::{Graph, Value, View, Window};
use wgrad::tensor::DType;

type Build = Box<dyn Fn(&mut Graph, &[Value]) -> wgrad::Result<Value>>;
type Want = Box<dyn Fn(&[Vec<f64>]) -> Vec<f64>>;

/// One result of some operands.
pub struct Scene {
    pub name: String,
    /// The operands' shapes.
    pub shapes: Vec<Vec<usize>>,
    build: Build,
    #[allow(dead_code, reason = "not every crate that includes this computes")]
    pub want: Want,
    /// Kernels without views, and with them.
    #[allow(dead_code, reason = "not every crate that includes this counts")]
    pub dispatches: (usize, usize),
}

impl Scene {
    fn new(
        name: impl Into<String>,
        shapes: &[&[usize]],
        dispatches: (usize, usize),
        build: impl Fn(&mut Graph, &[Value]) -> wgrad::Result<Value> + 'static,
        want: impl Fn(&[Vec<f64>]) -> Vec<f64> + 'static,
    ) -> Self {
        let shapes = shapes.iter().map(|s| s.to_vec()).collect();
        Self { name: name.into(), shapes, build: Box::new(build), want: Box::new(want), dispatches }
    }

    /// The graph, its operands `in0`, `in1`, ..., and its result, `out0`.
    pub fn graph(&self) -> wgrad::Result<(Graph, Vec<Value>, Value)> {
        let mut g = Graph::new();
        let inputs: Vec<Value> = (self.shapes.iter().enumerate())
            .map(|(i, s)| g.input(&format!("in{i}"), s.as_slice(), DType::F32))
            .collect();
        let y = (self.build)(&mut g, &inputs)?;
        g.output("out0", y);
        Ok((g, inputs, y))
    }
}

fn zip(a: &[f64], b: &[f64], f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect()
}
/// Attention without a mask: heads are split, multiplied, merged, and projected.
fn heads(b: usize, t: usize, h: usize, d: usize, n: usize, dispatches: (usize, usize)) -> Scene {
    let split = move |g: &mut Graph, x: Value| {
        let x = g.reshape(x, [b, t, h, d])?;
        g.transpose(x, &[0, 2, 1, 3])
    };
    let split_of = move |x: &[f64]| linalg::transpose(x, &[b, t, h, d], &[0, 2, 1, 3]);
    let wide: &[usize] = &[b, t, h * d];
    Scene::new(
        format!("{h} heads of {d}"),
        &[wide, wide, wide, &[h * d, n]],
        dispatches,
        move |g, x| {
            let (q, k, v) = (split(g, x[0])?, split(g, x[1])?, split(g, x[2])?);
            let scores = g.matmul_form(q, k, false, true)?;
            let mixed = g.matmul(scores, v)?;
            let merged = g.transpose(mixed, &[0, 2, 1, 3])?;
            let merged = g.reshape(merged, [b, t, h * d])?;
            g.matmul(merged, x[3])
        },
        move |x| {
            let [q, k, v] = [0, 1, 2].map(|i| split_of(&x[i]));
            let scores = linalg::matmul(&q, &k, b * h, t, t, d, false, true);
            let mixed = linalg::matmul(&scores, &v, b * h, t, d, t, false, false);
            let merged = linalg::transpose(&mixed, &[b, h, t, d], &[0, 2, 1, 3]);
            linalg::matmul(&merged, &x[3], 1, b * t, n, h * d, false, false)
        },
    )
}

/// Copies that feed products.
fn products() -> Vec<Scene> {
    vec![
        // Whole vec4s are gathered; single elements of merged heads are not, and are copied.
        heads(2, 5, 3, 4, 9, (7, 3)),
        heads(2, 6, 2, 3, 5, (7, 4)),
        heads(1, 37, 2, 32, 40, (7, 3)),
        Scene::new(
            "columns of a matrix, product",
            &[&[9, 21], &[8, 6]],
            (2, 1),
            |g, x| {
                let s = g.slice(x[0], 1, 5..13)?;
                g.matmul(s, x[1])
            },
            |x| {
                let s = linalg::slice(&x[0], &[9, 21], 1, 5..13);
                linalg::matmul(&s, &x[1], 1, 9, 6, 8, false, false)
            },
        ),
        Scene::new(
            "whole vec4s of a matrix, product",
            &[&[9, 24], &[8, 12]],
            (3, 1),
            |g, x| {
                let a = g.slice(x[0], 1, 4..12)?;
                let b = g.slice(x[1], 1, 4..12)?;
                g.matmul(a, b)
            },
            |x| {
                let a = linalg::slice(&x[0], &[9, 24], 1, 4..12);
                let b = linalg::slice(&x[1], &[8, 12], 1, 4..12);
                linalg::matmul(&a, &b, 1, 9, 8, 8, false, false)
            },
        ),
        // Vec4s of lines whose end is none: the rest of a vec4 is other columns.
        Scene::new(
            "short lines, product",
            &[&[16, 6], &[16, 8]],
            (3, 1),
            |g, x| {
                let a = g.slice(x[1], 1, 0..6)?;
                let a = g.transpose(a, &[1, 0])?;
                g.matmul(a, x[0])
            },
            |x| {
                let a = linalg::slice(&x[1], &[16, 8], 1, 0..6);
                linalg::matmul(&a, &x[0], 1, 6, 6, 16, true, false)
            },
        ),
        // Rows of a slice in time: two axes that do not walk evenly.
        Scene::new(
            "steps of sequences, product",
            &[&[3, 9, 8], &[8, 5]],
            (2, 1),
            |g, x| {
                let s = g.slice(x[0], 1, 2..7)?;
                g.matmul(s, x[1])
            },
            |x| {
                let s = linalg::slice(&x[0], &[3, 9, 8], 1, 2..7);
                linalg::matmul(&s, &x[1], 1, 15, 5, 8, false, false)
            },
        ),
        Scene::new(
            "one matrix for all batches, product",
            &[&[3, 5, 8], &[8, 4]],
            (4, 1),
            |g, x| {
                let b = g.broadcast_to(x[1], [3, 8, 4])?;
                let t = g.transpose(x[0], &[0, 2, 1])?;
                // Two transpositions of A are none.
                let a = g.transpose(t, &[0, 2, 1])?;
                g.matmul(a, b)
            },
            |x| linalg::matmul(&x[0], &x[1], 1, 15, 4, 8, false, false),
        ),
        Scene::new(
            "product, add a transpose",
            &[&[6, 7], &[7, 8], &[8, 6]],
            (2, 1),
            |g, x| {
                let c = g.matmul(x[0], x[1])?;
                let t = g.transpose(x[2], &[1, 0])?;
                g.add(c, t)
            },
            |x| {
                let c = linalg::matmul(&x[0], &x[1], 1, 6, 8, 7, false, false);
                zip(&c, &linalg::transpose(&x[2], &[8, 6], &[1, 0]), |a, b| a + b)
            },
        ),
    ]
}

/// Scenes of copies, which have gradients.
pub fn copies() -> Vec<Scene> {
    [maps(), reductions(), rows(), products()].into_iter().flatten().collect()
}

/// Windows over `[samples, extents.., channels]`.
#[derive(Debug, Clone)]
struct Windows {
    samples: usize,
    channels: usize,
    axes: Vec<Along>,
}

/// Windows along one axis.
#[derive(Debug, Clone, Copy)]
struct Along {
    extent: usize,
    window: Window,
}

impl Along {
    const fn outputs(&self) -> usize {
        let w = &self.window;
        (self.extent + w.before + w.after - w.dilation * (w.taps - 1) - 1) / w.stride + 1
    }
}

impl Windows {
    fn rows(&self) -> usize {
        self.samples * self.axes.iter().map(Along::outputs).product::<usize>()
    }

    fn terms(&self) -> usize {
        self.channels * self.axes.iter().map(|w| w.window.taps).product::<usize>()
    }

    /// The operand's shape.
    fn shape(&self) -> Vec<usize> {
        let extents = self.axes.iter().map(|w| w.extent);
        [self.samples].into_iter().chain(extents).chain([self.channels]).collect()
    }

    fn view(&self) -> View {
        let windows: Vec<Window> = self.axes.iter().map(|w| w.window).collect();
        View::patches(&self.shape().into(), &windows).expect("patches")
    }

    /// The matrix of all windows, as textbooks have it.
    fn matrix(&self, x: &[f64]) -> Vec<f64> {
        let outputs: Vec<usize> = self.axes.iter().map(Along::outputs).collect();
        let taps: Vec<usize> = self.axes.iter().map(|w| w.window.taps).collect();
        let rows = [&[self.samples][..], &outputs].concat();
        let terms = [&taps[..], &[self.channels]].concat();
        let mut matrix = Vec::new();
        for row in 0..self.rows() {
            let row = linalg::unravel(row, &rows);
            for term in 0..self.terms() {
                let term = linalg::unravel(term, &terms);
                let mut at = vec![row[0]];
                for (d, w) in self.axes.iter().enumerate() {
                    let place = row[d + 1] * w.window.stride + term[d] * w.window.dilation;
                    // Past the padding in front of the tensor, or outside.
                    at.push(place.wrapping_sub(w.window.before));
                }
                at.push(term[self.axes.len()]);
                let inside = at[1..].iter().zip(&self.axes).all(|(&i, w)| i < w.extent);
                matrix.push(if inside { x[linalg::ravel(&at, &self.shape())] } else { 0.0 });
            }
        }
        matrix
    }
}

/// Convolutions as products over windows, and the gradients of their kernels.
pub fn windows() -> Vec<Scene> {
    let window = |extent, taps, stride, dilation, before| {
        let after = if stride > 1 { before / 2 } else { before };
        Along { extent, window: Window { taps, stride, dilation, before, after } }
    };
    let one = |samples, channels, w| Windows { samples, channels, axes: vec![w] };
    let two = |samples, channels, w, v| Windows { samples, channels, axes: vec![w, v] };
    let mut all = Vec::new();
    for windows in [
        one(2, 1, window(11, 3, 1, 1, 1)),
        one(2, 3, window(11, 4, 2, 1, 3)),
        one(3, 4, window(13, 3, 1, 2, 2)),
        one(1, 8, window(40, 5, 3, 2, 4)),
        two(2, 1, window(7, 3, 1, 1, 1), window(6, 3, 1, 1, 1)),
        two(2, 3, window(9, 3, 2, 1, 0), window(8, 2, 1, 2, 1)),
        two(1, 8, window(12, 3, 1, 1, 1), window(13, 3, 1, 1, 1)),
        // More windows than one kernel adds without dividing the sums of the kernel's gradient.
        two(3, 4, window(21, 3, 1, 1, 1), window(22, 3, 1, 1, 1)),
        // Sums long enough to be divided; single elements, and vec4s of many channels.
        one(2, 3, window(100, 5, 1, 1, 2)),
        one(1, 260, window(12, 5, 1, 1, 2)),
        Windows { samples: 1, channels: 4, axes: vec![window(4, 2, 1, 1, 1); 3] },
    ] {
        let (rows, terms, filters) = (windows.rows(), windows.terms(), 6);
        let name = format!("{windows:?}");
        let (w, v) = (windows.clone(), windows.clone());
        all.push(Scene::new(
            format!("product of {name}"),
            &[&windows.shape(), &[terms, filters]],
            (1, 1),
            move |g, x| {
                let filters = (x[1], View::whole([1, terms, filters]));
                g.contract_views((x[0], w.view()), filters)
            },
            move |x| linalg::matmul(&v.matrix(&x[0]), &x[1], 1, rows, filters, terms, false, false),
        ));
        // Windows as B: terms are positions, and lines are taps.
        let (w, v) = (windows.clone(), windows.clone());
        all.push(Scene::new(
            format!("kernel gradient of {name}"),
            &[&windows.shape(), &[rows, filters]],
            (0, 0),
            move |g, x| {
                let dy =
                    View::whole([1, rows, filters]).transposed([1, rows, filters]).expect("a view");
                g.contract_views((x[1], dy), (x[0], w.view()))
            },
            move |x| linalg::matmul(&x[1], &v.matrix(&x[0]), 1, filters, terms, rows, true, false),
        ));
    }
    all
}
