//! A network as a data file describes it.

/// What a layer learns.
#[derive(Clone)]
pub struct Weights {
    /// The weights' shape: of a dense layer inputs by outputs, of a kernel rows, columns, channels and filters.
    pub shape: Vec<usize>,
    /// The weights, row by row.
    pub values: Vec<f32>,
    /// A bias for each output, if there are biases.
    pub biases: Option<Vec<f32>>,
}

/// A layer.
#[derive(Clone)]
pub enum Layer {
    /// All outputs of all inputs.
    Dense(Weights),
    /// A convolution of stride 1.
    Convolution {
        /// The kernel and the biases.
        weights: Weights,
        /// Whether zeros around the image keep its size.
        same: bool,
    },
    /// Each channel minus its mean over the batch, by its deviation, then times the weights plus the biases.
    BatchNormalization(Weights),
    /// The greater of each number and zero.
    Relu,
    /// The greatest of each square of 2x2; a last row or column alone is left out.
    MaxPooling,
    /// The mean of each channel.
    GlobalAveragePooling,
    /// All numbers of an image in a row.
    Flatten,
    /// Long short-term memory over the steps of time, of which the last output counts. The weights are the rows of the
    /// inputs, then those of the states; gates are in the order of input, forget, new and output.
    Lstm(Weights),
    /// A row of the table for each id.
    Embedding(Weights),
    /// A vector for each place, which is added.
    Positions(Weights),
    /// A block of GPT.
    Block(Box<Block>),
    /// Each vector minus its mean, by its deviation, then times the weights plus the biases.
    LayerNormalization(Weights),
    /// The products with all rows of the first layer's table.
    Scores,
    /// ResNet's first part: a kernel of 7x7 that moves by two, normalization, ReLU, and the greatest of each 3x3, which moves
    /// by two; zeros around both.
    Stem(Normalized),
    /// ResNet's block.
    Bottleneck(Box<Bottleneck>),
}

/// A convolution without biases, and the normalization after it.
#[derive(Clone)]
pub struct Normalized {
    /// The kernel.
    pub kernel: Weights,
    /// What scales and moves each channel.
    pub norm: Weights,
}

/// Convolutions of 1x1, 3x3 and 1x1, with ReLU after the first two; the input is added, and ReLU follows.
#[derive(Clone)]
pub struct Bottleneck {
    /// The three convolutions.
    pub convolutions: [Normalized; 3],
    /// What brings the input to the result's shape, if that is another.
    pub projection: Option<Normalized>,
    /// By how much the 3x3 and the projection move.
    pub stride: usize,
}

/// Causal attention, then two dense layers with GELU between. Each half reads what its norm
/// gives, and is added to its input.
#[derive(Clone)]
pub struct Block {
    /// Heads of attention.
    pub heads: usize,
    /// The norm before attention.
    pub norm: Weights,
    /// Queries, keys and values, side by side.
    pub parts: Weights,
    /// The projection of what the heads give.
    pub output: Weights,
    /// The norm before the dense layers.
    pub second_norm: Weights,
    /// The inner dense layer.
    pub inner: Weights,
    /// The outer one.
    pub outer: Weights,
}

/// A network and how it is trained.
#[derive(Clone)]
pub struct Model {
    /// The shape of an image: its pixels, or rows, columns and channels. With channels first: channels, rows, columns.
    pub input: Vec<usize>,
    /// The layers in order.
    pub layers: Vec<Layer>,
    /// Images of a step.
    pub batch: usize,
    /// Adam's rate.
    pub rate: f64,
}

impl Weights {
    /// The biases, or none.
    #[must_use]
    pub fn biases(&self) -> &[f32] {
        self.biases.as_deref().unwrap_or_default()
    }

    /// Some of the rows, without biases.
    #[must_use]
    pub fn rows(&self, rows: std::ops::Range<usize>) -> Weights {
        let width = self.shape[1];
        let values = self.values[rows.start * width..rows.end * width].to_vec();
        Weights { shape: vec![rows.len(), width], values, biases: None }
    }

    /// Some of the columns, with their biases.
    #[must_use]
    pub fn columns(&self, columns: std::ops::Range<usize>) -> Weights {
        let rows = self.values.chunks(self.shape[1]);
        let values = rows.flat_map(|row| &row[columns.clone()]).copied().collect();
        let biases = self.biases.as_ref().map(|biases| biases[columns.clone()].to_vec());
        Weights { shape: vec![self.shape[0], columns.len()], values, biases }
    }
}

impl Model {
    /// Of how many ids the inputs are, if they are ids.
    #[must_use]
    pub fn words(&self) -> Option<usize> {
        match self.layers.first() {
            Some(Layer::Embedding(table)) => Some(table.shape[0]),
            _ => None,
        }
    }

    /// The numbers of an image.
    pub fn inputs(&self) -> usize {
        self.input.iter().product()
    }

    /// The same network for images whose channels come first: kernels are filters, channels, rows, columns, and a dense
    /// layer after a flattened image has its rows in the order of such an image.
    pub(crate) fn channels_first(mut self) -> Model {
        let [rows, columns, channels] = self.input[..] else { return self };
        self.input = vec![channels, rows, columns];
        let (mut channels, mut flat) = (channels, false);
        for layer in &mut self.layers {
            match layer {
                Layer::Convolution { weights, .. } => {
                    let [rows, columns, inputs, filters] = weights.shape[..] else { continue };
                    // Taps, channels and filters turn to filters, channels and taps in two steps.
                    let taps = turned(&weights.values, rows * columns * inputs, filters);
                    weights.values = turned(&taps, rows * columns, inputs);
                    weights.shape = vec![filters, inputs, rows, columns];
                    channels = filters;
                }
                Layer::Dense(weights) if flat => {
                    let outputs = weights.shape[1];
                    let places = weights.shape[0] / channels;
                    let by_output = turned(&weights.values, weights.shape[0], outputs);
                    let by_channel = turned(&by_output, places, channels);
                    weights.values = turned(&by_channel, outputs, weights.shape[0]);
                    flat = false;
                }
                Layer::Flatten => flat = true,
                _ => {}
            }
        }
        self
    }
}

/// Matrices of so many rows and columns, one after the other, each transposed.
pub(crate) fn turned(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut all = Vec::with_capacity(values.len());
    for matrix in values.chunks(rows * columns) {
        all.extend((0..columns).flat_map(|c| (0..rows).map(move |r| matrix[r * columns + c])));
    }
    all
}
