//! Layers over graphs: against the oracle, which has the whole adjacency matrix, and what is refused.

use super::*;
use support::device;

/// A batch of graphs: edges `[batch, count, 2]`, node 0 without any, an edge twice, and one from a node to itself.
fn edges(batch: usize, count: usize, nodes: usize) -> Tensor {
    let drawn = uniform(17, 2 * batch * count, 0.0, 1.0);
    let mut ids: Vec<u32> = drawn
        .iter()
        .map(|u| 1 + (u * (nodes - 1) as f32) as u32)
        .map(|v| v.min(nodes as u32 - 1))
        .collect();
    for sample in ids.chunks_mut(2 * count) {
        sample.copy_within(0..2, 2 * count - 2);
        if count > 2 {
            sample[3] = sample[2];
        }
    }
    Tensor::u32([batch, count, 2], ids).unwrap()
}

/// Where the messages of a sample come from and go to, with the place of their edge.
fn messages(edges: &[u32], directed: bool) -> Vec<[usize; 3]> {
    let pairs = edges.chunks(2).enumerate();
    let both = pairs.flat_map(|(e, pair)| {
        let [a, b] = [pair[0] as usize, pair[1] as usize];
        [[a, b, e], [b, a, e]].into_iter().take(if directed { 1 } else { 2 })
    });
    both.collect()
}

/// What a sample has: its nodes, and its weights of edges.
struct Sample<'a> {
    x: &'a [f64],
    nodes: usize,
    width: usize,
    messages: &'a [[usize; 3]],
    weights: &'a [f64],
}

impl Sample<'_> {
    /// What arrives at each node.
    fn joined(&self, way: Aggregation) -> Vec<f64> {
        let mut out = vec![0.0; self.nodes * self.width];
        for node in 0..self.nodes {
            let arriving: Vec<_> = self.messages.iter().filter(|m| m[1] == node).collect();
            let total: f64 = arriving.iter().map(|m| self.weights[m[2]]).sum();
            for c in 0..self.width {
                let sent = |m: &&&[usize; 3]| self.weights[m[2]] * self.x[m[0] * self.width + c];
                let sum: f64 = arriving.iter().map(|m| sent(&m)).sum();
                let counting = arriving.iter().filter(|m| self.weights[m[2]] != 0.0);
                out[node * self.width + c] = match way {
                    Aggregation::Sum => sum,
                    Aggregation::Mean if total != 0.0 => sum / total,
                    Aggregation::Max => counting.map(|m| sent(&m)).reduce(f64::max).unwrap_or(0.0),
                    _ => 0.0,
                };
            }
        }
        out
    }

    /// D^-1/2 (A + I) D^-1/2 as a matrix, times x.
    fn normalized(&self, loops: bool) -> Vec<f64> {
        let n = self.nodes;
        let mut a = vec![0.0; n * n];
        for m in self.messages {
            a[m[1] * n + m[0]] += self.weights[m[2]];
        }
        (0..n).filter(|_| loops).for_each(|i| a[i * n + i] += 1.0);
        let degree: Vec<f64> = a.chunks(n).map(|row| row.iter().sum()).collect();
        let root = |i: usize| if degree[i] > 0.0 { degree[i].powf(-0.5) } else { 0.0 };
        for (i, a) in a.iter_mut().enumerate() {
            *a *= root(i / n) * root(i % n);
        }
        reference::linalg::matmul(&a, self.x, 1, n, self.width, n, false, false)
    }
}

/// activation(parts · kernels + bias), where `part` gives the rows that each kernel multiplies.
fn expected(
    at: &[Vec<f64>],
    edges: &Tensor,
    [nodes, width, units]: [usize; 3],
    (directed, weighted): (bool, bool),
    part: impl Fn(&Sample) -> Vec<Vec<f64>>,
) -> Vec<f64> {
    let [batch, count] = [edges.shape().dims()[0], edges.shape().dims()[1]];
    let ones = vec![1.0; count];
    let kernels = &at[1 + usize::from(weighted)..];
    let mut out = Vec::new();
    for b in 0..batch {
        let messages = messages(&edges.as_u32().unwrap()[2 * b * count..][..2 * count], directed);
        let weights = if weighted { &at[1][b * count..][..count] } else { &ones };
        let x = &at[0][b * nodes * width..][..nodes * width];
        let sample = Sample { x, nodes, width, messages: &messages, weights };
        let mut y = vec![0.0; nodes * units];
        for (rows, kernel) in part(&sample).iter().zip(kernels) {
            let product =
                reference::linalg::matmul(rows, kernel, 1, nodes, units, width, false, false);
            y.iter_mut().zip(product).for_each(|(y, p)| *y += p);
        }
        let bias = at.last().unwrap();
        out.extend(y.iter().enumerate().map(|(i, y)| (y + bias[i % units]).tanh()));
    }
    out
}

/// Batches, edges, nodes, features and units.
const SIZES: [[usize; 5]; 4] =
    [[1, 1, 2, 1, 1], [1, 9, 5, 3, 2], [3, 7, 4, 5, 3], [2, 40, 8, 9, 3]];

