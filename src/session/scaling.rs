//! The factor on samples. It belongs to the trained model: a model that learned on bytes times 1/255 needs it for all
//! other samples.

use crate::data::TensorDataset;
use crate::error::{Error, Result};
use crate::step::Batch;
use crate::tensor::{DType, Tensor};

/// How the samples came that a model was trained on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scaling {
    /// The element type of each input that takes quantities; ids have no factor.
    pub dtypes: Vec<DType>,
    /// The factor on them.
    pub scale: f32,
}

/// The element types of quantities.
fn quantities(dtypes: impl IntoIterator<Item = DType>) -> Vec<DType> {
    dtypes.into_iter().filter(|dtype| *dtype != DType::U32).collect()
}

impl Scaling {
    /// The scaling of a step's samples.
    pub fn of(batch: &Batch) -> Self {
        Self { dtypes: quantities(batch.x.iter().map(|ty| ty.dtype)), scale: batch.scale }
    }

    /// The factor on samples of these types: the given one, or that of the samples trained on if these have the same
    /// types.
    fn resolve(known: Option<&Self>, dtypes: &[DType], given: Option<f32>) -> Result<f32> {
        let same = known.filter(|known| known.dtypes == dtypes);
        if let Some(given) = given {
            if let Some(known) = same.filter(|known| known.scale != given) {
                let trained = known.scale;
                log::warn!(
                    "samples are multiplied by {given}; those that the model was trained on, by {trained}"
                );
            }
            return Ok(given);
        }
        match (same, known) {
            (Some(same), _) => Ok(same.scale),
            (None, Some(known)) if known.scale != 1.0 || dtypes.contains(&DType::U8) => {
                Err(unknown(dtypes, &format!("it was trained on {known}")))
            }
            (None, _) => Ok(1.0),
        }
    }

    /// The factor on the features of a dataset, once these samples were trained on.
    pub fn for_dataset(known: Option<&Self>, data: &TensorDataset) -> Result<f32> {
        let dtypes = quantities(data.features().iter().map(Tensor::dtype));
        Self::resolve(known, &dtypes, data.given_scale())
    }

    /// The factor on samples without targets. Bytes are refused if nothing says what they mean.
    pub fn for_features(known: Option<&Self>, x: &[Tensor], given: Option<f32>) -> Result<f32> {
        let dtypes = quantities(x.iter().map(Tensor::dtype));
        if known.is_none() && given.is_none() && dtypes.contains(&DType::U8) {
            return Err(unknown(
                &dtypes,
                "it was not trained yet, or its weights came from elsewhere",
            ));
        }
        Self::resolve(known, &dtypes, given)
    }

    /// Warns if the samples of continued training have another factor than those before.
    pub fn compare(known: Option<&Self>, now: &Self) {
        // A given factor is never refused.
        let _ = Self::resolve(known, &now.dtypes, Some(now.scale));
    }
}

/// `u8 times 0.5`.
impl std::fmt::Display for Scaling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} times {}", listed(&self.dtypes), self.scale)
    }
}

/// The error for samples whose factor is not known.
fn unknown(dtypes: &[DType], why: &str) -> Error {
    let detail = format!(
        "{why}, and these are {}, which do not say their factor: give it with \
         `TensorDataset::scaled` or `Features {{ x, scale: Some(factor) }}`; 1.0 takes the numbers as they are",
        listed(dtypes)
    );
    Error::data("x", format!("the model does not know how to scale these samples: {detail}"))
}

fn listed(dtypes: &[DType]) -> String {
    dtypes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
