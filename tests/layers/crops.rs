//! Random crops: the windows that they are, and their gradients.

use super::augment::{SETTING, pixel};
use super::*;

#[test]
fn crops_are_windows_at_every_place() {
    let shape = [300, 6, 5, 2];
    let x = numbers(&shape, 6);
    let images = x.as_f32().unwrap();
    let step = layer_step(&RandomCrop::new(4, 2), &[&x], &[], Some(SETTING)).unwrap();
    let mut places = [0; 12];
    for (b, got) in step.y().chunks(16).enumerate() {
        let is_at = |top: usize, left: usize| {
            (0..16).all(|i| {
                let from = [b, top + i / 4, left + i / 2 % 2, i % 2];
                got[i] == pixel(images, shape, from)
            })
        };
        let found = (0..12).find(|p| is_at(p / 4, p % 4)).expect("a window of the image");
        places[found] += 1;
    }
    // 25 are expected at each place, with a standard deviation below 5.
    assert!(places.iter().all(|n| (5..=50).contains(n)), "{places:?}");
    // Where an axis fits exactly there is one place.
    let whole = layer_step(&RandomCrop::new(6, 5), &[&x], &[], Some(SETTING)).unwrap();
    assert_eq!(whole.y(), images);
}

#[test]
fn a_crop_in_evaluation_is_the_largest_window_in_the_middle() {
    let shape = [2, 4, 6, 1];
    let x = numbers(&shape, 7);
    let images = x.as_f32().unwrap();
    let middle = |height, width, random| {
        layer_step(&RandomCrop::new(height, width), &[&x], &[], random).unwrap()
    };
    // A square: all lines of the four columns in the middle, as they are.
    let square = middle(4, 4, None);
    for i in 0..32 {
        assert_eq!(square.y()[i], pixel(images, shape, [i / 16, i / 4 % 4, 1 + i % 4, 0]));
    }
    // The same window in half the size: means of two by two pixels.
    let half = middle(2, 2, None);
    for i in 0..8 {
        let (b, r, q) = (i / 4, 2 * (i / 2 % 2), 1 + 2 * (i % 2));
        let four = [[0, 0], [0, 1], [1, 0], [1, 1]]
            .map(|[dy, dx]| pixel(images, shape, [b, r + dy, q + dx, 0]));
        assert!((half.y()[i] - four.iter().sum::<f32>() / 4.0).abs() < 1e-6);
    }
    // An image that is too small for the part is enlarged, while training too: the recorded lines are those that Keras'
    // `resize` gives for the window of one column.
    let large = middle(8, 2, Some(SETTING));
    let column = |line: usize| pixel(images, shape, [0, line, 2, 0]);
    let want =
        [column(0), 0.75 * column(0) + 0.25 * column(1), 0.25 * column(0) + 0.75 * column(1)];
    for (line, want) in want.into_iter().enumerate() {
        for q in 0..2 {
            assert!((large.y()[2 * line + q] - want).abs() < 1e-6, "line {line}");
        }
    }
    assert!(large.inputs[0].iter().any(|&d| d != 0.0));
}

#[test]
fn crops_agree_with_finite_differences() {
    let shape = [3, 6, 5, 2];
    let x = numbers(&shape, 9);
    // The window that a sample was cut from, of which its values tell.
    let cut = layer_step(&RandomCrop::new(4, 2), &[&x], &[], Some(SETTING)).unwrap();
    let images = wide(&x);
    let window = |images: &[f64], b: usize, place: usize| -> Vec<f64> {
        let at = |i: usize| [b, place / 4 + i / 4, place % 4 + i / 2 % 2, i % 2];
        let from = |[b, y, x, c]: [usize; 4]| images[((b * 6 + y) * 5 + x) * 2 + c];
        (0..16).map(|i| from(at(i))).collect()
    };
    let own = |b: usize| -> usize {
        let got = widen(&cut.y()[16 * b..][..16]);
        (0..12).find(|&place| window(&images, b, place) == got).expect("a window of the image")
    };
    let places = [own(0), own(1), own(2)];
    check_gradients("RandomCrop", &cut, &[&x], |at| {
        places.iter().enumerate().flat_map(|(b, &place)| window(&at[0], b, place)).collect()
    });
    assert!(places.iter().any(|&place| place != places[0]), "{places:?}");
}
