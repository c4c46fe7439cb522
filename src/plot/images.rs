//! Small images in rows, grey or in colour, each with a caption.

use super::color::{self, ALARM, INK, RULE};
use super::font::Font;
use super::legend::Key;
use super::page::{Drawn, Label, Page};
use crate::error::{Error, Result};
use plotters::style::RGBColor;
use plotters_backend::DrawingBackend;

/// The caption's size in pixels per em, and the height of its line.
const CAPTION: f64 = 12.0;
const LINE: f64 = 15.0;
/// About how wide an image is shown, and the least width of a cell.
const SIDE: usize = 84;
const CELL: f64 = 96.0;
const GUTTER: f64 = 10.0;
/// By how many pixels of the picture neighbours overlap.
const OVERLAP: f64 = 0.5;

/// Images side by side, as the dataset holds them: of shape `[n, height, width]` if they are grey and
/// `[n, height, width, 3]` if they are in colour. Each pixel shows as a square of whole pixels of the picture.
/// [`ImageGrid::feature_maps`] and [`ImageGrid::kernels`] show what a convolution gives, and what it has learned.
///
/// ```no_run
/// # fn main() -> wgrad::Result<()> {
/// use wgrad::plot::ImageGrid;
///
/// let images = vec![0_u8; 3 * 28 * 28];
/// ImageGrid::bytes("digits", [28, 28], &images)
///     .predictions(&[7, 2, 1], &[7, 2, 4])
///     .save("out/digits.png")?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ImageGrid {
    pub(super) title: String,
    height: usize,
    width: usize,
    /// Red, green and blue; `None` stays blank.
    pixels: Vec<Option<[u8; 3]>>,
    /// What is wrong with the numbers that were given.
    wrong: Option<String>,
    captions: Option<Vec<Caption>>,
    names: Option<Vec<String>>,
    columns: Option<usize>,
}

#[derive(Debug, Clone)]
enum Caption {
    Text(String),
    Prediction { predicted: u32, label: u32 },
}

impl ImageGrid {
    /// Grey images of bytes, 255 white, each of `[height, width]`. An empty title takes no room.
    pub fn bytes(title: impl Into<String>, image: [usize; 2], pixels: &[u8]) -> Self {
        Self::of(title, image, 1, pixels.len(), pixels.iter().map(|&p| Some([p; 3])))
    }

    /// Images of bytes in colour, each of `[height, width, 3]`: red, green, blue.
    pub fn rgb_bytes(title: impl Into<String>, image: [usize; 2], pixels: &[u8]) -> Self {
        let colors = pixels.as_chunks().0.iter().copied().map(Some);
        Self::of(title, image, 3, pixels.len(), colors)
    }

    /// Grey images of numbers from 0, black, to 1, white, each of `[height, width]`. What is beyond shows as the nearer of
    /// them. Pixels that are not finite stay blank.
    pub fn grey(title: impl Into<String>, image: [usize; 2], pixels: &[f32]) -> Self {
        let greys = pixels.iter().map(|&p| byte(p).map(|grey| [grey; 3]));
        Self::of(title, image, 1, pixels.len(), greys)
    }

    /// Images of numbers from 0 to 1 in colour, each of `[height, width, 3]`: red, green, blue. What is beyond shows as the
    /// nearer of them. Pixels that are not finite stay blank.
    pub fn rgb(title: impl Into<String>, image: [usize; 2], pixels: &[f32]) -> Self {
        let colors = pixels.as_chunks().0.iter().map(|p| color_of(*p));
        Self::of(title, image, 3, pixels.len(), colors)
    }

    /// Grey images of numbers, each of `[height, width]`: the least of all is black, the greatest white. Pixels that
    /// are not finite stay blank.
    pub fn floats(title: impl Into<String>, image: [usize; 2], pixels: &[f32]) -> Self {
        let greys = stretched(pixels.iter().copied());
        Self::of(title, image, 1, pixels.len(), greys.into_iter())
    }

    /// What a layer gives for one sample, `[height, width, channels]`: a grey image for each channel, whose least number is
    /// black and whose greatest white. Numbers that are not finite stay blank.
    pub fn feature_maps(title: impl Into<String>, maps: [usize; 3], values: &[f32]) -> Self {
        let [height, width, channels] = maps;
        let plane = |c: usize| stretched(values.iter().skip(c).step_by(channels).copied());
        let pixels = (0..channels).flat_map(plane);
        let mut grid = Self::of(title, [height, width], 1, values.len(), pixels);
        if [height, width, channels].iter().fold(1, |n: usize, &d| n.saturating_mul(d))
            != values.len()
        {
            let detail = "numbers are no maps of [height, width, channels] =";
            grid.wrong = Some(format!("{} {detail} {maps:?}", values.len()));
        }
        grid
    }

