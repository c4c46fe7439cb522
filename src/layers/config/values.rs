//! Numbers and lists as JSON.

use super::read::Reading;
use crate::error::Result;
use crate::tensor::Shape;
use crate::words::number;
use serde_json::Value;

/// A value that a setting has. What is read wrongly is told in words.
pub(in crate::layers) trait Setting: Sized {
    fn write(&self) -> Result<Value>;

    fn read(value: &Value, reading: &Reading<'_>) -> Result<Self, String>;
}

/// The first characters of a value, for a message.
pub(in crate::layers) fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}

impl Setting for f32 {
    fn write(&self) -> Result<Value> {
        Ok(number(*self))
    }

    fn read(value: &Value, _: &Reading<'_>) -> Result<Self, String> {
        let word = || match value.as_str()? {
            "inf" => Some(Self::INFINITY),
            "-inf" => Some(Self::NEG_INFINITY),
            "NaN" => Some(Self::NAN),
            _ => None,
        };
        let small = value.as_f64().map(|x| x as Self).filter(|x| x.is_finite());
        small.or_else(word).ok_or_else(|| format!("is {}; an f32 is expected", shown(value)))
    }
}

impl Setting for bool {
    fn write(&self) -> Result<Value> {
        Ok((*self).into())
    }

    fn read(value: &Value, _: &Reading<'_>) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| format!("is {}; true or false is expected", shown(value)))
    }
}

impl Setting for usize {
    fn write(&self) -> Result<Value> {
        Ok((*self).into())
    }

    fn read(value: &Value, _: &Reading<'_>) -> Result<Self, String> {
        let count = value.as_u64().and_then(|n| u32::try_from(n).ok());
        let count = count.and_then(|n| Self::try_from(n).ok());
        count.ok_or_else(|| format!("is {}; a whole number below 2^32 is expected", shown(value)))
    }
}

impl Setting for isize {
    fn write(&self) -> Result<Value> {
        Ok((*self).into())
    }

    fn read(value: &Value, _: &Reading<'_>) -> Result<Self, String> {
        let number = value.as_i64().and_then(|n| i32::try_from(n).ok());
        let number = number.and_then(|n| Self::try_from(n).ok());
        number.ok_or_else(|| format!("is {}; a whole number is expected", shown(value)))
    }
}

/// A list, or one value in place of a list of one, as Keras has axes.
impl<T: Setting> Setting for Vec<T> {
    fn write(&self) -> Result<Value> {
        Ok(Value::Array(self.iter().map(T::write).collect::<Result<_>>()?))
    }

    fn read(value: &Value, reading: &Reading<'_>) -> Result<Self, String> {
        match value {
            Value::Null => Ok(Self::new()),
            Value::Array(list) => list.iter().map(|value| T::read(value, reading)).collect(),
            one => Ok(vec![T::read(one, reading)?]),
        }
    }
}

impl<T: Setting> Setting for Option<T> {
    fn write(&self) -> Result<Value> {
        self.as_ref().map_or(Ok(Value::Null), T::write)
    }

    fn read(value: &Value, reading: &Reading<'_>) -> Result<Self, String> {
        match value {
            Value::Null => Ok(None),
            some => T::read(some, reading).map(Some),
        }
    }
}

/// One number, or a list of it.
impl Setting for [isize; 1] {
    fn write(&self) -> Result<Value> {
        self[0].write()
    }

    fn read(value: &Value, reading: &Reading<'_>) -> Result<Self, String> {
        let list = Vec::<isize>::read(value, reading)?;
        list.try_into().map_err(|_| format!("is {}; one whole number is expected", shown(value)))
    }
}

/// Two values, or one in place of two that are equal.
impl<T: Setting + Copy> Setting for [T; 2] {
    fn write(&self) -> Result<Value> {
        self.to_vec().write()
    }

    fn read(value: &Value, reading: &Reading<'_>) -> Result<Self, String> {
        match *Vec::<T>::read(value, reading)?.as_slice() {
            [both] => Ok([both; 2]),
            [a, b] => Ok([a, b]),
            _ => Err(format!("is {}; one or two numbers are expected", shown(value))),
        }
    }
}

impl Setting for Shape {
    fn write(&self) -> Result<Value> {
        self.dims().to_vec().write()
    }

    fn read(value: &Value, reading: &Reading<'_>) -> Result<Self, String> {
        Vec::<usize>::read(value, reading).map(Self::from)
    }
}
