//! Reading IDX files and building datasets: good data arrives unchanged, bad data is refused by name, and nothing
//! panics.

use std::io::Write;
use std::path::{Path, PathBuf};

use wgrad::Error;
use wgrad::data::{TensorDataset, expect_rank, load_mnist, parse_idx, permutation, read_idx};
use wgrad::tensor::{DType, Data, Shape, Tensor};

fn digits() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// An empty folder for this test.
fn folder(test: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

fn idx(element: u8, extents: &[u32], payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, element, u8::try_from(extents.len()).unwrap()];
    bytes.extend(extents.iter().flat_map(|e| e.to_be_bytes()));
    bytes.extend(payload);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The part of the file that makes `bytes` refused, and the message.
#[track_caller]
fn refused(bytes: &[u8]) -> (String, String) {
    match parse_idx("digits.idx", bytes) {
        Err(Error::File { path, field, detail }) => {
            assert_eq!(path, "digits.idx");
            (field, detail)
        }
        other => panic!("expected Error::File, got {other:?}"),
    }
}

/// Asserts that `error` reads as all of `words`.
#[track_caller]
fn says(error: impl std::fmt::Display, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "`{text}` does not say `{word}`");
    }
}

#[test]
fn the_digits_under_tests_load() {
    let (train, test) = load_mnist(digits()).unwrap();
    for (set, per_class) in [(&train, 40), (&test, 20)] {
        assert_eq!(set.len(), 10 * per_class);
        assert_eq!((set.x().dtype(), set.y().dtype()), (DType::U8, DType::U32));
        assert_eq!((set.sample_shape(), set.target_shape()), ([28, 28].into(), Shape::scalar()));
        assert_eq!(set.scale(), 1.0 / 255.0);
        set.check_labels(10).unwrap();
        for class in 0..10 {
            let labels = set.y().as_u32().unwrap();
            assert_eq!(labels.iter().filter(|&&l| l == class).count(), per_class);
        }
    }
    assert_eq!(train.y().as_u32().unwrap()[..6], [5, 0, 4, 1, 9, 2]);
    assert_eq!(test.y().as_u32().unwrap()[..6], [7, 2, 1, 0, 4, 1]);
    // The full training set's first digit, a 5: its ink, and its first row with ink.
    let Data::U8(pixels) = train.x().data() else { panic!("pixels are {}", train.x().dtype()) };
    assert_eq!(pixels[..784].iter().map(|&p| u32::from(p)).sum::<u32>(), 27_525);
    assert_eq!(pixels[..784].iter().position(|&p| p != 0), Some(5 * 28 + 12));
}

#[test]
fn every_element_type_arrives_unchanged() {
    let u8s = parse_idx("a", &idx(0x08, &[2, 3], &[0, 1, 2, 127, 128, 255])).unwrap();
    assert_eq!(u8s, Tensor::u8([2, 3], [0, 1, 2, 127, 128, 255]).unwrap());

    let values = [0.0, -1.5, f32::MAX, 1e-40];
    let payload: Vec<u8> = values.iter().flat_map(|v| v.to_be_bytes()).collect();
    let f32s = parse_idx("a", &idx(0x0d, &[4, 1], &payload)).unwrap();
    assert_eq!(f32s, Tensor::f32([4, 1], values).unwrap());

    let values = [0, 9, 70_000, i32::MAX];
    let payload: Vec<u8> = values.iter().flat_map(|v| v.to_be_bytes()).collect();
    let u32s = parse_idx("a", &gzip(&idx(0x0c, &[4], &payload))).unwrap();
    assert_eq!(u32s, Tensor::u32([4], values.map(i32::cast_unsigned)).unwrap());

    // A file without samples is valid; the dataset refuses to train on it.
    assert_eq!(parse_idx("a", &idx(0x08, &[0, 28], &[])).unwrap().shape().dims(), [0, 28]);
}

