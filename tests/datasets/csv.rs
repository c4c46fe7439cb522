//! CSV files.

use super::{folder, says};
use proptest::prelude::*;
use wgrad::data::{Column, ColumnType, Csv, Table, TensorDataset, read_csv};
use wgrad::tensor::Tensor;
use wgrad::{Error, Result};

fn parse(text: impl AsRef<[u8]>) -> Result<Table> {
    Csv::new().read_from("homes.csv", text.as_ref())
}

/// The field and the detail of the error.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T>) -> (String, String) {
    match result {
        Err(Error::File { path, field, detail }) => {
            assert_eq!(path, "homes.csv");
            (field, detail)
        }
        other => panic!("expected Error::File, got {other:?}"),
    }
}

#[test]
fn columns_have_their_names_and_types() {
    // A byte-order mark, Windows line ends, quotes, white space, no line end at the end.
    let text = "\u{feff}area, rooms ,town\r\n70.5,3,\"Halle, Saale\"\r\n -1e2 ,\"4\", Jena";
    let table = parse(text).unwrap();
    assert_eq!((table.len(), table.is_empty()), (2, false));
    assert_eq!(table.names(), ["area", "rooms", "town"]);
    assert_eq!(table.column("area").unwrap(), &Column::Number(vec![70.5, -100.0]));
    let towns = vec!["Halle, Saale".to_owned(), "Jena".to_owned()];
    assert_eq!(table.column("town").unwrap(), &Column::Text(towns));
    let x = table.numbers(&["rooms", "area"]).unwrap();
    assert_eq!(x, Tensor::f32([2, 2], [3.0, 70.5, 4.0, -100.0]).unwrap());
}

#[test]
fn a_table_trains() {
    let text = "width,length,species\n1,2,virginica\n3,4,setosa\n5,6,virginica\n";
    let path = folder("csv").join("iris.csv");
    std::fs::write(&path, text).unwrap();
    let table = read_csv(&path).unwrap();
    let species = table.labels("species").unwrap();
    assert_eq!(species.classes, ["setosa", "virginica"]);
    assert_eq!(species.labels, Tensor::u32([3], [1, 0, 1]).unwrap());
    let x = table.numbers(&table.names()[..2]).unwrap();
    let data = TensorDataset::new(x, species.labels).unwrap();
    assert_eq!((data.len(), data.sample_shape()), (3, [2].into()));
    // A test file that lacks a class keeps the numbers of the training file.
    let test = parse("species\nvirginica\n").unwrap();
    assert_eq!(test.labels("species").unwrap().labels.as_u32().unwrap(), [0]);
    let labels = test.labels_of("species", &species.classes).unwrap();
    assert_eq!(labels.as_u32().unwrap(), [1]);

    let missing = folder("csv").join("missing.csv");
    let error = read_csv(&missing).unwrap_err();
    assert!(matches!(error, Error::Io { .. }) && error.to_string().contains("missing.csv"));
}

#[test]
fn whole_numbers_are_classes_sorted_as_numbers() {
    let table = parse("digit\n10\n9\n-1\n9.0\n").unwrap();
    let digit = table.labels("digit").unwrap();
    assert_eq!(digit.classes, ["-1", "9", "10"]);
    assert_eq!(digit.labels.as_u32().unwrap(), [2, 1, 0, 1]);
    let (field, detail) = refused(parse("y\n1\n0.5\n").unwrap().labels("y"));
    assert_eq!(field, "line 3, column `y`");
    assert!(detail.contains("0.5 is no class"), "{detail}");
}

#[test]
fn classes_are_told_apart_by_their_text() {
    // In f32 both are 16777216.
    let ids = parse("id\n16777217\n16777216\n16777217.0\n9007199254740993\n").unwrap();
    let labels = ids.labels("id").unwrap();
    assert_eq!(labels.classes, ["16777216", "16777217", "9007199254740993"]);
    assert_eq!(labels.labels.as_u32().unwrap(), [1, 0, 1, 2]);
    let again = ids.labels_of("id", &labels.classes).unwrap();
    assert_eq!(again.as_u32().unwrap(), [1, 0, 1, 2]);
    // A number that only f32 or f64 rounding makes whole is not whole.
    for bad in ["0.99999999", "0.99999999999999999999", "1e-50", "9223372036854775808", "1.5"] {
        let (field, detail) = refused(parse(format!("y\n1\n{bad}\n2\n")).unwrap().labels("y"));
        assert_eq!(field, "line 3, column `y`");
        assert!(detail.starts_with(&format!("{bad} is no class")), "{detail}");
    }
}

