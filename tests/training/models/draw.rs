//! A random model as plain data: towers, shared layers, merges, frozen layers, several inputs and outputs.

use crate::reference::random::{threefry2x32, uniform};
use wgrad::prelude::*;

/// Rows of an embedding's table.
const TABLE: usize = 5;

/// The factor on features of a model with an input of bytes: a power of two, so that it rounds nothing.
const SCALE: f32 = 1.0 / 128.0;

/// An input: so many numbers a sample, as f32 or as bytes, or so many ids below [`TABLE`].
#[derive(Debug, Clone, Copy)]
pub struct Input {
    pub width: usize,
    pub ids: bool,
    pub bytes: bool,
}

/// A layer with weights. All uses of one share them.
#[derive(Debug, Clone)]
pub struct Weighted {
    /// Rows and columns of the kernel, or of the table.
    pub kernel: [usize; 2],
    /// Whether it is an embedding.
    pub table: bool,
    pub activation: Activation,
    pub bias: bool,
    pub frozen: bool,
    pub l2: f32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge {
    Add,
    Average,
    Multiply,
    Concatenate,
}

/// The source of a tensor. Tensors are counted: the inputs first, then the nodes.
#[derive(Debug, Clone)]
pub enum Node {
    /// A layer applied to a tensor.
    Layer(usize, usize),
    Activation(Activation, usize),
    /// Layer normalization without gamma and beta.
    Normalize(usize),
    Merge(Merge, Vec<usize>),
}

/// An output: a tensor, its loss and the factor of it.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    pub tensor: usize,
    pub loss: Loss,
    pub weight: f32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    Sgd,
    Nesterov,
    Adam,
}

/// A model, its data and how it is trained.
#[derive(Debug, Clone)]
pub struct Drawn {
    pub seed: u32,
    pub samples: usize,
    pub inputs: Vec<Input>,
    pub layers: Vec<Weighted>,
    pub nodes: Vec<Node>,
    /// Columns of each tensor.
    pub widths: Vec<usize>,
    pub outputs: Vec<Output>,
    pub rule: Rule,
    pub clip: Option<Clip>,
}

/// Functions that a layer may have. Linear ones are frequent: they give equal gradients.
const FUNCTIONS: [Activation; 20] = [
    Activation::Linear,
    Activation::Linear,
    Activation::Linear,
    Activation::Relu,
    Activation::LeakyRelu { negative_slope: 0.25 },
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
    Activation::ClippedLinear { low: -1.0, high: 1.0 },
    Activation::Softmax,
    Activation::LogSoftmax,
];

/// Numbers below a bound, one after the other.
struct Dice {
    key: [u32; 2],
    drawn: u32,
}

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.drawn += 1;
        threefry2x32(self.key, [self.drawn, 0], 20)[0] as usize % n
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

impl Drawn {
    /// The model of this seed; `attempt` numbers the draws until one can be tested.
    pub fn random(seed: u32, attempt: u32) -> Self {
        let mut dice = Dice { key: [seed, attempt], drawn: 0 };
        let width = dice.pick(&[2, 3, 4, 8]);
        let mut this = Self {
            seed,
            samples: dice.pick(&[3, 4, 7]),
            inputs: Vec::new(),
            layers: Vec::new(),
            nodes: Vec::new(),
            widths: Vec::new(),
            outputs: Vec::new(),
            rule: dice.pick(&[Rule::Sgd, Rule::Sgd, Rule::Nesterov, Rule::Adam]),
            clip: dice.one_in(6).then_some(Clip::GlobalNorm(0.5)),
        };
        for _ in 0..1 + dice.below(3) {
            let kind = dice.below(6);
            let (ids, bytes) = (kind == 0, kind == 1);
            let width = if ids { 1 + dice.below(2) } else { dice.pick(&[width, width, 3]) };
            this.inputs.push(Input { width, ids, bytes });
            this.widths.push(width);
        }
        for i in (0..this.inputs.len()).filter(|&i| this.inputs[i].ids).collect::<Vec<_>>() {
            let activation = Activation::Linear;
            let table =
                Weighted { kernel: [TABLE, width], table: true, bias: false, ..dense(activation) };
            this.layers.push(Weighted { frozen: dice.one_in(8), ..table });
            let tensor = this.layers.len() - 1;
            this.push(Node::Layer(tensor, i), this.widths[i] * width);
        }
        for _ in 0..2 + dice.below(7) {
            this.grow(&mut dice, width);
        }
        // What was drawn may have fit nowhere.
        if this.nodes.is_empty() {
            this.dense(&mut dice, 0, width, Activation::Tanh);
        }
        for _ in 0..1 + dice.below(3) {
            let last = this.widths.len() - 1;
            let first = this.inputs.len();
            let tensor = if dice.one_in(2) { last } else { first + dice.below(last + 1 - first) };
            this.end(&mut dice, tensor);
        }
        // One tensor twice among the outputs.
        if dice.one_in(8) {
            let Output { tensor, loss, .. } = dice.pick(&this.outputs);
            this.outputs.push(Output { tensor, loss, weight: 0.25 });
        }
        for i in 0..this.inputs.len() {
            if !this.reached()[i] {
                let x = if this.inputs[i].ids { this.first_use(i) } else { i };
                let head = this.dense(&mut dice, x, width, Activation::Linear);
                this.end(&mut dice, head);
            }
        }
        this
    }

