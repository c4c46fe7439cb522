//! Text as ids, lengths, and windows. Vocabularies, padding and windows are those that Keras' documentation shows.

use super::{folder, says};
use wgrad::Result;
use wgrad::data::{
    Dataset, PadSequences, SequenceSide, Standardize, TextOutput, TextSplit, TextVectorization,
    TextWindows, Timeseries, bucket_by_length, pad_sequences, parse_text, read_text,
    timeseries_dataset_from_array,
};
use wgrad::tensor::Tensor;

#[test]
fn vocabularies_are_those_of_keras() -> Result<()> {
    // The examples of Keras' `TextVectorization`.
    let text = TextVectorization::new().max_tokens(5000).output_sequence_length(4);
    let text = text.adapt(["foo", "bar", "baz"])?;
    assert_eq!(text.get_vocabulary(), ["", "[UNK]", "foo", "baz", "bar"]);
    let ids = text.transform(["foo qux bar", "qux baz"])?;
    assert_eq!(ids, Tensor::u32([2, 4], [2, 1, 4, 0, 1, 3, 0, 0])?);
    let text = TextVectorization::new().max_tokens(5000).output_sequence_length(4);
    let text = text.set_vocabulary(["earth", "wind", "and", "fire"])?;
    assert_eq!(text.get_vocabulary(), ["", "[UNK]", "earth", "wind", "and", "fire"]);
    assert_eq!(text.vocabulary_size(), 6);
    // What comes more often has the smaller id, and `max_tokens` counts the two special ones.
    let text = TextVectorization::new().max_tokens(4).adapt(["b a b c", "b c"])?;
    assert_eq!(text.get_vocabulary(), ["", "[UNK]", "b", "c"]);
    assert_eq!(text.ids("a c b")?, [1, 3, 2]);
    // Given whole, as `get_vocabulary` gives it.
    let again = TextVectorization::new().set_vocabulary(text.get_vocabulary().to_vec())?;
    assert_eq!(again.get_vocabulary(), text.get_vocabulary());
    Ok(())
}

#[test]
fn texts_are_standardized_and_split_as_asked_for() -> Result<()> {
    let line = "It's  DONE,\tÄrger!";
    let all = TextVectorization::new();
    for (standardize, words) in [
        (Standardize::None, "It's DONE, Ärger!"),
        (Standardize::Lower, "it's done, ärger!"),
        (Standardize::StripPunctuation, "Its DONE Ärger"),
        (Standardize::LowerAndStripPunctuation, "its done ärger"),
    ] {
        let text = all.clone().standardize(standardize).adapt([line])?;
        let ids = text.ids(line)?;
        assert_eq!((ids.len(), text.decode(&ids)?), (3, words.into()), "{standardize:?}");
    }
    let characters = TextVectorization::characters().adapt([line])?;
    assert_eq!(characters.decode(&characters.ids(line)?)?, line);
    assert_eq!(characters.ids("Ä?")?.len(), 2);
    assert_eq!(characters.ids("?")?, [1]);
    let whole = all.standardize(Standardize::None).split(TextSplit::None).adapt([line, "x"])?;
    assert_eq!((whole.ids("x")?.len(), whole.vocabulary_size()), (1, 4));
    // The special entries are no tokens of a text, and padding is none when it is written.
    let words = TextVectorization::new().standardize(Standardize::None).adapt(["[UNK] a"])?;
    assert_eq!((words.vocabulary_size(), words.ids("[UNK] a")?), (3, vec![1, 2]));
    assert_eq!(words.decode(&[0, 2, 0, 1])?, "a [UNK]");
    Ok(())
}

