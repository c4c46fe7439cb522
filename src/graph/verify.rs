//! The invariants that hold after every pass.

use super::{Class, Graph, Leaf, check_views, full, seen_by};
use crate::error::{Error, Result};
use std::collections::HashSet;

impl Graph {
    /// Checks order, references, that every node's types are what its op infers, and that none is empty.
    ///
    /// # Errors
    /// [`Error::Shape`] for an input or a state without elements, [`Error::Parameter`] for an output of another graph,
    /// [`Error::Internal`] naming `stage` and the node for all else.
    pub fn verify(&self, stage: &str) -> Result<()> {
        let broken = |i: usize, detail: String| {
            Err(Error::internal(format!("graph after {stage}"), format!("%{i}: {detail}")))
        };
        let exists = |v: super::Value, before: usize| v.node.index() < before && self.holds(v);
        for (i, node) in self.nodes().iter().enumerate() {
            if let Some(v) = node.inputs.iter().find(|&&v| !exists(v, i)) {
                return broken(i, format!("operand {v} does not precede it"));
            }
            if node.views.len() != node.inputs.len() {
                return broken(i, format!("{} views of its operands", node.views.len()));
            }
            let own: Vec<_> = node.inputs.iter().map(|&v| self.ty(v)).collect();
            let seen = seen_by(&own, &node.views);
            let types: Vec<_> = seen.iter().map(AsRef::as_ref).collect();
            full(
                &format!("{} {}", node.op.name(), node.op.attrs()),
                &node.outputs.iter().collect::<Vec<_>>(),
            )?;
            if let Class::Scan(scan) = node.op.class() {
                scan.body.graph().verify(stage)?;
            }
            let inferred = node.op.infer(&types)?;
            check_views(node.op.as_ref(), &own, &types, &node.views)?;
            if inferred != node.outputs {
                return broken(i, format!("types {:?}, its op infers {inferred:?}", node.outputs));
            }
        }
        let mut names = HashSet::new();
        let buffers = self.nodes().iter().filter_map(|n| match n.op.class() {
            Class::Leaf(Leaf::Input(name) | Leaf::State(name)) => Some(name.clone()),
            _ => None,
        });
        for name in buffers {
            if !names.insert(name.clone()) {
                let detail = format!("two buffers of different kind or type are named `{name}`");
                return Err(Error::internal(format!("graph after {stage}"), detail));
            }
        }
        let end = self.nodes().len();
        for (name, v) in self.outputs() {
            self.check(&format!("the output `{name}`"), &[*v])?;
        }
        if let Some(v) = self.roots().find(|&v| !exists(v, end)) {
            return broken(v.node.index(), "a root does not exist".into());
        }
        for &(state, new) in self.updates() {
            if !exists(state, end) || self.ty(state) != self.ty(new) {
                return broken(
                    state.node.index(),
                    "a state and its new value differ in type".into(),
                );
            }
        }
        Ok(())
    }
}
