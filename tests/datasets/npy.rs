//! NumPy's files: those NumPy wrote, those written here, and broken ones.

use super::{folder, known, says};
use proptest::prelude::*;
use std::io::Cursor;
use std::path::Path;
use wgrad::data::{Npz, TensorDataset, parse_npy, read_npy, write_npy, write_npz};
use wgrad::tensor::{DType, Data, Shape, Tensor};
use wgrad::{Error, Result};

/// The numbers 0 to 23, each as `f` makes it, of shape `[2, 3, 4]`.
fn count<T>(wrap: fn(Vec<T>) -> Data, f: impl Fn(u8) -> T) -> Tensor {
    Tensor::new([2, 3, 4], wrap((0..24).map(f).collect())).unwrap()
}

#[test]
fn arrays_that_numpy_saved_are_read() {
    let quarters = count(Data::F32, |i| f32::from(i) / 4.0);
    let integers = count(Data::U32, u32::from);
    let bytes = count(Data::U8, |i| i);
    let cases = [
        ("f4", &quarters),
        ("f4_big", &quarters),
        ("f8_fortran", &quarters),
        ("version2", &quarters),
        ("u1", &bytes),
        ("u1_fortran", &bytes),
        ("bool", &count(Data::U8, |i| u8::from(i % 3 == 0))),
        ("i1", &integers),
        ("i2", &integers),
        ("i4_big", &integers),
        ("i8_fortran", &integers),
        ("u2", &integers),
        ("u4", &count(Data::U32, |i| 4_000_000_000 + u32::from(i))),
        ("u8", &integers),
        ("scalar", &Tensor::f32(Shape::scalar(), [2.5]).unwrap()),
        ("empty", &Tensor::f32([0, 3], []).unwrap()),
    ];
    for (name, expected) in cases {
        assert_eq!(&read_npy(known(&format!("{name}.npy"))).unwrap(), expected, "{name}");
    }
}

#[test]
fn arrays_that_no_tensor_holds_are_refused() {
    let cases: [(&str, &[&str]); 8] = [
        ("i8_negative", &["payload", "element 1 is -1", "labels or indices", "astype"]),
        ("u8_large", &["payload", "element 1 is 4294967296", "4294967295"]),
        ("f8_large", &["payload", "element 1 is 1e39", "range of f32"]),
        ("f2", &["header", "'<f2'", "astype"]),
        ("complex", &["header", "'<c8'"]),
        ("text", &["header", "'<U2'"]),
        ("record", &["header", "('a', '<i4')"]),
        ("object", &["header", "'|O'"]),
    ];
    for (name, words) in cases {
        let name = format!("{name}.npy");
        let result = read_npy(known(&name));
        assert!(matches!(result, Err(Error::File { .. })), "{result:?}");
        says(result, &[&[&*name][..], words].concat());
    }
    let result = read_npy(known("absent.npy"));
    assert!(matches!(result, Err(Error::Io { .. })));
    says(result, &["absent.npy"]);
}

/// A file with this header, padded as NumPy does, and payload.
fn npy(header: &str, payload: &[u8]) -> Vec<u8> {
    let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
    let text = format!("{header:<0$}\n", length - 1);
    let length = u16::try_from(text.len()).unwrap().to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], text.as_bytes(), payload].concat()
}