#[test]
fn what_is_wrong_is_named() {
    let file = idx(0x08, &[2, 2], &[1, 2, 3, 4]);
    let with = |at: usize, value: u8| {
        let mut bytes = file.clone();
        bytes[at] = value;
        bytes
    };
    let negative = idx(0x0c, &[2], &[0, 0, 0, 1, 255, 255, 255, 255]);
    let huge = idx(0x08, &[u32::MAX; 4], &[]);
    let cases: [(&[u8], &str, &str); 12] = [
        (b"", "magic", "ends after 0 of the 4 bytes"),
        (&file[..3], "magic", "ends after 3 of the 4 bytes"),
        (&file[..9], "dimensions", "ends after 5 of the 8 bytes of 2 extents"),
        (b"PK\x03\x04rest", "magic", "found 50 4b 03 04, expected 00 00"),
        (&with(2, 0x0e), "magic", "0x0e (f64); supported are 0x08 (u8), 0x0c (i32"),
        (&with(2, 0x77), "magic", "0x77 (unknown); supported are"),
        (&with(3, 0), "magic", "found 0 axes"),
        (&huge, "dimensions", "more than this machine can address"),
        (&file[..14], "payload", "[2, 2] takes 4 bytes; the file ends after 2"),
        (&[&file[..], &[5]].concat(), "payload", "takes 4 bytes; the file goes on after them"),
        // An empty axis hides neither the other extents nor what follows the header.
        (&idx(0x08, &[0, u32::MAX, u32::MAX, u32::MAX], &[]), "dimensions", "address"),
        (&negative, "payload", "element 1 is -1"),
    ];
    for (bytes, field, words) in cases {
        for bytes in [bytes.to_vec(), gzip(bytes)] {
            let (found, detail) = refused(&bytes);
            assert_eq!(found, field, "{detail}");
            says(detail, &[words]);
        }
    }
    // A promised terabyte that is missing takes no memory. In a packed file the promise is not believed.
    let promised = idx(0x0d, &[1 << 19, 1 << 19], &[0; 8]);
    let cases =
        [(promised.clone(), "payload", "ends after 8"), (gzip(&promised), "gzip", "max_unpacked")];
    for (bytes, field, words) in cases {
        let (found, detail) = refused(&bytes);
        assert_eq!(found, field, "{detail}");
        says(detail, &[words]);
    }
}

#[test]
fn corrupt_gzip_is_named() {
    let good = gzip(&idx(0x08, &[64], &[7; 64]));
    let last = good.len() - 1;
    // The trailer is the checksum, then the length.
    for at in [last - 7, last] {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        assert_eq!(refused(&bytes).0, "gzip");
    }
    let (field, detail) = refused(&good[..good.len() / 2]);
    assert_eq!(field, "gzip");
    says(detail, &["cut short or corrupt", "get it again"]);
    assert_eq!(refused(&[&good[..], b"more"].concat()).0, "gzip");
}

#[test]
fn no_prefix_and_no_flipped_bit_panics() {
    let plain = idx(0x08, &[3, 5, 2], &std::array::from_fn::<u8, 30, _>(|i| i as u8 * 7));
    let packed = gzip(&plain);
    let tensor = parse_idx("a", &plain).unwrap();
    assert_eq!(parse_idx("a", &packed).unwrap(), tensor);
    for file in [&plain, &packed] {
        for length in 0..file.len() {
            refused(&file[..length]);
        }
    }
    // The shuffle is a good source of positions and bits.
    for (trial, file) in (0..2000).zip([&plain, &packed].into_iter().cycle()) {
        let mut bytes = file.clone();
        let at = permutation(file.len(), 1, trial).unwrap()[0] as usize;
        let flip = permutation(255, 2, trial).unwrap()[0] as u8 + 1;
        bytes[at] ^= flip;
        match parse_idx("a", &bytes) {
            // Plain files carry no checksum: a flip in the payload is another valid payload.
            Ok(read) if std::ptr::eq(file, &plain) => assert!(read.shape().len() == 30 && at > 2),
            // In gzip only what carries no data (time, system, padding bits) changes without harm.
            Ok(read) => assert_eq!(read, tensor, "byte {at} ^ {flip:#x} went unnoticed"),
            Err(Error::File { .. }) => {}
            Err(other) => panic!("byte {at} ^ {flip:#x}: {other:?}"),
        }
    }
}

