//! Activations, initializers, penalties and constraints, by Keras' names.

use super::read::Reading;
use super::values::{Setting, shown};
use crate::activations::Activation;
use crate::constraints::Constraint;
use crate::error::{Error, Result};
use crate::layers::{Aggregation, MergeMode, Regularizer, ScoreMode};
use crate::ops::SoftmaxMask;
use crate::tensor::Initializer;
use crate::words::{number, object, outside};
use serde_json::{Value, json};

/// The one of `own` that is written as `value`.
fn registered<T: Setting + Copy>(own: &[T], value: &Value) -> Option<T> {
    own.iter().find(|own| own.write().is_ok_and(|written| written == *value)).copied()
}

/// The class and the settings of an object. A name alone is an object without settings.
struct Object<'a> {
    class: &'a str,
    config: &'a Value,
    reading: &'a Reading<'a>,
}

impl<'a> Object<'a> {
    fn new(value: &'a Value, reading: &'a Reading<'a>) -> Result<Self, String> {
        let class = value.as_str().or_else(|| value["class_name"].as_str());
        let class = class.ok_or_else(|| format!("is {}; a name is expected", shown(value)))?;
        // A function that Keras keeps by its name.
        match (class, value["config"].as_str()) {
            ("function", Some(class)) => Ok(Self { class, config: &Value::Null, reading }),
            _ => Ok(Self { class, config: &value["config"], reading }),
        }
    }

    /// A number, `default` if the object does not have it.
    fn number(&self, name: &str, default: f32) -> Result<f32, String> {
        match &self.config[name] {
            Value::Null => Ok(default),
            value => {
                f32::read(value, self.reading).map_err(|e| format!("{}.{name} {e}", self.class))
            }
        }
    }

    /// Refuses a number other than `only`.
    fn must_be(&self, name: &str, only: f32) -> Result<(), String> {
        let given = self.number(name, only)?;
        match given == only {
            true => Ok(()),
            false => {
                Err(format!("{}.{name} is {given}; this library has {only} alone", self.class))
            }
        }
    }

    fn unknown(&self, what: &str) -> String {
        let settings = match &self.config["settings"] {
            Value::String(text) => format!(" with the settings {text}"),
            _ if self.config.is_null() => String::new(),
            _ => format!(" with the settings {}", shown(self.config)),
        };
        format!(
            "is `{}`{settings}; this version of wgrad has no such {what}; if it is your own, give it to \
             `ModelLoader::{what}`",
            self.class
        )
    }
}

/// Functions that are their name.
const PLAIN: [Activation; 17] = [
    Activation::Linear,
    Activation::Relu,
    Activation::LeakyRelu { negative_slope: 0.2 },
    Activation::Elu { alpha: 1.0 },
    Activation::Selu,
    Activation::Sigmoid,
    Activation::HardSigmoid,
    Activation::Tanh,
    Activation::Softplus,
    Activation::Softsign,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Silu,
    Activation::Step,
    Activation::Perceptron,
    Activation::Softmax,
    Activation::LogSoftmax,
];

impl Setting for Activation {
    fn write(&self) -> Result<Value> {
        if let Self::Custom(own) = self {
            return Ok(outside(own.name(), own.config()));
        }
        if PLAIN.contains(self) {
            return Ok(self.name().into());
        }
        Ok(match *self {
            Self::LeakyRelu { negative_slope } => {
                let config = json!({ "negative_slope": number(negative_slope) });
                object("keras.layers", "LeakyReLU", config)
            }
            Self::Elu { alpha } => object("keras.layers", "ELU", json!({ "alpha": number(alpha) })),
            Self::ClippedLinear { low, high } => {
                let config = json!({ "low": number(low), "high": number(high) });
                object("wgrad", "ClippedLinear", config)
            }
            _ => self.name().into(),
        })
    }

    fn read(value: &Value, reading: &Reading<'_>) -> Result<Self, String> {
        if value.is_null() {
            return Ok(Self::Linear);
        }
        if let Some(own) = registered(&reading.loader.activations, value) {
            return Ok(own);
        }
        let object = Object::new(value, reading)?;
        if let Some(plain) = PLAIN.iter().find(|plain| plain.name() == object.class) {
            return Ok(*plain);
        }
        match object.class {
            "swish" => Ok(Self::Silu),
            "LeakyReLU" => {
                Ok(Self::LeakyRelu { negative_slope: object.number("negative_slope", 0.3)? })
            }
            "ELU" => Ok(Self::Elu { alpha: object.number("alpha", 1.0)? }),
            "ReLU" => {
                object.must_be("threshold", 0.0)?;
                let limit = object.number("max_value", f32::INFINITY)?;
                let slope = object.number("negative_slope", 0.0)?;
                match (limit.is_finite(), slope == 0.0) {
                    (false, true) => Ok(Self::Relu),
                    (false, false) => Ok(Self::LeakyRelu { negative_slope: slope }),
                    (true, true) => Ok(Self::ClippedLinear { low: 0.0, high: limit }),
                    (true, false) => {
                        Err("has a limit and a slope; this library has one of them".into())
                    }
                }
            }
            "Softmax" => {
                object.must_be("axis", -1.0)?;
                Ok(Self::Softmax)
            }
            "ClippedLinear" => {
                let (low, high) = (object.number("low", 0.0)?, object.number("high", 1.0)?);
                Ok(Self::ClippedLinear { low, high })
            }
            _ => Err(object.unknown("activation")),
        }
    }
}