#[test]
fn graph_convolution_agrees_with_the_whole_matrix() {
    for [batch, count, nodes, width, units] in SIZES {
        for (directed, weighted, loops) in [
            (false, false, true),
            (true, false, true),
            (false, true, true),
            (true, true, false),
            (false, false, false),
        ] {
            let layer = GraphConv::new(units).directed(directed).self_loops(loops);
            let layer = layer.activation(Activation::Tanh);
            let edges = edges(batch, count, nodes);
            let x = numbers(&[batch, nodes, width], 1);
            let weights = uniform(4, batch * count, 0.5, 1.5);
            let weights = Tensor::f32([batch, count], weights).unwrap();
            let inputs = if weighted { vec![&x, &edges, &weights] } else { vec![&x, &edges] };
            let kernel = uniform(2, width * units, -0.3, 0.3);
            let w = [Tensor::f32([width, units], kernel).unwrap(), numbers(&[units], 3)];
            let step = layer_step(&layer, &inputs, &refs(&w), None).unwrap();
            let mut operands = vec![&x];
            operands.extend(weighted.then_some(&weights));
            operands.extend(&w);
            let name = format!("{layer:?} {batch} {count} {nodes}");
            check_gradients(&name, &step, &operands, |at| {
                expected(at, &edges, [nodes, width, units], (directed, weighted), |s| {
                    vec![s.normalized(loops)]
                })
            });
            let any = |d: &[f32]| d.iter().any(|d| d.abs() > 1e-3);
            assert!(any(&step.weights[0]), "{name}");
        }
    }
}

#[test]
fn messages_agree_with_the_oracle() {
    for [batch, count, nodes, width, units] in SIZES {
        for way in [Aggregation::Sum, Aggregation::Mean, Aggregation::Max] {
            for (directed, weighted) in [(false, false), (true, false), (false, true), (true, true)]
            {
                let layer = MessagePassing::new(units).aggregate(way).directed(directed);
                let layer = layer.activation(Activation::Tanh);
                let edges = edges(batch, count, nodes);
                let x = uniform(1, batch * nodes * width, -0.5, 0.5);
                let x = Tensor::f32([batch, nodes, width], x).unwrap();
                let weights = uniform(4, batch * count, 0.5, 1.5);
                let weights = Tensor::f32([batch, count], weights).unwrap();
                let inputs = if weighted { vec![&x, &edges, &weights] } else { vec![&x, &edges] };
                let kernel = |seed| {
                    let kernel = uniform(seed, width * units, -0.2, 0.2);
                    Tensor::f32([width, units], kernel).unwrap()
                };
                let w = [kernel(2), kernel(6), numbers(&[units], 3)];
                let step = layer_step(&layer, &inputs, &refs(&w), None).unwrap();
                let mut operands = vec![&x];
                operands.extend(weighted.then_some(&weights));
                operands.extend(&w);
                let name = format!("{layer:?} {batch} {count} {nodes}");
                check_gradients(&name, &step, &operands, |at| {
                    expected(at, &edges, [nodes, width, units], (directed, weighted), |s| {
                        vec![s.x.to_vec(), s.joined(way)]
                    })
                });
                assert!(step.weights[1].iter().any(|d| d.abs() > 1e-4), "{name}");
            }
        }
    }
}

/// Edges of weight 0 fill samples up: nothing changes.
#[test]
fn edges_of_weight_zero_are_none() {
    let layers: [Box<dyn Layer>; 4] = [
        Box::new(GraphConv::new(2)),
        Box::new(MessagePassing::new(2)),
        Box::new(MessagePassing::new(2).aggregate(Aggregation::Mean)),
        Box::new(MessagePassing::new(2).aggregate(Aggregation::Max)),
    ];
    let x = numbers(&[1, 4, 3], 1);
    let (few, ones) = ([0, 1, 1, 2], [1.0; 2]);
    let few = [Tensor::u32([1, 2, 2], few).unwrap(), Tensor::f32([1, 2], ones).unwrap()];
    let many = [0, 1, 3, 3, 1, 2, 0, 3, 0, 0];
    let weights = [1.0, 0.0, 1.0, 0.0, 0.0];
    let many = [Tensor::u32([1, 5, 2], many).unwrap(), Tensor::f32([1, 5], weights).unwrap()];
    for layer in layers {
        let specs = layer.weights(&samples(&[&x, &few[0]]));
        let w: Vec<Tensor> =
            specs.iter().enumerate().map(|(i, s)| numbers(s.shape.dims(), i as u32)).collect();
        let run = |edges: &[Tensor; 2]| {
            layer_step(&*layer, &[&x, &edges[0], &edges[1]], &refs(&w), None).unwrap()
        };
        let (a, b) = (run(&few), run(&many));
        assert_eq!(a.y(), b.y(), "{layer:?}");
        assert_eq!((&a.inputs[0], &a.weights), (&b.inputs[0], &b.weights), "{layer:?}");
        let all = Tensor::f32([1, 5], [1.0; 5]).unwrap();
        let other = layer_step(&*layer, &[&x, &many[0], &all], &refs(&w), None).unwrap();
        assert_ne!(a.y(), other.y(), "{layer:?}: the edges count if they have a weight");
    }
}

