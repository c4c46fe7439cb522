//! Layers for images give the same bits ten times, forward and backward, while they train.

use super::config_layers::all;
use super::*;

/// Bits of the outputs and of every gradient.
fn bits(step: &Step) -> Vec<u32> {
    let outputs = step.outputs.iter().map(|y| y.as_f32().unwrap());
    let gradients = step.inputs.iter().chain(&step.weights).map(Vec::as_slice);
    outputs.chain(gradients).flatten().map(|v| v.to_bits()).collect()
}

/// A batch of three for the one input of a layer, and weights above 0.
fn repeats(layer: &LayerHandle, sample: &[usize]) -> Result<()> {
    let model = Sequential::new(sample).add(layer.clone()).build()?;
    let x = numbers(&[&[3], sample].concat(), 1);
    let weight = |(i, (_, spec)): (usize, (_, wgrad::layers::WeightSpec))| {
        Tensor::f32(&spec.shape, uniform(40 + i as u32, spec.shape.len(), 0.25, 1.0))
    };
    let w = model.weights().enumerate().map(weight).collect::<Result<Vec<_>>>()?;
    let run = || {
        differentiate(&[&x], &refs(&w), [2, 3], None, |g, x, w| {
            let words = (g.step_param("seed", DType::U32)?, g.step_param("step", DType::U32)?);
            // States get new values too, of the same operands.
            Ok(model.run(g, x, &[], w, Some(words))?.values)
        })
    };
    let first = run()?;
    let name = format!("{layer:?}");
    assert!(first.y().iter().any(|v| *v != 0.0), "{name} gives zeros");
    let mut gradients = first.inputs.iter().chain(&first.weights).flatten();
    assert!(gradients.any(|d| *d != 0.0), "{name} has no gradient");
    for _ in 1..10 {
        assert!(bits(&run()?) == bits(&first), "{name}");
    }
    Ok(())
}

#[test]
fn layers_give_the_same_bits_ten_times() -> Result<()> {
    // Those of images and volumes, and of sequences by their names.
    let of_images = |(layer, samples): &(LayerHandle, Vec<Vec<usize>>)| {
        let sequences = ["1D", "1DTranspose", "Normalization"];
        samples.len() == 1
            && (samples[0].len() > 2 || sequences.iter().any(|s| layer.layer().kind().ends_with(s)))
    };
    let listed: Vec<_> = all().into_iter().filter(of_images).collect();
    assert!(listed.len() > 55, "{}", listed.len());
    listed.iter().try_for_each(|(layer, samples)| repeats(layer, &samples[0]))
}

/// Of images so large that several workgroups have a part of each sum.
#[test]
fn layers_of_large_images_give_the_same_bits_ten_times() -> Result<()> {
    let layers: [LayerHandle; 14] = [
        UnitNormalization::new().axes([1, 2, 3]).into(),
        LayerNormalization::new().axes([1, 2, 3]).into(),
        GroupNormalization::instance().into(),
        BatchNormalization::new().into(),
        SpectralNormalization::new(Conv2D::new(5, 3)).power_iterations(2).into(),
        GlobalMaxPooling2D::new().into(),
        GlobalAveragePooling2D::new().into(),
        AdaptiveAveragePooling2D::new([3, 5]).into(),
        AdaptiveAveragePooling2D::new(1).into(),
        Resizing::new(13, 50).into(),
        SpatialDropout2D::new(0.3).into(),
        RandomContrast::new(0.3).value_range(-9.0, 9.0).into(),
        RandomBrightness::new(0.3).value_range(-9.0, 9.0).into(),
        RandomCrop::new(29, 31).into(),
    ];
    layers.iter().try_for_each(|layer| repeats(layer, &[41, 37, 7]))
}

/// The control: another step draws other numbers, so that the comparison sees them.
#[test]
fn other_bits_are_noticed() -> Result<()> {
    let x = numbers(&[3, 5, 4, 2], 1);
    let step = |step| layer_step(&SpatialDropout2D::new(0.3), &[&x], &[], Some([1, 2, step]));
    assert_eq!(bits(&step(3)?), bits(&step(3)?));
    assert_ne!(bits(&step(3)?), bits(&step(4)?));
    Ok(())
}
