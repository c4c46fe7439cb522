//! One image: from the bytes of a file to pixels of the size that was asked for.

use std::io::Cursor;
use std::path::Path;

use super::{ColorMode, ImageFolder};
use crate::data::elements::Packed;
use crate::error::{Error, Result};
use image::imageops::{FilterType, crop_imm, resize};
use image::{
    ColorType, DynamicImage, GrayImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits,
};

/// Reads the image of `path` into `pixels`, `[height, width, channels]`, as `folder` says.
pub(super) fn decode(path: &Path, folder: &ImageFolder, pixels: &mut [u8]) -> Result<()> {
    let bytes = std::fs::read(path)
        .map_err(|cause| Error::Io { path: path.display().to_string(), cause })?;
    let image = decoded(&bytes, folder).map_err(|(field, detail)| Error::File {
        path: path.display().to_string(),
        field: field.into(),
        detail,
    })?;
    let [height, width] = folder.size;
    let size = (width as u32, height as u32);
    let resized = match folder.color {
        ColorMode::Grayscale => fitted(gray(image), size, folder.crop).into_raw(),
        ColorMode::Rgb => fitted(image.into_rgb8(), size, folder.crop).into_raw(),
    };
    pixels.copy_from_slice(&resized);
    Ok(())
}

/// The image, or the part of the file that is wrong and what is.
fn decoded(
    bytes: &[u8],
    folder: &ImageFolder,
) -> std::result::Result<DynamicImage, (&'static str, String)> {
    let format = image::guess_format(bytes).ok();
    match format {
        Some(ImageFormat::Png) => {}
        Some(ImageFormat::Jpeg) => whole_jpeg(bytes).map_err(|detail| ("payload", detail))?,
        _ => {
            let start = bytes[..bytes.len().min(8)].escape_ascii().to_string();
            let kind = match format {
                Some(other) => format!("this is {other:?}"),
                None if bytes.is_empty() => "the file is empty".into(),
                None => format!("the file begins with `{start}`"),
            };
            let detail = format!("{kind}; images are PNG or JPEG: convert it, or move it away");
            return Err(("magic", detail));
        }
    }
    let mut reader = ImageReader::new(Cursor::new(bytes));
    if let Some(format) = format {
        reader.set_format(format);
    }
    let bound = Packed {
        bytes: bytes.len() as u64,
        max: folder.max_unpacked,
        remedy: "ImageFolder::open(dir, size)?",
    };
    let broken = |error: ImageError| {
        let remedy = match error {
            ImageError::Limits(_) => "if you trust the file, raise the bound `max_unpacked`",
            _ => "the file is broken or truncated: get it anew, or move it away",
        };
        ("payload", format!("{error}; {remedy}"))
    };
    let mut limits = Limits::default();
    // Beside the pixels a decoder has rows and tables.
    limits.max_alloc = Some(bound.most().saturating_add(1 << 16));
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(broken)?;
    bound.check(needed(&decoder, folder)).map_err(|detail| ("payload", detail))?;
    DynamicImage::from_decoder(decoder).map_err(broken)
}

/// The most bytes that an image takes at a time: its pixels as the file has them, with those of other channels that they
/// become; then these, four f32 for each pixel once it has its new height, and the sample.
fn needed(decoder: &impl ImageDecoder, folder: &ImageFolder) -> u64 {
    let (width, height) = decoder.dimensions();
    let [width, height] = [width, height].map(u64::from);
    let [new_height, new_width] = folder.size.map(|side| side as u64);
    let pixels = width.saturating_mul(height);
    let channels = folder.color.channels() as u64;
    let further = match (folder.color, decoder.color_type()) {
        (ColorMode::Grayscale, ColorType::L8) | (ColorMode::Rgb, ColorType::Rgb8) => 0,
        // Brightness is that of three channels.
        (ColorMode::Grayscale, color) if color.has_color() && color != ColorType::Rgb8 => 3,
        _ => channels,
    };
    let decoding = decoder.total_bytes().saturating_add(pixels.saturating_mul(further));
    if (width, height) == (new_width, new_height) {
        return decoding;
    }
    let [own, sample] = [pixels, new_width * new_height].map(|n| n.saturating_mul(channels));
    let resized = width.saturating_mul(new_height).saturating_mul(16);
    decoding.max(own.saturating_add(resized).saturating_add(sample))
}

/// Walks the segments of a JPEG up to its end marker. A decoder fills what is missing with grey, so a truncated file
/// would pass for an image.
fn whole_jpeg(bytes: &[u8]) -> std::result::Result<(), String> {
    let cut = || {
        let detail = "the file ends before the image's end marker; it is truncated: get it anew, or move it away";
        detail.to_owned()
    };
    let mut at = 2;
    loop {
        // A marker: FF, fill bytes of FF, and its code.
        while *bytes.get(at).ok_or_else(cut)? != 0xff {
            at += 1;
        }
        while *bytes.get(at).ok_or_else(cut)? == 0xff {
            at += 1;
        }
        let code = bytes[at];
        at += 1;
        match code {
            0xd9 => return Ok(()),
            // FF as data of a scan, restarts, and markers alone.
            0x00 | 0x01 | 0xd0..=0xd8 => {}
            _ => {
                let len = bytes.get(at..at + 2).ok_or_else(cut)?;
                at += usize::from(u16::from_be_bytes([len[0], len[1]]));
            }
        }
    }
}

/// Brightness by ITU-R BT.601.
fn gray(image: DynamicImage) -> GrayImage {
    if !image.color().has_color() {
        return image.into_luma8();
    }
    let rgb = image.into_rgb8();
    let (width, height) = rgb.dimensions();
    let luma = |p: &image::Rgb<u8>| {
        let [r, g, b] = p.0.map(u32::from);
        ((299 * r + 587 * g + 114 * b + 500) / 1000) as u8
    };
    GrayImage::from_fn(width, height, |x, y| image::Luma([luma(rgb.get_pixel(x, y))]))
}

/// The image in this size; with `crop`, of its largest part in the middle that has the size's proportions.
fn fitted<P>(
    image: image::ImageBuffer<P, Vec<u8>>,
    (width, height): (u32, u32),
    crop: bool,
) -> image::ImageBuffer<P, Vec<u8>>
where
    P: image::Pixel<Subpixel = u8> + 'static,
{
    let (w, h) = image.dimensions();
    if (w, h) == (width, height) {
        return image;
    }
    let part = |side: u32, other: u32, own: u32, of: u32| {
        let fitting = u128::from(other) * u128::from(own) / u128::from(of.max(1));
        fitting.clamp(1, u128::from(side)) as u32
    };
    let (w_part, h_part) = match crop {
        true => (part(w, h, width, height), part(h, w, height, width)),
        false => (w, h),
    };
    // A part is read where it is.
    let middle = crop_imm(&image, (w - w_part) / 2, (h - h_part) / 2, w_part, h_part);
    resize(&*middle, width, height, FilterType::Triangle)
}