#[test]
fn a_vocabulary_comes_back_from_its_file() -> Result<()> {
    let path = folder("vocabulary").join("text.json");
    let text = TextVectorization::new().standardize(Standardize::Lower).output_sequence_length(9);
    let text = text.max_tokens(6).adapt(["a \"b\" \\ é", "a \u{1f600}"])?;
    text.save(&path)?;
    let again = TextVectorization::load(&path)?;
    assert_eq!(again, text);
    assert_eq!(again.transform(["é a x"])?, text.transform(["é a x"])?);
    assert_ne!(TextVectorization::characters().adapt(["a"])?, text);
    // Without a vocabulary too.
    let empty = TextVectorization::characters();
    assert_eq!(TextVectorization::from_json(&empty.to_json())?, empty);
    std::fs::write(&path, text.to_json().replace("lower", "upper")).unwrap();
    says(TextVectorization::load(&path), &["text.json", "`standardize` is \"upper\""]);
    for (from, to, words) in [
        ("whitespace", "ngrams", "`split` is \"ngrams\""),
        ("TextVectorization", "StandardScaler", "its kind is"),
        ("\"\\\\\"", "\"a\"", "`a` is there twice"),
        ("\"output_sequence_length\":9", "\"output_sequence_length\":0", "at least one id"),
        ("\"max_tokens\":6", "\"max_tokens\":-6", "`max_tokens` is no count"),
    ] {
        let json = text.to_json();
        assert!(json.contains(from), "{from}: {json}");
        says(TextVectorization::from_json(&json.replace(from, to)), &[words]);
    }
    Ok(())
}

/// A text as a number for each entry. The rules are those of Keras' `IndexLookup`: the weight of a token is log(1 + texts /
/// (1 + texts with it)), and what is unknown has the mean of all.
#[test]
fn texts_are_counted_as_in_keras() -> Result<()> {
    let texts = ["b a b", "b c", "a b, b", "d"];
    let with = |mode| TextVectorization::new().output_mode(mode);
    let count = with(TextOutput::Count).adapt(texts)?;
    // There is no entry for padding; of equally many the greater string is first.
    assert_eq!(count.get_vocabulary(), ["[UNK]", "b", "a", "d", "c"]);
    assert_eq!(count.vocabulary_size(), 5);
    let seen = ["b x b a y", "", "c"];
    let rows = |rows: [[f32; 5]; 3]| Tensor::f32([3, 5], rows.concat());
    let counted = [[2.0, 2.0, 1.0, 0.0, 0.0], [0.0; 5], [0.0, 0.0, 0.0, 0.0, 1.0]];
    assert_eq!(count.transform(seen)?, rows(counted)?);
    let hot = with(TextOutput::MultiHot).adapt(texts)?;
    let one = counted.map(|row| row.map(|n| if n > 0.0 { 1.0 } else { 0.0 }));
    assert_eq!(hot.transform(seen)?, rows(one)?);
    // The ids are those of `Int`.
    assert_eq!(count.ids("b x c")?, [2, 1, 5]);
    assert_eq!(count.decode(&[2, 1, 5])?, "b [UNK] c");

    let weighed = with(TextOutput::TfIdf).adapt(texts)?;
    let of = |with: f64| (1.0 + 4.0 / (1.0 + with)).ln();
    let own = [of(3.0), of(2.0), of(1.0), of(1.0)];
    let idf = [&[own.iter().sum::<f64>() / 4.0][..], &own].concat();
    let close = |got: &[f32], want: &[f64]| {
        assert_eq!(got.len(), want.len());
        let near = |(a, b): (&f32, &f64)| (f64::from(*a) - b).abs() <= 3e-7;
        assert!(got.iter().zip(want).all(near), "{got:?} {want:?}");
    };
    close(weighed.idf_weights(), &idf);
    let want: Vec<f64> = counted
        .iter()
        .flat_map(|row| row.iter().zip(&idf).map(|(n, w)| f64::from(*n) * w))
        .collect();
    close(weighed.transform(seen)?.as_f32()?, &want);
    // The weights of tokens alone give what is unknown their mean, as in Keras; with all entries they are as given.
    let tokens = ["b", "a", "d", "c"];
    let given = with(TextOutput::TfIdf)
        .set_vocabulary_with_idf(tokens, weighed.idf_weights()[1..].to_vec())?;
    close(given.idf_weights(), &idf);
    let again = with(TextOutput::TfIdf)
        .set_vocabulary_with_idf(weighed.get_vocabulary().to_vec(), [9.0, 1.0, 2.0, 3.0, 4.0])?;
    assert_eq!(again.idf_weights(), [9.0, 1.0, 2.0, 3.0, 4.0]);
    assert_eq!(again.get_vocabulary(), weighed.get_vocabulary());

    // `max_tokens` counts `[UNK]`, and rows are as wide with `pad_to_max_tokens`.
    let few = with(TextOutput::Count).max_tokens(3).adapt(texts)?;
    assert_eq!(few.get_vocabulary(), ["[UNK]", "b", "a"]);
    let wide = with(TextOutput::Count).max_tokens(7).pad_to_max_tokens(true).adapt(texts)?;
    assert_eq!(wide.transform(["d d"])?, Tensor::f32([1, 7], [0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0])?);

    // Saved with mode and weights; files without them are of ids.
    for text in [count.clone(), weighed.clone(), wide] {
        assert_eq!(TextVectorization::from_json(&text.to_json())?, text);
    }
    let old = TextVectorization::new().adapt(texts)?;
    let mut json: serde_json::Value = serde_json::from_str(&old.to_json()).unwrap();
    for field in ["output_mode", "pad_to_max_tokens", "idf_weights"] {
        assert!(json.as_object_mut().unwrap().remove(field).is_some());
    }
    assert_eq!(TextVectorization::from_json(&json.to_string())?, old);
    let wrong = weighed.to_json().replace("tf_idf", "one_hot");
    says(TextVectorization::from_json(&wrong), &["`output_mode` is \"one_hot\""]);

    says(old.output_mode(TextOutput::TfIdf).transform(["a"]), &["idf_weights", "adapt"]);
    says(count.transform([""; 0]), &["there are none"]);
    says(with(TextOutput::Count).transform(["a"]), &["vocabulary", "adapt"]);
    says(
        count.output_sequence_length(4).transform(["a"]),
        &["output_sequence_length = 4", "Count"],
    );
    says(with(TextOutput::Count).pad_to_max_tokens(true).adapt(texts), &["pad_to_max_tokens"]);
    says(with(TextOutput::Count).max_tokens(1).adapt(texts), &["max_tokens = 1"]);
    let tall = with(TextOutput::Count).max_tokens(2).pad_to_max_tokens(true);
    says(tall.set_vocabulary(tokens)?.transform(["a"]), &["5 entries", "max_tokens is 2"]);
    says(
        with(TextOutput::TfIdf).set_vocabulary_with_idf(tokens, [1.0; 3]),
        &["idf_weights", "4 tokens"],
    );
    says(with(TextOutput::TfIdf).set_vocabulary_with_idf(tokens, [f32::NAN; 4]), &["finite"]);
    Ok(())
}

