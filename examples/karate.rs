//! A graph network tells who went with whom when Zachary's karate club split, from who met whom and four labels: those
//! of the instructor and of the administrator, and of a friend of each.
//!
//! `cargo run --release --example karate` draws the graph in `out/karate.png`.

mod common;

use anyhow::Result;
use clap::Parser;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::process::ExitCode;
use wgrad::plot::{Figure, Scatter};
use wgrad::prelude::*;

/// Trains a graph convolution on Zachary's karate club.
#[derive(Parser)]
struct Args {
    /// Steps, each over the whole graph.
    #[arg(long, default_value_t = 200)]
    epochs: usize,
    /// Seed of the initial weights and of the picture's layout.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Write SVG instead of PNG.
    #[arg(long)]
    svg: bool,
}

const MEMBERS: usize = 34;

/// Who met whom outside the club (Zachary, "An information flow model for conflict and fission in small groups", 1977):
/// each member with those of a higher number.
const FRIENDS: [(u32, &[u32]); 26] = [
    (0, &[1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 17, 19, 21, 31]),
    (1, &[2, 3, 7, 13, 17, 19, 21, 30]),
    (2, &[3, 7, 8, 9, 13, 27, 28, 32]),
    (3, &[7, 12, 13]),
    (4, &[6, 10]),
    (5, &[6, 10, 16]),
    (6, &[16]),
    (8, &[30, 32, 33]),
    (9, &[33]),
    (13, &[33]),
    (14, &[32, 33]),
    (15, &[32, 33]),
    (18, &[32, 33]),
    (19, &[33]),
    (20, &[32, 33]),
    (22, &[32, 33]),
    (23, &[25, 27, 29, 32, 33]),
    (24, &[25, 27, 31]),
    (25, &[31]),
    (26, &[29, 33]),
    (27, &[33]),
    (28, &[31, 33]),
    (29, &[32, 33]),
    (30, &[32, 33]),
    (31, &[32, 33]),
    (32, &[33]),
];

/// Who stayed with the instructor, member 0; the others went with the administrator, member 33.
const STAYED: [u32; 17] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 16, 17, 19, 21];

/// Whose side the network is told.
const TOLD: [usize; 4] = [0, 1, 32, 33];

fn main() -> ExitCode {
    common::report(run(&Args::parse()))
}

fn run(args: &Args) -> Result<()> {
    let device = Device::new()?;
    println!("adapter: {}", device.info());
    let edges: Vec<[u32; 2]> =
        FRIENDS.iter().flat_map(|&(a, friends)| friends.iter().map(move |&b| [a, b])).collect();
    let sides: Vec<u32> =
        (0..MEMBERS as u32).map(|member| u32::from(!STAYED.contains(&member))).collect();
    println!("{MEMBERS} members, {} edges, {} labels", edges.len(), TOLD.len());

    // The graph is one sample. A member's features are who it is; a label counts if its weight is 1.
    let mut identity = vec![0.0; MEMBERS * MEMBERS];
    identity.iter_mut().step_by(MEMBERS + 1).for_each(|v| *v = 1.0);
    let told: Vec<f32> =
        (0..MEMBERS).map(|member| f32::from(u8::from(TOLD.contains(&member)))).collect();
    let features = [
        Tensor::f32([1, MEMBERS, MEMBERS], identity)?,
        Tensor::u32([1, edges.len(), 2], edges.concat())?,
    ];
    let data = TensorDataset::multi(features.clone(), [Tensor::u32([1, MEMBERS], &sides[..])?])?
        .weighted(Tensor::f32([1, MEMBERS], told)?)?;

    let (members, meetings) =
        (input_named("members", [MEMBERS, MEMBERS]), input_named("edges", [edges.len(), 2]));
    let hidden = merge(GraphConv::new(16).activation(Activation::Relu), [&members, &meetings]);
    let logits = merge(GraphConv::new(2), [&hidden, &meetings]);
    let model = Model::new([&members, &meetings], [&logits])?;
    println!("{}\n", model.summary());
    let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
    let mut trainer =
        model.compile(&device, Compile::new(Adam::new(0.01), loss).seed(args.seed))?;
    let fit = Fit::new().epochs(args.epochs).verbose(Verbose::Silent);
    let history = trainer.fit(&data, fit)?;

    let logits = trainer.predict(&features[..])?;
    let said: Vec<u32> =
        logits.as_f32()?.chunks(2).map(|pair| u32::from(pair[1] > pair[0])).collect();
    let right = said.iter().zip(&sides).filter(|(a, b)| a == b).count();
    let wrong: Vec<usize> = (0..MEMBERS).filter(|&i| said[i] != sides[i]).collect();
    println!("{right} of {MEMBERS} members are on their side; wrong: {wrong:?}");

    let places = layout(&edges, args.seed);
    let lines: Vec<f32> = edges
        .iter()
        .flatten()
        .flat_map(|&member| [places[member as usize][0], places[member as usize][1]])
        .collect();
    let panel = |title: &str, sides: &[u32]| {
        Scatter::new(title).segments(&lines).classes(
            &["with the instructor", "with the administrator"],
            &places.concat(),
            sides,
        )
    };
    let path = common::picture("karate", args.svg);
    Figure::new("Zachary's karate club")
        .panel(panel("what the network says", &said))
        .panel(panel("how the club split", &sides))
        .save(&path)?;
    println!("wrote {}\n", path.display());
    let last = history.get("loss").last().copied().unwrap_or_default();
    println!("result: right={right} members={MEMBERS} edges={} loss={last:.4}", edges.len());
    Ok(())
}

/// Places at which friends are near and others apart (Fruchterman and Reingold 1991).
fn layout(edges: &[[u32; 2]], seed: u64) -> Vec<[f32; 2]> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut places: Vec<[f32; 2]> =
        (0..MEMBERS).map(|_| [0, 1].map(|_| rng.random_range(-1.0f32..1.0))).collect();
    let apart = 2.0 / (MEMBERS as f32).sqrt();
    for step in 0..300 {
        let mut forces = vec![[0.0f32; 2]; MEMBERS];
        let mut push = |a: usize, b: usize, force: &dyn Fn(f32) -> f32| {
            let way = [places[a][0] - places[b][0], places[a][1] - places[b][1]];
            let distance = way[0].hypot(way[1]).max(1e-3);
            for axis in 0..2 {
                let part = way[axis] / distance * force(distance);
                forces[a][axis] += part;
                forces[b][axis] -= part;
            }
        };
        for a in 0..MEMBERS {
            (0..a).for_each(|b| push(a, b, &|d| apart * apart / d));
        }
        for edge in edges {
            push(edge[0] as usize, edge[1] as usize, &|d| -d * d / apart);
        }
        // Members move less and less.
        let most = 0.1 * (1.0 - step as f32 / 300.0);
        for (place, force) in places.iter_mut().zip(&forces) {
            let length = force[0].hypot(force[1]).max(1e-6);
            (0..2).for_each(|axis| place[axis] += force[axis] / length * length.min(most));
        }
    }
    places
}
