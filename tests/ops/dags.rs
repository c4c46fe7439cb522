//! Random graphs of elementwise functions with broadcasting, row means, matrix products, transposes and slices between
//! them, and what they compute in f64.

use crate::reference::random::{threefry2x32, uniform};
use crate::reference::{elementwise, linalg, reduce};
use wgrad::graph::{Graph, Value};
use wgrad::ops::table::Row;
use wgrad::tensor::{DType, Tensor};

/// What a node of a random graph computes from earlier nodes.
#[derive(Debug, Clone)]
pub enum Node {
    Input,
    Constant(f32),
    Unary(&'static Row, usize),
    Binary(&'static Row, usize, usize),
    /// The index along the last axis over its extent.
    Place,
    /// The mean over the last axis, which keeps extent 1.
    Mean(usize),
    /// A product with a square matrix.
    Product(usize, usize),
    /// The elements of a matrix as its transpose has them in memory, under the same shape.
    Turned(usize),
    /// A column, or a row, of a matrix.
    Column(usize, usize),
    Row(usize, usize),
}

/// A random graph.
#[derive(Debug)]
pub struct Dag {
    seed: u32,
    pub nodes: Vec<Node>,
    pub shapes: Vec<Vec<usize>>,
    pub outputs: Vec<usize>,
}

impl Dag {
    /// The graph of this seed, over these functions.
    pub fn random(seed: u32, functions: &[&'static Row], len: usize) -> Self {
        let mut drawn = 0;
        let mut below = |n: usize| {
            drawn += 1;
            threefry2x32([seed, 0xda6], [drawn, 0], 20)[0] as usize % n
        };
        let (rows, cols) = [(3, 5), (4, 8), (7, 12), (1, 9)][below(4)];
        let mut dag = Self { seed, nodes: vec![], shapes: vec![], outputs: vec![] };
        for shape in [vec![rows, cols], vec![rows, cols], vec![cols], vec![rows, 1], vec![1]] {
            dag.push(Node::Input, shape);
        }
        let matrix = dag.push(Node::Input, vec![cols, cols]);
        dag.push(Node::Constant(below(5) as f32 * 0.5), vec![]);
        let place = if below(2) == 0 { vec![rows, cols] } else { vec![cols] };
        dag.push(Node::Place, place);
        for _ in 0..len {
            // Recent nodes are likelier, so that chains grow long.
            let mut operand = |dag: &Self| loop {
                let n = dag.nodes.len();
                let i = if below(3) == 0 { below(n) } else { n - 1 - below(n.min(4)) };
                if i != matrix {
                    break i;
                }
            };
            let (a, b) = (operand(&dag), operand(&dag));
            let (sa, sb) = (dag.shapes[a].clone(), dag.shapes[b].clone());
            match below(16) {
                0 if sa == [rows, cols] => dag.push(Node::Mean(a), vec![rows, 1]),
                1 | 2 if sa == [rows, cols] => dag.push(Node::Product(a, matrix), sa),
                3 | 4 if sa == [rows, cols] => dag.push(Node::Turned(a), sa),
                5 if sa == [rows, cols] => dag.push(Node::Column(a, b % cols), vec![rows, 1]),
                6 if sa == [rows, cols] => dag.push(Node::Row(a, b % rows), vec![cols]),
                _ => {
                    let row = functions[below(functions.len())];
                    let shape = linalg::broadcast_shape(&sa, &sb).expect("shapes that broadcast");
                    match row.arity {
                        1 => dag.push(Node::Unary(row, a), sa),
                        _ => dag.push(Node::Binary(row, a, b), shape),
                    }
                }
            };
        }
        let computed = dag.nodes.len() - len;
        dag.outputs = vec![dag.nodes.len() - 1, computed + below(len), computed + below(len)];
        dag
    }

    fn push(&mut self, node: Node, shape: Vec<usize>) -> usize {
        self.nodes.push(node);
        self.shapes.push(shape);
        self.nodes.len() - 1
    }

    /// The graph, with inputs `in0`, `in1`, ... and outputs `out0`, `out1`, ...
    pub fn graph(&self) -> wgrad::Result<Graph> {
        let mut g = Graph::new();
        let mut v: Vec<Value> = Vec::new();
        for (i, node) in self.nodes.iter().enumerate() {
            v.push(match *node {
                Node::Input => g.input(&format!("in{i}"), self.shapes[i].as_slice(), DType::F32),
                Node::Constant(c) => g.constant(c),
                Node::Place => {
                    let shape = self.shapes[i].as_slice();
                    let index = g.iota(shape, shape.len() - 1)?;
                    let share = 1.0 / shape[shape.len() - 1] as f32;
                    g.scale(index, share)?
                }
                Node::Unary(row, a) => g.unary(row.name, v[a], &[])?,
                Node::Binary(row, a, b) => g.binary(row.name, v[a], v[b])?,
                Node::Mean(a) => g.mean(v[a], &[1], true)?,
                Node::Product(a, b) => g.matmul(v[a], v[b])?,
                Node::Turned(a) => {
                    let (rows, cols) = (self.shapes[i][0], self.shapes[i][1]);
                    let x = g.reshape(v[a], [cols, rows])?;
                    g.transpose(x, &[1, 0])?
                }
                Node::Column(a, at) => g.slice(v[a], 1, at..at + 1)?,
                Node::Row(a, at) => {
                    let x = g.slice(v[a], 0, at..at + 1)?;
                    g.reshape(x, self.shapes[i].as_slice())?
                }
            });
        }
        self.outputs.iter().enumerate().for_each(|(i, &o)| g.output(&format!("out{i}"), v[o]));
        Ok(g)
    }

    /// Operands by name, between -1 and 1.
    pub fn feeds(&self) -> Vec<(String, Tensor)> {
        let of = |i: usize| {
            let shape = self.shapes[i].as_slice();
            let x = uniform(self.seed.wrapping_add(i as u32), shape.iter().product(), -1.0, 1.0);
            (format!("in{i}"), Tensor::f32(shape, x).expect("as many elements"))
        };
        let inputs = (0..self.nodes.len()).filter(|&i| matches!(self.nodes[i], Node::Input));
        inputs.map(of).collect()
    }

    /// The outputs in f64.
    pub fn evaluate(&self) -> Vec<Vec<f64>> {
        let feeds = self.feeds();
        let mut v: Vec<Vec<f64>> = Vec::new();
        for (i, node) in self.nodes.iter().enumerate() {
            let spread = |a: usize| linalg::broadcast_to(&v[a], &self.shapes[a], &self.shapes[i]);
            let next = match *node {
                Node::Input => {
                    let name = format!("in{i}");
                    let feed = feeds.iter().find(|f| f.0 == name).expect("every input is fed");
                    feed.1.as_f32().expect("f32").iter().map(|&x| f64::from(x)).collect()
                }
                Node::Constant(c) => vec![f64::from(c)],
                Node::Place => {
                    let extent = self.shapes[i][self.shapes[i].len() - 1];
                    let len: usize = self.shapes[i].iter().product();
                    (0..len).map(|at| (at % extent) as f64 / extent as f64).collect()
                }
                Node::Unary(row, a) => {
                    v[a].iter().map(|&x| elementwise::unary(row.name, &[], x)).collect()
                }
                Node::Binary(row, a, b) => {
                    let pairs = spread(a).into_iter().zip(spread(b));
                    pairs.map(|(a, b)| elementwise::binary(row.name, a, b)).collect()
                }
                Node::Mean(a) => reduce::mean(&v[a], &self.shapes[a], &[1]),
                Node::Product(a, b) => {
                    let (m, k) = (self.shapes[a][0], self.shapes[a][1]);
                    linalg::matmul(&v[a], &v[b], 1, m, k, k, false, false)
                }
                Node::Turned(a) => {
                    let (rows, cols) = (self.shapes[i][0], self.shapes[i][1]);
                    linalg::transpose(&v[a], &[cols, rows], &[1, 0])
                }
                Node::Column(a, at) => linalg::slice(&v[a], &self.shapes[a], 1, at..at + 1),
                Node::Row(a, at) => linalg::slice(&v[a], &self.shapes[a], 0, at..at + 1),
            };
            v.push(next);
        }
        self.outputs.iter().map(|&o| v[o].clone()).collect()
    }
}
