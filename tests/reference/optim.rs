//! One step of each optimizer, with Keras 3's update rules and defaults.
//!
//! `step` is the number of steps already done, 0 at the first. Parameters and state are updated in place. The formulas
//! are those of Keras 3.15's `update_step` methods; note the place of epsilon: inside the square root for RMSprop and
//! Adagrad, outside it for Adam.

/// A learning rate after `step` steps of inverse-time decay, `lr / (1 + decay * step)` (Keras 2's
/// `decay` argument, Keras 3's `InverseTimeDecay` with `decay_steps = 1`).
pub fn inverse_time_decay(lr: f64, decay: f64, step: u64) -> f64 {
    lr / (1.0 + decay * step as f64)
}

/// Stochastic gradient descent.
pub struct Sgd {
    pub lr: f64,
    pub momentum: f64,
    pub nesterov: bool,
    pub decay: f64,
}

impl Default for Sgd {
    fn default() -> Self {
        Self { lr: 0.01, momentum: 0.0, nesterov: false, decay: 0.0 }
    }
}

/// With `lr` decayed for this step: `v = momentum v - lr g`; then `p += v`, or with Nesterov's form
/// `p += momentum v - lr g`. Source: Sutskever et al. 2013, in Keras' signs. Without momentum
/// this is `p -= lr g`.
pub fn sgd(c: &Sgd, step: u64, p: &mut [f64], g: &[f64], velocity: &mut [f64]) {
    check(p, &[g, velocity]);
    let lr = inverse_time_decay(c.lr, c.decay, step);
    for i in 0..p.len() {
        velocity[i] = c.momentum * velocity[i] - lr * g[i];
        p[i] += if c.nesterov { c.momentum * velocity[i] - lr * g[i] } else { velocity[i] };
    }
}

/// RMSprop.
pub struct RmsProp {
    pub lr: f64,
    pub rho: f64,
    pub momentum: f64,
    pub epsilon: f64,
    pub centered: bool,
}

impl Default for RmsProp {
    fn default() -> Self {
        Self { lr: 0.001, rho: 0.9, momentum: 0.0, epsilon: 1e-7, centered: false }
    }
}

/// `v = rho v + (1 - rho) g^2`; centered also `a = rho a + (1 - rho) g`, else `a = 0`; then
/// `m = momentum m + lr g / sqrt(v - a^2 + epsilon)` and `p -= m`. Epsilon is inside the root. Pass zeros for state
/// that a setting does not use.
/// Source: Hinton 2012, lecture 6e; the centered form, Graves 2013.
pub fn rmsprop(
    c: &RmsProp,
    p: &mut [f64],
    g: &[f64],
    velocity: &mut [f64],
    average: &mut [f64],
    momentum: &mut [f64],
) {
    check(p, &[g, velocity, average, momentum]);
    for i in 0..p.len() {
        velocity[i] = c.rho * velocity[i] + (1.0 - c.rho) * g[i] * g[i];
        if c.centered {
            average[i] = c.rho * average[i] + (1.0 - c.rho) * g[i];
        }
        let root = (velocity[i] - average[i] * average[i] + c.epsilon).sqrt();
        momentum[i] = c.momentum * momentum[i] + c.lr * g[i] / root;
        p[i] -= momentum[i];
    }
}

/// Adagrad. Its accumulator starts at `initial_accumulator`.
pub struct Adagrad {
    pub lr: f64,
    pub initial_accumulator: f64,
    pub epsilon: f64,
}

impl Default for Adagrad {
    fn default() -> Self {
        Self { lr: 0.001, initial_accumulator: 0.1, epsilon: 1e-7 }
    }
}

/// `a = a + g^2`; `p -= lr g / sqrt(a + epsilon)`. Epsilon is inside the root.
/// Source: Duchi et al. 2011.
pub fn adagrad(c: &Adagrad, p: &mut [f64], g: &[f64], accumulator: &mut [f64]) {
    check(p, &[g, accumulator]);
    for i in 0..p.len() {
        accumulator[i] += g[i] * g[i];
        p[i] -= c.lr * g[i] / (accumulator[i] + c.epsilon).sqrt();
    }
}