#[test]
fn the_same_bits_come_ten_times() {
    let (x, edges) = (numbers(&[2, 33, 33], 1), edges(2, 900, 33));
    let w = [numbers(&[33, 4], 2), numbers(&[33, 4], 5), numbers(&[4], 3)];
    let bits = |layer: &dyn Layer, w: &[&Tensor]| {
        let step = layer_step(layer, &[&x, &edges], w, None).unwrap();
        let all = step.y().iter().chain(&step.inputs[0]).chain(step.weights.iter().flatten());
        all.map(|v| v.to_bits()).collect::<Vec<u32>>()
    };
    let conv = GraphConv::new(4);
    let first = bits(&conv, &[&w[0], &w[2]]);
    for way in [Aggregation::Sum, Aggregation::Mean, Aggregation::Max] {
        let layer = MessagePassing::new(4).aggregate(way);
        let first = bits(&layer, &refs(&w));
        assert!((1..10).all(|_| bits(&layer, &refs(&w)) == first), "{way:?}");
        assert_ne!(first, bits(&layer.directed(true), &refs(&w)));
    }
    assert!((1..10).all(|_| bits(&conv, &[&w[0], &w[2]]) == first));
}

/// Nodes, edges, and a layer over them.
fn model(nodes: usize, count: usize, layer: impl Layer + 'static) -> Result<Model> {
    let (x, edges) = (input_named("nodes", [nodes, 3]), input_named("edges", [count, 2]));
    Model::new([&x, &edges], [&merge(layer, [&x, &edges])])
}

#[test]
fn edges_past_the_nodes_are_refused_by_the_host() -> Result<()> {
    let model = model(4, 3, GraphConv::new(1))?;
    assert_eq!((model.index_range(0), model.index_range(1)), (None, Some(4)));
    let mut trainer =
        model.compile(device(), Compile::new(Sgd::new(0.1), Loss::MeanSquaredError))?;
    let x = numbers(&[2, 4, 3], 1);
    let ids = [0, 1, 1, 2, 2, 3, 0, 1, 1, 4, 2, 3];
    let bad = Tensor::u32([2, 3, 2], ids)?;
    let words = ["edges", "is 4", "4 ids 0..4"];
    let error = trainer.predict_outputs(&[x.clone(), bad.clone()][..]).unwrap_err();
    says(&error, &words);
    says(&error, &["element 9"]);
    let y = numbers(&[2, 4, 1], 2);
    let data = TensorDataset::multi([x.clone(), bad.clone()], [y.clone()])?;
    says(&trainer.fit(&data, Fit::new().verbose(Verbose::Silent)).unwrap_err(), &words);
    // Nodes in place of edges.
    let error = trainer.predict_outputs(&[x.clone(), numbers(&[2, 3, 2], 1)][..]).unwrap_err();
    says(&error, &["edges", "u32"]);
    // Good edges train.
    let good = Tensor::u32([2, 3, 2], ids.map(|id| id % 4))?;
    let data = TensorDataset::multi([x, good], [y])?;
    let history = trainer.fit(&data, Fit::new().epochs(30).verbose(Verbose::Silent))?;
    assert!(history.get("loss")[29] < history.get("loss")[0]);
    Ok(())
}

#[test]
fn inputs_that_do_not_suit_are_refused() {
    let refused = |layer: LayerHandle, shapes: &[&[usize]], words: &[&str]| {
        let inputs: Vec<SymbolicTensor> = shapes.iter().map(|s| input(*s)).collect();
        let error = Model::new(&inputs, [&merge(layer, &inputs)]).unwrap_err();
        says(&error, words);
    };
    let makes: [fn(usize) -> LayerHandle; 2] =
        [|units| GraphConv::new(units).into(), |units| MessagePassing::new(units).into()];
    for (make, name) in makes.into_iter().zip(["graph_conv", "message_passing"]) {
        let layer = format!("layer `{name}`");
        refused(make(0), &[&[4, 3], &[5, 2]], &[&layer, "units = 0"]);
        refused(make(2), &[&[4, 3]], &[&layer, "inputs = 1", "nodes and edges"]);
        refused(make(2), &[&[4], &[5, 2]], &[&layer, "[4], [5, 2]", "[nodes, features]"]);
        refused(make(2), &[&[4, 3], &[5, 3]], &[&layer, "[4, 3], [5, 3]", "pairs"]);
        refused(make(2), &[&[4, 3], &[5, 2], &[6]], &[&layer, "[6]", "a weight for each edge"]);
    }
    let step = layer_step(
        &GraphConv::new(1),
        &[&numbers(&[1, 2, 1], 1), &numbers(&[1, 1, 2], 1)],
        &[&numbers(&[1, 1], 1), &numbers(&[1], 1)],
        None,
    );
    says(&step.err().expect("numbers are no edges"), &["f32", "u32"]);
}
