//! Values of another graph, and tensors without elements.

use super::*;
use std::collections::BTreeSet;
use std::path::Path;
use wgrad::graph::{Graph, TensorType, Value, View};
use wgrad::layers::Model;
use wgrad::ops::registry::{Sample, cards};
use wgrad::ops::{CrossEntropyKind, CustomKernel};
use wgrad::passes::Passes;
use wgrad::plan::Plan;

type Build = fn(&mut Graph, Value, Value) -> Result<Value>;

/// The functions that build from values and that no case of the registry calls, or whose step words are operands too,
/// by name: applied to a value of the graph and a foreign one, which takes each place in turn if there are several.
const BUILDERS: &[(&str, Build)] = &[
    ("add", |g, x, v| g.add(v, x)),
    ("sub", |g, x, v| g.sub(x, v)),
    ("mul", |g, x, v| g.mul(x, v)),
    ("div", |g, x, v| g.div(v, x)),
    ("pow", |g, x, v| g.pow(x, v)),
    ("not_equal", |g, x, v| g.not_equal(v, x)),
    ("sqrt", |g, _, v| g.sqrt(v)),
    ("to_f32", |g, _, v| g.to_f32(v)),
    ("scale", |g, _, v| g.scale(v, 2.0)),
    ("random_uniform", |g, _, v| g.random_uniform([4], v, v, 0)),
    ("random_normal", |g, _, v| g.random_normal([4], v, v, 0)),
    ("broadcast_to", |g, x, v| g.broadcast_to(v, g.shape(x).clone())),
    ("crop", |g, _, v| g.crop(v, &[0..1, 0..1])),
    ("sum", |g, _, v| g.sum(v, &[0], false)),
    ("mean", |g, _, v| g.mean(v, &[], true)),
    ("max", |g, _, v| g.max(v, &[1], true)),
    ("min", |g, _, v| g.min(v, &[1], true)),
    ("product", |g, _, v| g.product(v, &[0], false)),
    ("kernel", |g, _, v| {
        let text = "@compute @workgroup_size(1) fn main() { y[0] = x[0]; }";
        let kernel = CustomKernel::new("first", text).input("x");
        Ok(g.kernel(&kernel.output("y", TensorType::f32([1])), &[v])?[0])
    }),
    ("cumsum", |g, _, v| g.cumsum(v, 0)),
    ("depthwise_convolution", |g, x, v| g.depthwise_convolution(v, x, &[])),
    ("attention", |g, x, v| g.attention([x, x, v], 1.0, false, None)),
    ("sum_to", |g, x, v| g.sum_to(v, &g.shape(x).clone())),
    ("gather", |g, x, v| g.gather(x, v)),
    ("gather_batch", |g, x, v| Ok(g.gather_batch(v, x, 1, &[(x, 1.0)])?[0])),
    ("record", |g, x, v| g.record(x, x, &[v], &[0])),
    ("cross_entropy", |g, x, v| Ok(g.cross_entropy(CrossEntropyKind::Binary, x, v, 1.0)?.0)),
    ("matmul", |g, x, v| g.matmul(v, x)),
    ("contract_views", |g, x, v| {
        g.contract_views((x, View::whole([1, 2, 3])), (v, View::whole([1, 3, 2])))
    }),
    ("convolution", |g, x, v| g.convolution(x, v, &[], 1)),
    ("convolution_kernel", |g, x, v| g.convolution_kernel(x, v, &[], 1)),
    ("convolution_transpose", |g, x, v| g.convolution_transpose(v, x, &[], 1, &[])),
    ("update", |g, x, v| g.update(x, v).map(|()| x)),
    ("gradients", |g, x, v| Ok(wgrad::autodiff::gradients(g, x, &[v])?[0])),
    ("Activation::apply", |g, _, v| Activation::Linear.apply(g, v)),
    ("Loss::build", |g, x, v| Ok(Loss::MeanSquaredError.build(g, v, x)?.rows)),
    ("Metric::build", |g, x, v| {
        let loss = Loss::MeanSquaredError;
        let values = loss.build(g, x, x)?;
        Ok(Metric::MeanAbsoluteError.build(g, &loss, &values, x, v)?[0])
    }),
    ("Model::apply", |g, _, v| Ok(model()?.apply(g, &[v], &[], None)?[0])),
    ("Flatten::apply", |g, _, v| {
        Ok(Layer::apply(&Flatten, g, &wgrad::layers::Context::new("flatten", &[v]))?.values[0])
    }),
];