    fn push(&mut self, node: Node, width: usize) -> usize {
        self.nodes.push(node);
        self.widths.push(width);
        self.widths.len() - 1
    }

    /// The node that reads input `i` first.
    fn first_use(&self, i: usize) -> usize {
        let reads = |n: &Node| matches!(n, Node::Layer(_, x) if *x == i);
        self.inputs.len() + self.nodes.iter().position(reads).expect("ids are embedded")
    }

    /// A tensor of numbers; recent ones are likelier, so that towers grow.
    fn tensor(&self, dice: &mut Dice) -> usize {
        loop {
            let n = self.widths.len();
            let i = if dice.one_in(2) { dice.below(n) } else { n - 1 - dice.below(n.min(3)) };
            if self.inputs.get(i).is_none_or(|input| !input.ids) {
                return i;
            }
        }
    }

    fn dense(&mut self, dice: &mut Dice, x: usize, units: usize, activation: Activation) -> usize {
        let kernel = [self.widths[x], units];
        let frozen = dice.one_in(8);
        self.layers.push(Weighted {
            kernel,
            bias: !dice.one_in(8),
            frozen,
            l2: if !frozen && dice.one_in(8) { 0.125 } else { 0.0 },
            ..dense(activation)
        });
        self.push(Node::Layer(self.layers.len() - 1, x), units)
    }

    /// Adds a node or two.
    fn grow(&mut self, dice: &mut Dice, width: usize) {
        let x = self.tensor(dice);
        match dice.below(16) {
            // An existing layer, once more.
            0..=2 => {
                let fits = |l: &usize| {
                    let layer = &self.layers[*l];
                    !layer.table && layer.kernel[0] == self.widths[x]
                };
                let fitting: Vec<usize> = (0..self.layers.len()).filter(fits).collect();
                if !fitting.is_empty() {
                    let layer = dice.pick(&fitting);
                    self.push(Node::Layer(layer, x), self.layers[layer].kernel[1]);
                }
            }
            // A row of one number has no spread.
            3 if self.widths[x] > 1 && dice.one_in(2) => {
                self.push(Node::Normalize(x), self.widths[x]);
            }
            3 => {
                self.push(Node::Activation(dice.pick(&FUNCTIONS), x), self.widths[x]);
            }
            4..=7 => {
                let kind =
                    dice.pick(&[Merge::Add, Merge::Average, Merge::Multiply, Merge::Concatenate]);
                let mut parts = vec![x, self.tensor(dice)];
                if dice.one_in(3) {
                    parts.push(self.tensor(dice));
                }
                let of = |&p: &usize| self.widths[p];
                let wide = parts.iter().map(of).max().unwrap_or(1);
                match kind {
                    Merge::Concatenate => {
                        let sum = parts.iter().map(of).sum();
                        self.push(Node::Merge(kind, parts), sum);
                    }
                    _ if parts.iter().map(of).all(|w| w == 1 || w == wide) => {
                        self.push(Node::Merge(kind, parts), wide);
                    }
                    _ => {}
                }
            }
            // Towers whose biases have one gradient.
            8 | 9 => {
                let other = self.tensor(dice);
                let towers = [x, other].map(|x| self.dense(dice, x, width, Activation::Linear));
                let kind = dice.pick(&[Merge::Add, Merge::Average]);
                self.push(Node::Merge(kind, towers.to_vec()), width);
            }
            _ => {
                let (units, activation) = (dice.pick(&[width, width, 1]), dice.pick(&FUNCTIONS));
                self.dense(dice, x, units, activation);
            }
        }
    }

    /// Makes a tensor an output, with a loss that fits it.
    fn end(&mut self, dice: &mut Dice, tensor: usize) {
        let classes = self.widths[tensor] > 1;
        let from_logits = dice.one_in(2);
        let loss = match dice.below(if classes { 6 } else { 4 }) {
            0 => Loss::MeanSquaredError,
            1 => Loss::MeanAbsoluteError,
            2 => Loss::Huber { delta: 0.5 },
            3 => Loss::BinaryCrossentropy { from_logits },
            4 => Loss::CategoricalCrossentropy { from_logits },
            _ => Loss::SparseCategoricalCrossentropy { from_logits },
        };
        let probabilities = match loss {
            Loss::BinaryCrossentropy { from_logits: false } => Some(Activation::Sigmoid),
            Loss::CategoricalCrossentropy { from_logits: false }
            | Loss::SparseCategoricalCrossentropy { from_logits: false } => {
                Some(Activation::Softmax)
            }
            _ => None,
        };
        // A head suits its loss, or the model is refused.
        let tensor = match (probabilities, loss.from_logits()) {
            (Some(f), _) => self.push(Node::Activation(f, tensor), self.widths[tensor]),
            (None, Some(true)) => self.dense(dice, tensor, self.widths[tensor], Activation::Linear),
            _ if self.is_constant(tensor) => {
                self.dense(dice, tensor, self.widths[tensor], Activation::Linear)
            }
            _ => tensor,
        };
        self.outputs.push(Output { tensor, loss, weight: dice.pick(&[1.0, 1.0, 0.5]) });
    }