#[test]
fn texts_that_give_nothing_are_named() -> Result<()> {
    let text = TextVectorization::new;
    says(text().ids("a"), &["vocabulary", "adapt"]);
    says(text().adapt(["", " .,"]), &["texts", "no tokens"]);
    says(text().max_tokens(2).adapt(["a"]), &["max_tokens = 2"]);
    says(text().output_sequence_length(0).adapt(["a"]), &["output_sequence_length = 0"]);
    says(text().set_vocabulary(["a", "b", "a"]), &["`a` is there twice", "entries 2 and 4"]);
    says(text().set_vocabulary(["", "[UNK]"]), &["no tokens"]);
    let known = text().adapt(["a b"])?;
    says(known.transform(["a", "...", "b"]), &["sequence 1 of 3 has length 0", "leave it out"]);
    says(known.transform([""; 0]), &["there are none"]);
    says(known.decode(&[2, 4]), &["id 1 is 4", "4 ids 0..4"]);
    says(parse_text("a.txt", vec![b'a', 0xff]), &["a.txt: text: byte 1 is no UTF-8"]);
    says(parse_text("a.txt", Vec::new()), &["a.txt", "empty"]);
    says(read_text("no/such.txt"), &["no/such.txt"]);
    assert_eq!(parse_text("a.txt", "\u{feff}ab".into())?, "ab");
    Ok(())
}

