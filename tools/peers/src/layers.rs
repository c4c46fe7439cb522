//! The layers of the models: their words in a data file, their shapes and what they learn.

/// Rows and columns of a convolution's kernel.
const KERNEL: usize = 3;
/// Rows and columns of a pooling window, and how far it moves.
const POOL: usize = 2;

/// How many times its width a block's inner layer has.
const INNER: usize = 4;

/// Weights of a shape, and whether there is a bias for each output.
pub type Weight = (Vec<usize>, bool);

/// A layer of a network; images have their channels last.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Layer {
    /// So many units with biases, linear.
    Dense(usize),
    /// So many filters of 3x3 with biases, at every place at which they fit.
    Convolution(usize),
    /// So many filters of 3x3 without biases; zeros around the image keep its size.
    SameConvolution(usize),
    /// Each channel minus its mean over the batch, by its deviation, then scaled and moved.
    BatchNormalization,
    /// The greater of each number and zero.
    Relu,
    /// The greatest of each square of 2x2; a last row or column alone is left out.
    MaxPooling,
    /// The mean of each channel.
    GlobalAveragePooling,
    /// All numbers of an image in a row.
    Flatten,
    /// So many units of long short-term memory over the steps of time, of which the last output counts. Its weights are the
    /// rows of the inputs, then those of the states; gates are in the order of input, forget, new and output.
    Lstm(usize),
    /// For each id below the first number a vector of the second.
    Embedding(usize, usize),
    /// A vector for each place is added.
    Positions,
    /// A block of GPT: causal attention of so many heads, then two layers with GELU between, four times as wide. Each half reads
    /// what a layer normalization gives, and is added to its input. Weights: norm, queries with keys and values, output,
    /// norm, inner, outer.
    Block(usize),
    /// Each vector minus its mean, by its deviation, then scaled and moved.
    LayerNormalization,
    /// The products with all rows of the first layer's table.
    Scores,
    /// ResNet's first part: so many filters of 7x7 that move by two, normalization, ReLU, and the greatest of each 3x3, which
    /// moves by two; zeros around both. Weights: kernel, normalization.
    Stem(usize),
    /// ResNet's block: convolutions of 1x1, 3x3 and 1x1, the last with four times as many filters, each followed by
    /// normalization and the first two by ReLU; the input is added, and ReLU follows. Weights: kernels and normalizations
    /// in turn.
    Bottleneck(usize),
    /// The same, if the 3x3 moves by the second number, and a 1x1 with normalization brings the input to the result's shape.
    /// Its weights come last.
    ProjectedBottleneck(usize, usize),
}

impl Layer {
    /// The word for it in a data file, with a number that its weights do not show.
    pub fn word(self) -> String {
        let word = match self {
            Layer::Block(heads) => return format!("block:{heads}"),
            Layer::ProjectedBottleneck(_, stride) => {
                return format!("projected_bottleneck:{stride}");
            }
            Layer::Dense(_) => "dense",
            Layer::Convolution(_) => "convolution",
            Layer::SameConvolution(_) => "same_convolution",
            Layer::BatchNormalization => "batch_normalization",
            Layer::Relu => "relu",
            Layer::MaxPooling => "max_pooling",
            Layer::GlobalAveragePooling => "global_average_pooling",
            Layer::Flatten => "flatten",
            Layer::Lstm(_) => "lstm",
            Layer::Embedding(..) => "embedding",
            Layer::Positions => "positions",
            Layer::LayerNormalization => "layer_normalization",
            Layer::Scores => "scores",
            Layer::Stem(_) => "stem",
            Layer::Bottleneck(_) => "bottleneck",
        };
        word.into()
    }

    /// The shape of what it makes of a sample of this shape; `words` is how many ids the model's embedding has.
    pub fn output(self, input: &[usize], words: usize) -> Vec<usize> {
        match (self, input) {
            (Layer::Dense(units), _) => vec![units],
            (Layer::Convolution(filters), [rows, columns, _]) => {
                vec![rows + 1 - KERNEL, columns + 1 - KERNEL, filters]
            }
            (Layer::SameConvolution(filters), [rows, columns, _]) => vec![*rows, *columns, filters],
            (Layer::MaxPooling, [rows, columns, channels]) => {
                vec![rows / POOL, columns / POOL, *channels]
            }
            (Layer::GlobalAveragePooling, [_, _, channels]) => vec![*channels],
            (Layer::Flatten, _) => vec![input.iter().product()],
            (Layer::Lstm(units), [_, _]) => vec![units],
            (Layer::Embedding(_, width), [time]) => vec![*time, width],
            (Layer::Scores, [time, _]) => vec![*time, words],
            (Layer::Stem(filters), [rows, columns, _]) => {
                vec![rows.div_ceil(4), columns.div_ceil(4), filters]
            }
            (Layer::ProjectedBottleneck(filters, stride), [rows, columns, _]) => {
                vec![rows.div_ceil(stride), columns.div_ceil(stride), 4 * filters]
            }
            // A layer that needs an image and gets a row is a fault of the list of models, which a test finds.
            _ => input.to_vec(),
        }
    }

    /// Its weights on samples of this shape.
    pub fn weights(self, input: &[usize]) -> Vec<Weight> {
        let channels = input.last().copied().unwrap_or_default();
        match self {
            Layer::Dense(units) => vec![(vec![channels, units], true)],
            Layer::Convolution(filters) => vec![(vec![KERNEL, KERNEL, channels, filters], true)],
            Layer::SameConvolution(filters) => {
                vec![(vec![KERNEL, KERNEL, channels, filters], false)]
            }
            Layer::BatchNormalization | Layer::LayerNormalization => vec![(vec![channels], true)],
            Layer::Lstm(units) => vec![(vec![channels + units, 4 * units], true)],
            Layer::Embedding(words, width) => vec![(vec![words, width], false)],
            Layer::Positions => vec![(input.to_vec(), false)],
            Layer::Block(_) => {
                let norm = vec![channels];
                let dense = |inputs, outputs| vec![inputs, outputs];
                let inner = INNER * channels;
                [
                    norm.clone(),
                    dense(channels, 3 * channels),
                    dense(channels, channels),
                    norm,
                    dense(channels, inner),
                    dense(inner, channels),
                ]
                .map(|shape| (shape, true))
                .into()
            }
            Layer::Stem(filters) => normalized([7, channels, filters]).into(),
            Layer::Bottleneck(filters) => bottleneck(channels, filters),
            Layer::ProjectedBottleneck(filters, _) => {
                let mut all = bottleneck(channels, filters);
                all.extend(normalized([1, channels, 4 * filters]));
                all
            }
            _ => Vec::new(),
        }
    }
}

/// A square kernel of this size, channels and filters without biases, and the normalization after it.
fn normalized([size, channels, filters]: [usize; 3]) -> [Weight; 2] {
    [(vec![size, size, channels, filters], false), (vec![filters], true)]
}

/// What a bottleneck learns, without a projection.
fn bottleneck(channels: usize, filters: usize) -> Vec<Weight> {
    let kernels = [[1, channels, filters], [3, filters, filters], [1, filters, 4 * filters]];
    kernels.map(normalized).concat()
}
