//! Every op as a card: its shaders, sample cases, and what its gradient is. Tests and shader checks loop over
//! [`cards`]; an op that is missing here is not tested, and the completeness test says so.
//!
//! Elementwise functions get their card from their row in [`super::table::ROWS`]; `cases` has how a case of each op is
//! made.

mod cases;

use super::table::{Derivative, ROWS, Row};
use super::{
    CrossEntropyKind, SoftmaxMask, argmax, column_sums, concatenate, contraction_lower,
    cross_entropy, gather, map, one_hot, ranges, reduce, row_lower, segment_sum, softmax, sort,
};
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::kernels::Template;
use crate::tensor::{DType, Shape};

/// What the gradient of an op's first result is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gradient {
    /// Defined for every f32 operand, and checked against finite differences.
    Checked,
    /// Zero wherever it exists.
    Zero,
    /// The upstream gradient as it is, by the rule of the function.
    StraightThrough,
    /// Asking for it is an error, for this reason.
    None(&'static str),
}

/// What an operand of a case looks like.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Its shape.
    pub shape: Shape,
    /// Its element type.
    pub dtype: DType,
    /// Elements are drawn uniformly from here, the upper bound excluded.
    pub domain: (f32, f32),
    /// Whether only whole numbers are drawn: sums of few of them are exact in f32.
    pub whole: bool,
}

impl Sample {
    /// Real numbers in `domain`.
    pub fn f32(shape: impl Into<Shape>, domain: (f32, f32)) -> Self {
        Self { shape: shape.into(), dtype: DType::F32, domain, whole: false }
    }

    /// Whole numbers from -4 to 4, as f32.
    pub fn whole(shape: impl Into<Shape>) -> Self {
        Self { shape: shape.into(), dtype: DType::F32, domain: (-4.0, 5.0), whole: true }
    }

    /// Indices below `end`.
    pub fn indices(shape: impl Into<Shape>, end: usize) -> Self {
        Self { shape: shape.into(), dtype: DType::U32, domain: (0.0, end as f32), whole: true }
    }

    /// Bytes.
    pub fn u8(shape: impl Into<Shape>) -> Self {
        Self { shape: shape.into(), dtype: DType::U8, domain: (0.0, 256.0), whole: true }
    }
}

/// Builds the results of a case from its operands.
pub type Build = fn(&mut Graph, &Case, &[Value]) -> Result<Vec<Value>>;

/// One use of an op: operands, arguments, and how to build it.
#[derive(Debug, Clone)]
pub struct Case {
    /// The card's name.
    pub op: &'static str,
    /// The operands.
    pub inputs: Vec<Sample>,
    /// Whole-number arguments: axes, offsets, extents, flags. Each constructor says which.
    pub args: Vec<usize>,
    /// Real arguments: parameters, factors.
    pub params: Vec<f32>,
    /// Step words and their values.
    pub words: Vec<(&'static str, u32)>,
    /// The builder.
    pub build: Build,
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shapes: Vec<String> =
            self.inputs.iter().map(|s| format!("{}{}", s.dtype, s.shape)).collect();
        write!(f, "{}({}) {:?} {:?}", self.op, shapes.join(", "), self.args, self.params)
    }
}

impl Case {
    pub(in crate::ops) fn new(
        op: &'static str,
        inputs: Vec<Sample>,
        args: &[usize],
        build: Build,
    ) -> Self {
        Self { op, inputs, args: args.to_vec(), params: vec![], words: vec![], build }
    }

