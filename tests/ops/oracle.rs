//! The oracle's answer to a registry case, and how far f32 may be from it.

use crate::harness::{operands, wide};
use crate::reference::convolution::{Axis, Sizes};
use crate::reference::random::{box_muller, threefry2x32, unit_interval};
use crate::reference::{
    attention, convolution, elementwise, graphs, images, layers, linalg, losses, norm, pool,
    recurrent, reduce, softmax,
};
use std::sync::OnceLock;
use wgrad::ops::registry::{Card, Case, cards};

/// Whether the oracle has an answer for the op of this name, asked with a case.
pub fn knows(op: &'static str, case: &Case) -> bool {
    let x: Vec<Vec<f64>> = operands(case).iter().map(wide).collect();
    answer(&Case { op, ..case.clone() }, &x).is_some()
}

/// Every result of the case.
pub fn results(case: &Case, x: &[Vec<f64>]) -> Vec<Vec<f64>> {
    answer(case, x).unwrap_or_else(|| panic!("the oracle has no answer for {case}"))
}

/// Every result of the case; `None` for an op that the oracle does not know.
fn answer(case: &Case, x: &[Vec<f64>]) -> Option<Vec<Vec<f64>>> {
    let shape = |i: usize| case.inputs[i].shape.dims();
    let args = &case.args;
    let word = |i: usize| case.words[i].1;
    let whole = |v: &[f64]| v.iter().map(|&v| v as usize).collect::<Vec<_>>();
    let cols = || *shape(0).last().expect("an operand with a last axis");
    Some(match case.op {
        "random_uniform" | "random_normal" => {
            let len: usize = args[1..].iter().product();
            let key = [word(0), args[0] as u32];
            let draw = |i| {
                let [u, v] = threefry2x32(key, [i as u32, word(1)], 13).map(unit_interval);
                if case.op == "random_normal" { box_muller(u, v) } else { u }
            };
            vec![(0..len).map(draw).collect()]
        }
        "select" => {
            let to = linalg::broadcast_shape(shape(0), shape(1)).expect("shapes that broadcast");
            let to = linalg::broadcast_shape(&to, shape(2)).expect("shapes that broadcast");
            let [c, yes, no] = [0, 1, 2].map(|i| linalg::broadcast_to(&x[i], shape(i), &to));
            let pairs = yes.into_iter().zip(no);
            vec![c.iter().zip(pairs).map(|(c, (y, n))| if *c > 0.0 { y } else { n }).collect()]
        }
        "copy" => vec![linalg::broadcast_to(&x[0], shape(0), args)],
        "transpose" => vec![linalg::transpose(&x[0], shape(0), args)],
        "reshape" | "stop_gradient" => vec![x[0].clone()],
        "view" => vec![x[0][args[0]..][..args[1..].iter().product()].to_vec()],
        "pack" => {
            let mut arena = vec![0.0; args[0]];
            for (x, &offset) in x.iter().zip(&args[1..]) {
                let slot = &mut arena[offset..][..x.len()];
                slot.iter_mut().zip(x).for_each(|(slot, v)| *slot = -v);
            }
            vec![arena]
        }
        "slice" => vec![linalg::slice(&x[0], shape(0), args[0], args[1]..args[2])],
        "concatenate" => {
            let shapes: Vec<&[usize]> = (0..x.len()).map(shape).collect();
            let parts: Vec<&[f64]> = x.iter().map(Vec::as_slice).collect();
            vec![linalg::concatenate(&parts, &shapes, args[0])]
        }
        "pad" => {
            let around: Vec<[usize; 2]> = args.chunks_exact(2).map(|p| [p[0], p[1]]).collect();
            vec![linalg::pad(&x[0], shape(0), &around, f64::from(case.params[0]))]
        }
        "bands" => {
            let bands: Vec<[usize; 2]> = args[1..].chunks_exact(2).map(|b| [b[0], b[1]]).collect();
            let weights: Vec<f64> = case.params.iter().map(|&w| f64::from(w)).collect();
            vec![linalg::bands(&x[0], shape(0), args[0], &bands, &weights)]
        }
        "matmul" => vec![product(case, x)],
        "convolution"
        | "convolution_transpose"
        | "convolution_kernel"
        | "depthwise_convolution"
        | "depthwise_convolution_input"
        | "depthwise_convolution_kernel" => {
            let axes: Vec<Axis> = (args[1..].chunks_exact(6))
                .map(|a| Axis {
                    taps: a[0],
                    stride: a[1],
                    dilation: a[2],
                    before: a[3],
                    after: a[4],
                    extent: a[5],
                })
                .collect();
            let (samples, groups, last) = (shape(0)[0], args[0], shape(1)[axes.len() + 1]);
            let sizes = |channels, filters| Sizes { samples, channels, filters, groups };
            // A group for each channel, with `groups` filters.
            let deep = |channels| Sizes { groups: channels, ..sizes(channels, channels * args[0]) };
            vec![match case.op {
                "convolution" => convolution::convolution(&x[0], &x[1], sizes(cols(), last), &axes),
                "convolution_transpose" => {
                    let channels = shape(1)[axes.len()] * groups;
                    let sizes = sizes(channels, cols());
                    convolution::convolution_transpose(&x[0], &x[1], sizes, &axes)
                }
                "convolution_kernel" => {
                    convolution::convolution_kernel(&x[0], &x[1], sizes(cols(), last), &axes)
                }
                "depthwise_convolution" => {
                    convolution::convolution(&x[0], &x[1], deep(cols()), &axes)
                }
                "depthwise_convolution_input" => {
                    let sizes = deep(shape(1)[axes.len()]);
                    convolution::convolution_transpose(&x[0], &x[1], sizes, &axes)
                }
                _ => convolution::convolution_kernel(&x[0], &x[1], deep(cols()), &axes),
            }]
        }
        "sum_ranges" | "fill_ranges" => {
            let bounds = args[1..].chunks_exact(2).map(|b| b[0]..b[1]);
            let ranges: Vec<_> = bounds.zip(case.params.iter().map(|&f| f64::from(f))).collect();
            vec![match case.op {
                "sum_ranges" => reduce::sum_ranges(&x[0], &ranges),
                _ => reduce::fill_ranges(&x[0], args[0], &ranges),
            }]
        }
        "sum" => vec![reduce::sum(&x[0], shape(0), &axes(case))],
        "mean" => vec![reduce::mean(&x[0], shape(0), &axes(case))],
        "max" => vec![reduce::max(&x[0], shape(0), &axes(case))],
        "min" => vec![reduce::min(&x[0], shape(0), &axes(case))],
        "product" => vec![reduce::product(&x[0], shape(0), &axes(case))],
        "max_pool" | "max_pool_gradient" | "average_pool" | "average_pool_gradient" => {
            let counts = args[0] == 1;
            let slides: Vec<pool::Slide> =
                args[1..].chunks_exact(5).map(|w| std::array::from_fn(|i| w[i])).collect();
            vec![match case.op {
                "max_pool" => pool::max(&x[0], shape(0), &slides),
                "max_pool_gradient" => pool::max_grad(&x[0], shape(0), &slides, x.get(1)?),
                "average_pool" => pool::average(&x[0], shape(0), &slides, counts),
                _ => pool::average_grad(shape(0), &slides, x.get(1)?, counts),
            }]
        }
        "cumsum" | "cumprod" => {
            let product = case.op == "cumprod";
            let form = [args[1] == 1, args[2] == 1];
            vec![reduce::cumulative(&x[0], shape(0), args[0], product, form)]
        }
        "lstm_gates" => {
            let (h, c) = recurrent::lstm_gates(&x[0], &x[1], shape(1)[1]);
            vec![h, c]
        }
        "gru_gates" => vec![recurrent::gru_gates(&x[0], &x[1], shape(1)[1])],
        "simple_rnn" | "lstm" | "gru" => {
            use recurrent::Kind;
            let (kind, states) = match case.op {
                "lstm" => (Kind::Lstm, 2),
                "gru" => (Kind::Gru, 1),
                _ => (Kind::Simple, 1),
            };
            let sizes = [shape(0)[0], shape(0)[1], *shape(1).first()?];
            let (initial, mask) = x.get(2..)?.split_at_checked(states)?;
            let operands = [x[0].as_slice(), &x[1]];
            recurrent::over_time(kind, operands, initial, mask.first(), sizes, args[0] == 1)
        }
        "argmax" | "argmin" => {
            let sign = if case.op == "argmin" { -1.0 } else { 1.0 };
            let places = softmax::argmax(&times(&x[0], sign), cols());
            vec![places.iter().map(|&place| place as f64).collect()]
        }
        "to_f32" => vec![x[0].clone()],
        "iota" => {
            let len: usize = args[1..].iter().product();
            vec![(0..len).map(|i| linalg::unravel(i, &args[1..])[args[0]] as f64).collect()]
        }
        "attention" => attend(case, x),
        "softmax" => vec![softmax::softmax(&x[0], cols())],
        "log_softmax" => vec![softmax::log_softmax(&x[0], cols())],
        "layer_norm" | "rms_norm" => {
            let epsilon = f64::from(case.params[0]);
            let cols = shape(0)[shape(0).len() - args[0]..].iter().product();
            let mut rest = x[1..].iter().map(Vec::as_slice);
            let gamma = if args[1] == 1 { rest.next() } else { None };
            vec![match case.op {
                "rms_norm" => norm::rms_norm(&x[0], cols, gamma, epsilon),
                _ => norm::layer_norm(&x[0], cols, gamma, rest.next(), epsilon),
            }]
        }
        "batch_norm" => {
            let width = cols();
            let mut rest = x[1..].iter();
            let mut next = |i: usize, none: f64| match args[i] {
                1 => rest.next().cloned(),
                _ => Some(vec![none; if i < 2 { width } else { x[0].len() / width }]),
            };
            let (gamma, beta, mask) = (next(0, 1.0)?, next(1, 0.0)?, next(2, 1.0)?);
            let counts: Vec<bool> = mask.iter().map(|m| *m > 0.0).collect();
            let (mean, variance) = layers::column_moments(&x[0], width, &counts);
            let epsilon = f64::from(case.params[0]);
            let y = layers::standardise(&x[0], [&mean, &variance, &gamma, &beta], epsilon);
            vec![y, mean, variance]
        }
        "masked_softmax" => {
            let mask = linalg::broadcast_to(&x[1], shape(1), shape(0));
            vec![softmax::masked_softmax(&x[0], &mask, cols(), args[0] == 1)]
        }
        "variance" | "log_sum_exp" => {
            let axes = axes(case);
            let others: Vec<usize> = (0..shape(0).len()).filter(|a| !axes.contains(a)).collect();
            let moved = linalg::transpose(&x[0], shape(0), &[others, axes.clone()].concat());
            let cols = axes.iter().map(|&a| shape(0)[a]).product();
            vec![match case.op {
                "variance" => norm::variance(&moved, cols),
                _ => softmax::logsumexp(&moved, cols),
            }]
        }
        "column_sums" => {
            let b = linalg::broadcast_to(&x[1], shape(1), shape(0));
            let product: Vec<f64> = x[0].iter().zip(&b).map(|(a, b)| a * b).collect();
            let rows: Vec<usize> = (0..args[0]).collect();
            vec![reduce::sum(&product, shape(0), &rows), reduce::sum(&x[0], shape(0), &rows)]
        }
        "sparse_softmax_cross_entropy" => {
            let labels = whole(&x[1]);
            let targets = losses::one_hot(&labels, cols());
            let hits = hits(&x[0], &labels, cols());
            categorical(case, &x[0], &targets, cols()).into_iter().chain([hits]).collect()
        }
        "softmax_cross_entropy" => {
            let hits = hits(&x[0], &softmax::argmax(&x[1], cols()), cols());
            categorical(case, &x[0], &x[1], cols()).into_iter().chain([hits]).collect()
        }
        "sigmoid_cross_entropy" => {
            // The kernel sums over a row's outputs and scales; the oracle averages over them.
            let scale = f64::from(case.params[0]) * cols() as f64;
            let rows = (x[0].len() / cols()) as f64;
            let loss = losses::binary_crossentropy_logits(&x[1], &x[0], cols());
            let grad = losses::binary_crossentropy_logits_grad(&x[1], &x[0], cols());
            vec![times(&loss, scale), times(&grad, scale * rows)]
        }
        "hits" | "confusion_cells" | "target_ranks" => {
            let sparse = x[1].len() == x[0].len() / cols();
            let labels = if sparse { whole(&x[1]) } else { softmax::argmax(&x[1], cols()) };
            match case.op {
                "hits" => vec![hits(&x[0], &labels, cols())],
                "confusion_cells" => {
                    let found = softmax::argmax(&x[0], cols());
                    let cell = |(right, found): (&usize, usize)| (right * cols() + found) as f64;
                    vec![labels.iter().zip(found).map(cell).collect()]
                }
                _ => {
                    let above = |(row, right): (&[f64], &usize)| {
                        row.iter().filter(|v| **v > row[*right]).count() as f64
                    };
                    vec![x[0].chunks_exact(cols()).zip(&labels).map(above).collect()]
                }
            }
        }
        "one_hot" => vec![losses::one_hot(&whole(&x[0]), args[0])],
        "gather" => {
            let start = args.get(1).copied().unwrap_or(word(0) as usize);
            let index = &whole(&x[0])[start..start + args[0]];
            let table = |(t, factor): (usize, &f32)| {
                let width = shape(t)[1..].iter().product();
                times(&linalg::gather_rows(&x[t], width, index), f64::from(*factor))
            };
            (1..x.len()).zip(&case.params).map(table).collect()
        }
        "segment_sum" => {
            let width = args[1..].iter().product();
            vec![linalg::gather_rows_grad(&x[1], width, &whole(&x[0]), args[0])]
        }
        "segment_max" => {
            let width: usize = args[1..].iter().product();
            let mut table: Vec<Option<f64>> = vec![None; args[0] * width];
            for (i, &v) in x[1].iter().enumerate() {
                let place = whole(&x[0])[i / width] * width + i % width;
                table[place] = Some(table[place].map_or(v, |old| old.max(v)));
            }
            vec![table.into_iter().map(|v| v.unwrap_or(0.0)).collect()]
        }
        "edge_ends" => vec![graphs::ends(&whole(&x[0]), shape(0)[1], args[0], &args[1..])],
        "affine" | "affine_places" => {
            let image = [args[4], args[5], args[6], args[7]];
            let outside = match args[2] {
                0 => images::Outside::Constant(f64::from(case.params[0])),
                1 => images::Outside::Reflect,
                2 => images::Outside::Wrap,
                _ => images::Outside::Nearest,
            };
            let matrices: Vec<f64> = match case.op {
                "affine" => case.params[1..].iter().map(|&m| f64::from(m)).collect(),
                _ => x[0].clone(),
            };
            let (to, linear) = ([args[0], args[1]], args[3] == 1);
            match case.op {
                "affine" => vec![images::affine(&x[0], image, &matrices, to, outside, linear)],
                _ => places(image, &matrices, to, outside, linear),
            }
        }
        "record" => {
            let stride: usize = x.iter().map(|x| x.len().next_multiple_of(64)).sum();
            let mut metrics = vec![0.0; args[0] * stride];
            let mut at = word(0) as usize * stride;
            for x in x {
                metrics[at..at + x.len()].copy_from_slice(x);
                at += x.len().next_multiple_of(64);
            }
            vec![metrics]
        }
        op if elementwise::binary_names().any(|n| n == op) => {
            let to = linalg::broadcast_shape(shape(0), shape(1)).expect("shapes that broadcast");
            let a = linalg::broadcast_to(&x[0], shape(0), &to);
            let b = linalg::broadcast_to(&x[1], shape(1), &to);
            vec![a.iter().zip(b).map(|(&a, b)| elementwise::binary(op, a, b)).collect()]
        }
        op if elementwise::unary_names().any(|n| n == op) => {
            let params: Vec<f64> = case.params.iter().map(|&p| f64::from(p)).collect();
            vec![x[0].iter().map(|&x| elementwise::unary(op, &params, x)).collect()]
        }
        _ => return None,
    })
}