    /// Whether a tensor is the softmax of one unit, which is the same number for every sample.
    fn is_constant(&self, tensor: usize) -> bool {
        let Some(node) = tensor.checked_sub(self.inputs.len()) else { return false };
        let activation = match self.nodes[node] {
            Node::Activation(Activation::Linear, x) => return self.is_constant(x),
            Node::Activation(activation, _) => activation,
            Node::Layer(layer, _) => self.layers[layer].activation,
            Node::Merge(..) | Node::Normalize(_) => return false,
        };
        self.widths[tensor] == 1
            && matches!(activation, Activation::Softmax | Activation::LogSoftmax)
    }

    /// The tensors that a node reads.
    pub fn operands(&self, node: usize) -> Vec<usize> {
        match &self.nodes[node] {
            Node::Layer(_, x) | Node::Activation(_, x) | Node::Normalize(x) => vec![*x],
            Node::Merge(_, parts) => parts.clone(),
        }
    }

    /// Whether an output depends on each tensor.
    pub fn reached(&self) -> Vec<bool> {
        let mut reached = vec![false; self.widths.len()];
        self.outputs.iter().for_each(|o| reached[o.tensor] = true);
        for node in (0..self.nodes.len()).rev() {
            if reached[self.inputs.len() + node] {
                self.operands(node).into_iter().for_each(|x| reached[x] = true);
            }
        }
        reached
    }

    /// How often the model uses each layer.
    pub fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.layers.len()];
        for (node, _) in
            self.nodes.iter().zip(&self.reached()[self.inputs.len()..]).filter(|n| *n.1)
        {
            if let Node::Layer(layer, _) = node {
                uses[*layer] += 1;
            }
        }
        uses
    }

    /// Numbers of this tensor of the data, between -1 and 1.
    fn numbers(&self, which: usize, len: usize) -> Vec<f32> {
        uniform(self.seed.wrapping_mul(64).wrapping_add(which as u32), len, -1.0, 1.0)
    }

    /// The first weights of each layer: kernel or table, then bias.
    pub fn weights(&self) -> Vec<Vec<Vec<f32>>> {
        let own = |(i, layer): (usize, &Weighted)| {
            let [rows, cols] = layer.kernel;
            let mut own = vec![self.numbers(2 * i, rows * cols)];
            own.extend(layer.bias.then(|| self.numbers(2 * i + 1, cols)));
            own
        };
        self.layers.iter().enumerate().map(own).collect()
    }

    /// What the features of the dataset are multiplied by.
    pub fn scale(&self) -> f32 {
        if self.inputs.iter().any(|input| input.bytes) { SCALE } else { 1.0 }
    }

    /// Features after [`scale`](Self::scale), and ids as numbers.
    pub fn features(&self) -> Vec<Vec<f32>> {
        let of = |(i, input): (usize, &Input)| {
            let mut x = self.numbers(40 + i, self.samples * input.width);
            if input.ids {
                x.iter_mut().for_each(|x| *x = ((*x + 1.0) * 0.5 * TABLE as f32).floor());
            }
            if input.bytes {
                x.iter_mut().for_each(|x| *x = ((*x + 1.0) * 128.0).floor().min(255.0) * SCALE);
            }
            x
        };
        self.inputs.iter().enumerate().map(of).collect()
    }

    /// Targets, and labels as numbers.
    pub fn targets(&self) -> Vec<Vec<f32>> {
        let of = |(i, output): (usize, &Output)| {
            let width = self.widths[output.tensor];
            let labels = output.loss.takes_labels();
            let mut y = self.numbers(50 + i, self.samples * if labels { 1 } else { width });
            if labels {
                y.iter_mut().for_each(|y| *y = ((*y + 1.0) * 0.5 * width as f32).floor());
            } else if output.loss.takes_probabilities() {
                y.iter_mut().for_each(|y| *y = (*y + 1.0) * 0.5);
            }
            y
        };
        self.outputs.iter().enumerate().map(of).collect()
    }
}

/// A dense layer, trained and without a penalty; its size is the caller's.
fn dense(activation: Activation) -> Weighted {
    let kernel = [0, 0];
    Weighted { kernel, table: false, activation, bias: true, frozen: false, l2: 0.0 }
}
