//! Recurrent layers with each option against f64, in value and gradient: as one op, and in a loop past 64 units.

use super::*;
use reference::recurrent::{self, Kind, Sizes};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Unit {
    Simple,
    Lstm,
    Gru,
    ResetBefore,
}

const UNITS: [Unit; 4] = [Unit::Simple, Unit::Lstm, Unit::Gru, Unit::ResetBefore];

/// A recurrent layer, its options, and what it is given.
#[derive(Debug, Clone, Copy)]
struct Case {
    unit: Unit,
    /// Batch, time, features, units.
    sizes: [usize; 4],
    sequences: bool,
    state: bool,
    backwards: bool,
    masked: bool,
    zeroed: bool,
    initial: bool,
    /// The rates of dropout of inputs and of h.
    rates: [f32; 2],
}

/// The stream, the seed and the step of training.
pub const WORDS: [u32; 3] = [7, 2, 3];

impl Case {
    fn new(unit: Unit, sizes: [usize; 4]) -> Self {
        let no = false;
        Self {
            unit,
            sizes,
            sequences: no,
            state: no,
            backwards: no,
            masked: no,
            zeroed: no,
            initial: no,
            rates: [0.0; 2],
        }
    }

    /// Each option, and several together.
    fn all(unit: Unit, sizes: [usize; 4]) -> Vec<Self> {
        let case = Self::new(unit, sizes);
        vec![
            case,
            Self { sequences: true, state: true, ..case },
            Self { masked: true, ..case },
            Self { masked: true, zeroed: true, sequences: true, ..case },
            Self { masked: true, zeroed: true, initial: true, backwards: true, ..case },
            Self { initial: true, state: true, ..case },
            case.together(),
        ]
    }

    fn together(self) -> Self {
        Self { sequences: true, state: true, backwards: true, masked: true, initial: true, ..self }
    }

    fn layer(&self) -> LayerHandle {
        let units = self.sizes[3];
        macro_rules! with {
            ($layer:expr) => {
                $layer
                    .return_sequences(self.sequences)
                    .return_state(self.state)
                    .go_backwards(self.backwards)
                    .zero_output_for_mask(self.zeroed)
                    .dropout(self.rates[0])
                    .recurrent_dropout(self.rates[1])
                    .into()
            };
        }
        match self.unit {
            Unit::Simple => with!(SimpleRnn::new(units)),
            Unit::Lstm => with!(Lstm::new(units)),
            Unit::Gru => with!(Gru::new(units)),
            Unit::ResetBefore => with!(Gru::new(units).reset_after(false)),
        }
    }