/// Shares, and places among all pixels, one plane per neighbour. A neighbour outside has the share 0, and the nearest
/// pixel as its place.
fn places(
    [batch, h, w, _]: [usize; 4],
    matrices: &[f64],
    to: [usize; 2],
    outside: images::Outside,
    linear: bool,
) -> Vec<Vec<f64>> {
    let planes = if linear { 4 } else { 1 };
    let mut found = vec![vec![]; 2];
    for plane in 0..planes {
        for s in 0..batch {
            for at in images::places(&matrices[6 * s..][..6], to) {
                let own = images::neighbours(at, [h, w], outside, linear)[plane];
                let near = images::neighbours(at, [h, w], images::Outside::Nearest, linear)[plane];
                let place = own.0.or(near.0).expect("a nearest pixel");
                found[0].push(if own.0.is_some() { own.1 } else { 0.0 });
                found[1].push((s * h * w + place) as f64);
            }
        }
    }
    found
}

/// Attention under the mask of a case, if it has one.
fn attend(case: &Case, x: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let dims = |i: usize| case.inputs[i].shape.dims();
    let (q, v) = (dims(0), dims(2));
    let extents = attention::Extents {
        samples: q[0],
        queries: q[1],
        keys: v[1],
        heads: q[2],
        groups: v[2],
        size: q[3],
        value: v[3],
    };
    let scores = [q[0], q[2], q[1], v[1]];
    let masks = x.get(3).map(|mask| linalg::broadcast_to(mask, dims(3), &scores));
    let pairs = |sample: usize, head: usize, query: usize, key: usize| {
        let at = ((sample * scores[1] + head) * scores[2] + query) * scores[3] + key;
        let number = masks.as_ref().map_or(1.0, |mask| mask[at]);
        let (counts, added) = if case.args[1] == 2 { (true, number) } else { (number > 0.0, 0.0) };
        let drawn = || {
            let words = threefry2x32([case.words[0].1, 3], [at as u32, case.words[1].1], 13);
            unit_interval(words[0])
        };
        let factor = case
            .params
            .get(1)
            .map(|&rate| f64::from(rate))
            .map_or(1.0, |rate| if drawn() >= rate { 1.0 / (1.0 - rate) } else { 0.0 });
        attention::Pair { counts: counts && (case.args[0] == 0 || key <= query), added, factor }
    };
    let scale = f64::from(case.params[0]);
    attention::attention(&x[0], &x[1], &x[2], extents, scale, &pairs).to_vec()
}