#[test]
fn sequences_are_filled_up_as_in_keras() -> Result<()> {
    // The examples of Keras' `pad_sequences`.
    let sequences = [vec![1], vec![2, 3], vec![4, 5, 6]];
    let pad = |pad: PadSequences| pad_sequences(&sequences, &pad);
    let default = PadSequences::default();
    let rows = |width: usize, ids: &[u32]| Tensor::u32([3, width], ids);
    assert_eq!(pad(default)?, rows(3, &[0, 0, 1, 0, 2, 3, 4, 5, 6])?);
    let minus = PadSequences { value: u32::MAX, ..default };
    assert_eq!(pad(minus)?.as_u32()?[..2], [u32::MAX; 2]);
    let post = PadSequences { padding: SequenceSide::Post, ..default };
    assert_eq!(pad(post)?, rows(3, &[1, 0, 0, 2, 3, 0, 4, 5, 6])?);
    assert_eq!(pad(PadSequences { maxlen: Some(2), ..default })?, rows(2, &[0, 1, 2, 3, 5, 6])?);
    let cut = PadSequences { maxlen: Some(2), truncating: SequenceSide::Post, ..default };
    assert_eq!(pad(cut)?, rows(2, &[0, 1, 2, 3, 4, 5])?);
    let numbers =
        pad_sequences(&[[0.5f32, 1.5]], &PadSequences { maxlen: Some(3), ..Default::default() });
    assert_eq!(numbers?, Tensor::f32([1, 3], [0.0, 0.5, 1.5])?);

    says(pad(PadSequences { maxlen: Some(0), ..default }), &["maxlen = 0"]);
    let none: [Vec<u32>; 0] = [];
    says(pad_sequences(&none, &default), &["there are none"]);
    says(pad_sequences(&[vec![1], vec![]], &default), &["sequence 1 of 2 has length 0"]);
    let huge = PadSequences { maxlen: Some(usize::MAX), ..default };
    says(pad(huge), &["maxlen = ", "memory"]);
    Ok(())
}

#[test]
fn buckets_hold_every_sequence_once() -> Result<()> {
    let lengths: Vec<usize> = (0..200).map(|i| 1 + i * 37 % 90).collect();
    let buckets = bucket_by_length(&lengths, &[10, 20, 50])?;
    assert_eq!(buckets.iter().map(|b| b.length).collect::<Vec<_>>(), [10, 20, 50, 90]);
    let mut seen: Vec<u32> = buckets.iter().flat_map(|b| b.rows.clone()).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..200).collect::<Vec<u32>>());
    let mut shortest = 0;
    for bucket in buckets {
        let fits = |row: &u32| (shortest + 1..=bucket.length).contains(&lengths[*row as usize]);
        assert!(bucket.rows.iter().all(fits) && bucket.rows.is_sorted(), "{bucket:?}");
        shortest = bucket.length;
    }
    assert_eq!(bucket_by_length(&[3], &[5, 9])?.len(), 1);
    says(bucket_by_length(&[], &[5]), &["there are none"]);
    says(bucket_by_length(&[2, 0], &[5]), &["sequence 1 of 2 has length 0"]);
    for bad in [&[0, 5][..], &[5, 5], &[9, 5]] {
        says(bucket_by_length(&[2], bad), &["boundaries", "ascend"]);
    }
    Ok(())
}

#[test]
fn windows_of_text_have_what_comes_next() -> Result<()> {
    let windows = TextWindows::new((0..11).collect::<Vec<u32>>(), 4, 3)?;
    assert_eq!(windows.len(), 3);
    let (mut x, mut y) = (Vec::new(), Vec::new());
    windows.read(&[2, 0], &mut x, &mut y)?;
    let ids = |bytes: &[u8]| bytemuck_u32(bytes);
    assert_eq!(ids(&x), [6, 7, 8, 9, 0, 1, 2, 3]);
    assert_eq!(ids(&y), [7, 8, 9, 10, 1, 2, 3, 4]);
    says(windows.read(&[3], &mut x, &mut y), &["3"]);
    assert_eq!(TextWindows::new([1, 2], 1, 100)?.len(), 1);
    says(TextWindows::new([1, 2], 0, 1), &["length = 0"]);
    says(TextWindows::new([1, 2], 1, 0), &["stride = 0"]);
    says(TextWindows::new([1, 2], 2, 1), &["2 ids", "need 3"]);
    says(TextWindows::new([1, 2], usize::MAX, 1), &["2 ids"]);
    Ok(())
}