#[test]
fn files_are_told_apart_by_content() {
    let dir = folder("content");
    let bytes = idx(0x08, &[3], &[1, 2, 3]);
    let expected = parse_idx("a", &bytes).unwrap();
    for (name, contents) in [("plain.gz", bytes.clone()), ("packed", gzip(&bytes))] {
        std::fs::write(dir.join(name), contents).unwrap();
        assert_eq!(read_idx(dir.join(name)).unwrap(), expected);
    }
    let missing = read_idx(dir.join("absent")).unwrap_err();
    assert!(matches!(&missing, Error::Io { .. }), "{missing:?}");
    says(missing, &["absent"]);
    assert!(matches!(read_idx(&dir), Err(Error::Io { .. })));
    let error = expect_rank("labels.idx", &expected, 3, "images").unwrap_err();
    says(
        error,
        &["labels.idx: dimensions: found u8 of shape [3]", "expected images with 3", "labels"],
    );
    expect_rank("labels.idx", &expected, 1, "labels").unwrap();
}

#[test]
fn mnist_folders_are_checked() {
    const FILES: [&str; 4] = [
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ];
    let dir = folder("mnist");
    let images = |n: u32| idx(0x08, &[n, 28, 28], &vec![9; n as usize * 784]);
    let labels = |labels: &[u8]| idx(0x08, &[u32::try_from(labels.len()).unwrap()], labels);
    let write = |file: usize, bytes: &[u8]| std::fs::write(dir.join(FILES[file]), bytes).unwrap();

    says(load_mnist(&dir).unwrap_err(), &["train-images-idx3-ubyte.gz", "train-images.idx3-ubyte"]);
    for (file, bytes) in [images(2), labels(&[3, 9]), images(1), labels(&[0])].iter().enumerate() {
        write(file, bytes);
    }
    let (train, test) = load_mnist(&dir).unwrap();
    assert_eq!((train.len(), test.len()), (2, 1));

    let cases = [
        (0, labels(&[1, 2]), "images-idx3-ubyte: dimensions: found u8 of shape [2]"),
        (
            0,
            idx(0x08, &[2, 28, 14], &[0; 784]),
            "found u8 images of shape [2, 28, 14], expected u8",
        ),
        (0, images(0), "found 2 labels for the 0 images"),
        (1, images(2), "labels-idx1-ubyte: dimensions: found u8 of shape [2, 28, 28]"),
        (1, labels(&[1]), "found 1 labels for the 2 images"),
        (1, labels(&[3, 10]), "label 1 is 10, expected a digit 0 to 9 (1 of 2"),
        (1, idx(0x0c, &[2], &[0; 8]), "found u32 elements, expected u8"),
    ];
    for (file, bytes, words) in cases {
        let good = std::fs::read(dir.join(FILES[file])).unwrap();
        write(file, &bytes);
        says(load_mnist(&dir).unwrap_err(), &[words]);
        write(file, &good);
    }

    // The other spelling, packed.
    std::fs::remove_file(dir.join(FILES[0])).unwrap();
    std::fs::write(dir.join("train-images.idx3-ubyte.gz"), gzip(&images(2))).unwrap();
    assert_eq!(load_mnist(&dir).unwrap().0, train);
}

fn floats(shape: impl Into<Shape>) -> Tensor {
    let shape = shape.into();
    let values = vec![0.5; shape.len()];
    Tensor::f32(shape, values).unwrap()
}

fn classes(n: usize) -> Tensor {
    Tensor::u32([n], (0..n).map(|i| i as u32).collect::<Vec<_>>()).unwrap()
}