/// The axes of a reduction; none means all.
fn axes(case: &Case) -> Vec<usize> {
    match case.args.is_empty() {
        true => (0..case.inputs[0].shape.rank()).collect(),
        false => case.args.clone(),
    }
}

fn times(x: &[f64], factor: f64) -> Vec<f64> {
    x.iter().map(|v| v * factor).collect()
}

fn hits(x: &[f64], labels: &[usize], cols: usize) -> Vec<f64> {
    let found = softmax::argmax(x, cols);
    found.iter().zip(labels).map(|(a, b)| f64::from(u8::from(a == b))).collect()
}

/// Loss of each row and gradient of their sum, scaled.
fn categorical(case: &Case, x: &[f64], targets: &[f64], cols: usize) -> Vec<Vec<f64>> {
    let scale = f64::from(case.params[0]);
    let rows = (x.len() / cols) as f64;
    let loss = losses::categorical_crossentropy_logits(targets, x, cols);
    let grad = losses::categorical_crossentropy_logits_grad(targets, x, cols);
    vec![times(&loss, scale), times(&grad, scale * rows)]
}

fn product(case: &Case, x: &[Vec<f64>]) -> Vec<f64> {
    let (a, b) = (case.inputs[0].shape.dims(), case.inputs[1].shape.dims());
    let batch: usize = a[..a.len() - 2].iter().product();
    let pair = |d: &[usize], swap: bool| {
        let [r, c] = d[d.len() - 2..] else { panic!("a matrix has two axes") };
        if swap { (c, r) } else { (r, c) }
    };
    let (ta, tb) = (case.args[0] == 1, case.args[1] == 1);
    let ((m, k), (_, n)) = (pair(a, ta), pair(b, tb));
    let repeats = if b.len() < a.len() { batch } else { 1 };
    linalg::matmul(&x[0], &x[1].repeat(repeats), batch, m, n, k, ta, tb)
}

