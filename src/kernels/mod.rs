//! What a kernel launch is, as plain data: shader text, bindings, parameters, grid. It knows no graph and no GPU.

mod call;
mod caps;
mod driver;
mod measured;
mod params;
mod preprocess;
mod templates;
mod tuning;
mod units;
mod watch;

pub use call::{
    Access, Bind, DECLARED, DYNAMIC_BINDINGS, Define, ITERATION_BYTES, KernelCall,
    MAX_STORAGE_BUFFERS, STEP_BLOCKS_BYTES, STEP_BYTES, STEP_WORDS, STEPS_PER_SUBMIT, Source, grid,
};
pub use caps::DeviceCaps;
pub use driver::Driver;
pub use measured::MeasuredRule;
pub(crate) use measured::{measured, measured_family};
pub(crate) use params::param_blocks;
pub use params::{
    CombineParams, LossParams, MapParams, MatmulParams, ParamBlock, RangeParams, ReduceParams,
    RowParams, SegmentParams, SortParams,
};
pub use preprocess::preprocess;
pub use templates::{LIBRARY, Template};
pub(crate) use templates::{bare, template, wgsl};
pub use tuning::{Chunks, MatmulFamily, MatmulRule, MatmulTile, chunks_of, matmul_rule};
pub(crate) use units::{USUAL_UNITS, units_of};
pub(crate) use watch::tokens;
pub use watch::{FAULTS_BINDING, Watched, watch};
