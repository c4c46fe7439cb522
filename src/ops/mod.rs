//! Op cards: one file per op, with its shapes, gradient and kernels. The registry lists them all.

mod affine;
mod argmax;
pub(crate) mod attention;
pub(crate) mod attention_gradient;
mod attention_lower;
mod bands;
mod batch_norm;
mod builder;
mod bytes;
mod column_sums;
mod concatenate;
mod contraction;
mod contraction_load;
mod contraction_lower;
mod contraction_store;
mod convolution;
mod convolution_columns;
mod convolution_products;
mod cross_entropy;
mod cumulative;
mod custom_kernel;
mod depthwise;
mod edges;
mod functions;
mod gate_programs;
mod gated_product;
mod gates;
mod gather;
mod layout;
mod map;
mod movement;
mod names;
mod normalize;
mod one_hot;
mod pad;
mod partials;
mod pool;
mod pool_lower;
mod position;
mod program;
mod ranges;
mod record;
mod recurrence;
mod recurrence_lower;
mod recurrence_scan;
mod reduce;
#[cfg(any(test, feature = "testing"))]
pub mod registry;
mod row_builder;
mod row_kernel;
mod row_lower;
mod row_reads;
mod row_softmax;
mod row_statistics;
mod scan;
mod segment_sum;
mod slice;
mod softmax;
mod sort;
pub mod table;

/// The cards of the files that hold them with their op: the registry lists them after its own.
#[cfg(feature = "testing")]
const CARDS: &[fn() -> Vec<registry::Card>] = &[
    affine::cards,
    attention::cards,
    bands::cards,
    batch_norm::cards,
    convolution::cards,
    cumulative::cards,
    depthwise::cards,
    edges::cards,
    gates::cards,
    pad::cards,
    pool::cards,
    position::cards,
    recurrence::cards,
];

pub use crate::graph::{Phase, Read, RowGradient, RowKernel, RowReduction, RowRule, Rows};
pub use affine::{Affine, AffinePlaces, FillMode, Interpolation};
pub use argmax::{ClassComparison, CompareClasses, MAX_CELL_CLASSES};
pub use attention::{Attention, WeightDropout};
pub use attention_gradient::AttentionGradient;
pub use bands::{Band, Bands};
pub use column_sums::{ColumnSums, SumRule};
pub use concatenate::Concatenate;
pub use contraction::{Contraction, ContractionSpec};
pub use convolution::{Computes, Convolution};
pub use cross_entropy::{CrossEntropy, CrossEntropyKind};
pub use cumulative::Cumulative;
pub use custom_kernel::{CustomKernel, Word};
pub use depthwise::{Depthwise, DepthwiseForm};
pub use edges::EdgeEnds;
pub use gated_product::GatedProduct;
pub use gates::{Function, Gates};
pub use gather::Gather;
pub use map::Map;
pub use movement::{ArenaView, Pack, Permute, Reshape, StopGradient};
pub use one_hot::OneHot;
pub use pad::Pad;
pub use pool::{Pool, PoolGradient, PoolKind};
pub use position::Position;
pub use program::{Instr, Program, Reg};
pub use ranges::{RangeMove, Ranges};
pub use record::Record;
pub use recurrence::{OverTime, Recurrence, RecurrenceGradient, RecurrentCell};
pub use reduce::{Reduce, ReduceKind};
pub use row_softmax::SoftmaxMask;
pub use scan::{Iteration, Loop, Looped, Order};
pub use segment_sum::{SegmentMax, SegmentSum};
pub use slice::Slice;
pub use softmax::Softmax;
