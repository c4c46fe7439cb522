//! Clusters at the corners of a hypercube.

use super::*;

#[test]
fn classifications_are_scikit_learns() {
    agree("classification", |seed| {
        let (x, y) = parts(
            &make_classification(&Classification {
                n_samples: 500,
                n_features: 9,
                n_informative: 3,
                n_redundant: 2,
                n_repeated: 1,
                n_classes: 3,
                n_clusters_per_class: 2,
                weights: vec![0.5, 0.3, 0.2],
                flip_y: 0.05,
                class_sep: 1.5,
                shift: 0.5,
                scale: 2.0,
                shuffle: false,
                seed,
            })
            .unwrap(),
        );
        let informative = |row: &[f64]| row[..3].iter().sum::<f64>() / 3.0;
        vec![
            ("informative_mean", mean(&x.rows().map(informative).collect::<Vec<_>>())),
            ("informative_var", x.var(0..3)),
            ("redundant_var", x.var(3..5)),
            ("random_var", x.var(6..9)),
            ("class0", share(&y, 0)),
            ("class2", share(&y, 2)),
            ("nearest_centroid", nearest_centroid(&x, &y)),
        ]
    });
}

#[test]
fn classifications_have_the_columns_they_promise() {
    let options = Classification {
        n_samples: 2000,
        n_features: 6,
        n_redundant: 1,
        n_repeated: 1,
        flip_y: 0.0,
        class_sep: 10.0,
        n_clusters_per_class: 1,
        shuffle: false,
        ..Classification::default()
    };
    let (x, y) = parts(&make_classification(&options).unwrap());
    assert_eq!((share(&y, 0), share(&y, 1)), (0.5, 0.5));
    // Far clusters: a single informative column on which the corners differ tells the classes apart.
    let alone = |c: usize| {
        let column = Table { values: x.column(c), width: 1 };
        nearest_centroid(&column, &y)
    };
    assert!(alone(0).max(alone(1)) > 0.999, "{} {}", alone(0), alone(1));
    assert!(alone(4) < 0.6 && alone(5) < 0.6, "{} {}", alone(4), alone(5));
    // The redundant column is linear in the informative ones: any three rows fix the two factors.
    let rows: Vec<&[f64]> = x.rows().collect();
    let (a, b) = (rows[0], rows[1]);
    let det = a[0] * b[1] - a[1] * b[0];
    let (p, q) = ((a[2] * b[1] - a[1] * b[2]) / det, (a[0] * b[2] - a[2] * b[0]) / det);
    assert!(p.abs() < 1.01 && q.abs() < 1.01, "{p} {q}");
    for row in &rows {
        assert!(close(row[2], p * row[0] + q * row[1], 1e-3), "{row:?}");
        assert!((0..3).any(|c| row[c] == row[3]), "{row:?}");
    }
    // With a shuffle, the same samples have another order of rows and columns.
    let shuffled =
        make_classification(&Classification { shuffle: true, ..options.clone() }).unwrap();
    let sorted = |x: &Table| {
        let mut sums: Vec<f64> = x.rows().map(|row| row[..].iter().map(|v| v * v).sum()).collect();
        sums.sort_by(f64::total_cmp);
        sums
    };
    let (mixed, labels) = parts(&shuffled);
    assert_ne!(labels, y);
    let pairs = sorted(&x).into_iter().zip(sorted(&mixed));
    assert!(pairs.into_iter().all(|(a, b)| close(a, b, 1e-5)));
}
