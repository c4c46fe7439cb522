//! The `Dataset` trait and its implementations.

use super::{folder, says};
use std::path::Path;
use wgrad::data::{
    Dataset, FnDataset, IdxDataset, SampleSpec, TensorDataset, load_mnist, permutation,
};
use wgrad::tensor::{DType, Shape, Tensor};
use wgrad::{Error, Result};

const DIGITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");

/// Samples `[2i, 2i + 1]` of bytes with label `i`.
pub fn bytes(n: u8) -> TensorDataset {
    let x = Tensor::u8([n.into(), 2], (0..2 * n).collect::<Vec<_>>()).unwrap();
    let y = Tensor::u32([n.into()], (0..u32::from(n)).collect::<Vec<_>>()).unwrap();
    TensorDataset::new(x, y).unwrap()
}

/// The bytes of these rows.
pub fn read(data: &dyn Dataset, rows: &[u32]) -> Result<(Vec<u8>, Vec<u8>)> {
    let (mut x, mut y) = (vec![], vec![]);
    data.read(rows, &mut x, &mut y)?;
    Ok((x, y))
}

#[test]
fn tensors_are_read_by_row() {
    let data = bytes(5).scaled(0.5).unwrap();
    let expected = SampleSpec {
        x_shape: [2].into(),
        x_dtype: DType::U8,
        y_shape: Shape::scalar(),
        y_dtype: DType::U32,
        scale: 0.5,
    };
    assert_eq!((Dataset::len(&data), Dataset::is_empty(&data), data.spec()), (5, false, expected));
    assert_eq!((data.spec().x_bytes(), data.spec().y_bytes()), (2, 4));
    let (x, y) = read(&data, &[4, 0, 4]).unwrap();
    assert_eq!(x, [8, 9, 0, 1, 8, 9]);
    assert_eq!(y, [4, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0]);
    says(read(&data, &[5]), &["rows = 5", "0..5"]);
    let floats = Tensor::f32([2, 1], [1.5, -2.0]).unwrap();
    let (x, y) = read(&TensorDataset::new(floats.clone(), floats).unwrap(), &[1]).unwrap();
    assert_eq!((x, y), ((-2.0_f32).to_ne_bytes().to_vec(), (-2.0_f32).to_ne_bytes().to_vec()));
}

#[test]
fn samples_that_no_model_takes_are_refused() {
    let good = bytes(1).spec();
    good.check().unwrap();
    let cases = [
        (SampleSpec { y_dtype: DType::U8, ..good.clone() }, "class labels as u32"),
        (SampleSpec { x_shape: [3, 0].into(), ..good.clone() }, "at least one feature"),
        (SampleSpec { scale: f32::NAN, ..good.clone() }, "scale = NaN"),
    ];
    for (spec, words) in cases {
        says(spec.check(), &[words]);
    }
    // Ids, and a label per position.
    SampleSpec { x_dtype: DType::U32, y_shape: [3].into(), ..good }.check().unwrap();
}

#[test]
fn closures_are_datasets() {
    let square = |rows: &[u32]| -> Result<(Tensor, Tensor)> {
        let x: Vec<f32> = rows.iter().map(|&row| row as f32).collect();
        let y: Vec<f32> = x.iter().map(|x| x * x).collect();
        Ok((Tensor::f32([rows.len(), 1], x)?, Tensor::f32([rows.len()], y)?))
    };
    let data = FnDataset::new(1000, square).unwrap().scaled(2.0).unwrap();
    assert_eq!((data.len(), data.spec().scale, data.spec().y_shape), (1000, 2.0, Shape::scalar()));
    let (x, y) = read(&data, &[3, 7]).unwrap();
    assert_eq!(x, [3.0_f32.to_ne_bytes(), 7.0_f32.to_ne_bytes()].concat());
    assert_eq!(y, [9.0_f32.to_ne_bytes(), 49.0_f32.to_ne_bytes()].concat());

    says(FnDataset::new(0, square).map(|_| ()), &["len = 0"]);
    says(FnDataset::new(9, square).unwrap().scaled(f32::NAN).map(|_| ()), &["scale = NaN"]);
    let labels = |rows: &[u32], x| Ok((x, Tensor::u32([rows.len()], rows)?));
    let scalar = |rows: &[u32]| labels(rows, Tensor::f32(Shape::scalar(), [0.0])?);
    says(FnDataset::new(9, scalar).map(|_| ()), &["`x` is a scalar"]);
    let pair = |_: &[u32]| labels(&[0, 1], Tensor::f32([2, 1], [0.0; 2])?);
    says(FnDataset::new(9, pair).map(|_| ()), &["`samples`", "one row was asked for and 2 came"]);
    let failing = |_: &[u32]| -> Result<(Tensor, Tensor)> {
        Err(Error::data("camera", "the lens is covered"))
    };
    says(FnDataset::new(9, failing).map(|_| ()), &["camera", "the lens is covered"]);
    // What is right for one row may be wrong for others.
    let growing = |rows: &[u32]| {
        let width = rows.len();
        labels(rows, Tensor::f32([rows.len(), width], vec![0.0; rows.len() * width])?)
    };
    let growing = FnDataset::new(9, growing).unwrap();
    says(read(&growing, &[1, 2]), &["2 rows were asked for", "x f32 [2, 2]", "not what row 0 is"]);
    let nan = |rows: &[u32]| {
        let x: Vec<f32> = rows.iter().map(|&r| if r == 5 { f32::NAN } else { 0.0 }).collect();
        labels(rows, Tensor::f32([rows.len(), 1], x)?)
    };
    says(read(&FnDataset::new(9, nan).unwrap(), &[4, 5]), &["`x`", "element 1", "NaN"]);
}

