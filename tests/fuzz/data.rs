//! Readers of data: IDX, CSV and NumPy's files, images, and CIFAR-10.

use super::archive::{gzip, idx, npy, zip};
use super::mutate::{Random, mutated};
use super::{Folder, Verdict, fuzz, inputs};
use std::io::Cursor;
use wgrad::data::{
    Csv, Dataset, IdxDataset, ImageFolder, MinMaxScaler, Npz, StandardScaler, TableEncoder,
    TextVectorization, TextWindows, load_cifar10, parse_idx, parse_npy, parse_text,
};
use wgrad::tensor::Tensor;

/// IDX files of each element type.
fn idx_files() -> Vec<Vec<u8>> {
    let bytes: Vec<u8> = (0..48).collect();
    vec![
        idx(0x08, &[48], &bytes),
        idx(0x08, &[3, 4, 4], &bytes),
        idx(0x0c, &[4, 3], &[[0, 0, 1, 2]; 12].concat()),
        idx(0x0d, &[2, 6], &bytes),
    ]
}

#[test]
fn idx_files_are_read_or_refused() {
    let files = idx_files();
    let packed: Vec<Vec<u8>> = files.iter().map(|file| gzip(file)).collect();
    let make = |random: &mut Random| match random.below(3) {
        0 => mutated(random, &packed),
        1 => gzip(&mutated(random, &files)),
        _ => mutated(random, &files),
    };
    fuzz("idx", inputs(1), make, |bytes| Verdict::of(parse_idx("fuzz.idx", bytes)));
}

#[test]
fn streamed_idx_files_are_read_or_refused() {
    let folder = Folder::new("idx");
    let (features, targets) = (folder.file("x"), folder.file("y"));
    let files = [idx(0x08, &[6, 2, 2], &[7; 24]), idx(0x0d, &[6, 1], &[1; 24])];
    std::fs::write(&targets, idx(0x08, &[6], &[0, 1, 2, 0, 1, 2])).unwrap();
    fuzz(
        "streamed idx",
        inputs(1),
        |random| mutated(random, &files),
        |bytes| {
            std::fs::write(&features, bytes).unwrap();
            let opened = IdxDataset::open(&features, &targets);
            let read = opened.and_then(|set| {
                let (mut x, mut y) = (Vec::new(), Vec::new());
                let rows: Vec<u32> = (0..set.len() as u32).collect();
                set.read(&rows, &mut x, &mut y)
            });
            Verdict::of(read)
        },
    );
}

