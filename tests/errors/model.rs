//! What is refused when a model is built.

use super::*;
use wgrad::graph::Graph;

#[test]
fn layers_name_the_setting_that_is_wrong() {
    let refuse = |layer: Dense, words: &[&str]| {
        let model = Sequential::new([4]).add(Dense::new(5)).add(layer);
        let error = trainer_error(&model);
        assert!(matches!(error, Error::Parameter { .. }), "{error:?}");
        says(&error, &[&["layer `dense_1`"], words].concat());
    };
    refuse(Dense::new(0), &["units = 0", "at least one unit"]);
    let nan = f32::NAN;
    let leaky = Activation::LeakyRelu { negative_slope: nan };
    refuse(Dense::new(2).activation(leaky), &["leaky_relu = NaN", "finite"]);
    let elu = Activation::Elu { alpha: f32::INFINITY };
    refuse(Dense::new(2).activation(elu), &["elu = inf", "finite"]);
    let clipped = Activation::ClippedLinear { low: 1.0, high: 1.0 };
    refuse(Dense::new(2).activation(clipped), &["clipped_linear = [1, 1]", "low lies below high"]);
    for bad in [-0.1, nan, f32::INFINITY] {
        refuse(Dense::new(2).kernel_regularizer(Regularizer::l1(bad)), &["l1 = ", "0 or more"]);
        refuse(Dense::new(2).bias_regularizer(Regularizer::l2(bad)), &["l2 = ", "0 or more"]);
    }
    let constant = Initializer::Constant(nan);
    refuse(Dense::new(2).bias_initializer(constant), &["constant = NaN", "finite"]);
    let uniform = Initializer::Uniform { low: 1.0, high: 0.0 };
    refuse(Dense::new(2).kernel_initializer(uniform), &["low = 1", "below high = 0"]);
    let normal = Initializer::Normal { mean: 0.0, stddev: -1.0 };
    refuse(Dense::new(2).kernel_initializer(normal), &["stddev = -1", "0 or more"]);
}

fn trainer_error(model: &Sequential) -> Error {
    // The table and the device give the same answer.
    let summary = model.summary().unwrap_err().to_string();
    let error = compile(model, Sgd::default(), SPARSE).unwrap_err();
    assert_eq!(summary, error.to_string());
    error
}

#[test]
fn a_dropout_rate_lies_below_one() {
    for rate in [-0.1, 1.0, 1.5, f32::NAN, f32::INFINITY] {
        let model = linear().add(Dropout::new(rate));
        let error = trainer_error(&model);
        assert!(matches!(error, Error::Parameter { .. }), "{error:?}");
        says(&error, &["layer `dropout`", "rate = ", "[0, 1)"]);
    }
}

#[test]
fn models_have_layers_of_different_names() {
    let error = trainer_error(&Sequential::new([4]));
    assert!(matches!(error, Error::Parameter { .. }));
    says(&error, &["layers = 0", "at least one layer; add one"]);

    let twice = Sequential::new([4]).add_named("a", Dense::new(3)).add_named("a", Dense::new(3));
    let error = trainer_error(&twice);
    assert!(matches!(error, Error::Parameter { .. }));
    says(&error, &["name = a", "two layers", "add_named"]);
}

#[test]
fn shapes_that_do_not_fit_a_layer_are_named() {
    let error = trainer_error(&Sequential::new(Shape::scalar()).add(Dense::new(3)));
    assert!(matches!(error, Error::Shape { .. }));
    says(&error, &["layer `dense`", "dense", "[]", "last axis"]);

    let error = trainer_error(&Sequential::new([4, 0]).add(Flatten));
    assert!(matches!(error, Error::Shape { .. }));
    says(&error, &["input", "[4, 0]", "zero"]);

    let error = trainer_error(&Sequential::new(Shape::scalar()).add(Activation::Softmax));
    assert!(matches!(error, Error::Shape { .. }));
    says(&error, &["layer `activation`", "softmax", "[]", "axis"]);

    let scalar = Sequential::new(Shape::scalar()).add(Activation::Relu);
    let error = compile(&scalar, Sgd::default(), SPARSE).unwrap_err();
    assert!(matches!(error, Error::Shape { .. }));
    says(&error, &["sparse_categorical_crossentropy", "[]", "class axis"]);
}

