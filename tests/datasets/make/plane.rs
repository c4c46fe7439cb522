//! Blobs, moons and circles.

use super::*;

#[test]
fn blobs_are_scikit_learns() {
    agree("blobs", |seed| {
        let centers = Centers::Random(4);
        let options = Blobs {
            n_samples: 101,
            n_features: 3,
            centers,
            cluster_std: vec![1.5],
            seed,
            ..Blobs::default()
        };
        let (x, y) = parts(&make_blobs(&options).unwrap());
        let within = (0..4).map(|class| x.of_class(&y, class).var(0..3)).collect::<Vec<_>>();
        vec![
            ("within_var", mean(&within)),
            ("total_var", var(&x.values)),
            ("class0", share(&y, 0)),
            ("class3", share(&y, 3)),
        ]
    });
}

#[test]
fn blobs_lie_where_they_are_put() {
    let centers = Centers::At(vec![vec![-5.0, 1.0], vec![20.0, 3.0]]);
    let options =
        Blobs { n_samples: 4001, centers, cluster_std: vec![0.0, 2.0], ..Blobs::default() };
    let (x, y) = parts(&make_blobs(&options).unwrap());
    let (first, second) = (x.of_class(&y, 0), x.of_class(&y, 1));
    assert_eq!((first.rows().count(), second.rows().count()), (2001, 2000));
    assert!(first.rows().all(|row| row == [-5.0, 1.0]));
    assert!(
        close(mean(&second.column(0)), 20.0, 0.01) && close(mean(&second.column(1)), 3.0, 0.06)
    );
    assert!(close(second.var(0..2), 4.0, 0.05), "{}", second.var(0..2));
    let in_order = make_blobs(&Blobs { shuffle: false, ..options }).unwrap();
    assert!(in_order.y().as_u32().unwrap().is_sorted());
    assert!(!y.is_sorted());
}

#[test]
fn moons_are_scikit_learns() {
    agree("moons", |seed| {
        let (x, y) =
            parts(&make_moons(&Moons { n_samples: 101, noise: 0.1, seed, shuffle: true }).unwrap());
        vec![
            ("mean0", mean(&x.column(0))),
            ("mean1", mean(&x.column(1))),
            ("var0", var(&x.column(0))),
            ("var1", var(&x.column(1))),
            ("class1", share(&y, 1)),
            ("nearest_centroid", nearest_centroid(&x, &y)),
        ]
    });
    // Without noise, the points are on the arcs, evenly, from end to end.
    let options = Moons { n_samples: 6, shuffle: false, ..Moons::default() };
    let (x, y) = parts(&make_moons(&options).unwrap());
    let points = [1.0, 0.0, 0.0, 1.0, -1.0, 0.0, 0.0, 0.5, 1.0, -0.5, 2.0, 0.5];
    assert!(x.values.iter().zip(points).all(|(a, b)| close(*a, b, 1e-6)), "{:?}", x.values);
    assert_eq!(y, [0, 0, 0, 1, 1, 1]);
}

#[test]
fn circles_are_scikit_learns() {
    agree("circles", |seed| {
        let options = Circles { n_samples: 101, noise: 0.1, factor: 0.4, seed, shuffle: true };
        let (x, y) = parts(&make_circles(&options).unwrap());
        let radius = |class| {
            let rows = x.of_class(&y, class);
            mean(&rows.rows().map(|p| p[0] * p[0] + p[1] * p[1]).collect::<Vec<_>>())
        };
        vec![
            ("outer", radius(0)),
            ("inner", radius(1)),
            ("mean0", mean(&x.column(0))),
            ("class1", share(&y, 1)),
        ]
    });
    let options = Circles { n_samples: 8, factor: 0.5, shuffle: false, ..Circles::default() };
    let (x, y) = parts(&make_circles(&options).unwrap());
    let points =
        [1.0, 0.0, 0.0, 1.0, -1.0, 0.0, 0.0, -1.0, 0.5, 0.0, 0.0, 0.5, -0.5, 0.0, 0.0, -0.5];
    assert!(x.values.iter().zip(points).all(|(a, b)| close(*a, b, 1e-6)), "{:?}", x.values);
    assert_eq!(y, [0, 0, 0, 0, 1, 1, 1, 1]);
}
