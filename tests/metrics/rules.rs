//! Rules that several metrics share: which accuracy suits which shapes, what NaN counts as, and that counts are whole.

use super::*;
use wgrad::layers::Reshape;
use wgrad::metrics::{
    NO_CLASS, accuracy_score, classes, confusion_matrix, precision_score, recall_score,
    top_k_accuracy_score,
};

const SPARSE: Loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
const BINARY: Loss = Loss::BinaryCrossentropy { from_logits: true };
const PROBABILITY: Loss = Loss::BinaryCrossentropy { from_logits: false };
const HALF: f32 = 0.5;

/// Every loss whose targets have the shape of the predictions.
fn losses() -> Vec<Loss> {
    let categorical = |from_logits| Loss::CategoricalCrossentropy { from_logits };
    let huber = Loss::Huber { delta: 1.0 };
    let errors = [Loss::MeanSquaredError, Loss::MeanAbsoluteError, huber];
    [&errors[..], &[BINARY, PROBABILITY, categorical(true), categorical(false)]].concat()
}

/// The number of this name.
fn get(evaluation: &Evaluation, name: &str) -> Result<f64> {
    evaluation.get(name).with_context(|| format!("no {name} in {evaluation:?}"))
}

#[test]
fn accuracy_goes_by_the_shapes_as_in_keras_3() -> Result<()> {
    // Keras 3's `get_metric`: binary if the last axis of predictions has one element, sparse if targets have an axis
    // less, else categorical. Here 2 of 2 classes and 4 of 6 outputs are right.
    let p = Tensor::f32([2, 3], [0.4, 0.3, 0.3, 0.1, 0.45, 0.45])?;
    let y = one_hot(&[0, 1], 3);
    let metrics = [Metric::Accuracy];
    for loss in losses() {
        compare(loss.name(), get(&evaluate(&p, &y, loss, &metrics, 2)?, "accuracy")?, 1.0, 0.0)?;
    }
    let labels = Tensor::u32([2], [0, 2])?;
    compare("sparse", get(&evaluate(&p, &labels, SPARSE, &metrics, 2)?, "accuracy")?, 0.5, 0.0)?;
    // One output: on its side of 0.5, or of 0 for logits. In Keras that is 0.5 for logits too.
    let p = Tensor::f32([4, 1], [0.4, 0.6, 0.2, -0.1])?;
    let y = Tensor::f32([4, 1], [0.0, 1.0, 1.0, 0.0])?;
    for loss in [Loss::MeanSquaredError, PROBABILITY, BINARY] {
        let both = [Metric::Accuracy, Metric::BinaryAccuracy { threshold: HALF }];
        let evaluation = evaluate(&p, &y, loss, &both, 3)?;
        compare(loss.name(), get(&evaluation, "accuracy")?, 0.75, 0.0)?;
        compare(loss.name(), get(&evaluation, "binary_accuracy")?, 0.75, 0.0)?;
    }
    let right = [(PROBABILITY, 0.5), (BINARY, 1.0)];
    let (p, y) = (Tensor::f32([2, 1], [0.2, -0.2])?, Tensor::f32([2, 1], [1.0, 0.0])?);
    for (loss, want) in right {
        compare(loss.name(), get(&evaluate(&p, &y, loss, &metrics, 3)?, "accuracy")?, want, 0.0)?;
    }
    Ok(())
}

#[test]
fn accuracy_of_positions_goes_by_the_last_axis() -> Result<()> {
    let evaluate = |sample: &[isize], y: &[usize]| -> Result<f64> {
        let model = Sequential::new([6]).add(Reshape::new(sample.to_vec()));
        let settings = Compile::new(Sgd::default(), Loss::MeanSquaredError);
        let mut trainer = model.compile(device(), settings.metrics([Metric::Accuracy]))?;
        let x = Tensor::f32([1, 6], [0.9, 0.1, 0.2, 0.8, 0.6, 0.4])?;
        let data = TensorDataset::new(x, Tensor::f32(y.to_vec(), [1.0, 0.0, 1.0, 0.0, 1.0, 1.0])?)?;
        get(&trainer.evaluate(&data)?, "accuracy")
    };
    // Three positions of two classes: the second is wrong, the third is tied and has the first class.
    compare("[3, 2]", evaluate(&[3, 2], &[1, 3, 2])?, 2.0 / 3.0, EXACT)?;
    // Six outputs: 0.2, 0.8 and 0.4 are on the wrong side.
    compare("[6, 1]", evaluate(&[6, 1], &[1, 6, 1])?, 0.5, EXACT)?;
    compare("[1, 6]", evaluate(&[1, 6], &[1, 1, 6])?, 1.0, 0.0)
}