/// An unpacked copy of a file of digits.
fn unpacked(dir: &Path, name: &str) -> std::path::PathBuf {
    let packed = std::fs::read(Path::new(DIGITS).join(format!("{name}.gz"))).unwrap();
    let mut bytes = vec![];
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed[..]), &mut bytes).unwrap();
    let path = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn digits_on_disk_are_those_in_memory() {
    let dir = folder("idx");
    let images = unpacked(&dir, "t10k-images-idx3-ubyte");
    let labels = Path::new(DIGITS).join("t10k-labels-idx1-ubyte.gz");
    let disk = IdxDataset::open(&images, &labels).unwrap().scaled(1.0 / 255.0).unwrap();
    let (_, memory) = load_mnist(DIGITS).unwrap();
    assert_eq!((disk.len(), disk.spec(), disk.targets()), (200, memory.spec(), memory.y()));
    let order = permutation(200, 1, 0).unwrap();
    assert_eq!(read(&disk, &order).unwrap(), read(&memory, &order).unwrap());
    let runs = [7, 8, 9, 9, 10, 3, 199, 0, 1];
    assert_eq!(read(&disk, &runs).unwrap(), read(&memory, &runs).unwrap());
    says(disk.scaled(f32::INFINITY).map(|_| ()), &["scale = inf"]);
}

/// An IDX file.
fn idx(dir: &Path, name: &str, element: u8, extents: &[u32], payload: &[u8]) -> std::path::PathBuf {
    let mut bytes = vec![0, 0, element, extents.len() as u8];
    bytes.extend(extents.iter().flat_map(|e| e.to_be_bytes()));
    bytes.extend(payload);
    let path = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn pairs_of_files_that_do_not_fit_are_refused() {
    let dir = folder("idx_pairs");
    let file = |name: &str, element, extents: &[u32], payload: &[u8]| {
        idx(&dir, name, element, extents, payload)
    };
    let floats: Vec<u8> = [1.5_f32, -2.0, 0.0, 4.0].iter().flat_map(|v| v.to_be_bytes()).collect();
    let x = file("x", 0x0d, &[2, 2], &floats);
    let y = file("y", 0x0c, &[2], &[0, 0, 0, 1, 0, 0, 0, 0]);
    let data = IdxDataset::open(&x, &y).unwrap();
    let (x_read, y_read) = read(&data, &[1]).unwrap();
    assert_eq!(x_read, [0.0_f32.to_ne_bytes(), 4.0_f32.to_ne_bytes()].concat());
    assert_eq!(y_read, 0_u32.to_ne_bytes());
    let values = IdxDataset::open(&x, &x).unwrap().spec();
    assert_eq!((values.y_dtype, values.y_shape), (DType::F32, [2].into()));

    let gzip = Path::new(DIGITS).join("t10k-images-idx3-ubyte.gz");
    says(IdxDataset::open(&gzip, &y), &["t10k-images", "magic", "gzip", "unpack"]);
    says(IdxDataset::open(dir.join("absent"), &y), &["absent"]);
    says(IdxDataset::open(&x, dir.join("absent")), &["absent"]);
    says(IdxDataset::open(&y, &y), &["y: magic", "i32", "u8 or f32"]);
    let short = file("short", 0x0d, &[2, 2], &floats[..15]);
    says(IdxDataset::open(short, &y), &["short: payload", "16 bytes; the file holds 15"]);
    let long = file("long", 0x08, &[2, 2], &[0; 5]);
    says(IdxDataset::open(long, &y), &["long: payload", "4 bytes; the file holds 5"]);
    let none = file("none", 0x08, &[0, 2], &[]);
    says(IdxDataset::open(none, &y), &["none: dimensions", "no samples"]);
    let three = file("three", 0x08, &[3], &[0; 3]);
    says(IdxDataset::open(&x, three), &["three: dimensions", "[3]", "2 samples of"]);
    let grid = file("grid", 0x08, &[2, 1], &[0; 2]);
    says(IdxDataset::open(&x, grid), &["grid: dimensions", "labels of shape [2, 1]"]);
    // A file that shrinks after it was opened is an error of the system.
    std::fs::write(&x, [0; 20]).unwrap();
    assert!(matches!(read(&data, &[1]), Err(Error::Io { .. })));
}
