//! The split of steps over submits does not change their results.

use super::*;
use std::sync::Arc;
use wgrad::Result;
use wgrad::gpu::{Executor, StepBlock, Store, block_on};
use wgrad::graph::TensorType;
use wgrad::plan::BufferClass;
use wgrad::train::Batch;

/// Every state after five steps in submits of so many parts, and the parameters before.
fn states(submits: usize) -> Result<(Vec<Vec<u8>>, Vec<u8>)> {
    let trainer = compile(&small(3, 4), Compile::new(Adam::new(0.1), SPARSE));
    let x = TensorType { shape: [20, 3].into(), dtype: DType::F32 };
    let y = TensorType { shape: [20].into(), dtype: DType::U32 };
    let plan = Arc::new(trainer.plan(&Batch::new("train", x, y, 5, 5), true)?);
    let mut store = Store::new(device());
    for (seed, decl) in (0..).zip(&plan.buffers).filter(|(_, decl)| decl.class.is_external()) {
        match decl.name.as_str() {
            "train/x" | "params/0" => {
                let values = random::uniform(seed, decl.bytes as usize / 4, -1.0, 1.0);
                store.upload_bytes(&decl.name, bytemuck::cast_slice(&values))?;
            }
            "train/y" | "train/order" => {
                let values: Vec<u32> = (0..20).map(|i| i % 4).collect();
                store.upload_bytes(&decl.name, bytemuck::cast_slice(&values))?;
            }
            _ => store.allocate(&decl.name, decl.bytes)?,
        }
    }
    let before = block_on(store.read("params/0", 4 * trainer.layout().arenas[0].len))?;
    let mut executor = Executor::new(device(), plan.clone(), &store)?;
    executor.set_submits_per_step(submits);
    let block = |step: u32| {
        let mut block = StepBlock::default();
        block.set_u32(&plan, "record", step)?;
        block.set_u32(&plan, "start", step)?;
        block.set_f32(&plan, "alpha", 0.1)?;
        Ok(block)
    };
    executor.run(&(0..5).map(block).collect::<Result<Vec<_>>>()?)?;
    let all = plan.buffers.iter().filter(|decl| decl.class == BufferClass::State);
    let all = all.map(|decl| block_on(store.read(&decl.name, decl.bytes as usize)));
    Ok((all.collect::<Result<_>>()?, before))
}

#[test]
fn a_step_that_is_split_gives_the_same_bits() -> Result<()> {
    let (whole, before) = states(1)?;
    assert!(!whole.contains(&before), "nothing was trained");
    for submits in [2, 3, usize::MAX] {
        assert_eq!(states(submits)?.0, whole, "{submits}");
    }
    Ok(())
}