#[test]
fn datasets_that_cannot_be_trained_on_are_refused() {
    let data = |x: Tensor, y: Tensor| TensorDataset::new(x, y).unwrap_err();
    let shape = |e: &Error| matches!(e, Error::Shape { .. });
    let content = |e: &Error| matches!(e, Error::Data { .. });
    let nan = Tensor::f32([2, 3], [0.0, 1.0, 2.0, 3.0, f32::NAN, f32::INFINITY]).unwrap();
    let infinite = Tensor::f32([2], [1.0, f32::NEG_INFINITY]).unwrap();
    type Kind<'a> = &'a dyn Fn(&Error) -> bool;
    let cases: [(Tensor, Tensor, Kind, &[&str]); 8] = [
        (floats([0, 4]), classes(0), &content, &["`x`", "no samples"]),
        (floats([2, 0]), classes(2), &content, &["`x`", "[2, 0]"]),
        (floats([2, 4]), floats([2, 0]), &content, &["`y`", "[2, 0]"]),
        (floats([3, 4]), classes(2), &content, &["2 targets [2]", "3 samples [3, 4]"]),
        (floats(Shape::scalar()), classes(1), &shape, &["`x` is a scalar"]),
        (floats([1]), floats(Shape::scalar()), &shape, &["`y` is a scalar"]),
        (nan.clone(), classes(2), &content, &["`x`", "element 4 (row 1) is NaN", "2 of 6"]),
        (floats([2]), infinite.clone(), &content, &["`y`", "element 1 (row 1) is -inf", "1 of 2"]),
    ];
    for (x, y, kind, words) in cases {
        let error = data(x, y);
        assert!(kind(&error), "{error:?}");
        says(error, words);
    }
    // A label per position stays what it is.
    let grid = Tensor::u32([2, 2], [0, 1, 1, 0]).unwrap();
    assert_eq!(TensorDataset::new(floats([2]), grid.clone()).unwrap().y(), &grid);
    // Labels of either integer type, with or without a trailing axis, are kept as one.
    let labels = Tensor::u32([2], [7, 1]).unwrap();
    for y in [
        Tensor::u8([2], [7, 1]).unwrap(),
        Tensor::u8([2, 1], [7, 1]).unwrap(),
        Tensor::u32([2, 1, 1], [7, 1]).unwrap(),
    ] {
        assert_eq!(TensorDataset::new(floats([2]), y).unwrap().y(), &labels);
    }
    let several = Tensor::u8([2, 2], [0, 1, 1, 1]).unwrap();
    assert_eq!(TensorDataset::new(floats([2]), several.clone()).unwrap().y(), &several);
    let set = TensorDataset::new_allow_non_finite(nan, infinite).unwrap();
    assert_eq!((set.len(), set.rows(1, 1).unwrap().len()), (2, 1));
}

#[test]
fn datasets_are_described_scaled_and_cut() {
    let set = TensorDataset::new(floats([5, 2, 3]), floats([5, 4])).unwrap();
    assert_eq!((set.len(), set.is_empty(), set.scale()), (5, false, 1.0));
    assert_eq!((set.sample_shape(), set.target_shape()), ([2, 3].into(), [4].into()));
    says(set.check_labels(4).unwrap_err(), &["f32", "class labels are u32"]);
    for scale in [f32::NAN, f32::INFINITY] {
        says(set.clone().scaled(scale).unwrap_err(), &["scale", "finite"]);
    }

    let pixels = Tensor::u8([3, 2], [1, 2, 3, 4, 5, 6]).unwrap();
    let set =
        TensorDataset::new(pixels, classes(3)).unwrap().scaled(2.0).unwrap().scaled(0.5).unwrap();
    let (head, tail) = set.split_at(2).unwrap();
    assert_eq!((head.scale(), tail.scale()), (0.5, 0.5));
    assert_eq!(head, set.take(2).unwrap());
    assert_eq!(tail.x(), &Tensor::u8([1, 2], [5, 6]).unwrap());
    assert_eq!(tail.y().as_u32().unwrap(), [2]);
    assert_eq!(tail.take(1).unwrap(), set.rows(2, 1).unwrap());
    for n in [0, 3, usize::MAX] {
        says(set.split_at(n).unwrap_err(), &["3 samples needs 0 < n < 3"]);
    }
    for (start, count) in [(0, 0), (0, 4), (3, 1), (usize::MAX, 2)] {
        says(set.rows(start, count).unwrap_err(), &["at least one of the samples 0..3"]);
    }
    assert!(set.take(4).is_err() && tail.split_at(1).is_err());

    set.check_labels(3).unwrap();
    let error = set.check_labels(1).unwrap_err();
    assert!(matches!(error, Error::Data { .. }));
    says(error, &["row 1 has label 1", "1 classes 0..1", "2 of 3"]);
    assert!(set.check_labels(0).is_err());
}