    fn oracle<'a>(
        &self,
        mask: Option<&'a [f64]>,
        dropped: &'a [Option<Vec<f64>>; 2],
    ) -> recurrent::Layer<'a> {
        let [batch, time, features, units] = self.sizes;
        let kind = match self.unit {
            Unit::Simple => Kind::Simple,
            Unit::Lstm => Kind::Lstm,
            Unit::Gru | Unit::ResetBefore => Kind::Gru,
        };
        recurrent::Layer {
            reset_before: self.unit == Unit::ResetBefore,
            backwards: self.backwards,
            mask,
            dropped: dropped.each_ref().map(|factors| factors.as_deref()),
            ..recurrent::Layer::new(kind, Sizes { batch, time, features, units })
        }
    }

    /// Numbers so small that gates have a slope.
    fn weights(&self, layer: &dyn Layer, initial: &[Shape]) -> Vec<Tensor> {
        let bound = (1.5 / (self.sizes[3] as f32).sqrt()).min(0.6);
        let drawn = |(i, spec): (usize, wgrad::layers::WeightSpec)| {
            let values = uniform(11 + i as u32, spec.shape.len(), -bound, bound);
            Tensor::f32(spec.shape, values).unwrap()
        };
        layer.weights(initial).into_iter().enumerate().map(drawn).collect()
    }

    /// 1 for steps that count. Of several samples the last has none.
    fn mask(&self) -> Option<Tensor> {
        let [batch, time, ..] = self.sizes;
        let kept =
            |(i, v): (usize, f32)| f32::from(u8::from(v > -0.3 && i / time + 1 < batch.max(2)));
        let drawn = uniform(9, batch * time, -1.0, 1.0).into_iter().enumerate().map(kept);
        self.masked.then(|| Tensor::f32([batch, time], drawn.collect::<Vec<_>>()).unwrap())
    }

    /// The outputs, of each state after each step.
    fn outputs(&self, states: &[Vec<Vec<f64>>], mask: Option<&[f64]>) -> Vec<Vec<f64>> {
        let [batch, time, _, units] = self.sizes;
        let shown = |(i, state): (usize, &Vec<Vec<f64>>)| -> Vec<f64> {
            let t = if self.backwards { time - 1 - i } else { i };
            let zero = |row: usize| self.zeroed && mask.is_some_and(|m| m[row * time + t] == 0.0);
            let rows = state[0].iter().enumerate();
            rows.map(|(at, h)| if zero(at / units) { 0.0 } else { *h }).collect()
        };
        let mut all: Vec<Vec<f64>> = states.iter().enumerate().map(shown).collect();
        let last = all.pop().unwrap();
        let y = match self.sequences {
            true => recurrent::batch_first(&[all, vec![last]].concat(), batch),
            false => last,
        };
        let ends = states[time - 1].iter().filter(|_| self.state).cloned();
        [y].into_iter().chain(ends).collect()
    }

    /// The inputs, then the weights.
    fn operands(&self) -> [Vec<Tensor>; 2] {
        let [batch, time, features, units] = self.sizes;
        let mut inputs = vec![numbers(&[batch, time, features], 3)];
        if self.initial {
            let states = if self.unit == Unit::Lstm { 2 } else { 1 };
            inputs.extend((0..states).map(|s| numbers(&[batch, units], 4 + s)));
        }
        let weights = self.weights(self.layer().layer(), &samples(&refs(&inputs)));
        [inputs, weights]
    }

    fn run(&self) -> Step {
        let [inputs, weights] = self.operands();
        let random = self.rates.iter().any(|&rate| rate > 0.0).then_some(WORDS);
        let layer = self.layer();
        masked_step(layer.layer(), &refs(&inputs), &refs(&weights), &[self.mask()], random).unwrap()
    }

    fn check(&self, step: &Step) {
        let [batch, _, features, units] = self.sizes;
        let [inputs, weights] = self.operands();
        let mask = self.mask().map(|mask| wide(&mask));
        let dropped = [("dropout", features), ("recurrent_dropout", units)];
        let dropped = [0, 1].map(|i| factors(self.rates[i], batch * dropped[i].1, &[dropped[i].0]));
        let rnn = self.oracle(mask.as_deref(), &dropped);
        let operands: Vec<&Tensor> = inputs.iter().chain(&weights).collect();
        agree(&format!("{self:?}"), step, &operands, |at| {
            let (states, w) = at[1..].split_at(inputs.len() - 1);
            let states = if states.is_empty() { rnn.zeros() } else { states.to_vec() };
            self.outputs(&rnn.states(&at[0], [&w[0], &w[1], &w[2]], &states), mask.as_deref())
        });
    }
}

/// What the part of this path multiplies by: 0, or 1 / (1 - rate).
pub fn factors(rate: f32, len: usize, path: &[&str]) -> Option<Vec<f64>> {
    let none = Graph::new().constant(0.0);
    let [stream, seed, step] = WORDS;
    let random = Random { seed: none, step: none, stream };
    let stream = path.iter().fold(random, |random, part| random.of(part)).stream;
    let kept = f64::from(1.0 / (1.0 - rate));
    let drawn = drawn(len, [stream, seed, step]).into_iter();
    (rate > 0.0).then(|| drawn.map(|u| if u < rate.into() { 0.0 } else { kept }).collect())
}