#[test]
fn sizes_that_overflow_are_refused_before_anything_is_multiplied() {
    for units in [usize::MAX, usize::MAX / 4, 1 << 40] {
        for model in [
            Sequential::new([4]).add(Dense::new(units)),
            Sequential::new([4, 4]).add(Dense::new(units)).add(Flatten),
        ] {
            let error = trainer_error(&model);
            assert!(matches!(error, Error::Limit { .. }), "{error:?}");
            says(&error, &["layer `dense`", "fewer units"]);
        }
    }
    let wide = Sequential::new([usize::MAX, 3]).add(Flatten);
    refused!(wide.summary(), Error::Limit { .. }, "input", "4294967295");
    refused!(Tensor::f32([usize::MAX, 2], vec![]), Error::Shape { .. }, "tensor", "0 elements");
    refused!(Tensor::f32([1 << 63, 2], vec![]), Error::Shape { .. }, "tensor", "0 elements");
}

fn refuse_rule(rule: impl Optimizer + 'static, words: &[&str]) {
    let error = compile(&linear(), rule, SPARSE).unwrap_err();
    assert!(matches!(error, Error::Parameter { .. }), "{error:?}");
    says(&error, words);
}

#[test]
fn optimizers_name_the_setting_that_is_wrong() {
    const LOW: &str = "a finite number, 0 or more";
    const UNIT: &str = "lies in [0, 1)";
    for bad in [-0.1, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let shown = format!("learning_rate = {bad}");
        refuse_rule(Sgd::new(bad), &["SGD", &shown, LOW]);
        refuse_rule(RmsProp::new(bad), &["RMSprop", &shown, LOW]);
        refuse_rule(Adagrad::new(bad), &["Adagrad", &shown, LOW]);
        refuse_rule(Adam::new(bad), &["Adam", &shown, LOW]);
        refuse_rule(AdamW::new(bad, 0.0), &["Adam", &shown, LOW]);
        refuse_rule(Sgd { decay: bad, ..Sgd::default() }, &["SGD", "decay", LOW]);
        refuse_rule(AdamW::new(0.1, bad), &["AdamW", "weight_decay", LOW]);
        refuse_rule(RmsProp { epsilon: bad, ..RmsProp::default() }, &["RMSprop", "epsilon", LOW]);
        refuse_rule(Adagrad { epsilon: bad, ..Adagrad::default() }, &["Adagrad", "epsilon", LOW]);
        refuse_rule(Adam { epsilon: bad, ..Adam::default() }, &["Adam", "epsilon", LOW]);
        let rule = Adagrad { initial_accumulator_value: bad, ..Adagrad::default() };
        refuse_rule(rule, &["Adagrad", "initial_accumulator_value", LOW]);
    }
    for bad in [-0.1, 1.0, f32::NAN, f32::INFINITY] {
        refuse_rule(Sgd { momentum: bad, ..Sgd::default() }, &["SGD", "momentum", UNIT]);
        refuse_rule(
            RmsProp { momentum: bad, ..RmsProp::default() },
            &["RMSprop", "momentum", UNIT],
        );
        refuse_rule(RmsProp { rho: bad, ..RmsProp::default() }, &["RMSprop", "rho", UNIT]);
        refuse_rule(Adam { beta_1: bad, ..Adam::default() }, &["Adam", "beta_1", UNIT]);
        refuse_rule(Adam { beta_2: bad, ..Adam::default() }, &["Adam", "beta_2", UNIT]);
    }
}

