//! Pictures as files: their size, their content, their text, and what is refused.

use anyhow::{Context, Result, ensure};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use wgrad::Error;
use wgrad::plot::{ConfusionMatrix, Curves, Figure, Grid, Heatmap, ImageGrid, Scatter};

/// A picture of each kind, with words that its SVG must hold.
fn pictures() -> Vec<(&'static str, Figure, Vec<&'static str>)> {
    let falling: Vec<f32> = (0..40).map(|i| 0.9 * (-0.1 * i as f32).exp() + 0.01).collect();
    let curves = Curves::new("Training").x("epoch").y("loss & more").values("loss", &falling);
    let curves = curves.values("val_loss", &falling[..30]);
    let seconds: Vec<f64> = (0..40).map(|i| 0.25 * f64::from(i)).collect();
    let log = Curves::new("Time").x("seconds").y("loss").series("sgd", &seconds, &falling).log_y();
    let (points, labels) = ([0.0, 0.0, 1.0, 1.0, 0.1, 0.2, 0.9, 1.2], [0, 1, 0, 1]);
    let grid = Grid::around(&points, 20);
    let above: Vec<f32> =
        grid.points().chunks(2).map(|p| 1.0 / (1.0 + (5.0 * (1.0 - p[0] - p[1])).exp())).collect();
    let scatter = Scatter::new("Clouds").x("x₁").y("x₂").classes(&["a", "b"], &points, &labels);
    let regions = scatter.clone().regions(&grid, &above);
    let matrix = ConfusionMatrix::new("Test set", &["T-shirt", "Coat"], [90_u32, 10, 7, 93]);
    let pixels: Vec<u8> = (0..=255).cycle().take(6 * 64).collect();
    let images =
        ImageGrid::bytes("Digits", [8, 8], &pixels).predictions(&[1; 6], &[1, 2, 1, 1, 3, 1]);
    let colors: Vec<f32> = (0..6 * 256)
        .flat_map(|i| {
            let (n, y, x) = (i / 256, (i / 16 % 16) as f32, (i % 16) as f32);
            let round = ((x - 7.5).powi(2) + (y - 7.5).powi(2)).sqrt() / 10.0;
            [x / 15.0, y / 15.0, round].map(|v| if n % 2 == 0 { v } else { 1.0 - v })
        })
        .collect();
    let bytes: Vec<u8> = colors.iter().map(|v| (v * 255.0) as u8).collect();
    let names = ["cat", "frog", "ship"];
    let rgb = ImageGrid::rgb("Colours", [16, 16], &colors).class_names(&names);
    let rgb = rgb.predictions(&[0, 1, 2, 0, 1, 2], &[0, 1, 2, 0, 2, 2]);
    let rgb_bytes = ImageGrid::rgb_bytes("Bytes", [16, 16], &bytes).columns(3);
    let waves: Vec<f32> = (0..12 * 10 * 7)
        .map(|i| {
            let (y, x, c) = ((i / 70) as f32, (i / 7 % 10) as f32, (i % 7) as f32);
            (10.0 + c) * (0.3 * c * x + 0.5 * y).sin()
        })
        .collect();
    let maps = ImageGrid::feature_maps("Maps", [12, 10, 7], &waves).columns(4);
    let weights: Vec<f32> = (0..9 * 3 * 16).map(|i| ((i * i % 97) as f32 - 48.0) / 50.0).collect();
    let kernels = ImageGrid::kernels("Kernels", [3, 3, 3, 16], &weights);
    let one = ImageGrid::kernels("One channel", [3, 3, 1, 48], &weights).columns(12);
    let grey =
        ImageGrid::grey("Grey", [6, 6], &(0..72).map(|i| i as f32 / 71.0).collect::<Vec<_>>());
    let shares: Vec<f32> = (0..3 * 30).map(|i| (0.2 * i as f32).sin().powi(2)).collect();
    let (rows, columns) = (["one", "two", "three"], ["x"; 30]);
    let heat = Heatmap::new("Weights", &rows, &columns, &shares).x("source").y("result");
    let names: Vec<String> = (0..10).map(|i| format!("a long name, number {i}")).collect();
    let upwards = Heatmap::new("", &rows, &names, &shares[..30]);
    let all = Figure::new("All").panel(curves.clone()).panel(regions.clone()).panel(matrix.clone());
    vec![
        (
            "curves",
            curves.into(),
            vec!["Training", "epoch", "loss &amp; more", "val_loss", "0.2", "40"],
        ),
        ("log", log.into(), vec!["seconds", "sgd", "0.1", "10"]),
        ("scatter", scatter.into(), vec!["Clouds", "x₁", "x₂", "\na\n", "\nb\n", "0.5"]),
        ("regions", regions.into(), vec!["Clouds", "x₁"]),
        ("matrix", matrix.into(), vec!["T-shirt", "Coat", "predicted", "true", "\n93\n", "\n7\n"]),
        ("images", images.into(), vec!["Digits", "\n1\n", "is 2", "is 3"]),
        ("rgb", rgb.into(), vec!["Colours", "cat", "is ship"]),
        ("rgb_bytes", rgb_bytes.into(), vec!["Bytes"]),
        ("maps", maps.into(), vec!["Maps"]),
        ("kernels", kernels.into(), vec!["Kernels"]),
        ("one_channel", one.into(), vec!["One channel"]),
        ("grey", grey.into(), vec!["Grey"]),
        ("heat", heat.into(), vec!["Weights", "three", "source", "result", "1.00", "0.00"]),
        ("upwards", upwards.into(), vec!["number 9", "two"]),
        ("figure", all, vec!["All", "Training", "Clouds", "Test set"]),
    ]
}

