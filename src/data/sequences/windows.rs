//! Windows of a text, each with what comes next.

use crate::data::source::check_rows;
use crate::data::{Dataset, SampleSpec};
use crate::error::{Error, Result};
use crate::tensor::DType;

/// Windows of a long sequence of ids, and at each place the id that comes next: samples `[length]` u32 with labels
/// `[length]` u32, for a model that writes. They are made when they are read, so that windows may overlap at no cost.
///
/// ```
/// use wgrad::data::{Dataset, TextVectorization, TextWindows};
///
/// let text = TextVectorization::characters().adapt(["to be"])?;
/// let windows = TextWindows::new(text.ids("to be or not to be")?, 8, 3)?;
/// assert_eq!(windows.len(), 4);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// `trainer.fit(Arc::new(windows), fit)` trains on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextWindows {
    ids: Vec<u32>,
    length: usize,
    stride: usize,
}

impl TextWindows {
    /// Windows of `length` ids, the first at the beginning and each `stride` ids after the one before it.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a length or a stride of 0; [`Error::Data`] if there are no ids for a window and what comes
    /// next, or more windows than a u32 counts.
    pub fn new(ids: impl Into<Vec<u32>>, length: usize, stride: usize) -> Result<Self> {
        let ids = ids.into();
        if length == 0 {
            return Err(Error::parameter("length", 0, "a window has at least one id"));
        }
        if stride == 0 {
            return Err(Error::parameter("stride", 0, "windows begin at least one id apart"));
        }
        if ids.len() <= length {
            let detail = format!(
                "{} ids; a window of {length} and the id that comes next need {}",
                ids.len(),
                length.saturating_add(1)
            );
            return Err(Error::data("text", detail));
        }
        let windows = Self { ids, length, stride };
        if u32::try_from(windows.len()).is_err() {
            return Err(Error::data(
                "text",
                "more windows than 32 bits count; take a larger stride",
            ));
        }
        Ok(windows)
    }

    /// All ids.
    #[must_use]
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }
}

impl Dataset for TextWindows {
    fn len(&self) -> usize {
        (self.ids.len() - self.length - 1) / self.stride + 1
    }

    fn spec(&self) -> SampleSpec {
        SampleSpec {
            x_shape: [self.length].into(),
            x_dtype: DType::U32,
            y_shape: [self.length].into(),
            y_dtype: DType::U32,
            scale: 1.0,
        }
    }

    fn read(&self, rows: &[u32], x: &mut Vec<u8>, y: &mut Vec<u8>) -> Result<()> {
        check_rows(rows, self.len())?;
        for &row in rows {
            let start = row as usize * self.stride;
            x.extend_from_slice(bytemuck::cast_slice(&self.ids[start..][..self.length]));
            y.extend_from_slice(bytemuck::cast_slice(&self.ids[start + 1..][..self.length]));
        }
        Ok(())
    }
}
