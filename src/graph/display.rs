//! The graph as text: a line per node.

use super::{Class, Graph, Value};
use std::fmt::{Display, Formatter, Result};

impl Display for Graph {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for node in self.nodes() {
            let list = |items: Vec<String>| items.join(", ");
            let values = (0..node.outputs.len())
                .map(|o| Value { node: node.id, output: o as u16 }.to_string())
                .collect();
            let types = node.outputs.iter().map(ToString::to_string).collect();
            let inputs = node.inputs.iter().zip(&node.views).map(|(v, view)| match view {
                Some(view) if !view.is_whole() => format!("{v} {view}"),
                _ => v.to_string(),
            });
            let inputs = inputs.collect();
            let attrs = node.op.attrs();
            let attrs = if attrs.is_empty() { attrs } else { format!("[{attrs}]") };
            write!(f, "{} = {}{attrs}({})", list(values), node.op.name(), list(inputs))?;
            write!(f, " : {}", list(types))?;
            if let Some(layer) = &node.layer {
                write!(f, "  // {layer}")?;
            }
            writeln!(f)?;
            if let Class::Scan(scan) = node.op.class() {
                for line in scan.body.graph().to_string().lines() {
                    writeln!(f, "    {line}")?;
                }
            }
        }
        for (name, value) in self.outputs() {
            writeln!(f, "output {name} = {value}")?;
        }
        for (state, new) in self.updates() {
            writeln!(f, "update {state} <- {new}")?;
        }
        Ok(())
    }
}
