//! meganeura through blade's Vulkan, as its MNIST example trains.
//!
//! A session has one input buffer, into which a step's batch is copied, and its `step` waits for the step before.

use anyhow::{Result, ensure};
use meganeura::runtime::Session;
use meganeura::{Graph, SessionConfig, build, build_inference_session};
use peer_protocol::{BETA1, BETA2, CLASSES, EPSILON, INPUTS, Layer, Peer};

struct Meganeura {
    session: Session,
    layers: Vec<(usize, usize)>,
    batch: usize,
    /// A forward pass alone, built when it is first asked for.
    forward: Option<Session>,
}

/// The network; with the loss for training, up to the logits otherwise.
fn graph(layers: &[(usize, usize)], batch: usize, train: bool) -> Graph {
    let mut graph = Graph::new();
    let mut x = graph.input("x", &[batch, INPUTS]);
    for (i, (inputs, outputs)) in layers.iter().enumerate() {
        let weights = graph.parameter(&format!("w{i}"), &[*inputs, *outputs]);
        let biases = graph.parameter(&format!("b{i}"), &[*outputs]);
        let product = graph.matmul(x, weights);
        x = graph.bias_add(product, biases);
        if i + 1 < layers.len() {
            x = graph.relu(x);
        }
    }
    if train {
        let labels = graph.input("labels", &[batch, CLASSES]);
        x = graph.cross_entropy_loss(x, labels);
    }
    graph.set_outputs(vec![x]);
    graph
}

impl Peer for Meganeura {
    const NAME: &'static str = "meganeura";
    type Batch = (Vec<f32>, Vec<f32>);

    fn new(layers: &[Layer; 3], batch: usize, rate: f64) -> Result<Self> {
        let shapes: Vec<_> = layers.iter().map(|l| (l.inputs, l.outputs)).collect();
        let mut session = build(&graph(&shapes, batch, true), SessionConfig::from_env()).0;
        for (i, layer) in layers.iter().enumerate() {
            session.set_parameter(&format!("w{i}"), &layer.weights);
            session.set_parameter(&format!("b{i}"), &layer.biases);
        }
        session.set_adam(rate as f32, BETA1 as f32, BETA2 as f32, EPSILON as f32);
        Ok(Meganeura { session, layers: shapes, batch, forward: None })
    }

    fn device(&self) -> String {
        let context = self.session.context();
        let device = context.device_information();
        format!("{} ({} {})", device.device_name, device.driver_name, device.driver_info)
    }

    fn upload(&mut self, images: &[f32], labels: &[u32]) -> Result<Self::Batch> {
        let mut targets = vec![0.0; labels.len() * CLASSES];
        for (row, label) in targets.chunks_mut(CLASSES).zip(labels) {
            row[*label as usize] = 1.0;
        }
        Ok((images.to_vec(), targets))
    }

    fn step(&mut self, (images, targets): &Self::Batch) -> Result<()> {
        self.session.set_input("x", images);
        self.session.set_input("labels", targets);
        self.session.step();
        Ok(())
    }

    fn loss(&mut self) -> Result<f32> {
        self.session.wait();
        Ok(self.session.read_loss())
    }

    fn logits(&mut self, images: &[f32]) -> Result<Vec<f32>> {
        ensure!(images.len() == self.batch * INPUTS, "a batch has {} images", self.batch);
        let forward = match &mut self.forward {
            Some(forward) => forward,
            None => {
                let mut forward = build_inference_session(&graph(&self.layers, self.batch, false));
                for (i, (inputs, outputs)) in self.layers.iter().enumerate() {
                    for (name, len) in
                        [(format!("w{i}"), inputs * outputs), (format!("b{i}"), *outputs)]
                    {
                        let mut values = vec![0.0; len];
                        self.session.read_param(&name, &mut values);
                        forward.set_parameter(&name, &values);
                    }
                }
                self.forward.insert(forward)
            }
        };
        forward.set_input("x", images);
        forward.step();
        forward.wait();
        Ok(forward.read_output(self.batch * CLASSES))
    }
}

fn main() -> Result<()> {
    peer_protocol::main::<Meganeura>()
}
