//! Flips, shifts, rotations and zooms.

use super::{Factor, SAME, batch_sides, check_sampled, copied, matrices};
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::layers::config::{Fields, Settings, config_of};
use crate::layers::{Context, Layer, Outputs, Random};
use crate::ops::{Affine, FillMode, Interpolation};
use crate::tensor::Shape;
use serde_json::json;
use std::f32::consts::TAU;

/// How images are flipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FlipMode {
    /// Left and right.
    Horizontal,
    /// Top and bottom.
    Vertical,
    /// Both, each for itself.
    #[default]
    HorizontalAndVertical,
}

pub(super) const FLIPS: [(FlipMode, &str); 3] = [
    (FlipMode::Horizontal, "horizontal"),
    (FlipMode::Vertical, "vertical"),
    (FlipMode::HorizontalAndVertical, "horizontal_and_vertical"),
];

/// Flips each image with a probability of one half while training; otherwise the identity. Images are
/// `[height, width, channels]`.
///
/// [`FlipMode::HorizontalAndVertical`] decides for each axis separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RandomFlip {
    mode: FlipMode,
}

impl RandomFlip {
    /// Flips in these directions.
    #[must_use]
    pub const fn new(mode: FlipMode) -> Self {
        Self { mode }
    }
}

impl Settings for RandomFlip {
    fn blank() -> Self {
        Self::default()
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.only("data_format", &[json!("channels_last")])?;
        fields.field("mode", &mut self.mode)
    }
}

impl Layer for RandomFlip {
    fn kind(&self) -> &'static str {
        "RandomFlip"
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        check_sampled(self.kind(), &inputs[0])?;
        Ok(inputs[0].clone())
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let x = cx.input();
        let Some(random) = cx.random() else { return Ok(x.into()) };
        let (batch, [height, width]) = (graph.shape(x).dims()[0], batch_sides(graph, x));
        let mut terms = Vec::new();
        let across = [-2.0, 0.0, width as f32 - 1.0, 0.0, 0.0, 0.0];
        let along = [0.0, 0.0, 0.0, 0.0, -2.0, height as f32 - 1.0];
        for (name, other, pattern) in
            [("horizontal", FlipMode::Vertical, across), ("vertical", FlipMode::Horizontal, along)]
        {
            if self.mode != other {
                let drawn = random.of(name).uniform(graph, [batch, 1])?;
                let half = graph.constant(0.5);
                terms.push((graph.binary("less", drawn, half)?, pattern));
            }
        }
        let matrices = matrices(graph, batch, SAME, &terms)?;
        Ok(graph.affine(x, matrices, copied([height, width], 0.0.into()))?.into())
    }
}

/// What is between the pixels of an image and around it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Filling {
    mode: FillMode,
    value: f32,
    interpolation: Interpolation,
}

impl Filling {
    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.only("data_format", &[json!("channels_last")])?;
        fields.field("fill_mode", &mut self.mode)?;
        fields.field("fill_value", &mut self.value)?;
        fields.field("interpolation", &mut self.interpolation)
    }

    fn check(&self) -> Result<()> {
        match self.value.is_finite() {
            true => Ok(()),
            false => Err(Error::parameter("fill_value", self.value, "must be a finite number")),
        }
    }

    /// The images through a matrix each.
    fn sample(&self, graph: &mut Graph, x: Value, matrices: Value) -> Result<Value> {
        let [height, width] = batch_sides(graph, x);
        let Self { mode: fill, value, interpolation } = *self;
        graph.affine(
            x,
            matrices,
            Affine { height, width, fill, value: value.into(), interpolation },
        )
    }
}

/// A geometric layer: its settings, the refusal of wrong ones, and the matrix of each image.
macro_rules! geometric {
    ($($layer:ident ($($factor:ident: $way:ident),*);)*) => {$(
        impl $layer {
            /// With this around the image: [`FillMode::Reflect`] if it is not called.
            #[must_use]
            pub const fn fill_mode(mut self, mode: FillMode) -> Self {
                self.filling.mode = mode;
                self
            }

            /// With this number around the image, for [`FillMode::Constant`]: 0 if it is not called.
            #[must_use]
            pub const fn fill_value(mut self, value: f32) -> Self {
                self.filling.value = value;
                self
            }

            /// With this between pixels: [`Interpolation::Bilinear`] if it is not called.
            #[must_use]
            pub const fn interpolation(mut self, interpolation: Interpolation) -> Self {
                self.filling.interpolation = interpolation;
                self
            }
        }

        impl Settings for $layer {
            fn blank() -> Self {
                Self { $($factor: Default::default(),)* filling: Filling::default() }
            }

            fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
                $(fields.$way(stringify!($factor), &mut self.$factor)?;)*
                self.filling.settings(fields)
            }
        }

        impl Layer for $layer {
            fn kind(&self) -> &'static str {
                stringify!($layer)
            }

            fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
                check_sampled(self.kind(), &inputs[0])?;
                self.check()?;
                self.filling.check()?;
                Ok(inputs[0].clone())
            }

            fn config(&self) -> Result<serde_json::Value> {
                config_of(self)
            }

            fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
                graph.check(self.kind(), cx.inputs())?;
                let x = cx.input();
                let Some(random) = cx.random() else { return Ok(x.into()) };
                let (batch, sides) = (graph.shape(x).dims()[0], batch_sides(graph, x));
                let matrices = self.matrices(graph, random, batch, sides.map(|side| side as f32))?;
                Ok(self.filling.sample(graph, x, matrices)?.into())
            }
        }
    )*};
}