/// Accuracy, micro recall, top-1 and the matrix's accuracy, of several classes on the device.
fn answers(p: &Tensor, labels: &[u32], loss: Loss) -> Result<(Vec<f64>, ConfusionMatrix)> {
    let micro = [Metric::recall(ClassAverage::Micro), Metric::f1(ClassAverage::Micro)];
    let (own, y) = match loss.takes_labels() {
        true => (
            [Metric::SparseTopKCategoricalAccuracy { k: 1 }, Metric::SparseCategoricalAccuracy],
            Tensor::u32([labels.len()], labels)?,
        ),
        false => (
            [Metric::TopKCategoricalAccuracy { k: 1 }, Metric::CategoricalAccuracy],
            one_hot(labels, p.shape().dims()[1]),
        ),
    };
    let rest = [Metric::Accuracy, Metric::ConfusionMatrix { threshold: HALF }];
    let metrics = [&micro[..], &own, &rest].concat();
    let evaluation = evaluate(p, &y, loss, &metrics, 3)?;
    let matrix = evaluation.confusion_matrix().context("a matrix")?.clone();
    let mut all: Vec<f64> = evaluation.metrics.iter().map(|(_, value)| *value).collect();
    all.push(matrix.accuracy());
    Ok((all, matrix))
}

#[test]
fn every_metric_has_one_answer_to_nan() -> Result<()> {
    let nan = f32::NAN;
    let labels = [0, 1, 2, 0, 1];
    // One NaN before, at and after the largest number, rows of NaN, and NaN of both signs.
    let rows = [
        [nan, nan, nan, nan],
        [nan, 0.9, 0.1, 0.0],
        [0.1, 0.2, 0.9, -nan],
        [0.9, 0.1, 0.0, 0.0],
        [0.9, 0.1, 0.0, 0.0],
    ];
    let flat = rows.as_flattened().to_vec();
    let p = Tensor::f32([5, 4], flat)?;
    let categorical = Loss::CategoricalCrossentropy { from_logits: true };
    for loss in [SPARSE, categorical, Loss::MeanSquaredError] {
        let (answers, matrix) = answers(&p, &labels, loss)?;
        ensure!(answers == [0.2; 6], "{loss:?}: {answers:?}");
        ensure!(matrix.samples() == 5 && matrix.unclassified() == [1, 1, 1, 0], "{matrix:?}");
        ensure!(matrix.get(0, 0) == Some(1) && matrix.get(1, 0) == Some(1), "{matrix:?}");
        // The host's functions agree.
        let predicted = classes(&p, HALF)?;
        ensure!(predicted == [NO_CLASS, NO_CLASS, NO_CLASS, 0, 0], "{predicted:?}");
        ensure!(confusion_matrix(&labels, &predicted, 4)? == matrix);
        ensure!(accuracy_score(&labels, &predicted)? == 0.2);
        ensure!(recall_score(&labels, &predicted, ClassAverage::Micro)? == 0.2);
        ensure!(top_k_accuracy_score(&labels, &p, 1)? == 0.2);
        ensure!(top_k_accuracy_score(&labels, &p, 4)? == 0.4);
        // A class that is missed lowers no other's precision: of class 0 one prediction of two is right.
        ensure!(matrix.precision_per_class()[0] == 0.5 && matrix.recall_per_class()[0] == 0.5);
        ensure!(precision_score(&labels, &predicted, ClassAverage::Macro)? == 0.5 / 3.0);
    }
    let labels_of_none = confusion_matrix(&[0, NO_CLASS], &[0, 0], 4).unwrap_err();
    support::says(&labels_of_none, &["element 1"]);
    // Without NaN the answer differs.
    let finite = Tensor::f32([5, 4], rows.map(|_| [0.0, 0.9, 0.1, 0.0]).as_flattened().to_vec())?;
    let (answers, _) = answers(&finite, &labels, SPARSE)?;
    ensure!(answers == [0.4; 6], "{answers:?}");
    Ok(())
}

