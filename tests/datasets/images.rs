//! Folders of images: what is found, how it is decoded, and what is refused by name.

use super::stream::read;
use super::{folder, keep_log, said, says};
use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage};
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;
use wgrad::Result;
use wgrad::data::{ColorMode, Dataset, ImageFolder, Loader, permutation};
use wgrad::tensor::{DType, Data};

/// An image whose pixels tell their place and `seed`.
fn picture(width: u32, height: u32, seed: u8) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([seed, (x * 16) as u8, (y * 16) as u8]))
}

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    encoded(image, ImageFormat::Png)
}

fn jpeg(image: impl Into<DynamicImage>) -> Vec<u8> {
    encoded(image, ImageFormat::Jpeg)
}

/// A new folder with these files in it.
fn with(test: &str, files: &[(&str, Vec<u8>)]) -> std::path::PathBuf {
    let dir = folder(test);
    for (name, bytes) in files {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    dir
}

/// A pair of classes whose only image in `a` is this.
fn of(name: &str, bytes: Vec<u8>) -> std::path::PathBuf {
    with("image", &[(&format!("a/{name}"), bytes), ("b/x.png", png(picture(2, 2, 0)))])
}

#[test]
fn classes_and_samples_are_sorted_and_others_passed_over() -> Result<()> {
    let image = |seed| png(picture(4, 3, seed));
    let dir = with(
        "folders",
        &[
            ("tulip/b.png", image(1)),
            ("tulip/a.PNG", image(2)),
            ("tulip/deep/c.png", image(3)),
            ("daisy/9.jpeg", image(4)),
            ("daisy/10.jpg", image(5)),
            ("daisy/notes.txt", b"no image".to_vec()),
            ("daisy/.hidden.png", b"no image".to_vec()),
            ("readme.md", b"no class".to_vec()),
            (".cache/x.png", image(6)),
        ],
    );
    let images = ImageFolder::open(&dir, [3, 4])?.scaled(0.5)?;
    assert_eq!(images.class_names(), ["daisy", "tulip"]);
    let names: Vec<_> = images.paths().map(|p| p.strip_prefix(&dir).unwrap()).collect();
    let want = ["daisy/10.jpg", "daisy/9.jpeg", "tulip/a.PNG", "tulip/b.png", "tulip/deep/c.png"];
    assert_eq!(names, want.map(Path::new));
    assert_eq!(images.labels(), [0, 0, 1, 1, 1]);
    let spec = images.spec();
    assert_eq!((spec.x_shape.dims(), spec.x_dtype, spec.scale), (&[3, 4, 3][..], DType::U8, 0.5));
    // What bytes say counts: these two are PNG. An image of the right size is as it was.
    let (x, y) = read(&images, &[0, 4, 0])?;
    let want = [5, 3, 5].map(|seed| picture(4, 3, seed).into_raw()).concat();
    assert_eq!(x, want);
    assert_eq!(y, [0u32, 1, 0].map(u32::to_ne_bytes).concat());
    says(read(&images, &[5]), &["rows = 5", "0..5"]);
    // All of them in memory, and ahead of a device.
    let all = images.load()?;
    assert_eq!((all.x().shape().dims(), all.scale()), (&[5, 3, 4, 3][..], 0.5));
    assert_eq!(all.y().data(), &Data::U32(images.labels()));
    let order = permutation(5, 7, 0)?;
    let mut seen = Vec::new();
    for window in Loader::new(Arc::new(images), order.clone(), 2, 2)? {
        let window = window?;
        for (i, &row) in window.rows.iter().enumerate() {
            assert_eq!(window.x[36 * i..][..36], all.x().data().bytes()[36 * row as usize..][..36]);
        }
        seen.extend(window.rows);
    }
    assert_eq!(seen, order);
    Ok(())
}

#[test]
fn what_is_passed_over_is_counted_in_a_warning() -> Result<()> {
    keep_log();
    let image = || png(picture(2, 2, 1));
    let others = [
        ("a/x.png", image()),
        ("b/x.jpg", image()),
        ("a/deep/notes.txt", vec![]),
        ("b/x.gif", vec![]),
        ("b/none", vec![]),
        ("readme.md", vec![]),
    ];
    let dir = with("warned", &others);
    ImageFolder::open(&dir, [2, 2])?;
    std::fs::create_dir(dir.join("c")).unwrap();
    let shown = dir.display().to_string();
    let said = || said(&shown);
    let counted = format!("WARN {shown}: 4 files are no images");
    let first = said();
    assert!(first.len() == 1 && first[0].starts_with(&counted), "{first:?}");
    // A class without images keeps its label.
    let images = ImageFolder::open(&dir, [2, 2])?;
    assert_eq!(images.class_names(), ["a", "b", "c"]);
    let second = said();
    assert!(second.len() == 2 && second[0].ends_with("c: the class has no images"), "{second:?}");
    Ok(())
}

#[test]
fn many_files_come_in_the_order_of_their_rows() -> Result<()> {
    let files: Vec<(String, Vec<u8>)> =
        (0..61).map(|i| (format!("{}/{i:02}.png", i % 2), png(picture(2, 1, i)))).collect();
    let named: Vec<(&str, Vec<u8>)> = files.iter().map(|(n, b)| (n.as_str(), b.clone())).collect();
    let images = ImageFolder::open(with("many", &named), [1, 2])?;
    let order = permutation(61, 3, 1)?;
    let (x, _) = read(&images, &order)?;
    for (sample, row) in x.chunks(6).zip(order) {
        // Even numbers come first.
        let seed = if row < 31 { 2 * row } else { 2 * (row - 31) + 1 };
        assert_eq!(u32::from(sample[0]), seed);
    }
    // A part is drawn by its seed; together they have every file once.
    let paths = |part: &ImageFolder| part.paths().map(Path::to_path_buf).collect::<Vec<_>>();
    let (train, held) = images.clone().split(0.25, 5)?;
    assert_eq!((train.len(), held.len()), (46, 15));
    let mut both = [paths(&train), paths(&held)].concat();
    both.sort();
    assert_eq!(both, paths(&images));
    assert_eq!(paths(&images.clone().split(0.25, 5)?.1), paths(&held));
    assert_ne!(paths(&images.clone().split(0.25, 6)?.1), paths(&held));
    for bad in [0.0, 1.0, -1.0, 0.001, f64::NAN] {
        says(images.clone().split(bad, 0), &["validation_split", "empty"]);
    }
    Ok(())
}

/// The pixels of one image in this size.
fn pixels(bytes: Vec<u8>, size: [usize; 2], color: ColorMode, crop: bool) -> Result<Vec<u8>> {
    let images = ImageFolder::open(of("x.png", bytes), size)?;
    Ok(read(&images.color_mode(color).crop_to_aspect_ratio(crop), &[0])?.0)
}

#[test]
fn images_are_resized_as_they_should_be() -> Result<()> {
    let line = |values: &[u8]| {
        GrayImage::from_fn(values.len() as u32, 1, |x, _| Luma([values[x as usize]]))
    };
    let gray = |values: &[u8], width, crop| {
        pixels(png(line(values)), [1, width], ColorMode::Grayscale, crop)
    };
    // Half the width: weights 1, 3, 3, 1 without the one outside, in sevenths.
    assert_eq!(gray(&[0, 80, 160, 240], 2, false)?, [57, 183]);
    // Twice the width: quarters between the centres of pixels.
    assert_eq!(gray(&[0, 80], 4, false)?, [0, 20, 60, 80]);
    // Pixels that none is left out of.
    assert_eq!(gray(&[0, 0, 0, 255, 0, 0, 0, 0], 1, false)?.len(), 1);
    assert!(gray(&[0, 0, 0, 255, 0, 0, 0, 0], 1, false)?[0] > 20);
    // The middle, which has the proportions that were asked for.
    assert_eq!(gray(&[9, 40, 41, 8], 2, true)?, [40, 41]);
    assert_eq!(gray(&[9, 40, 8], 1, true)?, [40]);
    let tall = picture(3, 5, 1);
    let square = pixels(png(tall.clone()), [3, 3], ColorMode::Rgb, true)?;
    assert_eq!(square, image::imageops::crop_imm(&tall, 0, 1, 3, 3).to_image().into_raw());
    Ok(())
}

#[test]
fn colors_become_what_was_asked_for() -> Result<()> {
    let one = |image: DynamicImage, color| pixels(png(image), [1, 1], color, false);
    let red = || RgbImage::from_pixel(1, 1, Rgb([200, 100, 50])).into();
    assert_eq!(one(red(), ColorMode::Rgb)?, [200, 100, 50]);
    // 0.299 · 200 + 0.587 · 100 + 0.114 · 50 = 124.2.
    assert_eq!(one(red(), ColorMode::Grayscale)?, [124]);
    let gray = || GrayImage::from_pixel(1, 1, Luma([77])).into();
    assert_eq!(one(gray(), ColorMode::Rgb)?, [77; 3]);
    assert_eq!(one(gray(), ColorMode::Grayscale)?, [77]);
    let clear = image::RgbaImage::from_pixel(1, 1, image::Rgba([200, 100, 50, 0]));
    assert_eq!(one(clear.into(), ColorMode::Rgb)?, [200, 100, 50]);
    let deep = image::ImageBuffer::from_pixel(1, 1, Luma([0x4d4d_u16]));
    assert_eq!(one(DynamicImage::ImageLuma16(deep), ColorMode::Grayscale)?, [0x4d]);
    // A JPEG of one colour, under the name of a PNG.
    let flat = jpeg(RgbImage::from_pixel(16, 16, Rgb([120, 60, 200])));
    let got = pixels(flat, [1, 1], ColorMode::Rgb, false)?;
    assert!(got.iter().zip([120u8, 60, 200]).all(|(a, b)| a.abs_diff(b) <= 2), "{got:?}");
    Ok(())
}

#[test]
fn broken_images_name_the_file() {
    let big = picture(40, 30, 7);
    let (png, jpeg) = (png(big.clone()), jpeg(big));
    let refused = |name: &str, bytes: &[u8], words: &[&str]| {
        let dir = of(name, bytes.to_vec());
        let images = ImageFolder::open(dir, [8, 8]).unwrap();
        says(read(&images, &[1, 0]), &[&[name], words].concat());
    };
    for cut in [1, 2, 50, jpeg.len() / 2, jpeg.len() - 30] {
        refused("cut.jpg", &jpeg[..jpeg.len() - cut], &["payload", "truncated"]);
    }
    for cut in [40, 60, png.len() / 2] {
        refused("cut.png", &png[..png.len() - cut], &["payload", "truncated"]);
    }
    refused("none.png", b"", &["magic", "the file is empty"]);
    refused("text.jpg", b"plain text", &["magic", "plain te", "PNG or JPEG"]);
    refused("a.jpg", b"GIF89a....................", &["magic", "Gif", "convert it"]);
    let mut flipped = png.clone();
    flipped[60] ^= 0x40;
    refused("flipped.png", &flipped, &["payload"]);
    // A header that promises more than its file can hold takes no memory.
    let mut huge = png;
    huge[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
    refused("huge.png", &huge, &["payload"]);
    // The control: whole files are read.
    let dir = of("x.jpg", jpeg);
    assert!(read(&ImageFolder::open(dir, [8, 8]).unwrap(), &[0, 1]).is_ok());
}

#[test]
fn folders_that_make_no_classes_are_refused() {
    let open = |files: &[(&str, Vec<u8>)]| ImageFolder::open(with("classes", files), [2, 2]);
    let image = || png(picture(2, 2, 1));
    says(open(&[]), &["holds no folders", "each class"]);
    says(open(&[("x.png", image())]), &["holds no folders"]);
    says(open(&[("only/x.png", image())]), &["one class", "`only`", "folder above"]);
    says(open(&[("a/x.gif", image()), ("b/x.txt", image())]), &["no images", ".png"]);
    says(ImageFolder::open("no/such/folder", [2, 2]), &["no/such/folder"]);
    for size in [[0, 2], [2, 0]] {
        says(ImageFolder::open(".", size), &["size", "at least 1"]);
    }
    let two = open(&[("a/x.png", image()), ("b/x.png", image())]).unwrap();
    says(two.scaled(f32::NAN), &["scale"]);
}