geometric! {
    RandomTranslation(height_factor: required, width_factor: required);
    RandomRotation(factor: required);
    RandomZoom(height_factor: required, width_factor: field);
}

/// Shifts each image while training; otherwise the identity. Images are `[height, width, channels]`.
///
/// The image moves down by `height_factor` times its height, and right by `width_factor` times its width; negative factors
/// move it up and left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RandomTranslation {
    height_factor: Factor,
    width_factor: Factor,
    filling: Filling,
}

impl RandomTranslation {
    /// Shifts by factors from these ranges, within [-1, 1].
    #[must_use]
    pub fn new(height_factor: impl Into<Factor>, width_factor: impl Into<Factor>) -> Self {
        let (height_factor, width_factor) = (height_factor.into(), width_factor.into());
        Self { height_factor, width_factor, filling: Filling::default() }
    }

    fn check(&self) -> Result<()> {
        let both = [("height_factor", self.height_factor), ("width_factor", self.width_factor)];
        both.into_iter().try_for_each(|(name, factor)| {
            factor.check(name, |f| (-1.0..=1.0).contains(&f), "in [-1, 1]: a part of the image")
        })
    }

    fn matrices(
        &self,
        graph: &mut Graph,
        random: Random,
        batch: usize,
        [height, width]: [f32; 2],
    ) -> Result<Value> {
        let y = self.height_factor.draw(graph, random, "height", batch)?;
        let x = self.width_factor.draw(graph, random, "width", batch)?;
        let down = (y, [0.0, 0.0, 0.0, 0.0, 0.0, -height]);
        let right = (x, [0.0, 0.0, -width, 0.0, 0.0, 0.0]);
        matrices(graph, batch, SAME, &[down, right])
    }
}

/// Rotates each image about its centre while training; otherwise the identity. Images are `[height, width, channels]`.
///
/// The factor is a part of a full turn: 0.25 is 90 degrees, counter-clockwise if it is positive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RandomRotation {
    factor: Factor,
    filling: Filling,
}

impl RandomRotation {
    /// Rotates by factors from this range, within [-1, 1].
    #[must_use]
    pub fn new(factor: impl Into<Factor>) -> Self {
        Self { factor: factor.into(), filling: Filling::default() }
    }

    fn check(&self) -> Result<()> {
        let within = |f| (-1.0..=1.0).contains(&f);
        self.factor.check("factor", within, "in [-1, 1]: a part of a full turn")
    }

    fn matrices(
        &self,
        graph: &mut Graph,
        random: Random,
        batch: usize,
        [height, width]: [f32; 2],
    ) -> Result<Value> {
        let factor = self.factor.draw(graph, random, "factor", batch)?;
        let angle = graph.scale(factor, TAU)?;
        let (cos, sin) = (graph.unary("cos", angle, &[])?, graph.unary("sin", angle, &[])?);
        let (y, x) = (0.5 * (height - 1.0), 0.5 * (width - 1.0));
        let terms = [(cos, [1.0, 0.0, -x, 0.0, 1.0, -y]), (sin, [0.0, -1.0, y, 1.0, 0.0, -x])];
        matrices(graph, batch, [0.0, 0.0, x, 0.0, 0.0, y], &terms)
    }
}

/// Zooms each image about its centre while training; otherwise the identity. Images are `[height, width, channels]`.
///
/// A side of the image is 1 / (1 + factor) times as long after it: negative factors enlarge. Without a width factor the
/// width has the number of the height, which keeps the proportions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RandomZoom {
    height_factor: Factor,
    width_factor: Option<Factor>,
    filling: Filling,
}

impl RandomZoom {
    /// Zooms both axes by one factor from this range, within (-1, 1].
    #[must_use]
    pub fn new(height_factor: impl Into<Factor>) -> Self {
        let height_factor = height_factor.into();
        Self { height_factor, width_factor: None, filling: Filling::default() }
    }

    /// With another factor for the width.
    #[must_use]
    pub fn width_factor(mut self, factor: impl Into<Factor>) -> Self {
        self.width_factor = Some(factor.into());
        self
    }

    fn check(&self) -> Result<()> {
        let both =
            [("height_factor", Some(self.height_factor)), ("width_factor", self.width_factor)];
        both.into_iter().filter_map(|(name, factor)| Some((name, factor?))).try_for_each(
            |(name, factor)| {
                // One number means its negative too.
                let low = factor.bounds()[0];
                let within = |f| f > -1.0 && f <= 1.0 && low > -1.0;
                factor.check(
                    name,
                    within,
                    "in (-1, 1]: at -1 nothing is left of the image; one number f is (-f, f)",
                )
            },
        )
    }

    fn matrices(
        &self,
        graph: &mut Graph,
        random: Random,
        batch: usize,
        [height, width]: [f32; 2],
    ) -> Result<Value> {
        let (cy, cx) = (0.5 * (height - 1.0), 0.5 * (width - 1.0));
        let y = self.height_factor.draw(graph, random, "height", batch)?;
        let x = match self.width_factor {
            Some(factor) => factor.draw(graph, random, "width", batch)?,
            None => y,
        };
        let terms = [(y, [0.0, 0.0, 0.0, 0.0, 1.0, -cy]), (x, [1.0, 0.0, -cx, 0.0, 0.0, 0.0])];
        matrices(graph, batch, SAME, &terms)
    }
}
