//! Parts from outside in files: whole models and checkpoints tell them apart by their names and settings.

use outside::{Balanced, Clipped, LogCosh, MaxError, Mish, Scale, SoftClip, Sparse};
use serde_json::{Value as Json, json};
use std::fmt::{Debug, Formatter};
use std::path::PathBuf;
use std::sync::OnceLock;
use wgrad::Result;
use wgrad::activations::CustomActivation;
use wgrad::constraints::CustomConstraint;
use wgrad::graph::{Graph, Value};
use wgrad::layers::{CustomRegularizer, ModelLoader};
use wgrad::losses::CustomLoss;
use wgrad::metrics::CustomMetric;
use wgrad::prelude::*;
use wgrad::tensor::{CustomInitializer, Draws};

fn device() -> &'static Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    DEVICE.get_or_init(|| Device::new().unwrap())
}

fn data() -> TensorDataset {
    let x: Vec<f32> = (0..26).map(|i| (i as f32 * 0.9).sin()).collect();
    let y = x.chunks(2).map(|x| x[0] - x[1]).collect::<Vec<f32>>();
    let (x, y) = (Tensor::f32([13, 2], x), Tensor::f32([13, 1], y));
    TensorDataset::new(x.unwrap(), y.unwrap()).unwrap()
}

fn quiet() -> Fit<'static> {
    Fit::new().epochs(2).batch_size(5).verbose(Verbose::Silent)
}

/// A file that is removed at the end.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("outside-{}-{name}", std::process::id())))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_whole_model_is_saved_and_loaded_with_its_parts() -> Result<()> {
    let mish = || Activation::custom(Mish);
    let sparse = || Initializer::custom(Sparse { share: 0.7 });
    let balanced = || Regularizer::custom(Balanced { factor: 1e-3 });
    let clipped = || Constraint::custom(Clipped { limit: 1.5 });
    let dense = Dense::new(8)
        .activation(mish())
        .kernel_initializer(sparse())
        .kernel_regularizer(balanced())
        .kernel_constraint(clipped());
    let clip = SoftClip { limit: 0.75 };
    let model = Sequential::new([2]).add(dense).add(Scale).add(clip).add(Dense::new(1));
    let compile = Compile::new(Sgd::new(0.05), LogCosh).metrics([Metric::custom(MaxError)]);
    let mut trainer = model.compile(device(), compile)?;
    trainer.fit(&data(), quiet())?;
    let file = File::new("whole");
    trainer.save_model(&file.0)?;

    let layers = || {
        let loader = ModelLoader::new().register("Scale", |_: &Json| Ok(Scale));
        loader.register("SoftClip", SoftClip::from_config)
    };
    let whole = layers().activation(mish()).initializer(sparse());
    let saved = whole.regularizer(balanced()).constraint(clipped()).load(&file.0)?;
    let x = data().x().clone();
    let (served, own) = (Predictor::from_saved(device(), &saved)?, trainer.predictor()?);
    assert_eq!(served.predict(&x)?, own.predict(&x)?);

    // Each part that is missing or has another setting is named.
    let refused = |loader: ModelLoader, words: [&str; 2]| {
        let error = loader.load(&file.0).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{words:?}: {error}");
    };
    refused(layers(), ["mish", "ModelLoader::activation"]);
    refused(layers().activation(mish()), ["Sparse { share: 0.7 }", "ModelLoader::initializer"]);
    let other = Initializer::custom(Sparse { share: 0.5 });
    refused(layers().activation(mish()).initializer(other), ["sparse", "share: 0.7"]);
    let two = || layers().activation(mish()).initializer(sparse());
    refused(two(), ["Balanced", "ModelLoader::regularizer"]);
    refused(two().regularizer(balanced()), ["Clipped", "ModelLoader::constraint"]);
    let parts = ModelLoader::new().activation(mish()).initializer(sparse());
    refused(parts.regularizer(balanced()).constraint(clipped()), ["`Scale`", "register"]);
    Ok(())
}

/// A part of each kind whose `Debug` text hides its setting.
#[derive(Clone, Copy)]
struct Hidden(f32);

impl Debug for Hidden {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden")
    }
}

macro_rules! hidden {
    ($kind:ty { $($rest:tt)* }) => {
        impl $kind for Hidden {
            fn name(&self) -> &'static str {
                "hidden"
            }

            fn config(&self) -> Json {
                json!({ "by": self.0 })
            }

            $($rest)*
        }
    };
}

hidden!(CustomActivation {
    fn apply(&self, g: &mut Graph, x: Value) -> Result<Value> {
        g.scale(x, self.0)
    }
});