#[test]
fn a_single_output_has_one_answer_to_nan() -> Result<()> {
    let nan = f32::NAN;
    let p = Tensor::f32([5, 1], [nan, nan, 0.9, 0.1, -nan])?;
    let y = Tensor::f32([5, 1], [0.0, 1.0, 1.0, 0.0, 0.0])?;
    let metrics = [
        Metric::Accuracy,
        Metric::BinaryAccuracy { threshold: HALF },
        Metric::recall(ClassAverage::Micro),
        Metric::ConfusionMatrix { threshold: HALF },
    ];
    for loss in [PROBABILITY, BINARY, Loss::MeanSquaredError] {
        let threshold = if loss == BINARY { 0.0 } else { 0.5 };
        let evaluation = evaluate(&p, &y, loss, &metrics, 2)?;
        let predicted = classes(&p, threshold)?;
        let labels = classes(&y, HALF)?;
        let want = accuracy_score(&labels, &predicted)?;
        ensure!(want == if loss == BINARY { 0.2 } else { 0.4 }, "{loss:?}: {want}");
        for (name, value) in &evaluation.metrics {
            compare(name, *value, want, 0.0)?;
        }
        let matrix = evaluation.confusion_matrix().context("a matrix")?;
        ensure!(*matrix == confusion_matrix(&labels, &predicted, 2)?, "{matrix:?}");
        ensure!(matrix.unclassified() == [2, 1] && matrix.accuracy() == want, "{matrix:?}");
    }
    Ok(())
}

#[test]
fn counts_of_many_outputs_are_whole() -> Result<()> {
    // 50,351 of 100,000 labels of each sample are right.
    const LABELS: usize = 100_000;
    const RIGHT: usize = 50_351;
    let p = Tensor::f32([2, LABELS], vec![0.9; 2 * LABELS])?;
    let y: Vec<f32> = (0..2 * LABELS).map(|i| f32::from(i % LABELS < RIGHT)).collect();
    let y = Tensor::f32([2, LABELS], y)?;
    let metrics = [Metric::BinaryAccuracy { threshold: HALF }, Metric::MeanAbsoluteError];
    let evaluation = evaluate(&p, &y, PROBABILITY, &metrics, 2)?;
    compare("binary_accuracy", get(&evaluation, "binary_accuracy")?, 0.50351, 0.0)?;
    // Errors of 1 and 0 are whole numbers too: metric and loss are exact but for one rounding of the loss.
    let p = Tensor::f32([2, LABELS], vec![1.0; 2 * LABELS])?;
    for loss in [Loss::MeanAbsoluteError, Loss::MeanSquaredError] {
        let evaluation = evaluate(&p, &y, loss, &metrics, 2)?;
        compare("mae", get(&evaluation, "mean_absolute_error")?, 0.49649, 0.0)?;
        compare(loss.name(), evaluation.loss, 0.49649, 1e-7)?;
    }
    Ok(())
}

#[test]
fn counts_of_many_positions_are_whole() -> Result<()> {
    // Three classes at 30,000 positions, a third of them right.
    const POSITIONS: usize = 30_000;
    let model = Sequential::new([POSITIONS * 3]).add(Reshape::new([POSITIONS as isize, 3]));
    let settings = Compile::new(Sgd::default(), Loss::MeanSquaredError);
    let metrics = [Metric::Accuracy, Metric::TopKCategoricalAccuracy { k: 2 }];
    let mut trainer = model.compile(device(), settings.metrics(metrics))?;
    let x = Tensor::f32([1, POSITIONS * 3], [0.5, 0.3, 0.2].repeat(POSITIONS))?;
    let labels: Vec<u32> = (0..POSITIONS as u32).map(|i| i % 3).collect();
    let y = one_hot(&labels, 3).as_f32()?.to_vec();
    let data = TensorDataset::new(x, Tensor::f32([1, POSITIONS, 3], y)?)?;
    let evaluation = trainer.evaluate(&data)?;
    compare("accuracy", get(&evaluation, "accuracy")?, 1.0 / 3.0, 0.0)?;
    compare("top 2", get(&evaluation, "top_k_categorical_accuracy")?, 2.0 / 3.0, 0.0)
}
