//! What decodes bytes in its loads, with the gather that gives them.

use wgrad::Result;
use wgrad::autodiff::gradients;
use wgrad::graph::{Graph, Value, Window};
use wgrad::ops::{Affine, FillMode, Interpolation};
use wgrad::tensor::{DType, Tensor};

pub type Reader = fn(&mut Graph, Value, usize) -> Result<Value>;

/// Elementwise, through a view, as A and as B of a product, as A of the gradient of one; under windows, whose channels are a
/// row or one, in a depthwise convolution and the gradient of its kernel, and as images that are sampled.
pub const READERS: [(&str, Reader); 11] = [
    ("map", |g, x, _| {
        let half = g.constant(0.5);
        let y = g.sub(x, half)?;
        g.unary("tanh", y, &[])
    }),
    ("transposed", |g, x, _| {
        let y = g.transpose(x, &[1, 0])?;
        g.unary("exp", y, &[])
    }),
    ("product", |g, x, width| {
        let w = g.input("w", [width, 5], DType::F32);
        g.matmul(x, w)
    }),
    ("second operand", |g, x, width| {
        let w = g.input("w", [width, 5], DType::F32);
        g.matmul_form(w, x, true, true)
    }),
    ("turned", |g, x, _| {
        let w = g.input("v", [7, 3], DType::F32);
        g.matmul_form(x, w, true, false)
    }),
    ("largest", |g, x, width| {
        let x = g.reshape(x, [1, 7, width])?;
        g.max_pool(x, &[Window { stride: 2, before: 1, ..Window::of(3) }])
    }),
    ("mean", |g, x, width| {
        let x = g.reshape(x, [1, 7, width])?;
        g.average_pool(x, &[Window { stride: 2, after: 1, ..Window::of(2) }], true)
    }),
    ("mean of one channel", |g, x, width| {
        let x = g.reshape(x, [7, width, 1])?;
        g.average_pool(x, &[Window { before: 1, ..Window::of(2) }], false)
    }),
    ("depthwise", |g, x, width| {
        let x = g.reshape(x, [1, 7, width])?;
        let kernel = g.input("kernel", [3, width, 1], DType::F32);
        g.depthwise_convolution(x, kernel, &[Window::of(3)])
    }),
    ("gradient of depthwise kernels", |g, x, width| {
        let x = g.reshape(x, [1, 7, width])?;
        let kernel = g.input("kernels", [3, width, 2], DType::F32);
        let y = g.depthwise_convolution(x, kernel, &[Window { before: 2, ..Window::of(3) }])?;
        let y = g.unary("tanh", y, &[])?;
        let loss = g.sum(y, &[0, 1, 2], false)?;
        Ok(gradients(g, loss, &[kernel])?[0])
    }),
    ("sampled", |g, x, width| {
        let images = g.reshape(x, [1, 7, 1, width])?;
        let turn = g.constant_tensor(Tensor::f32([1, 6], [0.9, 0.1, 0.2, -0.3, 0.8, 0.7])?)?;
        let affine = Affine {
            height: 9,
            width: 2,
            fill: FillMode::Constant,
            value: 0.75.into(),
            interpolation: Interpolation::Bilinear,
        };
        g.affine(images, turn, affine)
    }),
];

/// A table of bytes, 11 rows of `width`, seven of them gathered by `order`, and the reader's result `y`.
pub fn graph(reader: Reader, width: usize) -> Result<Graph> {
    let mut g = Graph::new();
    let table = g.input("table", [11, width], DType::U8);
    let indices = g.input("order", [7], DType::U32);
    let start = g.constant_u32(0);
    let x = g.gather_batch(indices, start, 7, &[(table, 1.0 / 255.0)])?[0];
    let y = reader(&mut g, x, width)?;
    g.output("y", y);
    Ok(g)
}