impl Setting for Initializer {
    fn write(&self) -> Result<Value> {
        let keras = |class, config| object("keras.initializers", class, config);
        let seeded = |class| keras(class, json!({ "seed": null }));
        Ok(match *self {
            Self::Zeros => keras("Zeros", json!({})),
            Self::Constant(1.0) => keras("Ones", json!({})),
            Self::Constant(value) => keras("Constant", json!({ "value": number(value) })),
            Self::Uniform { low, high } => keras(
                "RandomUniform",
                json!({ "minval": number(low), "maxval": number(high), "seed": null }),
            ),
            Self::Normal { mean, stddev } => keras(
                "RandomNormal",
                json!({ "mean": number(mean), "stddev": number(stddev), "seed": null }),
            ),
            Self::GlorotUniform => seeded("GlorotUniform"),
            Self::GlorotNormal => seeded("GlorotNormal"),
            Self::HeUniform => seeded("HeUniform"),
            Self::HeNormal => seeded("HeNormal"),
            Self::LecunNormal => seeded("LecunNormal"),
            Self::Custom(own) => outside(own.name(), own.config()),
            Self::Orthogonal { gain } => {
                keras("Orthogonal", json!({ "gain": number(gain), "seed": null }))
            }
        })
    }

    fn read(value: &Value, reading: &Reading<'_>) -> Result<Self, String> {
        if let Some(own) = registered(&reading.loader.initializers, value) {
            return Ok(own);
        }
        let object = Object::new(value, reading)?;
        Ok(match object.class {
            "Zeros" | "zeros" => Self::Zeros,
            "Ones" | "ones" => Self::Constant(1.0),
            "Constant" | "constant" => Self::Constant(object.number("value", 0.0)?),
            "RandomUniform" | "random_uniform" | "uniform" => Self::Uniform {
                low: object.number("minval", -0.05)?,
                high: object.number("maxval", 0.05)?,
            },
            "RandomNormal" | "random_normal" | "normal" => Self::Normal {
                mean: object.number("mean", 0.0)?,
                stddev: object.number("stddev", 0.05)?,
            },
            "GlorotUniform" | "glorot_uniform" => Self::GlorotUniform,
            "GlorotNormal" | "glorot_normal" => Self::GlorotNormal,
            "HeUniform" | "he_uniform" => Self::HeUniform,
            "HeNormal" | "he_normal" => Self::HeNormal,
            "LecunNormal" | "lecun_normal" => Self::LecunNormal,
            "Orthogonal" | "orthogonal" | "OrthogonalInitializer" => {
                Self::Orthogonal { gain: object.number("gain", 1.0)? }
            }
            _ => return Err(object.unknown("initializer")),
        })
    }
}

impl Setting for Regularizer {
    fn write(&self) -> Result<Value> {
        let keras = |class, config| object("keras.regularizers", class, config);
        let (l1, l2) = (number(self.l1), number(self.l2));
        if let Some(own) = self.custom {
            let mut config = own.config();
            let Some(fields) = config.as_object_mut() else {
                let detail =
                    "`CustomRegularizer::config` gives an object of JSON: fields with values";
                return Err(Error::parameter(own.name(), config, detail));
            };
            // Beside settings of these names, which are the penalty's.
            fields.entry("l1").or_insert(l1);
            fields.entry("l2").or_insert(l2);
            return Ok(outside(own.name(), config));
        }
        Ok(match (self.l1 == 0.0, self.l2 == 0.0) {
            (true, true) => Value::Null,
            (false, true) => keras("L1", json!({ "l1": l1 })),
            (true, false) => keras("L2", json!({ "l2": l2 })),
            (false, false) => keras("L1L2", json!({ "l1": l1, "l2": l2 })),
        })
    }

    fn read(value: &Value, reading: &Reading<'_>) -> Result<Self, String> {
        if value.is_null() {
            return Ok(Self::default());
        }
        if let Some(own) = registered(&reading.loader.regularizers, value) {
            return Ok(own);
        }
        let object = Object::new(value, reading)?;
        // Keras' defaults of a name alone.
        let alone = if object.config.is_null() { 0.01 } else { 0.0 };
        match object.class {
            "L1" | "l1" => Ok(Self::l1(object.number("l1", alone)?)),
            "L2" | "l2" => Ok(Self::l2(object.number("l2", alone)?)),
            "L1L2" | "l1_l2" => Ok(Self {
                l1: object.number("l1", alone)?,
                l2: object.number("l2", alone)?,
                custom: None,
            }),
            _ => Err(object.unknown("regularizer")),
        }
    }
}

