//! Op cards: one file per op, with its shapes, gradient and kernels. The registry lists them all.

mod argmax;
mod builder;
mod concatenate;
mod contraction;
mod contraction_lower;
mod contraction_store;
mod cross_entropy;
mod gather;
mod layout;
mod map;
mod movement;
mod names;
mod one_hot;
mod program;
mod ranges;
mod record;
mod reduce;
#[cfg(any(test, feature = "testing"))]
pub mod registry;
mod segment_sum;
mod slice;
mod softmax;
mod sort;
pub mod table;

pub use argmax::{ClassComparison, CompareClasses, MAX_CELL_CLASSES};
pub use concatenate::Concatenate;
pub use contraction::{Contraction, ContractionSpec, LoadMap};
pub use cross_entropy::{CrossEntropy, CrossEntropyKind};
pub use gather::Gather;
pub use map::Map;
pub use movement::{ArenaView, Pack, Permute, Reshape};
pub use one_hot::OneHot;
pub use program::{Instr, Program, Reg};
pub use ranges::{RangeMove, Ranges};
pub use record::Record;
pub use reduce::{Reduce, ReduceKind};
pub use segment_sum::SegmentSum;
pub use slice::Slice;
pub use softmax::Softmax;