/// All outputs, and the gradients by each operand: by each number if there are few, else along random directions.
#[track_caller]
fn agree(name: &str, step: &Step, operands: &[&Tensor], f: impl Fn(&[Vec<f64>]) -> Vec<Vec<f64>>) {
    let at: Vec<Vec<f64>> = operands.iter().map(|t| wide(t)).collect();
    let want = f(&at);
    assert_eq!(step.outputs.len(), want.len(), "{name}: outputs");
    for (i, (got, want)) in step.outputs.iter().zip(&want).enumerate() {
        assert_close(&format!("{name}: output {i}"), got.as_f32().unwrap(), want, 1e-5, 4e-6);
    }
    let up: Vec<Vec<f32>> = want.iter().enumerate().map(|(i, y)| upstream(i, y.len())).collect();
    let loss = |x: &[Vec<f64>]| -> f64 {
        let of = |(y, d): (&Vec<f64>, &Vec<f32>)| {
            y.iter().zip(d).map(|(y, d)| y * f64::from(*d)).sum::<f64>()
        };
        f(x).iter().zip(&up).map(of).sum()
    };
    let got: Vec<&Vec<f32>> = step.inputs.iter().chain(&step.weights).collect();
    assert_eq!(got.len(), operands.len(), "{name}: a gradient per operand");
    for (i, got) in got.into_iter().enumerate() {
        let n = got.len();
        let unit = |k: usize| (0..n).map(|j| f32::from(u8::from(j == k))).collect();
        let directions: Vec<Vec<f32>> = match n {
            ..=24 => (0..n).map(unit).collect(),
            _ => [31, 32].map(|seed| uniform(seed, n, -1.0, 1.0)).to_vec(),
        };
        for v in directions {
            let moved = |h: f64| {
                let mut x = at.clone();
                x[i].iter_mut().zip(&v).for_each(|(x, v)| *x += h * f64::from(*v));
                loss(&x)
            };
            let want = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
            let terms = || got.iter().zip(&v).map(|(d, v)| f64::from(*d) * f64::from(*v));
            let (along, size) = (terms().sum::<f64>(), terms().map(|t| t * t).sum::<f64>().sqrt());
            let error = 2e-5 * (size + want.abs()) + 5e-6;
            assert!(
                (along - want).abs() <= error,
                "{name}: gradient {i}: {along}, not {want} (size {size})"
            );
        }
    }
}

/// Which gradients are zero: of the recurrent kernel if there is no h to multiply, of all but states if no step counts.
fn gradients_are_there(case: &Case, step: &Step) {
    let zero = |d: &Vec<f32>| d.iter().all(|&d| d == 0.0);
    let some = case.mask().is_none_or(|mask| mask.as_f32().unwrap().contains(&1.0));
    let recurrent = some && (case.initial || case.sizes[1] > 1);
    let want = [some, recurrent, some];
    for (i, (d, there)) in step.weights.iter().zip(want).enumerate() {
        assert_eq!(!zero(d), there, "{case:?}: weight {i}");
    }
}

fn all_agree(cases: Vec<Case>) {
    for case in cases {
        let step = case.run();
        gradients_are_there(&case, &step);
        case.check(&step);
    }
}

#[test]
fn few_units_agree_in_value_and_gradient() {
    for unit in UNITS {
        let mut cases = Case::all(unit, [3, 5, 4, 7]);
        let single = Case::new(unit, [1, 1, 1, 1]);
        cases.extend([single, single.together()]);
        all_agree(cases);
    }
}

#[test]
fn many_units_agree_in_value_and_gradient() {
    for unit in UNITS {
        let mut cases = Case::all(unit, [2, 3, 3, 65]);
        cases.push(Case::new(unit, [2, 3, 3, 128]).together());
        all_agree(cases);
    }
}

#[test]
fn many_units_give_the_same_bits_ten_times() {
    for unit in UNITS {
        let case = Case::new(unit, [3, 4, 5, 65]).together();
        let bits = || {
            let step = case.run();
            let outputs = step.outputs.iter().map(|t| t.as_f32().unwrap().to_vec());
            let all = outputs.chain(step.inputs).chain(step.weights);
            all.flatten().map(f32::to_bits).collect::<Vec<_>>()
        };
        let first = bits();
        assert!((0..9).all(|_| bits() == first), "{unit:?}");
    }
}

