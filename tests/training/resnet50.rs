//! ResNet-50 of the library's layers (He et al. 2015, with the stride in the 3x3 convolution as in PyTorch): its parameters,
//! and the plan of a training step. It is not trained here.

use super::*;
use wgrad::Result;
use wgrad::graph::TensorType;
use wgrad::layers::WeightKind;
use wgrad::optim::GradientTransform;
use wgrad::passes::Passes;
use wgrad::plan::{BufferClass, Plan};
use wgrad::train::{ArenaLayout, Batch, OutputSpec, StepSpec, step_graph};

fn conv(x: &SymbolicTensor, filters: usize, size: usize, strides: usize) -> SymbolicTensor {
    let around = Padding::Explicit(vec![[size / 2; 2]; 2]);
    let layer = Conv2D::new(filters, size).strides(strides).padding(around).use_bias(false);
    x.then(layer).then(BatchNormalization::torch())
}

/// Three convolutions beside a way around them, which is a 1x1 convolution in the first block of a stage.
fn block(x: &SymbolicTensor, width: usize, strides: usize, first: bool) -> SymbolicTensor {
    let inner = conv(x, width, 1, 1).then(Activation::Relu);
    let inner = conv(&inner, width, 3, strides).then(Activation::Relu);
    let inner = conv(&inner, 4 * width, 1, 1);
    let around = if first { conv(x, 4 * width, 1, strides) } else { x.clone() };
    merge(Add, [&inner, &around]).then(Activation::Relu)
}

fn resnet50(classes: usize) -> Result<Model> {
    let images = input([224, 224, 3]);
    let mut x = conv(&images, 64, 7, 2).then(Activation::Relu);
    let around = Padding::Explicit(vec![[1; 2]; 2]);
    x = x.then(MaxPooling2D::new(3).strides(2).padding(around));
    for (stage, blocks) in [3, 4, 6, 3].into_iter().enumerate() {
        for nth in 0..blocks {
            let strides = if stage > 0 && nth == 0 { 2 } else { 1 };
            x = block(&x, 64 << stage, strides, nth == 0);
        }
    }
    let classes = x.then(GlobalAveragePooling2D::new()).then(Dense::new(classes));
    Model::new([&images], [&classes])
}

#[test]
fn resnet_50_has_its_parameters_and_a_plan() -> Result<()> {
    let model = resnet50(1000)?;
    let count = |kind: WeightKind| -> usize {
        let own = model.weights().filter(|(_, w)| w.kind == kind);
        own.map(|(_, w)| w.shape.dims().iter().product::<usize>()).sum()
    };
    // What torchvision says of it; and a mean and a variance for each filter.
    assert_eq!(count(WeightKind::Trained), 25_557_032);
    assert_eq!(count(WeightKind::State), 53_120);

    let caps = device().caps();
    let layout = ArenaLayout::of(caps, &model)?;
    assert_eq!(layout.len(), 25_557_032 + 53_120);
    let outputs = [OutputSpec {
        name: "dense".into(),
        shape: [1000].into(),
        loss: SPARSE,
        weight: 1.0,
        metrics: vec![],
        mask: None,
    }];
    let optimizer = Sgd::new(0.1);
    let spec = StepSpec {
        model: &model,
        layout: &layout,
        outputs: &outputs,
        activity: false,
        gradients: GradientTransform::default(),
        optimizer: Some(&optimizer),
    };
    let x = TensorType { shape: [8, 224, 224, 3].into(), dtype: DType::U8 };
    let y = TensorType { shape: [8].into(), dtype: DType::U32 };
    let graph = step_graph(&spec, &Batch::new("train", x, y, 4, 1))?;
    let plan = Plan::compile(&graph, &Passes::default(), caps)?;
    // 53 convolutions and a dense layer, each one product forward and two backward, but for the image's gradient.
    let products = plan.dispatches.iter().filter(|d| d.call.name().starts_with("matmul"));
    assert!(products.count() >= 54 * 3 - 1);
    // Multiplications of the products alone: 4.1 billion for an image, three times that to train, with two operations each.
    let flops = plan.flops() as f64;
    assert!((8.0e10..1.4e11).contains(&flops), "{flops:e}");
    // Activations of four images, not of one for each layer and gradient.
    let activations = plan.bytes_of(BufferClass::Activation);
    assert!(activations < 1 << 30, "{activations}");
    Ok(())
}
