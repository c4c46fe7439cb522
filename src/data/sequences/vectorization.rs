//! Text as ids, by a vocabulary that is learned, saved and loaded.

use super::{PadSequences, SequenceSide, pad_sequences};
use crate::data::saved::Saved;
use crate::error::{Error, Result};
use crate::tensor::Tensor;
use serde_json::Value;
use std::collections::HashMap;

/// What the JSON says that it is.
const KIND: &str = "TextVectorization";
/// The id that fills rows up.
const PADDING: u32 = 0;
/// The id of what is not in the vocabulary.
const UNKNOWN: u32 = 1;
/// The names of both in a vocabulary, as in Keras.
const SPECIAL: [&str; 2] = ["", "[UNK]"];

/// What happens to a text before it is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Standardize {
    /// Nothing. Keras' `None`.
    None,
    /// Lower case, of all alphabets; Keras lowers ASCII alone.
    Lower,
    /// Without ASCII punctuation.
    StripPunctuation,
    /// Both.
    #[default]
    LowerAndStripPunctuation,
}

/// What a text is split into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TextSplit {
    /// Nothing: the whole text is one token. Keras' `None`.
    None,
    /// Words, between white space.
    #[default]
    Whitespace,
    /// Unicode characters.
    Character,
}

const STANDARDIZE: [(&str, Standardize); 3] = [
    ("lower", Standardize::Lower),
    ("strip_punctuation", Standardize::StripPunctuation),
    ("lower_and_strip_punctuation", Standardize::LowerAndStripPunctuation),
];

const SPLIT: [(&str, TextSplit); 2] =
    [("whitespace", TextSplit::Whitespace), ("character", TextSplit::Character)];

/// Turns texts into rows of ids. Keras' `TextVectorization` with `output_mode="int"`.
///
/// Id 0 fills rows up, so that `Embedding::mask_zero` masks it; id 1 is what the vocabulary does not have. The others are
/// the tokens of [`adapt`](Self::adapt) by how often they come, and of equally many the greater string first, as in Keras.
///
/// ```
/// use wgrad::data::TextVectorization;
/// use wgrad::tensor::Tensor;
///
/// let text = TextVectorization::new().output_sequence_length(4);
/// let text = text.adapt(["The cat sat.", "The cat ran!"])?;
/// assert_eq!(text.get_vocabulary(), ["", "[UNK]", "the", "cat", "sat", "ran"]);
/// assert_eq!(text.transform(["the dog sat"])?, Tensor::u32([1, 4], [2, 1, 4, 0])?);
/// assert_eq!(text.decode(&[2, 3, 5, 0])?, "the cat ran");
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TextVectorization {
    standardize: Standardize,
    split: TextSplit,
    max_tokens: Option<usize>,
    output_sequence_length: Option<usize>,
    /// With the special tokens; empty before one is learned or given.
    vocabulary: Vec<String>,
    ids: HashMap<String, u32>,
}

impl TextVectorization {
    /// Words in lower case without punctuation; no vocabulary yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Every character is a token, and nothing is changed: for models that write text.
    #[must_use]
    pub fn characters() -> Self {
        Self::new().standardize(Standardize::None).split(TextSplit::Character)
    }

    /// What happens to a text before it is split.
    #[must_use]
    pub const fn standardize(mut self, standardize: Standardize) -> Self {
        self.standardize = standardize;
        self
    }

    /// What a text is split into.
    #[must_use]
    pub const fn split(mut self, split: TextSplit) -> Self {
        self.split = split;
        self
    }

    /// The most entries of a vocabulary that is learned, the two special ones among them.
    #[must_use]
    pub const fn max_tokens(mut self, max_tokens: usize) -> Self {
        self.max_tokens = Some(max_tokens);
        self
    }

    /// The ids of each row: longer texts lose their end, shorter ones are filled up with 0. If it is not set, rows are as
    /// long as the longest of their call.
    #[must_use]
    pub const fn output_sequence_length(mut self, length: usize) -> Self {
        self.output_sequence_length = Some(length);
        self
    }

