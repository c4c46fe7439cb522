//! Sequences: what does not fit is refused by layer and sizes, and what is masked whole gives numbers.

use super::*;
use support::device;

/// A model of one layer on samples of these shapes.
fn one(layer: impl Into<LayerHandle>, shapes: &[&[usize]]) -> Result<Model> {
    let inputs: Vec<SymbolicTensor> = shapes.iter().map(|&shape| input(shape)).collect();
    Model::new(&inputs, [&merge(layer.into(), &inputs)])
}

/// Every layer over steps of time, by its name and how many sequences it takes.
fn layers() -> Vec<(&'static str, LayerHandle, usize)> {
    vec![
        ("simple_rnn", SimpleRnn::new(2).into(), 1),
        ("lstm", Lstm::new(2).into(), 1),
        ("gru", Gru::new(2).into(), 1),
        ("rnn", Rnn::new(Dense::new(3), [[3]]).into(), 1),
        ("bidirectional", Bidirectional::new(Lstm::new(2)).into(), 1),
        ("time_distributed", TimeDistributed::new(Dense::new(2)).into(), 1),
        ("multi_head_attention", MultiHeadAttention::new(2, 3).into(), 1),
        ("group_query_attention", GroupedQueryAttention::new(2, 4, 2).into(), 1),
        ("attention", Attention::new().into(), 2),
        ("additive_attention", AdditiveAttention::new().into(), 2),
        ("transformer_encoder", TransformerEncoder::new(8, 3).into(), 1),
        ("transformer_decoder", TransformerDecoder::new(8, 3).into(), 1),
        ("position_embedding", PositionEmbedding::new(4).into(), 1),
        ("sine_position_encoding", SinePositionEncoding::new().into(), 1),
        ("rotary_embedding", RotaryEmbedding::new().into(), 1),
        ("global_average_pooling1d", GlobalAveragePooling1D::new().into(), 1),
        ("conv1d", Conv1D::new(2, 1).into(), 1),
    ]
}

#[test]
fn a_sequence_without_steps_is_refused_by_name() {
    for (name, layer, count) in layers() {
        let error = one(layer, &vec![&[0, 3][..]; count]).expect_err(name);
        says(&error, &[&format!("layer `{name}`"), "input", "[0, 3]", "1 or more"]);
    }
    let error = one(Embedding::new(5, 2), &[&[0]]).expect_err("embedding");
    says(&error, &["layer `embedding`", "input", "[0]", "1 or more"]);
    // A layer whose input has no steps by the layers before it.
    let model = Sequential::new([4, 3]).add(Conv1D::new(2, 5)).add(Lstm::new(2));
    says(&model.build().unwrap_err(), &["layer `conv1d`", "4, 3]", "covers 5"]);
}

/// Words of which 0 is padding, each followed by its class.
fn padded(rows: &[[u32; 4]]) -> TensorDataset {
    let x: Vec<u32> = rows.concat();
    let labels = x.iter().map(|id| id % 3).collect::<Vec<_>>();
    let shape = [rows.len(), 4];
    TensorDataset::new(Tensor::u32(shape, x).unwrap(), Tensor::u32(shape, labels).unwrap()).unwrap()
}

/// Vectors of words to what a layer or a few make of them.
type Head = fn(&SymbolicTensor) -> SymbolicTensor;

