//! Layers that change images at random while training: augmentation, on the device.
//!
//! Each image of a batch gets its own numbers, which are a function of (seed, layer, step, image). Geometric layers make a
//! matrix per image of them, and sample the image through it ([`Graph::affine`]).

mod color;
mod crop;
mod geometry;

pub use color::{RandomBrightness, RandomContrast};
pub use crop::RandomCrop;
pub use geometry::{FlipMode, RandomFlip, RandomRotation, RandomTranslation, RandomZoom};

use super::Random;
use super::config::{Setting, shown};
use super::windows::check_images;
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::ops::{Affine, FillMode, Interpolation};
use crate::tensor::{Shape, Tensor};

/// The range that a random factor is drawn from: `f` for [-f, f], or `(low, high)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Factor {
    /// From the negative of the number to the number.
    Both(f32),
    /// From the lower to the higher of the numbers.
    Range(f32, f32),
}

/// Nothing at random.
impl Default for Factor {
    fn default() -> Self {
        Self::Both(0.0)
    }
}

impl From<f32> for Factor {
    fn from(both: f32) -> Self {
        Self::Both(both)
    }
}

impl From<(f32, f32)> for Factor {
    fn from((low, high): (f32, f32)) -> Self {
        Self::Range(low, high)
    }
}

impl Factor {
    /// The lower and the higher bound.
    fn bounds(self) -> [f32; 2] {
        match self {
            Self::Both(f) => [-f.abs(), f.abs()],
            Self::Range(a, b) => [a.min(b), a.max(b)],
        }
    }

    /// Refuses a bound outside of `within`; `words` says what is taken.
    fn check(self, name: &str, within: impl Fn(f32) -> bool, words: &str) -> Result<()> {
        let given = match self {
            Self::Both(f) => [f, f],
            Self::Range(a, b) => [a, b],
        };
        match given.into_iter().find(|&f| !within(f)) {
            Some(f) => Err(Error::parameter(name, f, format!("a factor is a number {words}"))),
            None => Ok(()),
        }
    }

    /// A number of the range for each image, `[batch, 1]`; `name` tells the draws of a layer apart.
    fn draw(self, graph: &mut Graph, random: Random, name: &str, batch: usize) -> Result<Value> {
        let [low, high] = self.bounds();
        let drawn = random.of(name).uniform(graph, [batch, 1])?;
        let scaled = graph.scale(drawn, high - low)?;
        let low = graph.constant(low);
        graph.add(scaled, low)
    }
}

/// Two numbers, or one as Keras has them.
impl Setting for Factor {
    fn write(&self) -> Result<serde_json::Value> {
        match *self {
            Self::Both(f) => f.write(),
            Self::Range(a, b) => vec![a, b].write(),
        }
    }

    fn read(
        value: &serde_json::Value,
        reading: &super::config::Reading<'_>,
    ) -> Result<Self, String> {
        match (value.is_array(), Vec::<f32>::read(value, reading)?.as_slice()) {
            (false, &[f]) => Ok(Self::Both(f)),
            (true, &[a, b]) => Ok(Self::Range(a, b)),
            _ => Err(format!("is {}; one or two numbers are expected", shown(value))),
        }
    }
}

const FILLS: [(FillMode, &str); 4] = [
    (FillMode::Constant, "constant"),
    (FillMode::Reflect, "reflect"),
    (FillMode::Wrap, "wrap"),
    (FillMode::Nearest, "nearest"),
];

/// The word of a choice.
fn word<T: PartialEq>(choice: &T, words: &[(T, &'static str)]) -> serde_json::Value {
    words.iter().find(|(own, _)| own == choice).map(|(_, word)| *word).into()
}

/// The choice of a word.
fn chosen<T: Copy>(value: &serde_json::Value, words: &[(T, &'static str)]) -> Result<T, String> {
    let found = value.as_str().and_then(|given| words.iter().find(|(_, word)| *word == given));
    found.map(|(choice, _)| *choice).ok_or_else(|| {
        let known: Vec<&str> = words.iter().map(|w| w.1).collect();
        format!("is {}; one of {} is expected", shown(value), known.join(", "))
    })
}

macro_rules! by_word {
    ($($choice:ty, $words:expr;)*) => {$(
        impl Setting for $choice {
            fn write(&self) -> Result<serde_json::Value> {
                Ok(word(self, &$words))
            }

            fn read(
                value: &serde_json::Value,
                _: &super::config::Reading<'_>,
            ) -> Result<Self, String> {
                chosen(value, &$words)
            }
        }
    )*};
}

by_word! {
    FillMode, FILLS;
    FlipMode, geometry::FLIPS;
}

/// Refuses samples that are no images `[height, width, channels]`, and images too large to be sampled.
///
/// # Errors
/// [`Error::Shape`] that says what is expected.
fn check_sampled(layer: &str, sample: &Shape) -> Result<()> {
    check_images::<2>(layer, sample)?;
    if sample.dims()[..2].iter().all(|&side| side <= Affine::LARGEST) {
        return Ok(());
    }
    let detail = format!(
        "an image has at most {} pixels along an axis; crop or resize it before this layer",
        Affine::LARGEST
    );
    Err(Error::shape(layer, &[sample], detail))
}

/// Height and width of a batch of images.
fn batch_sides(graph: &Graph, images: Value) -> [usize; 2] {
    let dims = graph.shape(images).dims();
    [dims[1], dims[2]]
}

/// `base` + Σ value · pattern, a matrix per image: values are `[batch, 1]`, patterns six numbers.
fn matrices(
    graph: &mut Graph,
    batch: usize,
    base: [f32; 6],
    terms: &[(Value, [f32; 6])],
) -> Result<Value> {
    let mut sum = graph.constant_tensor(Tensor::f32([1, 6], base)?)?;
    for &(value, pattern) in terms {
        let pattern = graph.constant_tensor(Tensor::f32([1, 6], pattern)?)?;
        let term = graph.mul(value, pattern)?;
        sum = graph.add(sum, term)?;
    }
    graph.broadcast_to(sum, [batch, 6])
}

/// The matrix that leaves an image as it is.
const SAME: [f32; 6] = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0];

/// The nearest pixels: what copies pixels as they are.
const fn copied([height, width]: [usize; 2], value: crate::tensor::Exact) -> Affine {
    Affine { height, width, fill: FillMode::Nearest, value, interpolation: Interpolation::Nearest }
}