/// The folder that tests write to, of this name.
fn folder(name: &str) -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plot").join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(folder)
}

/// Red, green, blue and opacity of a pixel.
type Pixel = [u8; 4];

/// The size and the pixels of a PNG file, row by row.
fn decode(file: &[u8]) -> Result<((u32, u32), Vec<Pixel>)> {
    let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info()?;
    let mut bytes = vec![0; reader.output_buffer_size().context("a size")?];
    let frame = reader.next_frame(&mut bytes)?;
    ensure!(frame.color_type == png::ColorType::Rgba, "{:?}", frame.color_type);
    Ok(((frame.width, frame.height), bytes.as_chunks::<4>().0.to_vec()))
}

/// Whether pixels show a picture: ink and colours inside, paper alone along the edges.
fn shows(pixels: &[Pixel], (width, height): (u32, u32)) -> Result<()> {
    let mut colors: HashMap<Pixel, usize> = HashMap::new();
    pixels.iter().for_each(|&p| *colors.entry(p).or_default() += 1);
    ensure!(colors.len() > 20, "only {} colours", colors.len());
    let ink = pixels.iter().filter(|p| p[..3].iter().all(|&c| c < 80)).count();
    ensure!(ink > 100, "only {ink} dark pixels");
    for (i, pixel) in pixels.iter().enumerate() {
        let (x, y) = (i as u32 % width, i as u32 / width);
        let edge = x.min(y).min(width - 1 - x).min(height - 1 - y);
        ensure!(edge > 3 || *pixel == [255; 4], "{pixel:?} at {x}, {y} is clipped");
    }
    Ok(())
}

#[test]
fn every_picture_is_written_and_shows_something() -> Result<()> {
    let folder = folder("written")?;
    for (name, figure, words) in pictures() {
        let (png, svg) = (folder.join(name).join("a.png"), folder.join(name).join("a.SVG"));
        figure.save(&png)?;
        figure.save(&svg)?;
        let (size, pixels) = decode(&std::fs::read(&png)?)?;
        ensure!(size == figure.size()?, "{name}: {size:?}");
        shows(&pixels, size).context(name)?;

        let text = std::fs::read_to_string(&svg)?;
        let head = format!("<svg width=\"{}\" height=\"{}\"", size.0, size.1);
        ensure!(text.starts_with(&head) && text.ends_with("</svg>\n"), "{name}: {text:.200}");
        for word in words {
            ensure!(text.contains(word), "{name} lacks `{word}`");
        }
        ensure!(figure.svg()? == text, "{name} differs from time to time");
    }
    Ok(())
}

