//! Bodies of loops that the tests run.

use wgrad::Result;
use wgrad::graph::{Graph, Value};
use wgrad::ops::{Iteration, Loop, Looped};

/// What builds a body.
pub type Body = fn(&mut Graph, &Iteration) -> Result<Looped>;

/// A loop: shapes of its operands, without the axis of time, and its body.
pub struct Scene {
    pub name: &'static str,
    carries: &'static [&'static [usize]],
    sequences: &'static [&'static [usize]],
    outer: &'static [&'static [usize]],
    pub body: Body,
}

impl Scene {
    pub fn carries(&self) -> Vec<Vec<usize>> {
        self.carries.iter().map(|s| s.to_vec()).collect()
    }

    pub fn sequences(&self, times: usize) -> Vec<Vec<usize>> {
        self.sequences.iter().map(|s| [&[times], *s].concat()).collect()
    }

    pub fn outer(&self) -> Vec<Vec<usize>> {
        self.outer.iter().map(|s| s.to_vec()).collect()
    }
}

pub const SCENES: &[Scene] = &[
    Scene {
        name: "recurrent, odd sizes",
        carries: &[&[3, 5]],
        sequences: &[&[3, 5]],
        outer: &[&[5, 5], &[5]],
        body: recurrent,
    },
    Scene {
        name: "recurrent, rows of whole bindings",
        carries: &[&[8, 16]],
        sequences: &[&[8, 16]],
        outer: &[&[16, 16], &[16]],
        body: recurrent,
    },
    Scene {
        name: "gated",
        carries: &[&[3, 7], &[3, 7]],
        sequences: &[&[3, 14], &[3, 7]],
        outer: &[&[7, 14], &[7], &[3, 7]],
        body: gated,
    },
    Scene {
        name: "carries that change places",
        carries: &[&[5], &[5], &[]],
        sequences: &[&[5]],
        outer: &[&[]],
        body: exchanged,
    },
    Scene {
        name: "no carry",
        carries: &[],
        sequences: &[&[4, 6]],
        outer: &[&[6, 3]],
        body: |g, now| {
            let y = g.matmul(now.slices[0], now.outer[0])?;
            Ok(Looped { carries: vec![], stacked: vec![y] })
        },
    },
    Scene {
        name: "no sequence",
        carries: &[&[2, 9]],
        sequences: &[],
        outer: &[&[9, 9]],
        body: |g, now| {
            let product = g.matmul(now.carries[0], now.outer[0])?;
            let h = g.unary("sigmoid", product, &[])?;
            Ok(Looped { carries: vec![h], stacked: vec![] })
        },
    },
    Scene {
        name: "many slices in one kernel",
        carries: &[&[6]],
        sequences: &[&[6], &[6], &[6], &[6], &[6], &[6]],
        outer: &[],
        body: |g, now| {
            let mut sum = now.carries[0];
            for &slice in &now.slices {
                sum = g.add(sum, slice)?;
                sum = g.unary("tanh", sum, &[])?;
            }
            Ok(Looped { carries: vec![sum], stacked: vec![sum, sum] })
        },
    },
    Scene {
        name: "softmax and sums",
        carries: &[&[4, 6]],
        sequences: &[&[4, 6]],
        outer: &[&[4, 6], &[6, 6]],
        body: |g, now| {
            let p = g.softmax(now.slices[0])?;
            let scores = g.matmul(now.carries[0], now.outer[1])?;
            let weighted = g.mul(p, scores)?;
            let mean = g.mean(weighted, &[1], true)?;
            let h = g.mul(now.outer[0], mean)?;
            let h = g.add(h, weighted)?;
            Ok(Looped { carries: vec![h], stacked: vec![mean, p] })
        },
    },
    Scene {
        name: "a loop in a loop",
        carries: &[&[3, 5]],
        sequences: &[&[4, 3, 5]],
        outer: &[&[5, 5]],
        body: nested,
    },
];

/// h = tanh(x + h · w + b).
fn recurrent(g: &mut Graph, now: &Iteration) -> Result<Looped> {
    let product = g.matmul(now.carries[0], now.outer[0])?;
    let sum = g.add(product, now.slices[0])?;
    let sum = g.add(sum, now.outer[1])?;
    let h = g.unary("tanh", sum, &[])?;
    Ok(Looped { carries: vec![h], stacked: vec![h] })
}

/// Two carries, two sequences, a slice of a product, and outer values that are added and multiplied elementwise.
fn gated(g: &mut Graph, now: &Iteration) -> Result<Looped> {
    let [h, c] = now.carries[..] else { panic!("two carries") };
    let product = g.matmul(h, now.outer[0])?;
    let both = g.add(product, now.slices[0])?;
    let (gate, new) = (g.slice(both, 1, 0..7)?, g.slice(both, 1, 7..14)?);
    let (gate, new) = (g.unary("sigmoid", gate, &[])?, g.unary("tanh", new, &[])?);
    let kept = g.mul(gate, c)?;
    let peep = g.mul(c, now.outer[2])?;
    let new = g.mul(new, peep)?;
    let c = g.add(kept, new)?;
    let c = g.add(c, now.outer[1])?;
    let h = g.unary("tanh", c, &[])?;
    let h = g.mul(h, gate)?;
    let h = g.add(h, now.slices[1])?;
    Ok(Looped { carries: vec![h, c], stacked: vec![gate, c] })
}

/// A carry that becomes another one as it is, a scalar, and an outer value that is stacked.
fn exchanged(g: &mut Graph, now: &Iteration) -> Result<Looped> {
    let [a, b, total] = now.carries[..] else { panic!("three carries") };
    let scaled = g.mul(a, now.outer[0])?;
    let new = g.add(scaled, now.slices[0])?;
    let square: Value = g.mul(new, b)?;
    let sum = g.sum(square, &[], false)?;
    let total = g.add(total, sum)?;
    Ok(Looped { carries: vec![b, new, total], stacked: vec![now.outer[0], now.slices[0], a] })
}

/// The inner loop goes over the rows of a slice, from the outer carry on.
fn nested(g: &mut Graph, now: &Iteration) -> Result<Looped> {
    let inner = Loop {
        carries: &[now.carries[0]],
        sequences: &[now.slices[0]],
        outer: &[now.outer[0]],
        ..Loop::default()
    };
    let result = g.scan(&inner, |g, now| {
        let product = g.matmul(now.carries[0], now.outer[0])?;
        let sum = g.add(product, now.slices[0])?;
        let h = g.unary("tanh", sum, &[])?;
        Ok(Looped { carries: vec![h], stacked: vec![h] })
    })?;
    let mean = g.mean(result.stacked[0], &[0], false)?;
    Ok(Looped { carries: result.carries, stacked: vec![mean] })
}
