//! Row kernels that read operands through views.

use super::Scene;
use crate::reference::{linalg, norm};

/// Copies that feed row kernels.
pub fn rows() -> Vec<Scene> {
    let mut all = Vec::new();
    // Parts of rows: whole vec4s, not from a vec4 on, and of another length.
    for range in [4..20, 3..19, 1..6] {
        let (part, cols) = (range.clone(), range.len());
        all.push(Scene::new(
            format!("columns {range:?}, layer norm"),
            &[&[3, 5, 24]],
            (2, 1),
            move |g, x| {
                let s = g.slice(x[0], 2, part.clone())?;
                g.layer_norm(s, None, None, 1, 1e-3)
            },
            move |x| {
                let s = linalg::slice(&x[0], &[3, 5, 24], 2, range.clone());
                norm::layer_norm(&s, cols, None, None, 1e-3)
            },
        ));
    }
    for width in [8, 3] {
        all.push(Scene::new(
            format!("heads of {width}, root mean square"),
            &[&[2, 5, 3, width], &[width]],
            (2, 1),
            |g, x| {
                let t = g.transpose(x[0], &[0, 2, 1, 3])?;
                g.rms_norm(t, Some(x[1]), 1, 1e-3)
            },
            move |x| {
                let t = linalg::transpose(&x[0], &[2, 5, 3, width], &[0, 2, 1, 3]);
                norm::rms_norm(&t, width, Some(&x[1]), 1e-3)
            },
        ));
    }
    // Groups of channels: a row is vec4s of several places, or a few numbers of each.
    for channels in [4, 8, 2, 3, 1] {
        let shape = [2, 6, 3, channels];
        all.push(Scene::new(
            format!("groups of {channels} channels, layer norm"),
            &[&shape],
            (2, 1),
            move |g, x| {
                let t = g.transpose(x[0], &[0, 2, 1, 3])?;
                let t = g.reshape(t, [2, 3, 6 * channels])?;
                g.layer_norm(t, None, None, 1, 1e-3)
            },
            move |x| {
                let t = linalg::transpose(&x[0], &shape, &[0, 2, 1, 3]);
                norm::layer_norm(&t, 6 * channels, None, None, 1e-3)
            },
        ));
    }
    // Elements of a row that are apart: as many as vec4s have, one less, and two.
    for (len, of) in [(8, 5), (7, 4), (2, 9)] {
        let shape = [3, len, of];
        all.push(Scene::new(
            format!("{len} rows of {of} transposed, root mean square"),
            &[&shape, &[len]],
            (2, 1),
            |g, x| {
                let t = g.transpose(x[0], &[0, 2, 1])?;
                g.rms_norm(t, Some(x[1]), 1, 1e-3)
            },
            move |x| {
                let t = linalg::transpose(&x[0], &shape, &[0, 2, 1]);
                norm::rms_norm(&t, len, Some(&x[1]), 1e-3)
            },
        ));
    }
    all
}