fn model() -> Result<Model> {
    Sequential::new([3]).add(Flatten).build()
}

/// A value past the end of the other graph, and one whose index the other graph has too.
#[test]
fn a_value_of_another_graph_is_refused_by_every_builder() {
    for (name, build) in BUILDERS {
        for nodes in [1, 9] {
            let mut other = Graph::new();
            let foreign = (0..nodes).map(|i| other.state(&format!("s{i}"), [2, 3], DType::F32));
            let foreign = foreign.last().expect("a value");
            let mut g = Graph::new();
            let x = g.state("x", [2, 3], DType::F32);
            let before = g.to_string();
            let error = build(&mut g, x, foreign).expect_err(name);
            assert!(matches!(error, Error::Parameter { .. }), "{name}: {error:?}");
            says(&error, &["operand of", "is a value of another graph; build all operands in one"]);
            // What was built before the error is harmless; the graph as it was stays.
            assert!(g.to_string().starts_with(&before), "{name}");
        }
    }
}

/// Each operand of a case of each op in turn is of another graph.
#[test]
fn a_value_of_another_graph_is_refused_by_every_op() {
    let mut asked = 0;
    for card in cards() {
        let case = &card.cases[0];
        for at in 0..case.inputs.len() {
            let (mut g, mut other) = (Graph::new(), Graph::new());
            let mut of = |(i, sample): (usize, &Sample)| {
                let graph = if i == at { &mut other } else { &mut g };
                graph.input(&format!("in{i}"), sample.shape.clone(), sample.dtype)
            };
            let inputs: Vec<Value> = case.inputs.iter().enumerate().map(&mut of).collect();
            let error = (case.build)(&mut g, case, &inputs).expect_err(card.name);
            assert!(matches!(error, Error::Parameter { .. }), "{case}: {error:?}");
            says(&error, &["operand of", "is a value of another graph; build all operands in one"]);
            asked += 1;
        }
    }
    assert!(asked > 100, "{asked} operands");
}

