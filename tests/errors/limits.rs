//! Work that the adapter cannot hold, bind or dispatch is refused by name, with nothing allocated before.

use super::*;
use wgrad::gpu::Store;
use wgrad::graph::{Graph, TensorType};
use wgrad::kernels::{DeviceCaps, MatmulFamily};
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::train::Batch;

fn caps() -> &'static DeviceCaps {
    support::device().caps()
}

fn sgd() -> Compile {
    Compile::new(Sgd::default(), SPARSE)
}

#[test]
fn a_weight_over_the_binding_limit_names_its_layer() {
    let device =
        support::device().with_caps(DeviceCaps { max_binding_bytes: 4096, ..caps().clone() });
    let model = Sequential::new([4]).add(Dense::new(64)).add(Dense::new(64));
    let result = model.compile(&device, sgd());
    let words = ["layer `dense_1`", "kernel [64, 64]", "16384", "4096", "fewer units"];
    refused!(result, Error::Limit { .. }, words[0], words[1], words[2], words[3], words[4]);
}

#[test]
fn a_weight_over_the_buffer_limit_names_its_layer() {
    // Buffers smaller than bindings bound arenas too.
    let device =
        support::device().with_caps(DeviceCaps { max_buffer_bytes: 4096, ..caps().clone() });
    let result = Sequential::new([64]).add(Dense::new(64)).compile(&device, sgd());
    refused!(result, Error::Limit { .. }, "layer `dense`", "kernel [64, 64]", "16384", "4096");
}

#[test]
fn a_weight_over_the_real_limit_is_refused_at_once() {
    let real = caps().max_binding_bytes.min(caps().max_buffer_bytes);
    let units = (real / 4 / 1024 + 1) as usize;
    let began = std::time::Instant::now();
    let result = Sequential::new([1024]).add(Dense::new(units)).compile(support::device(), sgd());
    refused!(result, Error::Limit { .. }, "layer `dense`", &real.to_string());
    assert!(began.elapsed().as_millis() < 100, "nothing is drawn or allocated first");
}

#[test]
fn data_over_the_limits_is_refused_before_it_is_uploaded() -> Result<()> {
    let small = DeviceCaps { max_binding_bytes: 4096, ..caps().clone() };
    let mut t = linear().compile(&support::device().with_caps(small), sgd())?;
    let data = classes(300, 4);
    // Past the binding limit the samples go there in windows, unless one batch alone is past it.
    t.fit(&data, Fit::new())?;
    t.evaluate(&data)?;
    let result = t.fit(&data, Fit::new().full_batch());
    refused!(result, Error::Limit { .. }, "gather", "binding `train/x`", "4800", "fewer samples");

    let small = DeviceCaps { max_buffer_bytes: 4096, ..caps().clone() };
    let mut t = linear().compile(&support::device().with_caps(small), sgd())?;
    let result = t.fit(&data, Fit::new());
    refused!(result, Error::Limit { .. }, "train/x", "bytes of one buffer", "4864", "4096");
    // Data that fits is trained on after the refusal.
    t.fit(&data.take(100)?, Fit::new())?;
    Ok(())
}

#[test]
fn an_activation_over_the_limit_names_layer_and_op() -> Result<()> {
    let small = DeviceCaps { max_binding_bytes: 16_384, ..caps().clone() };
    let device = support::device().with_caps(small);
    let model = Sequential::new([4]).add(Dense::new(256)).add(Dense::new(3));
    let mut t = model.compile(&device, sgd())?;
    let result = t.fit(&classes(64, 4), Fit::new().batch_size(64));
    let words = ["layer `dense`", "matmul", "65536", "16384", "smaller batch"];
    refused!(result, Error::Limit { .. }, words[0], words[1], words[2], words[3], words[4]);
    Ok(())
}

#[test]
fn a_real_plan_over_the_real_limit_is_refused() -> Result<()> {
    // A plan is data: one for more samples than fit is refused without any of them.
    let limit = caps().max_binding_bytes.min(caps().max_buffer_bytes);
    let rows = (limit / 16 + 1) as usize;
    let x = TensorType::f32([rows, 4]);
    let y = TensorType { shape: [rows].into(), dtype: DType::U32 };
    let batch = Batch::new("train", x, y, 32, 1);
    // The device decides which of the two limits comes first.
    let of_buffers = caps().max_buffer_bytes <= caps().max_binding_bytes;
    let what = if of_buffers { "bytes of one buffer" } else { "gather" };
    let t = trainer(&linear());
    refused!(t.plan(&batch, true), Error::Limit { .. }, what, &limit.to_string());
    for rows in [1 << 40, usize::MAX] {
        let x = TensorType::f32([rows, 4]);
        let y = TensorType { shape: [rows].into(), dtype: DType::U32 };
        let batch = Batch { size: rows, ..Batch::new("train", x, y, 32, 1) };
        refused!(t.plan(&batch, true), Error::Limit { .. }, "32 bits");
    }
    Ok(())
}

