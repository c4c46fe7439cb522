//! meganeura through blade's Vulkan, as its MNIST example trains.
//!
//! A session has one input buffer, into which a step's batch is copied, and its `step` waits for the step before.

use anyhow::{Result, ensure};
use meganeura::runtime::Session;
use meganeura::{Graph, SessionConfig, build, build_inference_session};
use peer_protocol::{BETA1, BETA2, CLASSES, EPSILON, Lacks, Layer, Model, Peer};

struct Meganeura {
    session: Session,
    model: Model,
    /// A forward pass alone, built when it is first asked for.
    forward: Option<Session>,
}

/// What the library lacks to train a model: it has no batch normalization and no loop over steps of time, the gradient of its
/// max pooling is that of a mean (its `autodiff.rs` says "approximate backward"), and its attention takes one sequence,
/// not the sequences of a batch. What it has of other layers that no model has without these
/// is not used here.
fn lacks(layer: &Layer) -> Option<&'static str> {
    match layer {
        Layer::BatchNormalization(_) => Some("batch normalization"),
        Layer::MaxPooling => Some("exact gradient of max pooling"),
        Layer::Convolution { .. } | Layer::GlobalAveragePooling => None,
        Layer::Dense(_) | Layer::Relu | Layer::Flatten => None,
        Layer::Lstm(_) => Some("recurrent layer"),
        Layer::Block(_) => Some("attention within each sequence of a batch"),
        Layer::Embedding(_) | Layer::Positions(_) => None,
        Layer::LayerNormalization(_) | Layer::Scores => None,
        Layer::Stem(_) | Layer::Bottleneck(_) => Some("batch normalization"),
    }
}

/// The network; with the loss for training, up to the logits otherwise.
fn graph(model: &Model, train: bool) -> Graph {
    let batch = model.batch;
    let mut graph = Graph::new();
    let mut x = graph.input("x", &[batch, model.inputs()]);
    for (i, layer) in model.layers.iter().enumerate() {
        match layer {
            Layer::Dense(layer) => {
                let weights = graph.parameter(&format!("w{i}"), &layer.shape);
                let biases = graph.parameter(&format!("b{i}"), &layer.shape[1..]);
                let product = graph.matmul(x, weights);
                x = graph.bias_add(product, biases);
            }
            Layer::Relu => x = graph.relu(x),
            _ => {}
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

    fn new(model: &Model) -> Result<Self> {
        if let Some(lacking) = model.layers.iter().find_map(lacks) {
            return Err(Lacks(lacking).into());
        }
        let mut session = build(&graph(model, true), SessionConfig::from_env()).0;
        for (i, layer) in model.layers.iter().enumerate() {
            let Layer::Dense(layer) = layer else { continue };
            session.set_parameter(&format!("w{i}"), &layer.values);
            session.set_parameter(&format!("b{i}"), layer.biases.as_deref().unwrap_or_default());
        }
        session.set_adam(model.rate as f32, BETA1 as f32, BETA2 as f32, EPSILON as f32);
        Ok(Meganeura { session, model: model.clone(), forward: None })
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
        let batch = self.model.batch;
        ensure!(images.len() == batch * self.model.inputs(), "a batch has {batch} images");
        let forward = match &mut self.forward {
            Some(forward) => forward,
            None => {
                let mut forward = build_inference_session(&graph(&self.model, false));
                for (i, layer) in self.model.layers.iter().enumerate() {
                    let Layer::Dense(layer) = layer else { continue };
                    for (name, len) in
                        [(format!("w{i}"), layer.values.len()), (format!("b{i}"), layer.shape[1])]
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
        Ok(forward.read_output(batch * CLASSES))
    }
}

fn main() -> Result<()> {
    peer_protocol::main::<Meganeura>()
}