fn shaped(shape: &str) -> Vec<u8> {
    npy(&format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"), &[0; 8])
}

#[test]
fn headers_that_lie_are_refused() {
    assert_eq!(parse_npy("a.npy", &shaped("(2,)")).unwrap(), Tensor::f32([2], [0.0; 2]).unwrap());
    let large = "4294967296";
    let (parens, dicts) = ("(".repeat(9000), "{".repeat(8) + "2" + &"}".repeat(8));
    let cases = [
        (b"PK\x03\x04 and more".to_vec(), "magic", "no .npy file"),
        (b"\x93NUM".to_vec(), "magic", "no .npy file"),
        (b"\x93NUMPY\x01".to_vec(), "magic", "no .npy file"),
        (b"\x93NUMPY\x09\x00\x00\x00\x00\x00".to_vec(), "header", "cut short or corrupt"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(), "header", "4294967295 bytes long"),
        (shaped("(3,)"), "payload", "shape [3] takes 12 bytes; the file ends after 8"),
        (shaped("(1,)"), "payload", "shape [1] takes 4 bytes; the file goes on after them"),
        (shaped(&format!("({large}, {large})")), "header", "more than this machine can address"),
        (shaped(&format!("({large}, {large}, 0)")), "header", "more than this machine can address"),
        (shaped("(99999999999999999999999,)"), "header", "more than this machine can address"),
        (shaped("(1000000000000,)"), "payload", "takes 4000000000000 bytes; the file ends after 8"),
        (shaped("(-2,)"), "header", "cannot be negative"),
        (shaped("(2"), "header", "cut short or corrupt"),
        (shaped("2"), "header", "shape"),
        (shaped(&parens), "header", "more brackets"),
        (shaped(&dicts), "header", "more brackets"),
        (npy("{'descr': '<f4', 'shape': (2,)}", &[0; 8]), "header", "fortran_order"),
        (npy("[]", &[]), "header", "dict"),
        (npy("", &[]), "header", "cut short or corrupt"),
        (npy("{'descr': '<q7', 'fortran_order': False, 'shape': (2,)}", &[]), "header", "type"),
        (npy("{'descr': '|b1', 'fortran_order': False, 'shape': (1,)}", &[7]), "payload", ""),
    ];
    for (bytes, part, words) in cases {
        match parse_npy("a.npy", &bytes) {
            Err(Error::File { path, field, detail }) => {
                assert_eq!((&*path, &*field), ("a.npy", part), "{detail}");
                assert!(detail.contains(words), "`{detail}` does not say `{words}`");
            }
            other => panic!("{}: {other:?}", bytes.escape_ascii()),
        }
    }
}

fn samples() -> [Tensor; 5] {
    [
        count(Data::F32, |i| f32::from(i) - 7.5),
        count(Data::U32, |i| u32::MAX - u32::from(i)),
        count(Data::U8, |i| i),
        Tensor::f32(Shape::scalar(), [-0.0]).unwrap(),
        Tensor::u8([3, 0], []).unwrap(),
    ]
}

#[test]
fn what_is_written_is_read_again() {
    let path = folder("npy").join("tensor.npy");
    for tensor in samples() {
        write_npy(&path, &tensor).unwrap();
        assert_eq!(read_npy(&path).unwrap(), tensor);
    }
    // The bytes are NumPy's own.
    write_npy(&path, &count(Data::U8, |i| i)).unwrap();
    let ours = std::fs::read(&path).unwrap();
    assert_eq!(ours[ours.len() - 24..], (0..24).collect::<Vec<u8>>());
    assert_eq!(ours.len() % 64, 24);
    says(write_npy(path.join("below"), &samples()[0]), &["tensor.npy"]);
}

#[test]
fn archives_are_read_array_by_array() {
    for name in ["pair.npz", "pair_compressed.npz"] {
        let mut pair = Npz::open(known(name)).unwrap();
        assert_eq!(pair.names(), ["x", "y"]);
        assert_eq!(pair.read("y").unwrap(), Tensor::u32([2], [1, 0]).unwrap());
        assert_eq!(pair.read("x").unwrap(), count(Data::F32, |i| f32::from(i) / 4.0));
        let result = pair.read("z");
        assert!(matches!(result, Err(Error::File { .. })));
        says(result, &[name, "array `z`", "there are x, y"]);
    }
    says(Npz::open(known("f4.npy")), &["f4.npy", "archive", "no whole zip archive"]);
    assert!(matches!(Npz::open(known("absent.npz")), Err(Error::Io { .. })));
}

#[test]
fn labels_of_bytes_make_a_dataset() {
    // As Keras' mnist.npz has them: pixels and labels are u8.
    let path = folder("npz").join("mnist.npz");
    let x = Tensor::u8([3, 2, 2], (0..12).collect::<Vec<u8>>()).unwrap();
    let y = Tensor::u8([3], [5, 0, 4]).unwrap();
    write_npz(&path, &[("x_train", &x), ("y_train", &y)]).unwrap();
    let mut mnist = Npz::open(&path).unwrap();
    let (images, labels) = (mnist.read("x_train").unwrap(), mnist.read("y_train").unwrap());
    assert_eq!((images.dtype(), labels.dtype()), (DType::U8, DType::U8));
    let train = TensorDataset::new(images, labels).unwrap();
    assert_eq!((train.x(), train.y()), (&x, &Tensor::u32([3], [5, 0, 4]).unwrap()));
}

#[test]
fn archives_that_are_written_are_read_again() {
    let path = folder("npz").join("all.npz");
    let all = samples();
    let names = ["a", "b/c", "d.e", "scalar", "vacant"];
    let arrays: Vec<(&str, &Tensor)> = names.into_iter().zip(&all).collect();
    write_npz(&path, &arrays).unwrap();
    let mut archive = Npz::open(&path).unwrap();
    assert_eq!(archive.names(), names);
    for (name, tensor) in arrays {
        assert_eq!(&archive.read(name).unwrap(), tensor, "{name}");
    }
    let twice = [("a", &all[0]), ("b", &all[0]), ("a", &all[1])];
    says(write_npz(&path, &twice), &["arrays = a", "a different name"]);
    says(write_npz(path.join("below"), &[]), &["all.npz"]);
    // An array that no tensor holds is named with its file.
    let bad = folder("npz").join("bad.npz");
    let negative = std::fs::read(known("i8_negative.npy")).unwrap();
    stored(&bad, "labels.npy", &negative);
    says(Npz::open(&bad).unwrap().read("labels"), &["bad.npz: array `labels`: payload: element 1"]);
}

/// A zip archive with one file, not compressed.
fn stored(path: &Path, name: &str, content: &[u8]) {
    let crc = {
        let mut crc = flate2::Crc::new();
        crc.update(content);
        crc.sum().to_le_bytes()
    };
    let size = u32::try_from(content.len()).unwrap().to_le_bytes();
    let length = u16::try_from(name.len()).unwrap().to_le_bytes();
    let common =
        [&[10, 0, 0, 0, 0, 0, 0, 0, 0x21, 0][..], &crc, &size, &size, &length, &[0, 0]].concat();
    let local = [&b"PK\x03\x04"[..], &common, name.as_bytes(), content].concat();
    let central = [&b"PK\x01\x02\x0a\x00"[..], &common, &[0; 14], name.as_bytes()].concat();
    let count = [0, 0, 0, 0, 1, 0, 1, 0];
    let (directory, start) = (central.len() as u32, local.len() as u32);
    let end = [&b"PK\x05\x06"[..], &count, &directory.to_le_bytes(), &start.to_le_bytes(), &[0, 0]];
    std::fs::write(path, [local, central, end.concat()].concat()).unwrap();
}

/// Reads all arrays of an archive.
fn read_all(bytes: &[u8]) -> Result<Vec<(String, Tensor)>> {
    let mut archive = Npz::from_reader("broken.npz", Cursor::new(bytes))?;
    let names = archive.names().to_vec();
    names.into_iter().map(|name| Ok((name.clone(), archive.read(&name)?))).collect()
}

#[test]
fn no_broken_file_makes_the_reader_panic() {
    for name in ["f8_fortran.npy", "version2.npy", "i8_fortran.npy"] {
        let bytes = std::fs::read(known(name)).unwrap();
        for end in 0..bytes.len() {
            assert!(parse_npy(name, &bytes[..end]).is_err(), "{end} bytes of {name}");
        }
        for at in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            let _ = parse_npy(name, &flipped);
        }
    }
    for name in ["pair.npz", "pair_compressed.npz"] {
        let bytes = std::fs::read(known(name)).unwrap();
        let whole = read_all(&bytes).unwrap();
        for end in 0..bytes.len() {
            assert!(read_all(&bytes[..end]).is_err(), "{end} bytes of {name}");
        }
        // Bits that are in no array (dates, versions, names) may flip unnoticed; numbers may not.
        for at in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            for (_, tensor) in read_all(&flipped).unwrap_or_default() {
                assert!(whole.iter().any(|(_, t)| *t == tensor), "bit {at} of {name}");
            }
        }
    }
}

proptest! {
    /// For any shape, elements in Fortran's order arrive at the right places.
    #[test]
    fn fortran_order_is_undone(dims in prop::collection::vec(0..5_usize, 0..5)) {
        let len: usize = dims.iter().product();
        let place = |mut at: usize| {
            // The place in Fortran's order of the element at `at` in row-major order.
            let mut index = vec![0; dims.len()];
            for axis in (0..dims.len()).rev() {
                index[axis] = at % dims[axis];
                at /= dims[axis];
            }
            index.iter().zip(&dims).rev().fold(0, |sum, (i, extent)| sum * extent + i)
        };
        let elements: Vec<u8> = (0..len).flat_map(|i| (i as u32).to_le_bytes()).collect();
        let extents: String = dims.iter().map(|d| format!("{d},")).collect();
        let header = format!("{{'descr': '<u4', 'fortran_order': True, 'shape': ({extents})}}");
        let tensor = parse_npy("a.npy", &npy(&header, &elements)).unwrap();
        let expected: Vec<u32> = (0..len).map(|at| place(at) as u32).collect();
        prop_assert_eq!(tensor, Tensor::u32(dims, expected).unwrap());
    }
}