/// Adam.
pub struct Adam {
    pub lr: f64,
    pub beta_1: f64,
    pub beta_2: f64,
    pub epsilon: f64,
}

impl Default for Adam {
    fn default() -> Self {
        Self { lr: 0.001, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 }
    }
}

/// With `t = step + 1`: `m = b1 m + (1 - b1) g`; `v = b2 v + (1 - b2) g^2`;
/// `p -= lr sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt v + epsilon)`.
///
/// Source: Kingma and Ba 2015, the form at the end of section 2, which Keras takes: epsilon is
/// outside the root and not scaled by the bias correction (their "epsilon hat").
pub fn adam(c: &Adam, step: u64, p: &mut [f64], g: &[f64], m: &mut [f64], v: &mut [f64]) {
    check(p, &[g, m, v]);
    let t = (step + 1) as f64;
    let alpha = c.lr * (1.0 - c.beta_2.powf(t)).sqrt() / (1.0 - c.beta_1.powf(t));
    for i in 0..p.len() {
        m[i] = c.beta_1 * m[i] + (1.0 - c.beta_1) * g[i];
        v[i] = c.beta_2 * v[i] + (1.0 - c.beta_2) * g[i] * g[i];
        p[i] -= alpha * m[i] / (v[i].sqrt() + c.epsilon);
    }
}

/// Adam with decoupled weight decay.
pub struct AdamW {
    pub adam: Adam,
    pub weight_decay: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { adam: Adam::default(), weight_decay: 0.004 }
    }
}

/// `p -= lr weight_decay p` first, then [`adam`]'s step. Source: Loshchilov and Hutter 2019, with the
/// decay scaled by the learning rate and applied before the update, as Keras 3 does.
pub fn adamw(c: &AdamW, step: u64, p: &mut [f64], g: &[f64], m: &mut [f64], v: &mut [f64]) {
    p.iter_mut().for_each(|p| *p -= c.adam.lr * c.weight_decay * *p);
    adam(&c.adam, step, p, g, m, v);
}

/// The penalty on a layer's weights, `l1 sum |w| + l2 sum w^2` (Keras' `L1L2`: no factor 1/2).
pub fn l1_l2(w: &[f64], l1: f64, l2: f64) -> f64 {
    w.iter().map(|w| l1 * w.abs() + l2 * w * w).sum()
}

/// The gradient of [`l1_l2`], `l1 sign(w) + 2 l2 w`, with `sign(0) = 0`.
pub fn l1_l2_grad(w: &[f64], l1: f64, l2: f64) -> Vec<f64> {
    let sign = |w: f64| if w == 0.0 { 0.0 } else { w.signum() };
    w.iter().map(|&w| l1 * sign(w) + 2.0 * l2 * w).collect()
}

/// Each element limited to `[-c, c]`. Source: Keras' `clipvalue`.
pub fn clip_by_value(g: &[f64], c: f64) -> Vec<f64> {
    g.iter().map(|g| g.clamp(-c, c)).collect()
}

/// `g c / max(|g|, c)` with the Euclidean norm. Source: Keras' `clipnorm`.
pub fn clip_by_norm(g: &[f64], c: f64) -> Vec<f64> {
    let norm = squares(g).sqrt();
    g.iter().map(|g| g * c / norm.max(c)).collect()
}

/// Each tensor times `c / max(n, c)` with `n^2` the sum of all squares. Source: Pascanu et al. 2013, Keras'
/// `global_clipnorm`.
pub fn clip_by_global_norm(tensors: &[Vec<f64>], c: f64) -> Vec<Vec<f64>> {
    let norm = tensors.iter().map(|g| squares(g)).sum::<f64>().sqrt();
    tensors.iter().map(|g| g.iter().map(|g| g * c / norm.max(c)).collect()).collect()
}

fn squares(g: &[f64]) -> f64 {
    g.iter().map(|g| g * g).sum()
}

fn check(p: &[f64], others: &[&[f64]]) {
    assert!(others.iter().all(|other| other.len() == p.len()), "gradient or state of other length");
}