/// The fills of an SVG's rectangles, in their order, without the paper.
fn fills(grid: ImageGrid) -> Result<Vec<String>> {
    let svg = Figure::from(grid).svg()?;
    let fills = svg.lines().filter(|line| line.starts_with("<rect"));
    let color = |line: &str| line.split("fill=\"").nth(1).map(|rest| rest[..7].to_owned());
    Ok(fills.filter_map(color).filter(|color| color != "#FFFFFF").collect())
}

#[test]
fn pixels_have_the_colours_that_they_should() -> Result<()> {
    let nan = f32::NAN;
    let title = "";
    assert_eq!(
        fills(ImageGrid::rgb_bytes(title, [1, 2], &[255, 0, 16, 1, 2, 3]))?,
        ["#FF0010", "#010203"]
    );
    // Below 0 and above 1 the nearer; a pixel with a number that is not finite stays blank.
    let colors = [1.5, -1.0, 0.5, nan, 0.0, 0.0, 0.2, 0.4, 0.6];
    assert_eq!(fills(ImageGrid::rgb(title, [1, 3], &colors))?, ["#FF0080", "#336699"]);
    assert_eq!(
        fills(ImageGrid::grey(title, [1, 4], &[0.0, 0.2, nan, 9.0]))?[..2],
        ["#000000", "#333333"]
    );
    assert_eq!(fills(ImageGrid::bytes(title, [1, 2], &[7, 8]))?, ["#070707", "#080808"]);
    // Each map has its own range: channel 0 is 0 to 10, channel 1 is -1 to 4.
    let maps = [0.0, 4.0, 2.0, -1.0, 10.0, 1.0];
    let want = ["#000000", "#333333", "#000000", "#666666"];
    assert_eq!(fills(ImageGrid::feature_maps(title, [1, 3, 2], &maps))?, want);
    // Filter 0 is 0.5, -0.25 and filter 1 is 0, -2: zero is the middle.
    let kernels = [0.5, 0.0, -0.25, -2.0];
    let want = ["#404040", "#808080", "#000000"];
    assert_eq!(fills(ImageGrid::kernels(title, [1, 2, 1, 2], &kernels))?, want);
    assert_eq!(fills(ImageGrid::kernels(title, [1, 1, 3, 1], &[1.0, 0.0, -1.0]))?, ["#FF8000"]);
    assert_eq!(fills(ImageGrid::kernels(title, [1, 1, 1, 1], &[0.0]))?, ["#808080"]);
    Ok(())
}

#[test]
fn equal_classes_are_drawn_as_the_first() -> Result<()> {
    let points = [0.0, 0.0, 1.0, 1.0];
    let names = ["a", "b", "c"];
    let drawn = |one: &[f32]| -> Result<String> {
        let grid = Grid::new(0.0..1.0, 0.0..1.0, 4, 4);
        let all = one.repeat(grid.len());
        Ok(Figure::from(
            Scatter::new("s")
                .classes(&names[..one.len().max(2)], &points, &[0, 1])
                .regions(&grid, &all),
        )
        .svg()?)
    };
    // The class of each point, as metrics have it.
    assert_eq!(drawn(&[0.5])?, drawn(&[0.49])?);
    assert_ne!(drawn(&[0.5])?, drawn(&[0.51])?);
    assert_eq!(drawn(&[0.4, 0.4, 0.2])?, drawn(&[0.41, 0.39, 0.2])?);
    Ok(())
}

#[test]
fn a_confusion_matrix_of_metrics_is_its_counts() -> Result<()> {
    use wgrad::metrics::{NO_CLASS, confusion_matrix};
    let matrix = confusion_matrix(&[0, 0, 1, 1, 1, 0], &[0, 1, 1, 1, 0, NO_CLASS], 2)?;
    let names = ["a", "b"];
    let drawn = Figure::from(ConfusionMatrix::new("test", &names, &matrix)).svg()?;
    let counts = Figure::from(ConfusionMatrix::new("test", &names, [1_u64, 1, 1, 2])).svg()?;
    assert_eq!(drawn, counts);
    let turned = Figure::from(ConfusionMatrix::new("test", &names, [1_u64, 1, 2, 1])).svg()?;
    assert_ne!(drawn, turned);
    Ok(())
}