/// The axes that a constraint may have here: those of weights of up to three axes.
const AXES: [&[usize]; 8] = [&[0], &[1], &[2], &[0, 1], &[0, 2], &[1, 2], &[0, 1, 2], &[]];

impl Object<'_> {
    fn axes(&self) -> Result<&'static [usize], String> {
        let given = match &self.config["axis"] {
            Value::Null => vec![0],
            axes => Vec::<usize>::read(axes, self.reading)?,
        };
        let known = AXES.into_iter().find(|axes| **axes == *given);
        known.ok_or_else(|| {
            format!("{}.axis is {given:?}; ascending axes of a weight are expected", self.class)
        })
    }
}

impl Setting for MergeMode {
    fn write(&self) -> Result<Value> {
        let word = MERGE_MODES.iter().find(|(_, mode)| mode == self).map(|(word, _)| *word);
        Ok(word.map_or(Value::Null, Value::from))
    }

    fn read(value: &Value, _: &Reading<'_>) -> Result<Self, String> {
        if value.is_null() {
            return Ok(Self::None);
        }
        let known = MERGE_MODES.iter().find(|(word, _)| value == word);
        known.map(|(_, mode)| *mode).ok_or_else(|| {
            let words = MERGE_MODES.map(|(word, _)| word).join(", ");
            format!("is {}; {words} or null is expected", shown(value))
        })
    }
}

const MERGE_MODES: [(&str, MergeMode); 4] = [
    ("concat", MergeMode::Concat),
    ("sum", MergeMode::Sum),
    ("mul", MergeMode::Mul),
    ("ave", MergeMode::Ave),
];

impl Setting for Aggregation {
    fn write(&self) -> Result<Value> {
        let word = AGGREGATIONS.iter().find(|(_, way)| way == self).map(|(word, _)| *word);
        Ok(word.map_or(Value::Null, Value::from))
    }

    fn read(value: &Value, _: &Reading<'_>) -> Result<Self, String> {
        let known = AGGREGATIONS.iter().find(|(word, _)| value == word);
        known.map(|(_, way)| *way).ok_or_else(|| {
            let words = AGGREGATIONS.map(|(word, _)| word).join(", ");
            format!("is {}; one of {words} is expected", shown(value))
        })
    }
}

const AGGREGATIONS: [(&str, Aggregation); 3] =
    [("sum", Aggregation::Sum), ("mean", Aggregation::Mean), ("max", Aggregation::Max)];

impl Setting for Constraint {
    fn write(&self) -> Result<Value> {
        let keras = |class, config| object("keras.constraints", class, config);
        Ok(match *self {
            Self::MaxNorm { max_value, axes } => {
                keras("MaxNorm", json!({ "max_value": number(max_value), "axis": axes }))
            }
            Self::MinMaxNorm { min_value, max_value, rate, axes } => keras(
                "MinMaxNorm",
                json!({
                    "min_value": number(min_value), "max_value": number(max_value), "rate": number(rate), "axis": axes,
                }),
            ),
            Self::NonNeg => keras("NonNeg", json!({})),
            Self::UnitNorm { axes } => keras("UnitNorm", json!({ "axis": axes })),
            Self::Custom(own) => outside(own.name(), own.config()),
        })
    }

    fn read(value: &Value, reading: &Reading<'_>) -> Result<Self, String> {
        if let Some(own) = registered(&reading.loader.constraints, value) {
            return Ok(own);
        }
        let object = Object::new(value, reading)?;
        match object.class {
            "MaxNorm" | "max_norm" => Ok(Self::MaxNorm {
                max_value: object.number("max_value", 2.0)?,
                axes: object.axes()?,
            }),
            "MinMaxNorm" | "min_max_norm" => Ok(Self::MinMaxNorm {
                min_value: object.number("min_value", 0.0)?,
                max_value: object.number("max_value", 1.0)?,
                rate: object.number("rate", 1.0)?,
                axes: object.axes()?,
            }),
            "NonNeg" | "non_neg" => Ok(Self::NonNeg),
            "UnitNorm" | "unit_norm" => Ok(Self::UnitNorm { axes: object.axes()? }),
            _ => Err(object.unknown("constraint")),
        }
    }
}

/// A setting that is one of a few words.
macro_rules! word_setting {
    ($kind:ty, $($word:literal => $value:path),+) => {
        impl Setting for $kind {
            fn write(&self) -> Result<Value> {
                let known = [$(($word, $value)),+].into_iter().find(|(_, value)| value == self);
                Ok(known.map_or(Value::Null, |(word, _)| word.into()))
            }

            fn read(value: &Value, _: &Reading<'_>) -> Result<Self, String> {
                match value.as_str() {
                    $(Some($word) => Ok($value),)+
                    _ => {
                        let words = [$($word),+].join(" or ");
                        Err(format!("is {}; {words} is expected", shown(value)))
                    }
                }
            }
        }
    };
}

word_setting!(ScoreMode, "dot" => ScoreMode::Dot, "concat" => ScoreMode::Concat);
word_setting!(SoftmaxMask, "keep" => SoftmaxMask::Keep, "additive" => SoftmaxMask::Additive);