#[test]
fn csv_files_are_read_or_refused() {
    let files: Vec<Vec<u8>> = [
        "a,b,c\n1,2.5,x\n3,4e-3,\"y, z\"\n-5,6,\"\"\"q\"\"\"\n",
        "id;name\r\n16777216;one\r\n16777217;two\r\n",
        "\u{feff}only\n1\n\n2\n",
        "x,label\n0.1,0\n0.2,1\n0.3,2\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec();
    let make = |random: &mut Random| mutated(random, &files);
    fuzz("csv", inputs(1), make, |bytes| {
        let delimiter = if bytes.contains(&b';') { b';' } else { b',' };
        let table = Csv::new().delimiter(delimiter).read_from("fuzz.csv", bytes);
        // What is refused here was still read.
        if let Ok(table) = &table {
            let names = table.names().to_vec();
            drop(table.numbers(&names));
            for name in &names {
                drop(table.labels(name));
            }
        }
        Verdict::of(table)
    });
}

/// `.npy` files of each element type, in both orders.
fn npy_files() -> Vec<Vec<u8>> {
    let kinds = [
        ("<f4", 4),
        (">f4", 4),
        ("<f8", 8),
        ("|u1", 1),
        ("|b1", 1),
        ("|i1", 1),
        ("<i2", 2),
        (">u2", 2),
        ("<i4", 4),
        ("<u4", 4),
        ("<i8", 8),
        (">u8", 8),
    ];
    let file = |(kind, width): (&str, usize)| {
        [
            npy(kind, false, "(2, 3)", &vec![0; 6 * width]),
            npy(kind, true, "(2, 3, 4)", &vec![0; 24 * width]),
        ]
    };
    let others = [
        npy("|V16", false, "(2,)", &[0; 32]),
        npy("<U2", false, "(1,)", &[0; 8]),
        npy("<M8[ns]", false, "(1,)", &[0; 8]),
        npy("<f4", false, "()", &[0; 4]),
    ];
    kinds.into_iter().flat_map(file).chain(others).collect()
}

#[test]
fn npy_files_are_read_or_refused() {
    let files = npy_files();
    let make = |random: &mut Random| mutated(random, &files);
    fuzz("npy", inputs(1), make, |bytes| Verdict::of(parse_npy("fuzz.npy", bytes)));
}

#[test]
fn numbers_of_a_header_do_not_overflow() {
    let max = i64::MAX;
    for kind in [format!("|V{max}"), format!("<U{max}"), format!("|S{}", u64::MAX), "|V2".into()] {
        for shape in ["(2,)", "(0,)", "(4294967296, 2147483647)", "(9223372036854775807,)"] {
            let error = parse_npy("a.npy", &npy(&kind, false, shape, &[0; 8])).unwrap_err();
            assert!(error.to_string().starts_with("a.npy: header: "), "{kind}, {shape}: {error}");
        }
    }
}

#[test]
fn npz_archives_are_read_or_refused() {
    let files = npy_files();
    let archives: Vec<Vec<u8>> = files
        .iter()
        .flat_map(|file| [true, false].map(|packed| zip("x.npy", file, packed)))
        .collect();
    let make = |random: &mut Random| match random.below(2) {
        0 => mutated(random, &archives),
        _ => zip("x.npy", &mutated(random, &files), random.below(2) == 0),
    };
    fuzz("npz", inputs(1), make, |bytes| {
        let read = Npz::from_reader("fuzz.npz", Cursor::new(bytes)).and_then(|mut archive| {
            let names = archive.names().to_vec();
            names.iter().try_for_each(|name| archive.read(name).map(drop))
        });
        Verdict::of(read)
    });
}

/// PNG and JPEG files of each kind of pixels.
fn images() -> Vec<Vec<u8>> {
    use image::{DynamicImage, ImageFormat};
    let colors =
        image::RgbImage::from_fn(19, 11, |x, y| image::Rgb([x as u8 * 9, y as u8 * 20, 7]));
    let colors = DynamicImage::ImageRgb8(colors);
    let encoded = |image: &DynamicImage, format| {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    };
    let kinds = [
        colors.to_luma8().into(),
        colors.to_luma_alpha8().into(),
        colors.to_rgba8().into(),
        colors.to_luma16().into(),
        colors.to_rgb16().into(),
        colors.clone(),
    ];
    let png = kinds.iter().map(|image| encoded(image, ImageFormat::Png));
    let jpeg = [&kinds[0], &colors].map(|image| encoded(image, ImageFormat::Jpeg));
    png.chain(jpeg).collect()
}

#[test]
fn images_are_read_or_refused() {
    let folder = Folder::new("images");
    let path = folder.file("a").join("x.png");
    for class in ["a", "b"] {
        std::fs::create_dir_all(folder.file(class)).unwrap();
    }
    let files = images();
    std::fs::write(&path, &files[0]).unwrap();
    std::fs::write(folder.file("b").join("y.png"), &files[0]).unwrap();
    let set = ImageFolder::open(path.parent().unwrap().parent().unwrap(), [8, 9]).unwrap();
    let make = |random: &mut Random| mutated(random, &files);
    fuzz("images", inputs(1), make, |bytes| {
        std::fs::write(&path, bytes).unwrap();
        let (mut x, mut y) = (Vec::new(), Vec::new());
        Verdict::of(set.read(&[0], &mut x, &mut y))
    });
}

#[test]
fn files_of_cifar10_are_read_or_refused() {
    let folder = Folder::new("cifar10");
    let record = [&[7], &[200; 3072][..]].concat();
    for name in (1..=5).map(|i| format!("data_batch_{i}.bin")) {
        std::fs::write(folder.file(&name), &record).unwrap();
    }
    let test = folder.file("test_batch.bin");
    let dir = test.parent().unwrap();
    let make = |random: &mut Random| mutated(random, &[record.clone(), record.repeat(2)]);
    fuzz("cifar10", inputs(1), make, |bytes| {
        std::fs::write(&test, bytes).unwrap();
        Verdict::of(load_cifar10(dir))
    });
}

#[test]
fn texts_are_read_or_refused() {
    let files = ["To be, or not to be.\n", "\u{feff}Ächz! \u{1f600}\r\n", "a"]
        .map(|text| text.as_bytes().to_vec());
    let make = |random: &mut Random| mutated(random, &files);
    fuzz("text", inputs(1), make, |bytes| {
        let text = parse_text("fuzz.txt", bytes.to_vec());
        // What has no tokens is refused here, and was still read.
        if let Ok(text) = &text {
            for split in [TextVectorization::new(), TextVectorization::characters()] {
                let Ok(split) = split.adapt(text.lines()) else { continue };
                let ids = split.ids(text).unwrap();
                split.decode(&ids).unwrap();
                if let Ok(windows) = TextWindows::new(ids, 3, 2) {
                    let last = windows.len() as u32 - 1;
                    windows.read(&[last], &mut Vec::new(), &mut Vec::new()).unwrap();
                }
            }
        }
        Verdict::of(text)
    });
}

#[test]
fn vocabularies_are_read_or_refused() {
    let words = TextVectorization::new().max_tokens(5).output_sequence_length(7);
    let words = words.adapt(["the cat sat on the mat", "the \"dog\""]).unwrap();
    let letters = TextVectorization::characters().adapt(["h\u{e9}llo\n"]).unwrap();
    let files = [words.to_json(), letters.to_json(), TextVectorization::new().to_json()]
        .map(String::into_bytes);
    let make = |random: &mut Random| mutated(random, &files);
    fuzz("vocabulary", inputs(1), make, |bytes| {
        saved(bytes, TextVectorization::from_json, |read| {
            // It gives ids that it knows.
            if let Ok(ids) = read.ids("the cat \u{e9}") {
                read.decode(&ids).unwrap();
            }
            read.to_json()
        })
    });
}

/// Reads a text, and what `used` writes of it again: it must be the same.
fn saved<T: PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    read: fn(&str) -> wgrad::Result<T>,
    used: impl Fn(&T) -> String,
) -> Verdict {
    let Ok(Ok(value)) = std::str::from_utf8(bytes).map(read) else { return Verdict::Refused };
    assert_eq!(read(&used(&value)).unwrap(), value);
    Verdict::Taken
}