/// Only the order of numbers counts for shades; one that is not finite stays blank.
#[test]
fn a_heat_map_goes_from_the_least_to_the_greatest() -> Result<()> {
    let svg =
        |values: &[f32]| Figure::from(Heatmap::new("", &["a"], &["b", "c", "d"], values)).svg();
    let fills = |svg: &str| svg.matches("<rect").count();
    let (plain, blank) = (svg(&[0.0, 0.5, 1.0])?, svg(&[0.0, f32::NAN, 1.0])?);
    assert_eq!(fills(&plain), fills(&blank) + 1);
    ensure!(svg(&[-2.0, 0.0, 2.0])?.contains("-2.00"), "the ends of the bar");
    assert_ne!(plain, svg(&[0.0, 0.6, 1.0])?);
    // All the same, and nothing at all.
    for values in [[3.0; 3], [f32::NAN; 3]] {
        svg(&values)?;
    }
    Ok(())
}

#[test]
fn blank_and_clipped_pictures_are_noticed() {
    let size = (100, 100);
    let mut pixels = vec![[255; 4]; 10_000];
    assert!(shows(&pixels, size).is_err());
    for (i, pixel) in pixels.iter_mut().enumerate().filter(|(i, _)| (20..80).contains(&(i % 100))) {
        *pixel = [if (20..80).contains(&(i / 100)) { i as u8 / 4 } else { 255 }; 4];
    }
    assert!(shows(&pixels, size).is_ok());
    pixels[5_000] = [0, 0, 0, 255];
    assert!(shows(&pixels, size).is_err());
}

#[test]
fn sizes_are_those_asked_for() -> Result<()> {
    let curves = |width, height| Curves::new("").values("a", &[1.0, 2.0]).panel_size(width, height);
    let (small, large) =
        (Figure::from(curves(300, 200)).size()?, Figure::from(curves(700, 500)).size()?);
    assert_eq!((large.0 - small.0, large.1 - small.1), (400, 300));
    let columns = |n: usize| {
        let panels = (0..6).fold(Figure::new(""), |f, _| f.panel(curves(300, 200)));
        panels.columns(n).size()
    };
    let (one, three) = (columns(1)?, columns(3)?);
    assert!(one.0 < 330 && one.1 > 1200 && three.0 > 900 && three.1 < 500, "{one:?} {three:?}");
    Ok(())
}

#[test]
fn gaps_break_a_line_and_a_lone_value_is_a_dot() -> Result<()> {
    let marks = |values: &[f64]| -> Result<(usize, usize)> {
        let svg = Figure::from(Curves::new("").values("a", values)).svg()?;
        // The legend has a separate line.
        Ok((svg.matches("stroke=\"#1F64B4\"").count() - 1, svg.matches("<circle").count()))
    };
    assert_eq!(marks(&[1.0, 2.0, 3.0, 4.0, 5.0])?, (1, 0));
    assert_eq!(marks(&[1.0, 2.0, f64::NAN, 4.0, 5.0])?, (2, 0));
    assert_eq!(marks(&[1.0, f64::INFINITY, 3.0, f64::NAN, 5.0])?, (0, 3));
    assert_eq!(marks(&[f64::NAN, f64::NAN, 3.0])?, (0, 1));
    Ok(())
}

#[test]
fn panels_share_a_legend_and_a_range() -> Result<()> {
    let pair =
        |scale: f64| Curves::new("").values("loss", &[scale, 0.0]).values("val", &[scale, 0.5]);
    let figure = Figure::new("").panel(pair(1.0)).panel(pair(80.0));
    let count = |figure: &Figure, word: &str| -> Result<usize> {
        Ok(figure.svg()?.matches(&format!("\n{word}\n")).count())
    };
    assert_eq!((count(&figure, "val")?, count(&figure, "80")?), (1, 1));
    assert_eq!(count(&figure.clone().share_y(), "80")?, 2);
    // A call before the panels are added has the same effect.
    let early = Figure::new("").share_y().panel(pair(1.0)).panel(pair(80.0));
    assert_eq!(early.svg()?, figure.clone().share_y().svg()?);
    let mixed = Figure::new("").share_y().panel(pair(1.0).include_y(0.0, 80.0)).panel(pair(2.0));
    assert_eq!(count(&mixed, "80")?, 2, "what one panel includes all do");
    let limited = Figure::new("").share_y().panel(pair(80.0).limit_y(0.0, 4.0)).panel(pair(40.0));
    assert_eq!(count(&limited, "40")?, 2, "limits widen, and hold still");
    assert_eq!(count(&limited, "80")?, 0);
    let other = figure.panel(Curves::new("").values("else", &[1.0]));
    assert_eq!((count(&other, "val")?, count(&other, "else")?), (2, 1));
    Ok(())
}