#[test]
fn types_can_be_set() {
    let text = "zip;area\n01067;70\n04103;55\n";
    let csv = Csv::new().delimiter(b';');
    let table = csv.read_from("homes.csv", text.as_bytes()).unwrap();
    assert_eq!(table.labels("zip").unwrap().classes, ["1067", "4103"]);
    let csv = csv.column("zip", ColumnType::Text);
    let table = csv.read_from("homes.csv", text.as_bytes()).unwrap();
    assert_eq!(table.labels("zip").unwrap().classes, ["01067", "04103"]);
    let number = Csv::new().column("a", ColumnType::Number);
    let (field, detail) = refused(number.read_from("homes.csv", "a\nx\n".as_bytes()));
    assert_eq!(
        (&*field, &*detail),
        (
            "line 2, column `a`",
            "`x` is no finite number; if the column is text, say so with Csv::column"
        )
    );
    let (field, detail) = refused(number.read_from("homes.csv", "b\n1\n".as_bytes()));
    assert_eq!(field, "column `a`");
    assert!(detail.contains("there are b"), "{detail}");
}

#[test]
fn text_in_a_number_column_is_refused_by_line_and_column() {
    for (bad, words) in [
        ("four", "`four` is no finite number"),
        ("", "the field is empty"),
        ("NaN", "`NaN` is no finite number"),
        ("inf", "`inf` is no finite number"),
        ("1e39", "`1e39` is no finite number"),
        ("1,5", "2 fields"),
        ("0x10", "`0x10`"),
    ] {
        // The quoted line end and the empty line count as lines of the file.
        let text = format!("town,rooms\n\"Halle\n(Saale)\",3\n\nJena,{bad}\n");
        let (field, detail) = refused(parse(&text));
        if bad == "1,5" {
            assert_eq!(field, "line 5, column 3");
            continue;
        }
        assert_eq!(field, "line 5, column `rooms`", "{detail}");
        assert!(detail.contains(words), "{detail}");
        // With Windows' line ends, which make an empty line a separate field, the same.
        assert_eq!(refused(parse(text.replace('\n', "\r\n"))), (field, detail));
        // In the first row, it makes the column one of text, which is refused if numbers are asked for.
        let quoted = format!("town,rooms\nGera,1\nJena,{bad}\n").replace("Gera,1", "Gera,one");
        let (field, _) = refused(parse(&quoted).unwrap().numbers(&["rooms"]));
        assert_eq!(field, "line 2, column `rooms`");
    }
}

#[test]
fn ragged_rows_are_refused_by_line_and_column() {
    let cases = [
        ("a,b,c\n1,2,3\n4,5\n", "line 3, column `c`", "the row has 2 fields, the header 3"),
        ("a,b,c\n1\n", "line 2, column `b`", "the row has 1 fields, the header 3"),
        ("a,b\n1,2\n3,4,5\n", "line 3, column 3", "the row has 3 fields, the header 2"),
    ];
    for (text, place, words) in cases {
        assert_eq!(refused(parse(text)), (place.to_owned(), words.to_owned()), "{text:?}");
    }
}

#[test]
fn a_quote_that_is_never_closed_is_refused_where_it_opens() {
    let cases = [
        ("a,b\n1,x\n3,\"y\n5,z\n7,w", 3),
        ("a,b\n1,2\n3,\"4\n5,6\n", 3),
        ("a,b\n1,\"x", 2),
        ("a,b\n1,\"", 2),
        ("a,\"b\n1,x\n", 1),
        ("\"a,b\n1,x\n", 1),
        ("\u{feff}\"a,b\n1,x\n", 1),
        ("a,b\n\n\n1,x\n\n3,\"y\n\n", 6),
        ("a,b\r\n1,x\r\n3,\"y\r\n", 3),
        // The record begins a line above, in a quote that is closed.
        ("a,b\n\"1\n2\",\"y\n5,z\n", 3),
        // Two quotes are one of the text.
        ("a,b\n1,\"x\"\"\n3,y\n", 2),
        ("a,b\n1,\"\"\"\n", 2),
    ];
    for (text, line) in cases {
        let want = (format!("line {line}"), "a quote opens here and is never closed".to_owned());
        assert_eq!(refused(parse(text)), want, "{text:?}");
    }
    // In small pieces, as a pipe may give them, the same.
    struct Slow<'a>(&'a [u8]);
    impl std::io::Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = buffer.len().min(1);
            self.0.read(&mut buffer[..count])
        }
    }
    // The parser only knows a byte order mark in one piece.
    for (text, line) in cases.into_iter().filter(|(text, _)| !text.starts_with('\u{feff}')) {
        let read = Csv::new().read_from("homes.csv", Slow(text.as_bytes()));
        assert_eq!(refused(read).0, format!("line {line}"), "{text:?}");
    }
    for text in
        ["a,b\n1,\"x\"", "a,b\n1,\"x\n\"\n", "a,b\n1,x\"\n", "a,b\n1, \"x\n", "a,b\n1,\"\"\n"]
    {
        assert_eq!(parse(text).unwrap().len(), 1, "{text:?}");
    }
}