/// A batch of padding alone: its losses and metrics are zero, and its weights stay numbers.
#[test]
fn a_mask_that_is_all_false_gives_numbers() {
    let heads: Vec<(&str, Head)> = vec![
        ("simple_rnn", |x| x.then(SimpleRnn::new(5).return_sequences(true))),
        ("lstm", |x| x.then(Lstm::new(5).return_sequences(true))),
        ("gru", |x| x.then(Gru::new(5).return_sequences(true))),
        ("gru, reset before", |x| x.then(Gru::new(5).reset_after(false).return_sequences(true))),
        ("rnn", |x| x.then(Rnn::from_cell(LstmCell::new(5)).return_sequences(true))),
        ("bidirectional", |x| x.then(Bidirectional::new(Lstm::new(3).return_sequences(true)))),
        ("multi-head attention", |x| x.then(MultiHeadAttention::new(2, 3))),
        ("causal", |x| x.then(MultiHeadAttention::new(2, 3).use_causal_mask(true))),
        ("grouped queries", |x| x.then(GroupedQueryAttention::new(2, 4, 1))),
        ("attention", |x| merge(Attention::new(), [x, x])),
        ("concat", |x| merge(Attention::new().score_mode(ScoreMode::Concat), [x, x])),
        ("additive attention", |x| merge(AdditiveAttention::new(), [x, x])),
        ("encoder", |x| x.then(TransformerEncoder::new(8, 2))),
        ("decoder", |x| x.then(TransformerDecoder::new(8, 2))),
        ("decoder and encoder", |x| merge(TransformerDecoder::new(8, 2), [x, x])),
        ("norm", |x| x.then(BatchNormalization::new())),
        ("layer norm", |x| x.then(LayerNormalization::new())),
    ];
    for (name, head) in heads {
        let ids = input([4]);
        let y = head(&ids.then(Embedding::new(7, 6).mask_zero(true)));
        let epoch = of_padding(name, &Model::new([&ids], [&y.then(Dense::new(3))]).unwrap());
        assert_eq!(epoch, [0.0; 2], "{name}: loss and accuracy");
    }
}

/// A decoder whose second sequence is padding alone learns from its own.
#[test]
fn a_second_sequence_that_is_masked_whole_gives_numbers() {
    let heads: [(&str, LayerHandle); 5] = [
        ("decoder", TransformerDecoder::new(8, 2).into()),
        ("multi-head attention", MultiHeadAttention::new(2, 3).into()),
        ("grouped queries", GroupedQueryAttention::new(2, 4, 1).into()),
        ("attention", Attention::new().into()),
        ("additive attention", AdditiveAttention::new().into()),
    ];
    for (name, layer) in heads {
        let ids = input([4]);
        let words = ids.then(Embedding::new(7, 6));
        let padding = ids.then(Embedding::new(7, 6).mask_zero(true));
        let read = merge(Add, [&words, &merge(layer, [&words, &padding])]);
        let model = Model::new([&ids], [&read.then(Dense::new(3))]).unwrap();
        let [loss, accuracy] = of_padding(name, &model);
        // One class at all steps, of which the loss of a guess is 1.1.
        assert!(loss > 0.0 && loss < 3.0 && accuracy <= 1.0, "{name}: {loss}, {accuracy}");
    }
}

/// Trains on a batch of padding alone: its weights and outputs are numbers. Gives loss and accuracy of the second step.
fn of_padding(name: &str, model: &Model) -> [f64; 2] {
    let data = padded(&[[0; 4], [0; 4]]);
    let compile = Compile::new(Adam::default(), SPARSE).metrics([Metric::Accuracy]);
    let mut trainer = model.clone().compile(device(), compile).unwrap();
    let fit = Fit::new().batch_size(2).epochs(2).verbose(Verbose::Silent);
    let history = trainer.fit(&data, fit).unwrap();
    for (weight, values) in trainer.weights().unwrap() {
        assert!(values.as_f32().unwrap().iter().all(|v| v.is_finite()), "{name}: {weight}");
    }
    let y = trainer.predict(data.x()).unwrap();
    assert!(y.as_f32().unwrap().iter().all(|v| v.is_finite()), "{name}");
    ["loss", "accuracy"].map(|word| history.epochs[1].get(word).unwrap())
}