#[test]
fn a_line_ends_at_the_limits_of_its_axis() -> Result<()> {
    let falling = Curves::new("").values("a", &[100.0, 3.0, 2.0, 1.0, -50.0]).limit_y(0.0, 4.0);
    let figure = Figure::from(falling);
    let (size, pixels) = decode(&figure.png()?)?;
    // Anything left out would otherwise be drawn far beyond the edges.
    shows(&pixels, size)?;
    let svg = figure.svg()?;
    ensure!(svg.contains("\n4.0\n") && !svg.contains("\n100"), "{svg}");
    Ok(())
}

#[test]
fn many_series_are_told_apart_by_their_strokes() -> Result<()> {
    let strokes = |count: usize| -> Result<usize> {
        let curves = (0..count).fold(Curves::new(""), |curves, i| {
            curves.values(format!("series {i}"), &[0.0, 1.0 + i as f64])
        });
        Ok(Figure::from(curves).svg()?.matches("stroke=\"#1F64B4\"").count())
    };
    // The ninth has the first's colour: a line in the plot and one in the legend, in many strokes.
    assert_eq!(strokes(8)?, 2);
    assert!(strokes(9)? > 20, "{}", strokes(9)?);
    Ok(())
}

#[test]
fn what_cannot_be_drawn_is_refused() -> Result<()> {
    let one = [1.0];
    let scatter =
        |labels: &[u32]| Scatter::new("s").classes(&["a", "b"], &[0.0, 1.0, 2.0, 3.0], labels);
    let regions = |grid: Grid, n| Figure::from(scatter(&[0, 1]).regions(&grid, &vec![0.5; n]));
    let curves = || Curves::new("c").values("a", &one);
    let images = |n: usize| ImageGrid::bytes("i", [2, 2], &vec![0; n]);
    let cases: Vec<(Figure, &str)> = vec![
        (Figure::new("none"), "`none`: the figure has no panel"),
        (Figure::from(curves()).columns(0), "columns = 0"),
        (Curves::new("empty").into(), "`empty`: the picture has no series"),
        (curves().values::<f32>("b", &[]).into(), "`b`: the series is empty"),
        (curves().series("b", &[1.0, 2.0], &one).into(), "`b`: 2 places for 1 values"),
        (curves().values("b", &[f64::NAN]).into(), "`b`: no value can be shown"),
        (curves().values("b", &[-1.0]).log_y().into(), "`b`: no value can be shown"),
        (curves().y("y").values("b", &[-1e308, 1e308]).into(), "`y`: values from"),
        (curves().limit_y(2.0, 1.0).into(), "limit_y = 2 to 1"),
        (curves().limit_y(0.0, f64::NAN).into(), "limit_y = 0 to NaN"),
        (curves().limit_y(0.0, 1.0).log_y().into(), "limit_y = 0 to 1"),
        (curves().panel_size(20, 500).into(), "panel_size = 20 x 500"),
        (curves().panel_size(20_000, 500).into(), "size = 200"),
        (Scatter::new("s").into(), "`s`: the picture has no point"),
        (scatter(&[0]).into(), "`labels`: 1 labels for 4 coordinates"),
        (scatter(&[0, 2]).into(), "`labels`: label 2 at 1"),
        (Scatter::new("").class("odd", &[1.0; 3]).into(), "`odd`: 3 coordinates"),
        (
            Scatter::new("").class("a", &[1.0; 2]).segments(&[1.0; 6]).into(),
            "`segments`: 6 coordinates",
        ),
        (regions(Grid::new(0.0..1.0, 0.0..1.0, 1, 4), 4), "grid = 1 x 4"),
        (regions(Grid::new(1.0..0.0, 0.0..1.0, 4, 4), 16), "grid = 4 x 4"),
        (regions(Grid::new(0.0..f32::NAN, 0.0..1.0, 4, 4), 16), "grid = 4 x 4"),
        (regions(Grid::new(0.0..1.0, 0.0..1.0, 4, 4), 15), "`probabilities`: 15 for 4 x 4"),
        (ConfusionMatrix::new("", &["a", "b"], [1_u8; 3]).into(), "3 counts for 2 classes"),
        (ConfusionMatrix::new::<&str, u8>("", &[], &[]).into(), "0 counts for 0 classes"),
        (
            Heatmap::new("", &["a", "b"], &["c"], &[0.0; 3]).into(),
            "3 numbers for 2 rows and 1 columns",
        ),
        (Heatmap::new::<&str, &str>("", &[], &[], &[]).into(), "0 numbers for 0 rows"),
        (ConfusionMatrix::new("", &vec!["a"; 500], vec![1_u8; 250_000]).into(), "size = 20"),
        (images(0).into(), "`images`: 0 pixels"),
        (images(7).into(), "`images`: 7 pixels"),
        (ImageGrid::bytes("", [0, 2], &[]).into(), "`images`: 0 pixels"),
        (images(8).captions(&["a"]).into(), "`captions`: 1 for 2 images"),
        (images(8).columns(0).into(), "columns = 0"),
        (
            ImageGrid::rgb("", [2, 2], &[0.0; 13]).into(),
            "`images`: 13 numbers are no images of 2 x 2 x 3",
        ),
        (ImageGrid::rgb_bytes("", [2, 2], &[0; 4]).into(), "`images`: 4 numbers"),
        (ImageGrid::grey("", [2, 2], &[]).into(), "`images`: 0 pixels"),
        (
            ImageGrid::feature_maps("", [2, 2, 3], &[0.0; 8]).into(),
            "`images`: 8 numbers are no maps",
        ),
        (ImageGrid::feature_maps("", [2, 2, 0], &[0.0; 8]).into(), "[2, 2, 0]"),
        (
            ImageGrid::kernels("", [2, 2, 1, 3], &[0.0; 8]).into(),
            "`images`: 8 numbers are no kernels",
        ),
        (ImageGrid::kernels("", [2, 2, 1, 0], &[0.0; 8]).into(), "[2, 2, 1, 0]"),
        (
            ImageGrid::kernels("", [2, 2, 2, 1], &[0.0; 8]).into(),
            "`images`: 2 channels have no colours",
        ),
    ];
    let path = folder("refused")?.join("a.png");
    for (figure, expected) in cases {
        for error in [figure.save(&path).err(), figure.svg().err(), figure.size().err()] {
            let message = error.with_context(|| format!("`{expected}` passed"))?.to_string();
            ensure!(message.contains(expected), "`{message}` lacks `{expected}`");
        }
        ensure!(!path.exists(), "{expected}: a file was written");
    }
    Ok(())
}

#[test]
fn paths_are_checked() -> Result<()> {
    let folder = folder("paths")?;
    let curves = Curves::new("c").values("a", &[1.0]);
    for name in ["a.jpeg", "a", "a.png.txt", ".png"] {
        let error = curves.save(folder.join(name)).err().with_context(|| name)?;
        ensure!(matches!(&error, Error::File { field, .. } if field == "extension"), "{error}");
        ensure!(error.to_string().contains(name), "{error}");
    }
    ensure!(!folder.exists(), "a folder was made");
    curves.save(folder.join("a.png"))?;
    // A file in place of a needed folder, and a folder in place of a needed file.
    std::fs::create_dir(folder.join("b.png"))?;
    for name in ["a.png/b.png", "b.png"] {
        let error = curves.save(folder.join(name)).err().with_context(|| name)?;
        ensure!(matches!(&error, Error::Io { path, .. } if path.ends_with(name)), "{error}");
    }
    Ok(())
}