    /// The kernels of a convolution, `[height, width, channels, filters]` with one channel or three: an image for each
    /// filter, grey or in colour. 0 is the middle, and the number of a filter that is farthest from it is full or none of
    /// its colour. Numbers that are not finite stay blank.
    pub fn kernels(title: impl Into<String>, kernels: [usize; 4], values: &[f32]) -> Self {
        let [height, width, channels, filters] = kernels;
        let of_filter = |f: usize| -> Vec<Option<[u8; 3]>> {
            let own = values.iter().skip(f).step_by(filters);
            let finite = own.clone().filter(|v| v.is_finite());
            let most = finite.fold(0.0, |most: f32, v| most.max(v.abs()));
            // A filter of zeros is grey.
            let share = |&v: &f32| 0.5 + 0.5 * if most > 0.0 { v / most } else { v };
            let shares: Vec<f32> = own.map(share).collect();
            match channels {
                3 => shares.as_chunks().0.iter().map(|p| color_of(*p)).collect(),
                _ => shares.iter().map(|&p| byte(p).map(|grey| [grey; 3])).collect(),
            }
        };
        let pixels = (0..filters).flat_map(of_filter);
        let mut grid = Self::of(title, [height, width], channels, values.len(), pixels);
        if kernels.iter().fold(1, |n: usize, &d| n.saturating_mul(d)) != values.len() {
            let detail = "numbers are no kernels of [height, width, channels, filters] =";
            grid.wrong = Some(format!("{} {detail} {kernels:?}", values.len()));
        } else if ![1, 3].contains(&channels) {
            let detail = "channels have no colours; kernels of one channel or three do, as those of a first layer";
            grid.wrong = Some(format!("{channels} {detail}"));
        }
        grid
    }

    /// Images of `elements` numbers in all.
    fn of(
        title: impl Into<String>,
        [height, width]: [usize; 2],
        channels: usize,
        elements: usize,
        pixels: impl Iterator<Item = Option<[u8; 3]>>,
    ) -> Self {
        let image = height.saturating_mul(width).saturating_mul(channels);
        let wrong = (elements == 0 || image == 0 || !elements.is_multiple_of(image)).then(|| {
            let (what, of) = if channels == 1 { ("pixels", "") } else { ("numbers", " x 3") };
            format!("{elements} {what} are no images of {height} x {width}{of}")
        });
        let pixels = if wrong.is_none() { pixels.collect() } else { vec![] };
        let (captions, names, columns) = (None, None, None);
        Self { title: title.into(), height, width, pixels, wrong, captions, names, columns }
    }

    /// A caption for each image, of one line.
    #[must_use]
    pub fn captions<S: AsRef<str>>(mut self, captions: &[S]) -> Self {
        self.captions = Some(captions.iter().map(|c| Caption::Text(c.as_ref().into())).collect());
        self
    }

    /// Captions of the predicted class; in red with the true class if that is another.
    #[must_use]
    pub fn predictions(mut self, predicted: &[u32], labels: &[u32]) -> Self {
        // The picture's check finds a missing half by its count.
        let pairs = predicted.iter().zip(labels);
        let captions = pairs.map(|(&predicted, &label)| Caption::Prediction { predicted, label });
        self.captions = Some(captions.collect());
        self
    }

    /// Names of the classes, for [`ImageGrid::predictions`]. A class without a name shows as its number.
    #[must_use]
    pub fn class_names<S: AsRef<str>>(mut self, names: &[S]) -> Self {
        self.names = Some(names.iter().map(|n| n.as_ref().into()).collect());
        self
    }

    /// Images in a row. Without this call, as many as make the grid about square.
    #[must_use]
    pub fn columns(mut self, columns: usize) -> Self {
        self.columns = Some(columns);
        self
    }