    /// Learns the vocabulary of these texts, in place of one that was there.
    ///
    /// # Errors
    /// [`Error::Data`] if the texts have no tokens; [`Error::Parameter`] for settings outside their domain.
    pub fn adapt(self, texts: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self> {
        if let Some(most) = self.max_tokens.filter(|&most| most <= SPECIAL.len()) {
            let detail = "a vocabulary has two special entries, and at least one token";
            return Err(Error::parameter("max_tokens", most, detail));
        }
        let mut counts: HashMap<String, u64> = HashMap::new();
        for text in texts {
            self.each(text.as_ref(), |token| match counts.get_mut(token) {
                Some(count) => *count += 1,
                None => drop(counts.insert(token.to_owned(), 1)),
            });
        }
        for special in SPECIAL {
            counts.remove(special);
        }
        let mut tokens: Vec<(String, u64)> = counts.into_iter().collect();
        tokens.sort_unstable_by(|(a, n), (b, m)| (m, b).cmp(&(n, a)));
        tokens.truncate(self.max_tokens.map_or(usize::MAX, |most| most - SPECIAL.len()));
        if tokens.is_empty() {
            return Err(Error::data("texts", "there are no tokens; give texts with some"));
        }
        self.with_tokens(tokens.into_iter().map(|(token, _)| token).collect())
    }

    /// With this vocabulary: tokens in the order of their ids from 2 on; the entries of [`Self::get_vocabulary`] are taken
    /// too, as in Keras.
    ///
    /// # Errors
    /// [`Error::Data`] for no tokens, and for one that is there twice or is special.
    pub fn set_vocabulary(
        self,
        vocabulary: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self> {
        let mut tokens: Vec<String> = vocabulary.into_iter().map(Into::into).collect();
        if tokens.iter().take(SPECIAL.len()).eq(SPECIAL.iter()) {
            tokens.drain(..SPECIAL.len());
        }
        self.with_tokens(tokens)
    }

    fn with_tokens(mut self, tokens: Vec<String>) -> Result<Self> {
        if self.output_sequence_length == Some(0) {
            let detail = "a sequence has at least one id";
            return Err(Error::parameter("output_sequence_length", 0, detail));
        }
        if tokens.is_empty() {
            return Err(Error::data("vocabulary", "there are no tokens; give at least one"));
        }
        if u32::try_from(tokens.len() + SPECIAL.len()).is_err() {
            return Err(Error::data("vocabulary", "there are more tokens than ids of 32 bits"));
        }
        self.vocabulary = SPECIAL.iter().map(|&s| s.to_owned()).chain(tokens).collect();
        self.ids = HashMap::with_capacity(self.vocabulary.len());
        for (id, token) in self.vocabulary.iter().enumerate() {
            if let Some(first) = self.ids.insert(token.clone(), id as u32) {
                let detail = format!("`{token}` is there twice, as entries {first} and {id}");
                return Err(Error::data("vocabulary", detail));
            }
        }
        Ok(self)
    }

    /// All entries by id: the two special ones, `""` and `"[UNK]"`, and the tokens. Empty if none was learned.
    #[must_use]
    pub fn get_vocabulary(&self) -> &[String] {
        &self.vocabulary
    }

    /// How many entries there are: the `input_dim` of an `Embedding`.
    #[must_use]
    pub fn vocabulary_size(&self) -> usize {
        self.vocabulary.len()
    }

    /// The ids of a text, however many they are.
    ///
    /// # Errors
    /// [`Error::Data`] if there is no vocabulary yet.
    pub fn ids(&self, text: &str) -> Result<Vec<u32>> {
        if self.vocabulary.is_empty() {
            let detail = "there is none yet: call `adapt` with texts, or `set_vocabulary`";
            return Err(Error::data("vocabulary", detail));
        }
        let mut ids = Vec::new();
        self.each(text, |token| {
            // The special entries are no tokens.
            let id = self.ids.get(token).copied().filter(|&id| id > UNKNOWN);
            ids.push(id.unwrap_or(UNKNOWN));
        });
        Ok(ids)
    }

    /// The texts as rows of ids: `[texts, length]` u32.
    ///
    /// # Errors
    /// [`Error::Data`] if there is no vocabulary yet, there are no texts, or one has no token; it is named.
    pub fn transform(&self, texts: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Tensor> {
        let rows = texts.into_iter().map(|text| self.ids(text.as_ref()));
        let rows: Vec<Vec<u32>> = rows.collect::<Result<_>>()?;
        let side = SequenceSide::Post;
        let maxlen = self.output_sequence_length;
        let pad = PadSequences { maxlen, padding: side, truncating: side, value: PADDING };
        pad_sequences(&rows, &pad)
    }

    /// The text of some ids. Words have spaces between them; padding is left out, and what was unknown is `[UNK]`.
    ///
    /// # Errors
    /// [`Error::Data`] naming an id that is past the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        let mut tokens = Vec::with_capacity(ids.len());
        for (i, &id) in ids.iter().enumerate() {
            let token = self.vocabulary.get(id as usize).ok_or_else(|| {
                let size = self.vocabulary.len();
                let detail = format!("id {i} is {id}; the vocabulary has the {size} ids 0..{size}");
                Error::data("ids", detail)
            })?;
            tokens.extend((id != PADDING).then_some(token.as_str()));
        }
        Ok(tokens.join(if self.split == TextSplit::Character { "" } else { " " }))
    }

    /// Gives `take` every token of a text, in order.
    fn each(&self, text: &str, mut take: impl FnMut(&str)) {
        let lower =
            matches!(self.standardize, Standardize::Lower | Standardize::LowerAndStripPunctuation);
        let strip = matches!(
            self.standardize,
            Standardize::StripPunctuation | Standardize::LowerAndStripPunctuation
        );
        let mut text = std::borrow::Cow::Borrowed(text);
        if lower {
            text = text.to_lowercase().into();
        }
        if strip && text.contains(|c: char| c.is_ascii_punctuation()) {
            text = text.chars().filter(|c| !c.is_ascii_punctuation()).collect::<String>().into();
        }
        match self.split {
            TextSplit::Whitespace => text.split_whitespace().for_each(take),
            TextSplit::Character => {
                let mut bytes = [0; 4];
                text.chars().for_each(|c| take(c.encode_utf8(&mut bytes)));
            }
            TextSplit::None if text.is_empty() => {}
            TextSplit::None => take(&text),
        }
    }

    /// Settings and vocabulary as JSON, from which [`TextVectorization::from_json`] makes the same ones.
    #[must_use]
    pub fn to_json(&self) -> String {
        fn word<T: PartialEq>(words: &[(&'static str, T)], value: &T) -> Option<&'static str> {
            words.iter().find(|(_, known)| known == value).map(|(word, _)| *word)
        }
        serde_json::json!({
            "kind": KIND,
            "standardize": word(&STANDARDIZE, &self.standardize),
            "split": word(&SPLIT, &self.split),
            "max_tokens": self.max_tokens,
            "output_sequence_length": self.output_sequence_length,
            "vocabulary": self.vocabulary,
        })
        .to_string()
    }

    /// Makes it again from what [`TextVectorization::to_json`] gave.
    ///
    /// # Errors
    /// [`Error::Data`] for another text; as [`TextVectorization::set_vocabulary`].
    pub fn from_json(text: &str) -> Result<Self> {
        let saved = Saved::parse(KIND, text)?;
        let field = |name: &str| &saved.value[name];
        let count = |name: &str| match field(name) {
            Value::Null => Ok(None),
            value => {
                let count = value.as_u64().and_then(|n| usize::try_from(n).ok());
                count.map(Some).ok_or_else(|| saved.wrong(format!("`{name}` is no count")))
            }
        };
        fn named<T: Copy>(words: &[(&str, T)], value: &Value, none: T) -> Option<T> {
            match value {
                Value::Null => Some(none),
                value => words.iter().find(|(word, _)| value == word).map(|(_, known)| *known),
            }
        }
        let unknown = |name: &str| saved.wrong(format!("`{name}` is {}", field(name)));
        let standardize = named(&STANDARDIZE, field("standardize"), Standardize::None);
        let split = named(&SPLIT, field("split"), TextSplit::None);
        let empty = Self {
            standardize: standardize.ok_or_else(|| unknown("standardize"))?,
            split: split.ok_or_else(|| unknown("split"))?,
            max_tokens: count("max_tokens")?,
            output_sequence_length: count("output_sequence_length")?,
            ..Self::default()
        };
        let list = field("vocabulary").as_array();
        let text = |v: &Value| v.as_str().map(str::to_owned);
        let entries: Option<Vec<String>> = list.and_then(|list| list.iter().map(text).collect());
        let entries = entries.ok_or_else(|| saved.wrong("`vocabulary` is no list of strings"))?;
        match entries.is_empty() {
            true => Ok(empty),
            false => empty.set_vocabulary(entries),
        }
    }
}

/// The text of a file's bytes, which are UTF-8; a mark of byte order at the front is left out.
///
/// # Errors
/// [`Error::File`] naming the first byte that is no UTF-8, and for no text.
pub fn parse_text(name: &str, bytes: Vec<u8>) -> Result<String> {
    let bad = |detail: String| Error::File { path: name.into(), field: "text".into(), detail };
    let text = String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        bad(format!("byte {at} is no UTF-8; convert the file to UTF-8"))
    })?;
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    if text.is_empty() { Err(bad("there is none; the file is empty".into())) } else { Ok(text) }
}

/// The text of a file in UTF-8.
///
/// # Errors
/// [`Error::Io`] if it cannot be read; as [`parse_text`].
#[cfg(not(target_arch = "wasm32"))]
pub fn read_text(path: impl AsRef<std::path::Path>) -> Result<String> {
    let path = path.as_ref();
    let shown = path.display().to_string();
    match std::fs::read(path) {
        Ok(bytes) => parse_text(&shown, bytes),
        Err(cause) => Err(Error::Io { path: shown, cause }),
    }
}
