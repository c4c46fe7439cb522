//! Pictures: curves, points with decision regions, confusion matrices, heat maps and images, as PNG and SVG.
//!
//! A picture is plain data: numbers that the caller has. Saving draws it, and the path's extension sets the format: the
//! same definition makes `.png` and `.svg`. [`Curves`] shows histories and functions, [`Scatter`] classes in the plane,
//! [`ConfusionMatrix`] and [`ImageGrid`] what a classifier does, [`Heatmap`] a matrix such as the weights of an attention; a
//! [`Figure`] puts several next to each other. Bad data is an error when the picture is saved, and then nothing is written.
//!
//! Text is drawn with a font that the library carries, so that a PNG looks the same on every machine. An SVG names
//! the font and leaves the drawing to its viewer.

mod axis;
mod chart;
mod color;
mod confusion;
mod curves;
mod figure;
mod font;
mod grid;
mod heatmap;
mod images;
mod legend;
mod line;
#[cfg(test)]
mod overlap;
mod page;
mod raster;
mod scatter;

pub use confusion::ConfusionMatrix;
pub use curves::Curves;
pub use figure::{Figure, Panel};
pub use grid::Grid;
pub use heatmap::Heatmap;
pub use images::ImageGrid;
pub use scatter::Scatter;

/// A picture is a panel.
macro_rules! panels {
    ($($picture:ident)*) => {
        $(impl From<$picture> for Panel {
            fn from(picture: $picture) -> Self {
                Self::$picture(picture)
            }
        })*
    };
}

panels!(Curves Scatter ConfusionMatrix Heatmap ImageGrid);