#[test]
fn a_huber_delta_is_above_zero() {
    for delta in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let loss = Loss::Huber { delta };
        let error = compile(&linear(), Sgd::default(), loss).unwrap_err();
        assert!(matches!(error, Error::Parameter { .. }), "{error:?}");
        says(&error, &["huber", "delta = ", "finite number above 0"]);
    }
}

#[test]
fn a_gradient_needs_a_scalar_and_a_path() {
    let mut g = Graph::new();
    let x = g.input("x", [2, 3], DType::F32);
    let error = wgrad::autodiff::gradients(&mut g, x, &[x]);
    refused!(error, Error::Shape { .. }, "gradients", "[2, 3]", "sum or average it first");
}

#[test]
fn operands_that_do_not_fit_name_both_shapes() {
    let mut g = Graph::new();
    let a = g.input("a", [2, 3], DType::F32);
    let b = g.input("b", [4, 5], DType::F32);
    let n = g.input("n", [2, 3], DType::U32);
    let k = g.input("k", [3, 2], DType::U32);
    refused!(g.add(a, b), Error::Shape { .. }, "add", "[2, 3]", "[4, 5]");
    refused!(g.matmul(a, b), Error::Shape { .. }, "matmul", "[2, 3]", "[4, 5]");
    refused!(g.reshape(a, [7]), Error::Shape { .. }, "reshape", "[2, 3]", "[7]");
    refused!(g.sum(a, &[2], false), Error::Shape { .. }, "sum", "[2, 3]");
    refused!(g.transpose(a, &[0]), Error::Shape { .. }, "transpose", "[2, 3]", "permutation");
    refused!(g.transpose(a, &[1, 1]), Error::Shape { .. }, "transpose", "[2, 3]", "permutation");
    refused!(g.slice(a, 1, 2..4), Error::Shape { .. }, "slice", "[2, 3]", "2..4 of axis 1");
    refused!(g.slice(a, 2, 0..1), Error::Shape { .. }, "slice", "[2, 3]", "axis 2");
    refused!(g.slice(a, 1, 1..1), Error::Shape { .. }, "slice", "[2, 3]", "1..1");
    refused!(g.concatenate(&[a, b], 0), Error::Shape { .. }, "[2, 3]", "[4, 5]", "axis 0");
    refused!(g.concatenate(&[a, a], 2), Error::Shape { .. }, "[2, 3]", "axis 2");
    refused!(g.concatenate(&[], 0), Error::Shape { .. }, "concatenate", "axis 0");
    let mut nine = vec![a; 8];
    nine.push(b);
    refused!(g.concatenate(&nine, 0), Error::Shape { .. }, "[2, 3], [2, 3], [2, 3]", "[4, 5]");
    refused!(g.slice(n, 0, 0..1), Error::DType { .. }, "slice", "u32");
    refused!(g.concatenate(&[a, n], 0), Error::DType { .. }, "concatenate", "f32, u32");
    refused!(g.add(a, n), Error::DType { .. }, "add", "f32", "u32");
    refused!(g.matmul(a, k), Error::DType { .. }, "matmul", "u32");
    refused!(g.softmax(n), Error::DType { .. }, "softmax", "u32");
    refused!(g.unary("no_such", a, &[]), Error::Parameter { .. }, "no_such");
    refused!(g.unary("sigmiod", a, &[]), Error::Parameter { .. }, "nearest are sigmoid");
    refused!(g.unary("add", a, &[]), Error::Parameter { .. }, "call Graph::binary");
    refused!(g.unary("relu", a, &[1.0]), Error::Parameter { .. }, "relu", "0 parameters");
    refused!(g.step_param("x", DType::U8), Error::DType { .. }, "u8", "f32 or u32");
    let inside = g.in_layer("hidden", |g| g.add(a, b));
    refused!(inside, Error::Shape { .. }, "layer `hidden`: add");
}