#[test]
fn a_buffer_over_the_limit_is_refused() {
    let mut store = Store::new(support::device());
    let real = caps().max_buffer_bytes;
    for bytes in [real + 1, u64::MAX - 300, u64::MAX] {
        let result = store.allocate("too large", bytes);
        refused!(result, Error::Limit { .. }, "`too large`", &real.to_string(), "less data");
        assert!(!store.contains("too large"));
    }
}

#[test]
fn workgroups_over_the_limit_are_counted() -> Result<()> {
    let plan = |shape: [usize; 2], max_workgroups: u32| {
        let mut g = Graph::new();
        let x = g.input("x", shape, DType::F32);
        let y = g.unary("exp", x, &[])?;
        g.output("y", y);
        let caps = DeviceCaps { max_workgroups, ..caps().clone() };
        Plan::compile(&g, &Passes::default(), &caps)
    };
    // A grid folds over two dimensions: 3 x 3 workgroups and no more.
    let grid = |plan: Plan| plan.dispatches[0].call.grid;
    let each = 1_000_000 / grid(plan([1000, 1000], 65_535)?).iter().product::<u32>() as usize;
    let fits = grid(plan([each, 9], 3)?);
    assert!(fits[0] <= 3 && fits[1] <= 3 && fits.iter().product::<u32>() >= 8, "{fits:?}");
    refused!(plan([each, 11], 3), Error::Limit { .. }, "workgroups", "allows 9", "smaller");

    // A gathered row is along one dimension: two of 256 vectors fit here.
    let gather = |width: usize| {
        let mut g = Graph::new();
        let table = g.input("table", [3, width], DType::F32);
        let index = g.input("index", [2], DType::U32);
        let rows = g.gather(table, index)?;
        g.output("rows", rows);
        let caps = DeviceCaps { max_workgroups: 2, max_invocations: 256, ..caps().clone() };
        Plan::compile(&g, &Passes::default(), &caps)
    };
    gather(2 * 1024)?;
    refused!(
        gather(2 * 1024 + 1),
        Error::Limit { .. },
        "gather",
        "along a row",
        "allows 2",
        "shorter"
    );

    // In a model it names the layer.
    let tiny = DeviceCaps { max_workgroups: 1, ..caps().clone() };
    let model = Sequential::new([4]).add(Dense::new(3)).add(Dense::new(500));
    let result = model.compile(&support::device().with_caps(tiny), sgd());
    refused!(result, Error::Limit { .. }, "layer `dense_1`", "matmul", "workgroups", "allows 1");
    Ok(())
}

#[test]
fn sums_over_more_than_a_loop_runs_are_refused() {
    let mut g = Graph::new();
    let a = g.input("a", [2, 1000], DType::F32);
    let b = g.input("b", [1000, 2], DType::F32);
    let c = g.matmul(a, b).unwrap();
    g.output("c", c);
    let caps = DeviceCaps { max_loop_trips: 10, ..caps().clone() };
    let result = Plan::compile(&g, &Passes::default(), &caps);
    refused!(result, Error::Limit { .. }, "matmul 2x2x1000", "loop iterations", "10");
}

#[test]
fn subgroup_kernels_are_refused_without_subgroups() -> Result<()> {
    let broadcast = |subgroup| {
        let caps = DeviceCaps { subgroup, matmul: MatmulFamily::Broadcast, ..caps().clone() };
        let mut t = linear().compile(&support::device().with_caps(caps), sgd())?;
        t.predict(&floats([2, 4]))
    };
    for subgroup in [None, Some((4, 8)), Some((8, 32)), Some((32, 32))] {
        let words = ["matmul/broadcast", "subgroups of exactly 4, 8 or 16 lanes", "tiled family"];
        refused!(broadcast(subgroup), Error::MissingFeature { .. }, words[0], words[1], words[2]);
    }
    // The kernels that only prefer subgroups work without.
    let caps = DeviceCaps { subgroup: None, matmul: MatmulFamily::Tiled, ..caps().clone() };
    let mut t = linear().compile(&support::device().with_caps(caps), sgd())?;
    t.fit(&classes(6, 4), Fit::new().batch_size(4))?;
    Ok(())
}