/// Every metric is 0 if no position counts, and says so once. The control: a position that counts is heard of.
#[test]
fn a_metric_of_no_position_is_zero_and_says_so_once() {
    let warnings = logged();
    let metrics = [
        Metric::SparseTopKCategoricalAccuracy { k: 2 },
        Metric::recall(ClassAverage::Macro),
        Metric::f1(None),
        Metric::mean_iou(),
    ];
    let of = |outputs, loss, metrics: &[Metric], x: [u32; 8], y: Tensor| {
        let embedded = Sequential::new([4]).add(Embedding::new(7, 6).mask_zero(true));
        let compile = Compile::new(Sgd::new(0.0), loss).metrics(metrics);
        let model = embedded.add(Dense::new(outputs));
        let mut trainer = model.compile(device(), compile).unwrap();
        let data = TensorDataset::new(Tensor::u32([2, 4], x).unwrap(), y).unwrap();
        [(); 2].map(|()| trainer.evaluate(&data).unwrap().metrics)
    };
    let labels = || Tensor::u32([2, 4], [0, 1, 2, 0, 1, 2, 0, 1]).unwrap();
    let numbers = || Tensor::f32([2, 4, 1], [0.0, 1.0].repeat(4)).unwrap();
    let squares = [Metric::RootMeanSquaredError, Metric::MeanAbsoluteError, Metric::R2Score];
    let binary = Loss::BinaryCrossentropy { from_logits: true };
    for (outputs, loss, metrics, y) in [
        (3, SPARSE, &metrics[..], labels()),
        (1, Loss::MeanSquaredError, &squares[..], numbers()),
        (1, binary, &[Metric::Auc, Metric::precision(ClassAverage::Binary)][..], numbers()),
    ] {
        let [first, second] = of(outputs, loss, metrics, [0; 8], y.clone());
        assert!(first.len() >= metrics.len() && first.iter().all(|(_, v)| *v == 0.0), "{first:?}");
        assert_eq!(first, second);
        for (name, _) in &first {
            let own = format!("metric `{name}` is 0");
            let heard = warnings.lock().unwrap().iter().filter(|w| w.starts_with(&own)).count();
            assert_eq!(heard, 1, "{own}");
        }
        let [some, _] = of(outputs, loss, metrics, [0, 3, 0, 1, 2, 0, 0, 4], y);
        assert!(some.iter().any(|(_, v)| *v != 0.0), "{some:?}");
    }
}

/// A loss of no position says so too, without a metric. The control: a position that counts is heard of.
#[test]
fn a_loss_of_no_position_says_so_once() {
    let warnings = logged();
    for (size, first, heard) in [(5, 0, 1), (6, 3, 0)] {
        let embedded = Sequential::new([4]).add(Embedding::new(7, 6).mask_zero(true));
        let mut trainer = compile(&embedded.add(Dense::new(3)), Sgd::new(0.0), SPARSE).unwrap();
        let x = std::iter::once(first).chain(std::iter::repeat_n(0, 4 * size - 1));
        let x = Tensor::u32([size, 4], x.collect::<Vec<u32>>()).unwrap();
        let data =
            TensorDataset::new(x, Tensor::u32([size, 4], vec![1; 4 * size]).unwrap()).unwrap();
        let losses = [(); 2].map(|()| trainer.evaluate(&data).unwrap().loss);
        assert_eq!(losses.map(|loss| loss == 0.0), [heard == 1; 2]);
        let own = format!("leaves out every position of a batch of {size} samples");
        let warnings = warnings.lock().unwrap();
        assert_eq!(warnings.iter().filter(|w| w.contains(&own)).count(), heard, "{warnings:?}");
    }
}

/// Layers that take the steps together: a mean, the last output, weights of attention.
#[test]
fn what_gathers_masked_steps_gives_numbers() {
    let embedded = || Sequential::new([4]).add(Embedding::new(7, 6).mask_zero(true));
    let gathered: Vec<(&str, Sequential)> = vec![
        ("mean", embedded().add(GlobalAveragePooling1D::new())),
        ("last", embedded().add(Lstm::new(5))),
        ("both ends", embedded().add(Bidirectional::new(Gru::new(5)))),
    ];
    let x = Tensor::u32([2, 4], vec![0, 0, 0, 0, 1, 2, 0, 0]).unwrap();
    let data = TensorDataset::new(x, Tensor::u32([2], vec![0, 1]).unwrap()).unwrap();
    for (name, model) in gathered {
        let mut trainer = compile(&model.add(Dense::new(3)), Adam::default(), SPARSE).unwrap();
        let fit = Fit::new().batch_size(2).verbose(Verbose::Silent);
        let loss = trainer.fit(&data, fit).unwrap().epochs[0].get("loss").unwrap();
        assert!(loss.is_finite(), "{name}: {loss}");
        let y = trainer.predict(data.x()).unwrap();
        assert!(y.as_f32().unwrap().iter().all(|v| v.is_finite()), "{name}: {y:?}");
        assert!(y.as_f32().unwrap()[..3] != y.as_f32().unwrap()[3..], "{name} heeds no word");
    }
}