#[test]
fn files_and_columns_that_are_not_there_are_refused() {
    let cases: [(&[u8], &str, &str); 7] = [
        (b"", "line 1", "the file is empty"),
        (b"\n\n", "line 1", "the file is empty"),
        (b"a,b\n", "line 2", "no rows"),
        (b"a,b,a\n1,2,3\n", "line 1, column 3", "`a` is the name of column 1 already"),
        (b"a,,c\n1,2,3\n", "line 1, column 2", "no name"),
        (b"a,b\n1,\xff\n", "line 2, column `b`", "not UTF-8"),
        (b"a,\xff\n1,2\n", "line 1, column 2", "not UTF-8"),
    ];
    for (text, place, words) in cases {
        let (field, detail) = refused(parse(text));
        assert_eq!(field, place, "{}", text.escape_ascii());
        assert!(detail.contains(words), "{detail}");
    }
    let table = parse("a,b\n1,x\n2,\n").unwrap();
    for result in [
        table.numbers(&["a", "c"]).map(|_| ()),
        table.column("c").map(|_| ()),
        table.labels("c").map(|_| ()),
    ] {
        let (field, detail) = refused(result);
        assert_eq!((&*field, &*detail), ("column `c`", "there is no such column; there are a, b"));
    }
    let (field, detail) = refused(table.labels("b"));
    assert_eq!(field, "line 3, column `b`");
    assert!(detail.contains("empty"), "{detail}");
    let (field, detail) = refused(table.labels_of("b", &["x"]));
    assert_eq!(field, "line 3, column `b`");
    assert!(detail.contains("none of the 1 classes"), "{detail}");
    says(table.labels_of("a", &["1", "1"]), &["classes", "more than once"]);
    says(table.numbers(&[""; 0]), &["columns = []", "at least one"]);
}

#[test]
fn an_error_of_the_reader_is_one_of_the_system() {
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the cable is out"))
        }
    }
    let error = Csv::new().read_from("homes.csv", Broken).unwrap_err();
    assert!(matches!(&error, Error::Io { .. }), "{error:?}");
    says(Err::<(), _>(error), &["homes.csv", "the cable is out"]);
}

proptest! {
    /// No bytes make the reader panic, and what it accepts is a table.
    #[test]
    fn any_bytes_give_a_table_or_an_error(bytes in prop::collection::vec(
        prop::sample::select(b"a1.,\"\n\r -\xff\xc3".to_vec()), 0..60,
    )) {
        if let Ok(table) = parse(&bytes) {
            prop_assert!(!table.is_empty() && !table.names().is_empty());
            for name in table.names() {
                let len = match table.column(name).unwrap() {
                    Column::Number(values) => values.len(),
                    Column::Text(values) => values.len(),
                    other => panic!("{other:?}"),
                };
                prop_assert_eq!(len, table.len());
                let _ = (table.labels(name), table.numbers(&[name]));
            }
        }
    }

    /// Numbers come back as they were written.
    #[test]
    fn numbers_are_read_to_the_last_bit(values in prop::collection::vec(
        any::<f32>().prop_filter("finite", |v| v.is_finite()), 1..40,
    )) {
        let rows: Vec<String> = values.iter().map(|v| format!("{v},x\n")).collect();
        let table = parse(format!("v,w\n{}", rows.concat())).unwrap();
        let read = table.numbers(&["v"]).unwrap();
        let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(read.as_f32().unwrap()), bits(&values));
    }
}