    /// Writes the picture: PNG or SVG, by the path's extension. Missing folders are made.
    ///
    /// # Errors
    /// Those of [`Figure::save`](super::Figure::save); [`Error::Data`] if there is no image, the pixels are no
    /// whole number of images, or captions are not one per image; [`Error::Parameter`] for no columns.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn save(&self, path: impl AsRef<std::path::Path>) -> Result<()> {
        super::Figure::from(self.clone()).save(path)
    }

    pub(super) fn keys(&self) -> Vec<Key> {
        vec![]
    }

    pub(super) fn check(&self) -> Result<()> {
        if let Some(wrong) = &self.wrong {
            return Err(Error::data("images", wrong));
        }
        let count = self.pixels.len() / (self.height * self.width);
        if let Some(captions) = &self.captions
            && captions.len() != count
        {
            let detail = format!("{} for {count} images", captions.len());
            return Err(Error::data("captions", detail));
        }
        if self.columns == Some(0) {
            return Err(Error::parameter("columns", 0, "a row holds at least one image"));
        }
        Ok(())
    }

    /// Images in all, and in a row.
    fn counts(&self) -> (usize, usize) {
        let count = self.pixels.len() / (self.height * self.width);
        let columns = self.columns.unwrap_or_else(|| (count as f64).sqrt().ceil() as usize);
        (count, columns.min(count))
    }

    /// Pixels of the picture to a pixel of an image, and width and height of a cell without its gutter.
    fn cell(&self) -> (f64, f64, f64) {
        let zoom = (SIDE / self.height.max(self.width)).max(1) as f64;
        let captions = self.captions.iter().flatten();
        let lines = captions.map(|c| self.lines(c).len()).max().unwrap_or(0) as f64;
        let (width, height) = (self.width as f64 * zoom, self.height as f64 * zoom);
        (zoom, width.max(CELL), height + lines * LINE)
    }

    pub(super) fn size(&self, _font: &Font) -> (f64, f64) {
        let (count, columns) = self.counts();
        let (_, width, height) = self.cell();
        let rows = count.div_ceil(columns);
        let across = columns as f64 * (width + GUTTER) - GUTTER;
        let down = rows as f64 * (height + GUTTER) - GUTTER;
        (across.max(200.0), down.max(120.0))
    }

    /// Draws what [`ImageGrid::check`] accepted.
    pub(super) fn draw<B: DrawingBackend>(&self, page: &Page<'_, B>) -> Drawn<B> {
        let (_, columns) = self.counts();
        let (zoom, width, height) = self.cell();
        let across = columns as f64 * (width + GUTTER) - GUTTER;
        let margin = ((page.size().0 - across) / 2.0).floor();
        let shown = (self.width as f64 * zoom, self.height as f64 * zoom);
        for (i, image) in self.pixels.chunks(self.height * self.width).enumerate() {
            let x = margin + (i % columns) as f64 * (width + GUTTER);
            let y = (i / columns) as f64 * (height + GUTTER);
            let corner = ((x + (width - shown.0) / 2.0).floor(), y);
            self.draw_image(page, image, corner, zoom)?;
            if let Some(captions) = &self.captions {
                for (line, (text, color)) in self.lines(&captions[i]).iter().enumerate() {
                    let at = (x + width / 2.0, y + shown.1 + (line as f64 + 0.6) * LINE);
                    page.text(&Label { color: *color, ..Label::new(text, CAPTION, width) }, at)?;
                }
            }
        }
        Ok(())
    }

    fn lines(&self, caption: &Caption) -> Vec<(String, RGBColor)> {
        let name = |class: u32| {
            let name = self.names.as_ref().and_then(|names| names.get(class as usize));
            name.cloned().unwrap_or_else(|| class.to_string())
        };
        match *caption {
            Caption::Text(ref text) => vec![(text.clone(), INK)],
            Caption::Prediction { predicted, label } if predicted == label => {
                vec![(name(predicted), INK)]
            }
            Caption::Prediction { predicted, label } => {
                vec![(name(predicted), ALARM), (format!("is {}", name(label)), ALARM)]
            }
        }
    }

    /// Draws an image in a frame. Neighbours of one colour share a rectangle.
    fn draw_image<B: DrawingBackend>(
        &self,
        page: &Page<'_, B>,
        image: &[Option<[u8; 3]>],
        (left, top): (f64, f64),
        zoom: f64,
    ) -> Drawn<B> {
        let (width, height) = (self.width as f64 * zoom, self.height as f64 * zoom);
        for (row, pixels) in image.chunks(self.width).enumerate() {
            let y = row as f64 * zoom;
            let mut column = 0;
            for run in pixels.chunk_by(|a, b| a == b) {
                let x = column as f64 * zoom;
                column += run.len();
                if let Some([red, green, blue]) = run[0] {
                    // It goes a little further, under what is drawn next, so that no seam shows.
                    let right = (x + run.len() as f64 * zoom + OVERLAP).min(width);
                    let bottom = (y + zoom + OVERLAP).min(height);
                    let color = RGBColor(red, green, blue);
                    page.rect((left + x, top + y), (right - x, bottom - y), color)?;
                }
            }
        }
        let (right, bottom) = (left + width, top + height);
        let frame = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)];
        page.line(&frame, 1.0, color::between(RULE, INK, 0.3))
    }
}

/// 0 to 1 as a byte, what is beyond as the nearer; `None` for a number that is not finite.
fn byte(share: f32) -> Option<u8> {
    share.is_finite().then(|| (share.clamp(0.0, 1.0) * 255.0).round() as u8)
}

/// Red, green and blue from 0 to 1.
fn color_of(pixel: [f32; 3]) -> Option<[u8; 3]> {
    let [red, green, blue] = pixel.map(byte);
    Some([red?, green?, blue?])
}

/// Greys from the least of the numbers, black, to the greatest, white.
fn stretched(values: impl Iterator<Item = f32> + Clone) -> Vec<Option<[u8; 3]>> {
    let finite = values.clone().filter(|p| p.is_finite());
    let (low, high) =
        finite.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), p| (low.min(p), high.max(p)));
    // In f64, because there the range of any two f32 is finite. Images of one value are black.
    let (low, length) = (f64::from(low), f64::from(high) - f64::from(low));
    let grey = |p: f32| match p {
        p if !p.is_finite() => None,
        p if length > 0.0 => byte(((f64::from(p) - low) / length) as f32),
        _ => Some(0),
    };
    values.map(|p| grey(p).map(|grey| [grey; 3])).collect()
}
