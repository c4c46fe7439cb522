//! Text as ids, by a vocabulary that is learned, saved and loaded.

use super::bag::{TextOutput, inverse_frequencies, rows, with_mean};
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

const OUTPUT_MODE: [(&str, TextOutput); 4] = [
    ("int", TextOutput::Int),
    ("multi_hot", TextOutput::MultiHot),
    ("count", TextOutput::Count),
    ("tf_idf", TextOutput::TfIdf),
];

/// Turns texts into rows of ids, or of a number for each entry of its vocabulary ([`TextOutput`]). Keras'
/// `TextVectorization`.
///
/// Id 0 fills rows up, so that `Embedding::mask_zero` masks it; id 1 is what the vocabulary does not have. The others are
/// the tokens of [`adapt`](Self::adapt) by how often they come, and of equally many the greater string first, as in Keras.
///
/// ```
/// use wgrad::data::{TextOutput, TextVectorization};
/// use wgrad::tensor::Tensor;
///
/// let text = TextVectorization::new().output_sequence_length(4);
/// let text = text.adapt(["The cat sat.", "The cat ran!"])?;
/// assert_eq!(text.get_vocabulary(), ["", "[UNK]", "the", "cat", "sat", "ran"]);
/// assert_eq!(text.transform(["the dog sat"])?, Tensor::u32([1, 4], [2, 1, 4, 0])?);
/// assert_eq!(text.decode(&[2, 3, 5, 0])?, "the cat ran");
///
/// let counts = text.output_mode(TextOutput::Count);
/// assert_eq!(counts.get_vocabulary(), ["[UNK]", "the", "cat", "sat", "ran"]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TextVectorization {
    standardize: Standardize,
    split: TextSplit,
    max_tokens: Option<usize>,
    output_sequence_length: Option<usize>,
    output_mode: TextOutput,
    pad_to_max_tokens: bool,
    /// The weights of [`TextOutput::TfIdf`], of each entry but the padding.
    idf_weights: Vec<f32>,
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

    /// What a text becomes. All but [`TextOutput::Int`] have no entry for padding, so the vocabulary begins with `[UNK]`
    /// then; [`Self::ids`] and [`Self::decode`] have the same ids always. Set it before `adapt`.
    #[must_use]
    pub const fn output_mode(mut self, output_mode: TextOutput) -> Self {
        self.output_mode = output_mode;
        self
    }

    /// Whether rows of [`TextOutput::MultiHot`], `Count` and `TfIdf` have `max_tokens` numbers even if the vocabulary has
    /// fewer entries.
    #[must_use]
    pub const fn pad_to_max_tokens(mut self, pad: bool) -> Self {
        self.pad_to_max_tokens = pad;
        self
    }

    /// The special entries that the vocabulary has.
    const fn special(&self) -> usize {
        match self.output_mode {
            TextOutput::Int => SPECIAL.len(),
            _ => SPECIAL.len() - 1,
        }
    }

    /// Refuses settings that exclude each other.
    fn check(&self) -> Result<()> {
        if self.output_sequence_length == Some(0) {
            let detail = "a sequence has at least one id";
            return Err(Error::parameter("output_sequence_length", 0, detail));
        }
        if let Some(length) =
            self.output_sequence_length.filter(|_| self.output_mode != TextOutput::Int)
        {
            let detail = format!("it is for ids; with {:?} leave it out", self.output_mode);
            return Err(Error::parameter("output_sequence_length", length, detail));
        }
        if self.pad_to_max_tokens
            && (self.max_tokens.is_none() || self.output_mode == TextOutput::Int)
        {
            let detail = "it needs max_tokens, and an output_mode of a number for each entry";
            return Err(Error::parameter("pad_to_max_tokens", true, detail));
        }
        Ok(())
    }

    /// Learns the vocabulary of these texts, in place of one that was there; for [`TextOutput::TfIdf`] its weights too.
    ///
    /// # Errors
    /// [`Error::Data`] if the texts have no tokens; [`Error::Parameter`] for settings outside their domain.
    pub fn adapt(self, texts: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self> {
        let special = self.special();
        if let Some(most) = self.max_tokens.filter(|&most| most <= special) {
            let detail = format!("a vocabulary has at least one token besides {special} special");
            return Err(Error::parameter("max_tokens", most, detail));
        }
        // How often a token comes, how many texts have it, and the last of them.
        let mut counts: HashMap<String, [u64; 3]> = HashMap::new();
        let mut texts_so_far = 0;
        for text in texts {
            texts_so_far += 1;
            self.each(text.as_ref(), |token| match counts.get_mut(token) {
                Some([count, with, last]) => {
                    *count += 1;
                    *with += u64::from(*last < texts_so_far);
                    *last = texts_so_far;
                }
                None => drop(counts.insert(token.to_owned(), [1, 1, texts_so_far])),
            });
        }
        for special in SPECIAL {
            counts.remove(special);
        }
        let mut tokens: Vec<(String, [u64; 3])> = counts.into_iter().collect();
        tokens.sort_unstable_by(|(a, [n, ..]), (b, [m, ..])| (m, b).cmp(&(n, a)));
        tokens.truncate(self.max_tokens.map_or(usize::MAX, |most| most - special));
        if tokens.is_empty() {
            return Err(Error::data("texts", "there are no tokens; give texts with some"));
        }
        let weights = match self.output_mode {
            TextOutput::TfIdf => {
                inverse_frequencies(texts_so_far, tokens.iter().map(|(_, [_, with, _])| *with))
            }
            _ => Vec::new(),
        };
        let learned = self.with_tokens(tokens.into_iter().map(|(token, _)| token).collect())?;
        Ok(Self { idf_weights: weights, ..learned })
    }

    /// With this vocabulary: tokens in the order of their ids from 2 on; the entries of [`Self::get_vocabulary`] are taken
    /// too, as in Keras.
    ///
    /// # Errors
    /// [`Error::Data`] for no tokens, and for one that is there twice or is special; [`Error::Parameter`] for settings that
    /// exclude each other.
    pub fn set_vocabulary(
        self,
        vocabulary: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self> {
        let tokens: Vec<String> = vocabulary.into_iter().map(Into::into).collect();
        let special = [SPECIAL.as_slice(), &SPECIAL[SPECIAL.len() - self.special()..]];
        let found = special.into_iter().find(|s| tokens.iter().take(s.len()).eq(s.iter()));
        let tokens = tokens.into_iter().skip(found.map_or(0, <[&str]>::len)).collect();
        self.with_tokens(tokens)
    }

    /// [`Self::set_vocabulary`] with the weight of each token, for [`TextOutput::TfIdf`]; what is unknown has their mean.
    /// The weights of [`Self::idf_weights`] are taken too, with the entries of [`Self::get_vocabulary`].
    ///
    /// # Errors
    /// As [`Self::set_vocabulary`]; [`Error::Data`] if there is not a finite weight for each token.
    pub fn set_vocabulary_with_idf(
        self,
        vocabulary: impl IntoIterator<Item = impl Into<String>>,
        idf_weights: impl IntoIterator<Item = f32>,
    ) -> Result<Self> {
        let given = self.set_vocabulary(vocabulary)?;
        let weights: Vec<f32> = idf_weights.into_iter().collect();
        let tokens = given.vocabulary.len() - SPECIAL.len();
        let weights = if weights.len() == tokens { with_mean(weights) } else { weights };
        if weights.len() != tokens + 1 || weights.iter().any(|w| !w.is_finite()) {
            let detail = format!(
                "there are {}; give a finite one for each of the {tokens} tokens",
                weights.len()
            );
            return Err(Error::data("idf_weights", detail));
        }
        Ok(Self { idf_weights: weights, ..given })
    }

    fn with_tokens(mut self, tokens: Vec<String>) -> Result<Self> {
        self.check()?;
        self.idf_weights.clear();
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

    /// All entries by id: the two special ones, `""` and `"[UNK]"`, and the tokens. Empty if none was learned. Other modes
    /// than [`TextOutput::Int`] have no `""`: an entry for each column.
    #[must_use]
    pub fn get_vocabulary(&self) -> &[String] {
        self.vocabulary.get(SPECIAL.len() - self.special()..).unwrap_or_default()
    }

    /// The weight of each entry, if the mode is [`TextOutput::TfIdf`] and they were learned or given.
    #[must_use]
    pub fn idf_weights(&self) -> &[f32] {
        &self.idf_weights
    }

    /// How many entries there are. In the mode [`TextOutput::Int`] it is the `input_dim` of an `Embedding`; in others it is
    /// how many entries have a column, which leaves out the padding, whose id is 0.
    #[must_use]
    pub fn vocabulary_size(&self) -> usize {
        self.get_vocabulary().len()
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

    /// The texts as rows of ids, `[texts, length]` u32; with another mode than [`TextOutput::Int`] as rows of a number for
    /// each entry, `[texts, entries]` f32.
    ///
    /// # Errors
    /// [`Error::Data`] if there is no vocabulary yet, there are no texts, or one has no token; it is named. A text without
    /// tokens is a row of zeros with the other modes. [`Error::Parameter`] for settings that exclude each other.
    pub fn transform(&self, texts: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Tensor> {
        self.check()?;
        let ids = texts.into_iter().map(|text| self.ids(text.as_ref()));
        let ids: Vec<Vec<u32>> = ids.collect::<Result<_>>()?;
        if self.output_mode != TextOutput::Int {
            return self.counted(&ids);
        }
        let side = SequenceSide::Post;
        let maxlen = self.output_sequence_length;
        let pad = PadSequences { maxlen, padding: side, truncating: side, value: PADDING };
        pad_sequences(&ids, &pad)
    }

    /// A number for each entry but the padding.
    fn counted(&self, ids: &[Vec<u32>]) -> Result<Tensor> {
        let entries = self.vocabulary_size();
        let width = self.max_tokens.filter(|_| self.pad_to_max_tokens).unwrap_or(entries);
        if entries > width {
            let detail = format!("it has {entries} entries, and max_tokens is {width}");
            return Err(Error::data("vocabulary", detail));
        }
        if self.output_mode == TextOutput::TfIdf && self.idf_weights.is_empty() && entries > 0 {
            let detail = "there are none: set the mode before `adapt`, or give them by `set_vocabulary_with_idf`";
            return Err(Error::data("idf_weights", detail));
        }
        let columns = |ids: &Vec<u32>| ids.iter().map(|&id| (id - UNKNOWN) as usize).collect();
        let texts: Vec<Vec<usize>> = ids.iter().map(columns).collect();
        rows(&texts, width, self.output_mode, &self.idf_weights)
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
            "output_mode": word(&OUTPUT_MODE, &self.output_mode),
            "pad_to_max_tokens": self.pad_to_max_tokens,
            "idf_weights": self.idf_weights,
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
        let mode = named(&OUTPUT_MODE, field("output_mode"), TextOutput::Int);
        let pad = match field("pad_to_max_tokens") {
            Value::Null => Some(false),
            value => value.as_bool(),
        };
        let empty = Self {
            standardize: standardize.ok_or_else(|| unknown("standardize"))?,
            split: split.ok_or_else(|| unknown("split"))?,
            max_tokens: count("max_tokens")?,
            output_sequence_length: count("output_sequence_length")?,
            output_mode: mode.ok_or_else(|| unknown("output_mode"))?,
            pad_to_max_tokens: pad.ok_or_else(|| unknown("pad_to_max_tokens"))?,
            ..Self::default()
        };
        let list = field("vocabulary").as_array();
        let text = |v: &Value| v.as_str().map(str::to_owned);
        let entries: Option<Vec<String>> = list.and_then(|list| list.iter().map(text).collect());
        let entries = entries.ok_or_else(|| saved.wrong("`vocabulary` is no list of strings"))?;
        // Files of earlier versions have no weights.
        let weights = match field("idf_weights") {
            Value::Null => Vec::new(),
            _ => saved.numbers("idf_weights")?,
        };
        match (entries.is_empty(), weights.is_empty()) {
            (true, _) => Ok(empty),
            (_, true) => empty.set_vocabulary(entries),
            _ => empty.set_vocabulary_with_idf(entries, weights.into_iter().map(|w| w as f32)),
        }
    }
}