    pub(in crate::ops) fn with(mut self, params: &[f32], words: &[(&'static str, u32)]) -> Self {
        self.params = params.to_vec();
        self.words = words.to_vec();
        self
    }

    /// The case as a graph with inputs `in0`, `in1`, ... and outputs `out0`, `out1`, ... The second result holds
    /// the input values, the third the output values.
    ///
    /// # Errors
    /// Those of the builder.
    pub fn graph(&self) -> Result<(Graph, Vec<Value>, Vec<Value>)> {
        let mut g = Graph::new();
        let inputs: Vec<Value> = (self.inputs.iter().enumerate())
            .map(|(i, s)| g.input(&format!("in{i}"), s.shape.clone(), s.dtype))
            .collect();
        let outputs = (self.build)(&mut g, self, &inputs)?;
        outputs.iter().enumerate().for_each(|(i, &v)| g.output(&format!("out{i}"), v));
        Ok((g, inputs, outputs))
    }
}

/// An op.
#[derive(Debug, Clone)]
pub struct Card {
    /// Its name, which the oracle also uses.
    pub name: &'static str,
    /// The shaders that it launches; none if it is an alias.
    pub templates: &'static [Template],
    /// What its gradient is.
    pub gradient: Gradient,
    /// Sample cases: small, odd sizes.
    pub cases: Vec<Case>,
    /// How far results may be from the oracle's, if the card says so.
    pub tolerance: Option<Tolerance>,
}

/// The relative and the absolute tolerance of a case's results.
pub type Tolerance = fn(&Case) -> (f64, f64);

impl Card {
    /// A card without a tolerance.
    #[must_use]
    pub const fn new(
        name: &'static str,
        templates: &'static [Template],
        gradient: Gradient,
        cases: Vec<Case>,
    ) -> Self {
        Self { name, templates, gradient, cases, tolerance: None }
    }

    /// The card with this tolerance.
    #[must_use]
    pub fn within(self, tolerance: Tolerance) -> Self {
        Self { tolerance: Some(tolerance), ..self }
    }
}

const MAP: &[Template] = &[map::MAP];

fn card_of(row: &'static Row) -> Card {
    let gradient = match row.derivative {
        Derivative::Zero => Gradient::Zero,
        Derivative::StraightThrough => Gradient::StraightThrough,
        Derivative::None(why) => Gradient::None(why),
        _ => Gradient::Checked,
    };
    let cases = match row.arity {
        0 => vec![
            Case::iota(&[11], 0),
            Case::iota(&[7, 5, 3], 0),
            Case::iota(&[7, 5, 3], 1),
            Case::iota(&[4, 8, 12], 2),
        ],
        1 if !row.is_by_name() => vec![Case::to_f32(&[3, 5]), Case::to_f32(&[1028])],
        _ if row.is_random() => {
            let draw =
                |stream, shape, seed, step| Case::random(row.name, stream, shape, seed, step);
            vec![draw(3, &[7, 11], 42, 5), draw(1, &[1031], 7, 0)]
        }
        1 => vec![Case::unary(row, &[3, 5], &[]), Case::unary(row, &[1031], &[])],
        3 => vec![
            Case::select(&[3, 5], &[3, 5], &[3, 5]),
            Case::select(&[], &[1031], &[1031]),
            Case::select(&[7, 3, 8], &[3, 1], &[]),
        ],
        _ => vec![
            Case::binary(row, &[3, 5], &[3, 5]),
            Case::binary(row, &[7, 3, 8], &[3, 1]),
            Case::binary(row, &[5], &[4, 5]),
        ],
    };
    Card::new(row.name, MAP, gradient, cases)
}

/// Every op.
#[must_use]
pub fn cards() -> Vec<Card> {
    use CrossEntropyKind::{Binary, Categorical, Sparse};
    use Gradient::{Checked, None};
    const REDUCE: &[Template] = &[reduce::ROWS, reduce::COLUMNS];
    const ROW_KERNEL: &[Template] = &[row_lower::ROW_KERNEL];
    const ENTROPY: &[Template] = &[cross_entropy::SOFTMAX];
    const SEGMENTS: &[Template] = &[
        sort::RANK,
        sort::COUNT,
        sort::SCAN,
        sort::SCATTER,
        segment_sum::BOUNDS,
        segment_sum::BLOCKS,
        segment_sum::SUM,
    ];
    const PRODUCTS: &[Template] =
        &[contraction_lower::TILED, contraction_lower::BROADCAST, contraction_lower::COMBINE];
    let card = Card::new;
    let reduction = |op| {
        let over = |axes: &[usize]| Case::reduce(op, &[3, 5, 7], axes);
        let cases = vec![over(&[2]), over(&[0]), over(&[1]), over(&[0, 2]), over(&[])];
        card(op, REDUCE, Checked, cases)
    };
    let segments = |op| {
        let of = |rows, table: &[usize]| Case::segments(op, rows, table);
        // Sorted digit by digit, in one round and in two; blocks of one level and of two; four columns at once.
        let long = [of(300, &[7, 1]), of(700, &[300, 36]), of(8300, &[5, 1]), of(8300, &[2, 32])];
        let cases = [of(9, &[5, 3]), of(150, &[11, 2, 3])].into_iter().chain(long);
        card(op, SEGMENTS, Checked, cases.collect())
    };
    let range_moves = |op, templates| {
        let lists: [&[usize]; 3] = [&[0, 9], &[1, 4, 4, 11, 15, 16], &[3, 700, 703, 1000]];
        let mut cases: Vec<Case> = lists.iter().map(|r| Case::ranges(op, 1031, r)).collect();
        cases.push(Case::ranges(op, 11, &[1, 4, 4, 5, 7, 10]));
        // More ranges than one kernel takes.
        let many: Vec<usize> = (0..520).map(|i| 2 * i).collect();
        cases.push(Case::ranges(op, 1040, &many));
        card(op, templates, Checked, cases)
    };
    let softmaxes = |op| {
        let shapes: [&[usize]; 4] = [&[3, 5], &[7, 1], &[2, 3, 13], &[2, 300]];
        card(
            op,
            &[softmax::SOFTMAX],
            Checked,
            shapes.iter().map(|s| Case::softmax(op, s)).collect(),
        )
    };
    let layer_norms = vec![
        Case::layer_norm(&[5, 7], 1, true, true),
        Case::layer_norm(&[3, 8], 1, true, false),
        Case::layer_norm(&[3, 3], 1, false, true),
        Case::layer_norm(&[2, 3, 5], 1, false, false),
        Case::layer_norm(&[3, 4, 6], 2, true, true),
        Case::layer_norm(&[3, 1], 1, true, true),
        Case::layer_norm(&[2, 300], 1, true, true),
    ];
    let rms_norms = vec![
        Case::rms_norm(&[5, 7], 1, true),
        Case::rms_norm(&[3, 8], 1, false),
        Case::rms_norm(&[2, 3, 5], 2, true),
        Case::rms_norm(&[3, 1], 1, true),
        Case::rms_norm(&[2, 300], 1, true),
    ];
    let masks: [(&[usize], &[usize]); 6] = [
        (&[3, 5], &[3, 5]),
        (&[7, 8], &[8]),
        (&[2, 3, 4, 7], &[2, 1, 1, 7]),
        (&[2, 3, 4, 8], &[2, 1, 4, 1]),
        (&[2, 3, 4], &[3, 4]),
        (&[2, 300], &[1, 300]),
    ];
    let mut masked = Vec::new();
    for kind in [SoftmaxMask::Keep, SoftmaxMask::Additive] {
        masked.extend(masks.map(|(shape, mask)| Case::masked_softmax(shape, mask, kind)));
    }
    let statistic = |op| {
        let over = |shape: &[usize], axes: &[usize]| Case::statistic(op, shape, axes);
        let cases = vec![
            over(&[5, 7], &[1]),
            over(&[3, 8], &[0]),
            over(&[3, 4, 6], &[1, 2]),
            over(&[4, 3, 5], &[0, 2]),
            over(&[37], &[]),
            over(&[2, 300], &[1]),
        ];
        card(op, ROW_KERNEL, Checked, cases)
    };
    let column_sums = vec![
        Case::column_sums(&[5, 7], 1, &[5, 7]),
        Case::column_sums(&[300, 12], 1, &[300, 1]),
        Case::column_sums(&[7, 3, 4, 5], 2, &[3, 1, 5]),
        Case::column_sums(&[70_000, 3], 1, &[3]),
    ];
    let entropy = |name, template, kind| {
        let sizes = [(3, 5), (7, 10), (2, 300)];
        let cases = sizes.iter().map(|&(r, c)| Case::cross_entropy(kind, r, c)).collect();
        card(name, template, Checked, cases)
    };
    let compared = |op| {
        let sizes = [(7, 5, true), (7, 5, false), (2, 300, true), (3, 1, true)];
        let cases = sizes.iter().map(|&(r, c, sparse)| Case::classes(op, r, c, sparse)).collect();
        card(op, &[argmax::COMPARE], None("it counts"), cases)
    };
    let forms = [[false, false], [true, false], [false, true], [true, true]];
    let mut products: Vec<Case> =
        forms.iter().map(|&t| Case::matmul(&[], [5, 7, 3], t, false)).collect();
    products.extend(forms.iter().map(|&t| Case::matmul(&[2], [3, 4, 5], t, false)));
    products.extend(forms.iter().map(|&t| Case::matmul(&[2], [4, 3, 2], t, true)));
    products.extend(forms.iter().map(|&t| Case::matmul(&[], [33, 36, 40], t, false)));
    products.push(Case::matmul(&[], [300, 260, 20], [false, false], false));
    // Sums long enough to be divided: because tiles are few, and past the loop limit of software Vulkan.
    products.push(Case::matmul(&[], [5, 8, 1100], [true, false], false));
    products.push(Case::matmul(&[], [1, 3, 300_000], [false, true], false));
    let tables = [
        (Sample::u8([9, 5]), 1.0 / 255.0),
        (Sample::f32([11, 3], (-1.0, 1.0)), 2.0),
        (Sample::indices([10], 1000), 1.0),
    ];
    let gathers = vec![
        Case::gather(7, &[7, 0], &[(Sample::f32([5, 3], (-1.0, 1.0)), 1.0)]),
        Case::gather(7, &[7, 0], &[(Sample::f32([5, 2, 3], (-1.0, 1.0)), 0.5)]),
        // Rows of whole vec4s, of more than one workgroup along a row.
        Case::gather(7, &[7, 0], &[(Sample::f32([5, 12], (-1.0, 1.0)), 0.5)]),
        Case::gather(3, &[3, 0], &[(Sample::f32([2, 1100], (-1.0, 1.0)), 1.0)]),
        Case::gather(13, &[4], &tables),
        Case::gather(13, &[5], &[(Sample::u8([9, 12]), 1.0 / 255.0), tables[2].clone()]),
    ];
    let mut all: Vec<Card> = ROWS.iter().map(card_of).collect();
    all.extend([
        card(
            "copy",
            MAP,
            Checked,
            vec![
                Case::copy(&[3, 1], &[2, 3, 5]),
                Case::copy(&[3, 5], &[3, 5]),
                Case::copy(&[], &[4, 4]),
            ],
        ),
        card(
            "transpose",
            MAP,
            Checked,
            vec![
                Case::transpose(&[3, 5], &[1, 0]),
                Case::transpose(&[2, 3, 4], &[0, 2, 1]),
                Case::transpose(&[4, 2, 8], &[1, 0, 2]),
            ],
        ),
        card("reshape", &[], Checked, vec![Case::reshape(&[3, 10], &[5, 6])]),
        card("stop_gradient", &[], Gradient::Zero, vec![Case::stop_gradient(&[3, 5])]),
        card("view", &[], Checked, vec![Case::view(192, 64, &[3, 5])]),
        card("pack", MAP, Checked, vec![Case::pack(192, &[(0, &[3, 5]), (128, &[7])])]),
        card(
            "slice",
            MAP,
            Checked,
            vec![
                Case::slice(&[5, 7], 1, 2..5),
                Case::slice(&[5, 3], 0, 1..5),
                Case::slice(&[2, 3, 8], 2, 4..8),
                Case::slice(&[2, 8, 3], 1, 0..4),
            ],
        ),
        card(
            "concatenate",
            &[concatenate::CONCATENATE],
            Checked,
            vec![
                Case::concatenate(&[3, 0], 1, &[5, 1, 7]),
                Case::concatenate(&[0, 5], 0, &[2, 3]),
                Case::concatenate(&[2, 0, 3], 1, &[4, 1]),
                Case::concatenate(&[5, 0], 1, &[2; 15]),
            ],
        ),
        card("matmul", PRODUCTS, Checked, products),
        range_moves("sum_ranges", &[ranges::RANGES]),
        range_moves("fill_ranges", &[ranges::FILL]),
        reduction("sum"),
        reduction("mean"),
        reduction("max"),
        reduction("min"),
        reduction("product"),
        softmaxes("softmax"),
        softmaxes("log_softmax"),
        card("layer_norm", ROW_KERNEL, Checked, layer_norms),
        card("rms_norm", ROW_KERNEL, Checked, rms_norms),
        card("masked_softmax", ROW_KERNEL, Checked, masked),
        statistic("variance"),
        statistic("log_sum_exp"),
        card(
            "column_sums",
            &[column_sums::COLUMN_SUMS],
            None("it is part of a gradient"),
            column_sums,
        ),
        entropy("sparse_softmax_cross_entropy", ENTROPY, Sparse),
        entropy("softmax_cross_entropy", ENTROPY, Categorical),
        entropy("sigmoid_cross_entropy", &[cross_entropy::SIGMOID], Binary),
        compared("hits"),
        compared("confusion_cells"),
        compared("target_ranks"),
        card(
            "one_hot",
            &[one_hot::ONE_HOT],
            Gradient::Zero,
            vec![Case::one_hot(7, 5), Case::one_hot(70, 11)],
        ),
        card("gather", &[gather::GATHER], Checked, gathers),
        segments("segment_sum"),
        segments("segment_max"),
        card(
            "record",
            &[],
            None("metrics are read, not trained on"),
            vec![Case::record(4, &[37]), Case::record(3, &[300, 1, 5])],
        ),
    ]);
    all.extend(super::CARDS.iter().flat_map(|cards| cards()));
    all
}
