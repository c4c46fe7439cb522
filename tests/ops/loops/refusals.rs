//! What a loop refuses, and how the message says so.

use super::*;
use wgrad::Error;
use wgrad::plan::Plan;

/// The error of a loop over a sequence of this shape with a carry of `[3, 5]`.
#[track_caller]
fn refused(
    sequences: &[&[usize]],
    body: impl FnOnce(&mut Graph, &Iteration) -> Result<Looped>,
) -> Error {
    let mut g = Graph::new();
    let carry = g.input("carry", [3, 5], DType::F32);
    let sequences: Vec<Value> = sequences
        .iter()
        .enumerate()
        .map(|(i, s)| g.input(&format!("x{i}"), *s, DType::F32))
        .collect();
    let what = Loop { carries: &[carry], sequences: &sequences, ..Loop::default() };
    g.in_layer("rnn", |g| g.scan(&what, body)).expect_err("an error")
}

#[track_caller]
fn says(error: &Error, words: &[&str]) {
    let text = error.to_string();
    assert!(words.iter().all(|word| text.contains(word)), "`{text}` lacks one of {words:?}");
}

fn same(_: &mut Graph, now: &Iteration) -> Result<Looped> {
    Ok(Looped { carries: now.carries.clone(), stacked: vec![] })
}

#[test]
fn shapes_are_checked_by_name() {
    let changed = refused(&[&[4, 3, 5]], |g, now| {
        let sum = g.sum(now.carries[0], &[0], false)?;
        Ok(Looped { carries: vec![sum], stacked: vec![] })
    });
    says(&changed, &["rnn", "scan", "[3, 5]", "[5]", "a carry keeps its shape"]);
    let lengths = refused(&[&[4, 2], &[5, 2]], same);
    says(&lengths, &["rnn", "scan", "[4, 2]", "[5, 2]", "lengths [4, 5]"]);
    says(&refused(&[&[0, 2]], same), &["rnn", "scan", "[0, 2]", "no steps of time"]);
    says(&refused(&[&[]], same), &["rnn", "scan", "first axis"]);
    says(&refused(&[], same), &["rnn", "times"]);
    let none = refused(&[&[4, 2]], |_, _| Ok(Looped::default()));
    says(&none, &["rnn", "scan", "gives 0 carries and takes 1"]);
    let inner = refused(&[&[4, 2]], |g, now| {
        let sum = g.add(now.carries[0], now.slices[0])?;
        Ok(Looped { carries: vec![sum], stacked: vec![] })
    });
    says(&inner, &["rnn", "add", "[3, 5]", "[2]"]);
}

#[test]
fn values_of_another_graph_are_refused() {
    let mut other = Graph::new();
    let foreign = other.input("x", [3, 5], DType::F32);
    let error =
        refused(&[&[4, 2]], move |_, _| Ok(Looped { carries: vec![foreign], stacked: vec![] }));
    says(&error, &["rnn", "scan", "another graph"]);
    let mut g = Graph::new();
    let outer = g.input("w", [3, 5], DType::F32);
    let what = Loop { carries: &[outer], times: Some(3), ..Loop::default() };
    let error = g.scan(&what, |g, now| {
        // An outer value reaches the body only if the loop is given it.
        let sum = g.add(now.carries[0], outer)?;
        Ok(Looped { carries: vec![sum], stacked: vec![] })
    });
    says(&error.expect_err("an error"), &["add", "another graph"]);
    let what = Loop { carries: &[foreign], times: Some(3), ..Loop::default() };
    says(&g.scan(&what, same).expect_err("an error"), &["scan", "another graph"]);
}

#[test]
fn buffers_and_other_types_are_refused() {
    let buffer = refused(&[&[4, 2]], |g, now| {
        let x = g.input("hidden", [3, 5], DType::F32);
        let sum = g.add(now.carries[0], x)?;
        Ok(Looped { carries: vec![sum], stacked: vec![] })
    });
    says(&buffer, &["rnn", "hidden", "the values that the scan is given"]);
    let mut g = Graph::new();
    let ids = g.input("ids", [4, 3], DType::U32);
    let what = Loop { sequences: &[ids], ..Loop::default() };
    let error = g.scan(&what, |_, now| Ok(Looped { carries: vec![], stacked: now.slices.clone() }));
    says(&error.expect_err("an error"), &["scan", "u32", "f32"]);
}

/// A loop in a loop, so many times.
fn deep(g: &mut Graph, carry: Value, depth: usize) -> Result<Value> {
    let what = Loop { carries: &[carry], times: Some(2), ..Loop::default() };
    let result = g.scan(&what, |g, now| {
        let next = match depth {
            1 => g.neg(now.carries[0])?,
            _ => deep(g, now.carries[0], depth - 1)?,
        };
        Ok(Looped { carries: vec![next], stacked: vec![] })
    })?;
    Ok(result.carries[0])
}

#[test]
fn loops_inside_each_other_have_a_limit() -> Result<()> {
    let plan = |depth: usize| {
        let mut g = Graph::new();
        let x = g.input("x", [5], DType::F32);
        let y = g.in_layer("deep", |g| deep(g, x, depth))?;
        g.output("y", y);
        Plan::compile(&g, &Passes::default(), &families()[0])
    };
    let three = plan(3)?;
    assert_eq!((three.repeats.len(), three.order().count() >= 8), (3, true), "{three}");
    let x = Tensor::f32([5], vec![1.5; 5])?;
    let ran = crate::harness::run_plan(&three, &[("x", x)], &[&[]]);
    // Eight signs changed.
    assert_eq!(ran.unwrap_or_else(|e| panic!("{e}\n{three}")).f32("y"), [1.5; 5]);
    says(&plan(4).expect_err("an error"), &["deep", "scan", "inside each other", "4", "3"]);
    Ok(())
}

/// The numbers of iterations are in a buffer, which has a limit.
#[test]
fn iterations_that_draw_have_a_limit() -> Result<()> {
    let plan = |times: usize, random: bool| {
        let mut g = Graph::new();
        let x = g.input("x", [5], DType::F32);
        let (seed, step) = (g.step_param("seed", DType::U32)?, g.step_param("step", DType::U32)?);
        let what =
            Loop { carries: &[x], outer: &[seed, step], times: Some(times), ..Loop::default() };
        let result = g.scan(&what, |g, now| {
            let next = match random {
                true => g.random_uniform([5], now.outer[0], now.outer[1], 1)?,
                false => g.neg(now.carries[0])?,
            };
            let next = g.add(now.carries[0], next)?;
            Ok(Looped { carries: vec![next], stacked: vec![] })
        })?;
        g.output("y", result.carries[0]);
        let caps =
            wgrad::kernels::DeviceCaps { max_buffer_bytes: 1 << 19, ..families()[0].clone() };
        Plan::compile(&g, &Passes::default(), &caps)
    };
    assert_eq!(plan(2048, true)?.iteration_bytes(), 1 << 19);
    assert_eq!(plan(100_000, false)?.iteration_bytes(), 0);
    says(&plan(2049, true).expect_err("an error"), &["numbers of iterations", "524544", "524288"]);
    Ok(())
}