/// Dropout of inputs and of h is one mask for all steps, that of the numbers that are drawn: as one op, which has no dropout
/// of h, and in loops.
#[test]
fn dropout_agrees_in_value_and_gradient() {
    for unit in UNITS {
        let case = |rates, units| Case { rates, ..Case::new(unit, [3, 4, 5, units]) };
        let mut cases = vec![case([0.4, 0.0], 5), case([0.4, 0.3], 5).together()];
        if [Unit::Lstm, Unit::ResetBefore].contains(&unit) {
            cases.push(case([0.4, 0.3], 65));
        }
        for case in cases {
            let step = case.run();
            case.check(&step);
            assert_eq!(case.run().y(), step.y(), "{case:?}: the same words");
            // The control: without dropout it is another, and evaluation is that.
            let [x, w] = case.operands();
            let of = |case: Case, random| {
                let layer = case.layer();
                masked_step(layer.layer(), &refs(&x), &refs(&w), &[case.mask()], random).unwrap()
            };
            let still = of(Case { rates: [0.0; 2], ..case }, Some(WORDS));
            assert_ne!(still.y(), step.y(), "{case:?}");
            assert_eq!(of(case, None).y(), still.y(), "{case:?}");
            assert_ne!(of(case, Some([7, 2, 4])).y(), step.y(), "{case:?}: other words");
        }
    }
}

/// Both directions, each with its own weights and dropout; the second reads from the end, and its sequence is in the order of
/// time. A masked step of a sequence is zero.
#[test]
fn both_directions_agree_in_value_and_gradient() {
    for (n, unit) in UNITS.into_iter().enumerate() {
        for sizes in [[3, 5, 4, 7], [1, 1, 1, 1], [2, 3, 3, 65]] {
            let (sequences, masked) = (n % 2 == 0, sizes[0] > 1);
            for rates in [[0.0; 2], [0.3, 0.4]] {
                if rates[0] > 0.0 && sizes[3] != 7 {
                    continue;
                }
                both(Case {
                    sequences,
                    masked,
                    zeroed: sequences,
                    rates,
                    ..Case::new(unit, sizes)
                });
            }
        }
    }
}

fn both(case: Case) {
    let [batch, time, features, units] = case.sizes;
    let bare = Case { zeroed: false, ..case };
    let both = Bidirectional::new(bare.layer()).merge_mode(MergeMode::Mul);
    let x = numbers(&[batch, time, features], 3);
    let w = case.weights(&both, &samples(&[&x]));
    let random = (case.rates[0] > 0.0).then_some(WORDS);
    let step = masked_step(&both, &[&x], &refs(&w), &[case.mask()], random).unwrap();
    let mask = case.mask().map(|mask| wide(&mask));
    let kind = bare.layer().part_name();
    let dropped = ["forward", "backward"].map(|side| {
        let part = format!("{side}_{kind}");
        [("dropout", features), ("recurrent_dropout", units)].map(|(name, width)| {
            let rate = case.rates[usize::from(name != "dropout")];
            factors(rate, batch * width, &[&part, name])
        })
    });
    let operands: Vec<&Tensor> = [&x].into_iter().chain(&w).collect();
    agree(&format!("{case:?}"), &step, &operands, |at| {
        let side = |backwards: bool| {
            let case = Case { backwards, ..case };
            let rnn = case.oracle(mask.as_deref(), &dropped[usize::from(backwards)]);
            let w = &at[if backwards { 4 } else { 1 }..][..3];
            let states = rnn.states(&at[0], [&w[0], &w[1], &w[2]], &rnn.zeros());
            case.outputs(&states, mask.as_deref()).swap_remove(0)
        };
        let (y, mut from_end) = (side(false), side(true));
        if case.sequences {
            let rows = from_end.chunks(time * units);
            from_end = rows.flat_map(|row| row.chunks(units).rev()).flatten().copied().collect();
        }
        vec![y.iter().zip(&from_end).map(|(a, b)| a * b).collect()]
    });
}

/// The comparison notices one wrong number of a gradient, and of an output.
#[test]
fn what_is_wrong_is_noticed() {
    let case = Case::new(Unit::Gru, [3, 5, 4, 7]).together();
    case.check(&case.run());
    let mut wrong = case.run();
    wrong.weights[1][7] += 0.01;
    assert!(std::panic::catch_unwind(|| case.check(&wrong)).is_err());
    let mut wrong = case.run();
    let mut y = wrong.y().to_vec();
    y[3] += 1e-4;
    wrong.outputs[0] = Tensor::f32(wrong.outputs[0].shape(), y).unwrap();
    assert!(std::panic::catch_unwind(|| case.check(&wrong)).is_err());
}