#[test]
fn scalers_are_read_or_refused() {
    let x = Tensor::f32([3, 2], [1.0, -2.5, 0.125, 4e5, 1.0, 1e-3]).unwrap();
    let one = Tensor::f32([2, 1, 1], [3.0, 5.0]).unwrap();
    macro_rules! fuzz_scaler {
        ($scaler:ident, $fitted:expr) => {
            let files = $fitted.map(|scaler: wgrad::Result<$scaler>| scaler.unwrap().to_json());
            let files = files.map(String::into_bytes);
            fuzz(
                stringify!($scaler),
                inputs(1),
                |random| mutated(random, &files),
                |bytes| {
                    saved(bytes, $scaler::from_json, |read| {
                        for x in [&x, &one] {
                            let scaled = read.transform(x);
                            drop(scaled.and_then(|z| read.inverse_transform(&z)));
                        }
                        read.to_json()
                    })
                },
            );
        };
    }
    fuzz_scaler!(StandardScaler, [StandardScaler::fit(&x), StandardScaler::fit(&one)]);
    fuzz_scaler!(MinMaxScaler, [MinMaxScaler::fit(&x), MinMaxScaler::fit_range(&one, -1.0, 2.0)]);
}

#[test]
fn encoders_are_read_or_refused() {
    let text = "area,town\n70,Jena\n55,Halle\n60,\u{c4}tna\n";
    let table = Csv::new().read_from("fuzz.csv", text.as_bytes()).unwrap();
    let fit = |columns: &[&str]| TableEncoder::fit(&table, columns).unwrap();
    let files = [fit(&["area", "town"]), fit(&["town"]).unknown_as_zeros()];
    let files = files.map(|encoder| encoder.to_json().into_bytes());
    fuzz(
        "TableEncoder",
        inputs(1),
        |random| mutated(random, &files),
        |bytes| {
            saved(bytes, TableEncoder::from_json, |read| {
                if let Ok(x) = read.transform(&table) {
                    assert_eq!(x.shape().dims(), [3, read.names().len()]);
                }
                read.to_json()
            })
        },
    );
}