#[test]
fn an_id_past_the_vocabulary_is_refused_with_its_place() {
    let model = Sequential::new([4]).add(Embedding::new(7, 2)).add(Lstm::new(2)).add(Dense::new(3));
    let mut trainer = compile(&model, Adam::default(), SPARSE).unwrap();
    let x = Tensor::u32([2, 4], vec![1, 2, 3, 4, 5, 6, 7, 0]).unwrap();
    let data = TensorDataset::new(x.clone(), Tensor::u32([2], vec![0, 1]).unwrap()).unwrap();
    let fit = || Fit::new().verbose(Verbose::Silent);
    for error in [
        trainer.fit(&data, fit()).map(drop).unwrap_err(),
        trainer.evaluate(&data).map(drop).unwrap_err(),
        trainer.predict(&x).map(drop).unwrap_err(),
        trainer.predictor().unwrap().predict(&x).map(drop).unwrap_err(),
    ] {
        says(&error, &["`input`", "element 6 is 7", "layer `embedding`", "7 ids 0..7"]);
    }
}

#[test]
fn heads_that_do_not_divide_are_refused_by_name() {
    for (name, layer) in [
        ("transformer_encoder", LayerHandle::new(TransformerEncoder::new(8, 4))),
        ("transformer_decoder", TransformerDecoder::new(8, 4).into()),
    ] {
        says(&one(layer, &[&[5, 6]]).unwrap_err(), &[name, "num_heads", "4", "6 features"]);
    }
    let layer = GroupedQueryAttention::new(3, 4, 3);
    says(&one(layer, &[&[5, 6]]).unwrap_err(), &["group_query_attention", "4", "3"]);
}

#[test]
fn a_stateful_layer_takes_its_own_batch_alone() {
    for (name, layer) in [
        ("lstm", LayerHandle::new(Lstm::new(2).stateful(2))),
        ("gru", Gru::new(2).stateful(2).into()),
        ("simple_rnn", SimpleRnn::new(2).stateful(2).into()),
    ] {
        let model = Sequential::new([4, 3]).add(layer).add(Dense::new(3));
        let mut trainer = compile(&model, Adam::default(), SPARSE).unwrap();
        let x = floats([3, 4, 3]);
        let data = TensorDataset::new(x, Tensor::u32([3], vec![0, 1, 2]).unwrap()).unwrap();
        let fit = Fit::new().batch_size(3).verbose(Verbose::Silent);
        let error = trainer.fit(&data, fit).map(drop).unwrap_err();
        says(&error, &[&format!("layer `{name}`"), "2 samples", "3"]);
    }
}

/// Outside of `fit` the batch size is set elsewhere: the error says where. With it, as many samples are taken as there are.
#[test]
fn a_stateful_layer_says_how_to_evaluate_and_predict_in_its_batch() {
    let model = || Sequential::new([4, 3]).add(Lstm::new(2).stateful(2)).add(Dense::new(3));
    let settings = || Compile::new(Adam::default(), SPARSE);
    let data = |n: usize| {
        let labels = Tensor::u32([n], (0..n as u32).map(|i| i % 3).collect::<Vec<_>>()).unwrap();
        TensorDataset::new(floats([n, 4, 3]), labels).unwrap()
    };
    let (pair, more) = (data(2), data(4));
    let fit = || Fit::new().batch_size(2).verbose(Verbose::Silent);
    let mut trainer = model().compile(device(), settings()).unwrap();
    let predictor = trainer.predictor().unwrap();
    for error in [
        trainer.evaluate(&more).map(drop).unwrap_err(),
        trainer.predict(more.x()).map(drop).unwrap_err(),
        trainer.fit(&pair, fit().validation_data(&more)).map(drop).unwrap_err(),
        predictor.predict(more.x()).map(drop).unwrap_err(),
    ] {
        let ways = ["Compile::evaluation_batch_size(2)", "Predictor::batch_size(2)"];
        says(&error, &["layer `lstm`", "2 samples", "given 4", ways[0], ways[1]]);
    }
    let mut trainer = model().compile(device(), settings().evaluation_batch_size(2)).unwrap();
    trainer.fit(&pair, fit().validation_data(&more)).unwrap();
    assert!(trainer.evaluate(&more).unwrap().loss.is_finite());
    let y = trainer.predict(more.x()).unwrap();
    let predictor = trainer.predictor().unwrap().batch_size(2);
    assert_eq!(predictor.predict(more.x()).unwrap(), y);
}