hidden!(CustomInitializer {
    fn fill(&self, values: &mut [f32], _fans: [usize; 2], _draws: &mut Draws) {
        values.fill(self.0);
    }
});

hidden!(CustomRegularizer {
    fn penalty(&self, g: &mut Graph, weight: Value) -> Result<Value> {
        let sum = g.sum(weight, &[], false)?;
        g.scale(sum, self.0)
    }
});

hidden!(CustomConstraint {
    fn apply(&self, g: &mut Graph, weight: Value) -> Result<Value> {
        g.unary("clipped_linear", weight, &[-self.0, self.0])
    }
});

hidden!(CustomLoss {
    fn rows(&self, g: &mut Graph, targets: Value, predictions: Value) -> Result<Value> {
        let error = g.sub(predictions, targets)?;
        let square = g.unary("square", error, &[])?;
        let mean = g.mean(square, &[1], false)?;
        g.scale(mean, self.0)
    }
});

hidden!(CustomMetric {
    fn columns(&self, g: &mut Graph, targets: Value, predictions: Value) -> Result<Vec<Value>> {
        let error = g.sub(predictions, targets)?;
        let mean = g.mean(error, &[1], false)?;
        Ok(vec![g.scale(mean, self.0)?])
    }
});

#[test]
fn settings_that_debug_hides_tell_parts_apart() {
    let [a, b] = [Hidden(0.5), Hidden(0.25)];
    assert_eq!(format!("{a:?}"), format!("{b:?}"));
    macro_rules! differ {
        ($($make:path),+) => {$(
            assert_eq!($make(a), $make(a));
            assert_ne!($make(a), $make(b));
        )+};
    }
    differ!(Loss::custom, Metric::custom, Activation::custom, Initializer::custom);
    differ!(Constraint::custom, Regularizer::custom);
}

#[test]
fn checkpoints_tell_parts_apart_whose_debug_is_the_same() -> Result<()> {
    let trainer = |[activation, loss, metric]: [f32; 3]| {
        let dense = Dense::new(1).activation(Activation::custom(Hidden(activation)));
        let compile = Compile::new(Sgd::new(0.05), Loss::custom(Hidden(loss)));
        let compile = compile.metrics([Metric::custom(Hidden(metric))]);
        Sequential::new([2]).add(dense).compile(device(), compile)
    };
    let mut first = trainer([0.5; 3])?;
    first.fit(&data(), quiet())?;
    let file = File::new("checkpoint");
    first.save_checkpoint(&file.0)?;
    trainer([0.5; 3])?.load_checkpoint(&file.0)?;
    for (of, other) in
        [("layers", [0.25, 0.5, 0.5]), ("loss", [0.5, 0.25, 0.5]), ("metrics", [0.5, 0.5, 0.25])]
    {
        let error = trainer(other)?.load_checkpoint(&file.0).unwrap_err().to_string();
        assert!(error.contains(of) && error.contains("by"), "{of}: {error}");
    }
    Ok(())
}

#[test]
fn a_model_names_settings_that_debug_hides() -> Result<()> {
    let part = Hidden(0.5);
    let dense = Dense::new(2).kernel_regularizer(Regularizer::custom(part));
    let model = Sequential::new([2]).add(dense.activation(Activation::custom(part))).build()?;
    let text = model.to_json()?;
    let read = |activation: f32, penalty: f32| {
        let loader = ModelLoader::new().activation(Activation::custom(Hidden(activation)));
        loader.regularizer(Regularizer::custom(Hidden(penalty))).from_json(&text)
    };
    assert_eq!(read(0.5, 0.5)?.to_json()?, text);
    for (activation, penalty) in [(0.25, 0.5), (0.5, 0.25)] {
        let error = read(activation, penalty).unwrap_err().to_string();
        assert!(error.contains("hidden") && error.contains("\"by\":0.5"), "{error}");
    }
    // What is no object has no place for the factors beside it.
    #[derive(Debug)]
    struct List;
    impl CustomRegularizer for List {
        fn name(&self) -> &'static str {
            "list"
        }

        fn config(&self) -> Json {
            json!([1, 2])
        }

        fn penalty(&self, g: &mut Graph, weight: Value) -> Result<Value> {
            g.sum(weight, &[], false)
        }
    }
    let dense = Dense::new(2).kernel_regularizer(Regularizer::custom(List));
    let error = Sequential::new([2]).add(dense).build()?.to_json().unwrap_err().to_string();
    assert!(error.contains("list") && error.contains("object of JSON"), "{error}");
    Ok(())
}