/// Every function of `src/ops` that takes values is called by a case of the registry, or is in the table above.
#[test]
fn every_builder_is_asked() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ops");
    let mut found = BTreeSet::new();
    let mut cases = std::fs::read_to_string(folder.join("registry/cases.rs")).unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = if path.is_file() { std::fs::read_to_string(path).unwrap() } else { continue };
        cases.extend(text.split("\nmod cases {").skip(1));
        for block in text.split("\nimpl Graph {").skip(1) {
            let block = block.split("\n}\n").next().unwrap();
            for function in block.split("\n    pub fn ").skip(1) {
                let (signature, _) = function.split_once(" {\n").unwrap();
                let name: String = signature.chars().take_while(|&c| c != '(').collect();
                found.extend((signature.matches("Value").count() > 1).then_some(name));
            }
        }
    }
    let table: BTreeSet<String> = BUILDERS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert!(found.len() > 30, "{found:?}");
    let called = |name: &String| cases.contains(&format!("g.{name}("));
    assert!(called(&"softmax".into()) && !called(&"sum_to".into()));
    found.retain(|name| !called(name));
    assert_eq!(found.difference(&table).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn an_output_of_another_graph_is_refused_when_compiled() {
    let mut other = Graph::new();
    let foreign = other.input("y", [4], DType::F32);
    let mut g = Graph::new();
    let x = g.input("x", [4], DType::F32);
    g.output("x", x);
    g.output("far", foreign);
    let caps = support::device().caps();
    for plan in [Plan::compile(&g, &Passes::default(), caps), Plan::lower(&g, caps)] {
        refused!(plan, Error::Parameter { .. }, "operand of the output `far`", "another graph");
    }
}

/// A clone knows the values from before it was cloned, and no later ones of the original.
#[test]
fn a_clone_shares_what_was_built_before() -> Result<()> {
    let mut g = Graph::new();
    let x = g.input("x", [4], DType::F32);
    let mut clone = g.clone();
    let (a, b) = (g.neg(x)?, clone.neg(x)?);
    assert!(g.holds(a) && clone.holds(b) && !g.holds(b) && !clone.holds(a));
    refused!(clone.neg(a), Error::Parameter { .. }, "operand of neg", "another graph");
    Ok(())
}

#[test]
#[should_panic(expected = "%0 is a value of another graph")]
fn looking_up_a_value_of_another_graph_says_so() {
    let foreign = Graph::new().constant(1.0);
    let mut g = Graph::new();
    g.constant(1.0);
    let _ = g.shape(foreign);
}

#[test]
fn tensors_without_elements_are_refused() {
    let zero = "an extent is zero; every extent is 1 or more";
    let one = |g: &mut Graph, dims: &[usize]| g.input("x", dims, DType::F32);
    let cases: &[(&str, Build)] = &[
        ("neg", |g, empty, _| g.neg(empty)),
        ("add", |g, empty, x| g.add(x, empty)),
        ("matmul", |g, empty, x| g.matmul(x, empty)),
        ("concatenate", |g, empty, x| g.concatenate(&[x, empty], 0)),
        ("mean", |g, empty, _| g.mean(empty, &[], false)),
        ("transpose", |g, empty, _| g.transpose(empty, &[1, 0])),
        ("softmax", |g, empty, _| g.softmax(empty)),
        ("random_uniform", |g, _, _| {
            let word = g.step_param("word", DType::U32)?;
            g.random_uniform([3, 0], word, word, 0)
        }),
        ("one_hot", |g, _, _| {
            let labels = g.input("labels", [2], DType::U32);
            g.one_hot(labels, 0)
        }),
        ("broadcast", |g, _, _| {
            let c = g.constant(1.0);
            g.broadcast_to(c, [0])
        }),
    ];
    for dims in [[0, 2], [2, 0]] {
        for (name, build) in cases {
            let mut g = Graph::new();
            let x = g.input("full", [2, 2], DType::F32);
            let empty = one(&mut g, &dims);
            let error = build(&mut g, empty, x).expect_err(name);
            // Some do not fit for another reason too, which the message gives first.
            assert!(matches!(error, Error::Shape { .. }), "{name}: {error}");
            assert!(
                error.to_string().contains(zero) || error.to_string().contains("do not fit"),
                "{name}: {error}"
            );
        }
    }
    // One that nothing reads but the caller.
    let mut g = Graph::new();
    let x = g.input("x", [3, 0], DType::F32);
    g.output("x", x);
    let caps = support::device().caps();
    refused!(
        Plan::compile(&g, &Passes::none(), caps),
        Error::Shape { .. },
        "input x",
        "[3, 0]",
        zero
    );
    refused!(Plan::lower(&g, caps), Error::Shape { .. }, "input x", "[3, 0]", zero);
}

/// A layer of a user that gives no elements, or asks for a weight without any.
#[derive(Debug)]
struct Nothing {
    weight: bool,
}

impl Layer for Nothing {
    fn kind(&self) -> &'static str {
        "Nothing"
    }

    fn output_shape(&self, _inputs: &[Shape]) -> Result<Shape> {
        Ok(if self.weight { [4].into() } else { [0].into() })
    }

    fn weights(&self, _inputs: &[Shape]) -> Vec<wgrad::layers::WeightSpec> {
        let spec = || {
            let (initializer, penalty) = (Initializer::Zeros, Regularizer::default());
            wgrad::layers::WeightSpec::new("kernel", [4, 0], initializer, penalty)
        };
        self.weight.then(spec).into_iter().collect()
    }

    fn apply(
        &self,
        _graph: &mut Graph,
        cx: &wgrad::layers::Context,
    ) -> Result<wgrad::layers::Outputs> {
        Ok(cx.input().into())
    }
}

#[test]
fn models_without_elements_are_refused_by_name() {
    let build = |weight| Sequential::new([4]).add(Nothing { weight }).add(Dense::new(3)).build();
    let zero = "an extent is zero; every extent is 1 or more";
    refused!(build(false), Error::Shape { .. }, "layer `nothing`: one sample", "[0]", zero);
    refused!(build(true), Error::Shape { .. }, "layer `nothing`: kernel", "[4, 0]", zero);
    refused!(Sequential::new([2, 0]).add(Flatten).build(), Error::Shape { .. }, "input", zero);
}

#[test]
fn a_model_is_applied_to_as_many_values_as_it_has() {
    let mut g = Graph::new();
    let x = g.input("x", [2, 3], DType::F32);
    let model = Sequential::new([3]).add(Dense::new(2)).build().unwrap();
    let apply =
        |g: &mut Graph, inputs: &[Value], weights: &[Value]| model.apply(g, inputs, weights, None);
    refused!(apply(&mut g, &[x, x], &[x, x]), Error::Parameter { .. }, "inputs = 2", "has 1");
    refused!(apply(&mut g, &[x], &[x]), Error::Parameter { .. }, "weights = 1", "has 2");
}