/// Relative and absolute tolerance of a case's results: what its card says, else by its name here.
///
/// Rounding to f32 is half of 2^-23 = 1.2e-7. What follows is a small multiple of the error that the
/// arithmetic may make.
pub fn tolerance(case: &Case) -> (f64, f64) {
    const EPS: f64 = 1.192_092_9e-7;
    static CARDS: OnceLock<Vec<Card>> = OnceLock::new();
    let card = CARDS.get_or_init(cards).iter().find(|card| card.name == case.op);
    if let Some(tolerance) = card.and_then(|card| card.tolerance) {
        return tolerance(case);
    }
    let whole = case.inputs.iter().all(|s| s.whole);
    let terms = |case: &Case| (case.inputs[0].shape.len() as f64).max(1.0);
    match case.op {
        // One correctly rounded operation, a choice, or a copy.
        "linear" | "neg" | "abs" | "sign" | "is_nan" | "is_finite" | "square" | "relu"
        | "leaky_relu" | "step" | "perceptron" | "select" | "clipped_linear" | "add" | "sub"
        | "mul" | "maximum" | "minimum" | "min" | "to_f32" | "iota" | "floor" | "ceil"
        | "round" | "not_equal" | "greater" | "greater_equal" | "less" | "less_equal" | "equal"
        | "random_uniform" | "copy" | "transpose" | "reshape" | "stop_gradient" | "view"
        | "pack" | "slice" | "concatenate" | "max" | "hits" | "confusion_cells"
        | "target_ranks" | "one_hot" | "gather" | "fill_ranges" | "segment_max" | "edge_ends" => {
            (EPS, 0.0)
        }
        // WGSL allows 2.5 units in the last place.
        "div" | "sqrt" | "reciprocal" => (3.0 * EPS, 0.0),
        // WGSL allows 2 units of the root.
        "rsqrt" => (3.0 * EPS, 0.0),
        // A rounding for each factor, half a unit each.
        "product" => (0.5 * EPS * terms(case), 0.0),
        // Sums of small whole numbers are exact in any order.
        "matmul" | "sum" | "segment_sum" | "record" | "column_sums" if whole => (0.0, 0.0),
        // A sum of k products up to 1 has partial sums near sqrt(k)/3, each rounded: a standard error of about
        // k EPS / 8, and eight of those are allowed.
        "matmul" => {
            let dims = case.inputs[0].shape.dims();
            let k = dims[dims.len() - if case.args[0] == 1 { 2 } else { 1 }];
            (EPS, EPS * k as f64)
        }
        "sum" | "sum_ranges" | "segment_sum" | "record" => (2.0 * EPS, EPS * terms(case)),
        "mean" => (2.0 * EPS, EPS),
        // Exponentials to 3 + 2|x| units for |x| <= 8, and a sum of positive terms, whose relative error
        // grows with the root of their count.
        "softmax"
        | "masked_softmax"
        | "log_softmax"
        | "softmax_cross_entropy"
        | "sparse_softmax_cross_entropy" => {
            let cols = *case.inputs[0].shape.dims().last().expect("a last axis") as f64;
            let relative = 20.0 * EPS + cols.sqrt() * EPS;
            (relative, relative)
        }
        // Sums over a row, then a root, a quotient and a few operations on numbers near 1.
        "layer_norm" | "rms_norm" | "variance" | "log_sum_exp" => {
            let row = case.inputs[0].shape.len() as f64;
            (20.0 * EPS + row.sqrt() * EPS, 10.0 * EPS)
        }
        "sigmoid_cross_entropy" => (20.0 * EPS, 20.0 * EPS),
        // The logarithm of a number from 1/2 to 0.95 is off by up to 2^-21, 1e-5 of it, of which the root keeps
        // half; the cosine is off by EPS, times 5.77 at most.
        "random_normal" => (80.0 * EPS, 10.0 * EPS),
        // Exponentials and logarithms: 3 + 2|x| units for |x| <= 4, through a few more operations; if a function passes
        // through zero its error is absolute.
        _ => (40.0 * EPS, 10.0 * EPS),
    }
}