fn bytemuck_u32(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks::<4>().0.iter().map(|b| u32::from_ne_bytes(*b)).collect()
}

#[test]
fn windows_of_a_series_are_those_of_keras() -> Result<()> {
    // The first example of Keras' function, over the numbers from 0 to 99. Keras 3.15 has the last window, which its
    // documentation leaves out.
    let series = Tensor::f32([100], (0..100).map(|i| i as f32).collect::<Vec<_>>())?;
    let options = Timeseries { sequence_stride: 3, sampling_rate: 2, ..Timeseries::new(10) };
    let data = timeseries_dataset_from_array(&series, &series, &options)?;
    assert_eq!(data.x().shape().dims(), [28, 10]);
    let rows: Vec<&[f32]> = data.x().as_f32()?.chunks(10).collect();
    let row = |first: usize| (0..10).map(|i| (first + 2 * i) as f32).collect::<Vec<f32>>();
    assert_eq!((rows[0], rows[1], rows[27]), (&*row(0), &*row(3), &*row(81)));
    assert_eq!(data.y().as_f32()?[27], 81.0);
    // The second: ten steps predict the next.
    let (data, next) = (series.rows(0, 90)?, series.rows(10, 90)?);
    let data = timeseries_dataset_from_array(&data, &next, &Timeseries::new(10))?;
    assert_eq!(
        (data.len(), &data.x().as_f32()?[..10]),
        (81, &*(0..10).map(|i| i as f32).collect::<Vec<_>>())
    );
    assert_eq!(data.y().as_f32()?[..2], [10.0, 11.0]);
    // A part of the series, several columns, fewer targets.
    let table = Tensor::u8([20, 2], (0..40).collect::<Vec<u8>>())?;
    let labels = Tensor::u32([9], (0..9).collect::<Vec<u32>>())?;
    let part = Timeseries { start_index: 5, end_index: Some(12), ..Timeseries::new(2) };
    let data = timeseries_dataset_from_array(&table, &labels, &part)?;
    assert_eq!(data.x().shape().dims(), [4, 2, 2]);
    assert_eq!(data.y(), &Tensor::u32([4], [5, 6, 7, 8])?);
    Ok(())
}

#[test]
fn windows_that_do_not_fit_are_refused() -> Result<()> {
    let series = Tensor::f32([5, 1], [0.0; 5])?;
    let made = |options: Timeseries| timeseries_dataset_from_array(&series, &series, &options);
    let two = Timeseries::new(2);
    says(made(Timeseries::new(0)), &["sequence_length = 0"]);
    says(made(Timeseries { sequence_stride: 0, ..two }), &["sequence_stride = 0"]);
    says(made(Timeseries { sampling_rate: 0, ..two }), &["sampling_rate = 0"]);
    says(made(Timeseries { end_index: Some(6), ..two }), &["end_index = 6", "5 steps"]);
    says(made(Timeseries { start_index: 5, ..two }), &["start_index = 5"]);
    says(made(Timeseries::new(6)), &["no window", "5 steps", "over 6 steps"]);
    says(made(Timeseries { sampling_rate: usize::MAX, ..two }), &["no window"]);
    let scalar = Tensor::f32(wgrad::tensor::Shape::scalar(), [1.0])?;
    says(timeseries_dataset_from_array(&scalar, &series, &two), &["start_index = 0"]);
    says(timeseries_dataset_from_array(&series, &scalar, &two), &["no window", "0 targets"]);
    assert_eq!(made(Timeseries { sequence_stride: usize::MAX, ..two })?.len(), 1);
    Ok(())
}
