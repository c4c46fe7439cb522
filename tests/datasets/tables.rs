//! CSV files as others write them, and tables made of several.

use super::{folder, says};
use proptest::prelude::*;
use std::time::{Duration, Instant};
use wgrad::data::{Column, ColumnType, Csv, Missing, Table, TableEncoder};
use wgrad::tensor::Tensor;
use wgrad::{Error, Result};

pub fn read(csv: &Csv, text: impl AsRef<[u8]>) -> Result<Table> {
    csv.read_from("homes.csv", text.as_ref())
}

/// The field and the detail of the error.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(result: Result<T>) -> (String, String) {
    match result {
        Err(Error::File { path, field, detail }) => {
            assert_eq!(path, "homes.csv");
            (field, detail)
        }
        other => panic!("expected Error::File, got {other:?}"),
    }
}

/// A column's numbers by their bits, so that NaN equals itself.
#[track_caller]
pub fn bits(table: &Table, column: &str) -> Vec<u32> {
    let numbers = table.numbers(&[column]).unwrap();
    numbers.as_f32().unwrap().iter().map(|v| v.to_bits()).collect()
}

pub fn of(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

pub const IRIS: &str = "5.1,3.5,Iris-setosa\n4.9,3.0,Iris-setosa\n6.3,3.3,Iris-virginica\n";

#[test]
fn names_that_do_not_suit_are_refused() {
    let csv = Csv::new().names(["a", "b"]);
    let (field, detail) = refused(read(&csv, "1,2,3\n"));
    assert_eq!((&*field, &*detail), ("line 1, column 3", "the row has 3 fields, the names are 2"));
    says(read(&Csv::new().names(["a", "a"]), "1,2\n"), &["names", "`a`", "columns 1 and 2"]);
    says(read(&Csv::new().names(["a", ""]), "1,2\n"), &["names", "column 2 needs a name"]);
    let (field, _) = refused(read(&csv.clone().header(true), "x,y\n"));
    assert_eq!(field, "line 2");
    let (field, detail) = refused(read(&csv, "\n"));
    assert_eq!(field, "line 1", "{detail}");
}

#[test]
fn a_wrong_delimiter_is_named() {
    let semicolons = "area;rooms;town\n70,5;3;Jena\n55;2;Halle\n";
    let (field, detail) = refused(read(&Csv::new(), semicolons));
    assert_eq!(field, "line 1");
    for words in ["delimiter is `,`", "2 `;`", "Csv::delimiter(b';')"] {
        assert!(detail.contains(words), "{detail}");
    }
    for (delimiter, shown) in [('\t', "\\t"), ('|', "|"), (';', ";")] {
        let text = semicolons.replace(';', &delimiter.to_string());
        let (_, detail) = refused(read(&Csv::new(), &text));
        assert!(detail.contains(&format!("Csv::delimiter(b'{shown}')")), "{detail}");
        // The advice in the message works.
        let csv = Csv::new().delimiter(delimiter as u8).decimal_comma();
        assert_eq!(bits(&read(&csv, &text).unwrap(), "area"), of(&[70.5, 55.0]));
        let bare = text.split_once('\n').unwrap().1;
        let (field, detail) =
            refused(read(&Csv::new().names(["a", "b", "c"]), bare.replace(',', "")));
        assert_eq!(field, "line 1, column `b`");
        assert!(detail.contains(&format!("Csv::delimiter(b'{shown}')")), "{detail}");
    }
    let (_, detail) = refused(read(&Csv::new().delimiter(b';'), "a,b\n1,2\n"));
    assert!(detail.contains("Csv::delimiter(b',')"), "{detail}");
    let (_, detail) = refused(read(&Csv::new().header(false), "1;x\n2;y\n"));
    assert!(detail.contains("Csv::delimiter(b';')"), "{detail}");
    // One column of text is one column.
    for text in ["text\nhello; you\n", "a;b\nx\ny\n"] {
        assert_eq!(read(&Csv::new(), text).unwrap().names().len(), 1, "{text:?}");
    }
    for delimiter in [b'"', b'\n', b'\r'] {
        says(read(&Csv::new().delimiter(delimiter), "a,b\n1,2\n"), &["delimiter", "no delimiter"]);
    }
}

#[test]
fn numbers_are_read_in_other_notations() {
    let german = Csv::new().delimiter(b';').decimal_comma().thousands('.');
    let table = read(&german, "price;area\n1.234,5;70,25\n-980;1e3\n").unwrap();
    assert_eq!(bits(&table, "price"), of(&[1234.5, -980.0]));
    assert_eq!(bits(&table, "area"), of(&[70.25, 1000.0]));
    let us = read(&Csv::new().thousands(','), "id,n\n\"16,777,217\",1\n16777216,2\n").unwrap();
    assert_eq!(us.labels("id").unwrap().classes, ["16777216", "16777217"]);
    // A separator in another place is no number: 1.5 is not fifteen.
    let (field, detail) = refused(read(&german, "price\n2,5\n1.5\n"));
    assert_eq!(field, "line 3, column `price`");
    assert!(detail.contains("`1.5` is no finite number"), "{detail}");
    // The message about a missing setting says what the file needs.
    let text = read(&Csv::new().delimiter(b';'), "price;n\n2,5;1\n").unwrap();
    let (_, detail) = refused(text.numbers(&["price"]));
    assert!(detail.contains("Csv::decimal_comma"), "{detail}");
    let (_, detail) = refused(read(&Csv::new().delimiter(b';'), "price;n\n2;1\n2,5;1\n"));
    assert!(detail.contains("Csv::decimal_comma"), "{detail}");
    for (csv, mark) in [
        (Csv::new().thousands('.'), "`.`"),
        (german.thousands(','), "`,`"),
        (Csv::new().thousands('0'), "`0`"),
    ] {
        says(read(&csv, "a\n1\n"), &["thousands", mark]);
    }
}

#[test]
fn every_line_end_is_one() {
    let text = "town,rooms\n\"Halle\n(Saale)\",3\n\nJena,4\nGera,5";
    let want = read(&Csv::new(), text).unwrap();
    assert_eq!(want.len(), 3);
    for end in ["\r\n", "\r"] {
        let other = text.replace('\n', end);
        assert_eq!(read(&Csv::new(), &other).unwrap(), want, "{end:?}");
        // In pieces of one byte too, which separate CR and LF.
        let mut left = other.as_bytes();
        let slow = std::iter::from_fn(|| left.split_off_first().map(|b| [*b]));
        assert_eq!(Csv::new().read_from("homes.csv", Pieces(slow)).unwrap(), want, "{end:?}");
        let bad = other.replace("4", "four");
        let (field, _) = refused(read(&Csv::new().column("rooms", ColumnType::Number), &bad));
        assert_eq!(field, "line 5, column `rooms`", "{end:?}");
        let (field, _) = refused(read(&Csv::new(), format!("a,b{end}1,2{end}3,\"4{end}")));
        assert_eq!(field, "line 3", "{end:?}");
    }
}

/// A reader that gives a byte at a time.
struct Pieces<I>(I);

impl<I: Iterator<Item = [u8; 1]>> std::io::Read for Pieces<I> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.0.next() {
            Some([byte]) if !buffer.is_empty() => buffer[0] = byte,
            _ => return Ok(0),
        }
        Ok(1)
    }
}

#[test]
fn an_unnamed_index_is_no_column() {
    // df.to_csv(path) with a shuffled index, and R's write.csv.
    let table = read(&Csv::new(), ",a,town\n7,1,Jena\n2,2,Halle\n").unwrap();
    assert_eq!(table.names(), ["a", "town"]);
    assert_eq!(table.index().unwrap(), ["7", "2"]);
    assert_eq!(bits(&table, "a"), of(&[1.0, 2.0]));
    let quoted = read(&Csv::new(), "\"\",\"a\"\n\"1\",5\n").unwrap();
    assert_eq!(
        (quoted.names(), quoted.index()),
        (&["a".to_owned()][..], Some(&["1".to_owned()][..]))
    );
    assert_eq!(read(&Csv::new(), "a,b\n1,2\n").unwrap().index(), None);
    // Any other column needs a name, and so does one alone.
    let (field, _) = refused(read(&Csv::new(), ",a,\n1,2,3\n"));
    assert_eq!(field, "line 1, column 3");
    let (field, _) = refused(read(&Csv::new(), "\"\"\n1\n"));
    assert_eq!(field, "line 1, column 1");
    // An empty index is no missing value.
    let csv = Csv::new().missing(Missing::DropRow);
    assert_eq!(read(&csv, ",a\n,1\n").unwrap().len(), 1);
}

#[test]
fn missing_values_are_filled_dropped_or_let_through() {
    let text = "age,town\n,Jena\n20,NA\n40,Halle\n?,\nNaN,Jena\n";
    let csv = Csv::new().missing_value("?");
    // Without a setting, the first missing value is refused, and the message says what to do.
    let (field, detail) = refused(read(&csv, text));
    assert_eq!(field, "line 2, column `age`");
    assert!(detail.contains("empty") && detail.contains("Csv::missing"), "{detail}");
    let towns = csv.clone().missing_in("town", Missing::fill("nowhere"));

    let filled = read(&towns.clone().missing(Missing::fill(-1)), text).unwrap();
    assert_eq!(bits(&filled, "age"), of(&[-1.0, 20.0, 40.0, -1.0, -1.0]));
    assert_eq!(filled.labels("town").unwrap().classes, ["Halle", "Jena", "nowhere"]);
    assert_eq!(filled.labels("age").unwrap().classes, ["-1", "20", "40"]);

    let mean = read(&towns.clone().missing(Missing::Mean), text).unwrap();
    assert_eq!(bits(&mean, "age"), of(&[30.0, 20.0, 40.0, 30.0, 30.0]));
    assert_eq!(mean.mean("age").unwrap(), 30.0);
    // A mean is no class, though it is whole.
    let (field, detail) = refused(mean.labels("age"));
    assert_eq!(
        (&*field, detail.starts_with("a missing value is no class")),
        ("line 2, column `age`", true)
    );
    // A test file takes the training file's mean.
    let test = towns.clone().missing_in("age", Missing::fill(mean.mean("age").unwrap()));
    assert_eq!(bits(&read(&test, "age,town\n,Jena\n").unwrap(), "age"), of(&[30.0]));

    let nan = read(&towns.missing(Missing::Nan), text).unwrap();
    let values = nan.numbers(&["age"]).unwrap();
    let values = values.as_f32().unwrap();
    assert!([0, 3, 4].iter().all(|&i| values[i].is_nan()) && values[1..3] == [20.0, 40.0]);
    assert_eq!(nan.mean("age").unwrap(), 30.0);

    let dropped = read(&csv.clone().missing(Missing::DropRow), text).unwrap();
    assert_eq!((dropped.len(), bits(&dropped, "age")), (1, of(&[40.0])));
    // Messages about the rows that are left name the line in the file.
    let (field, _) = refused(dropped.numbers(&["town"]));
    assert_eq!(field, "line 4, column `town`");
    let some = csv.missing(Missing::Nan).missing_in("town", Missing::DropRow);
    assert_eq!(read(&some, text).unwrap().len(), 3);
}

#[test]
fn missing_values_that_cannot_be_filled_are_refused() {
    let (field, detail) = refused(read(&Csv::new().missing(Missing::Mean), "a,b\n1,x\n2,\n"));
    assert_eq!(field, "line 3, column `b`");
    assert!(detail.contains("no mean") && detail.contains("Missing::fill"), "{detail}");
    let (field, detail) = refused(read(&Csv::new().missing(Missing::Mean), "a,b\nNA,x\n,y\n"));
    assert_eq!(field, "line 2, column `a`");
    assert!(detail.contains("no field has a value"), "{detail}");
    let (field, detail) = refused(read(&Csv::new().missing(Missing::fill("x")), "a\n1\nNA\n"));
    assert_eq!(field, "line 3, column `a`");
    assert!(detail.contains("the fill `x` is no finite number"), "{detail}");
    let (field, detail) = refused(read(&Csv::new().missing(Missing::DropRow), "a,b\n1,\n,2\n"));
    assert_eq!(field, "line 1");
    assert!(detail.contains("every row"), "{detail}");
    let (field, _) = refused(read(&Csv::new().missing_in("c", Missing::Nan), "a,b\n1,\n"));
    assert_eq!(field, "column `c`");
    // Without a policy, text that looks like a missing value stays text: Namibia's code is NA.
    let table = read(&Csv::new(), "country\nNA\nDE\n").unwrap();
    assert_eq!(table.labels("country").unwrap().classes, ["DE", "NA"]);
}

#[test]
fn text_becomes_one_hot_with_the_vocabulary_of_training() {
    let train = read(&Csv::new(), "area,town,rooms\n70,Jena,3\n55,Halle,2\n60,Jena,1\n").unwrap();
    let (encoder, x) = TableEncoder::fit_transform(&train, &["town", "area"]).unwrap();
    assert_eq!(encoder.names(), ["town=Halle", "town=Jena", "area"]);
    assert_eq!(encoder.classes("town").unwrap(), ["Halle", "Jena"]);
    assert_eq!(encoder.classes("area"), None);
    let want = [0.0, 1.0, 70.0, 1.0, 0.0, 55.0, 0.0, 1.0, 60.0];
    assert_eq!(x, Tensor::f32([3, 3], want).unwrap());
    // Columns in another order and a class that is missing: the same features.
    let test = read(&Csv::new(), "town,area\nJena,50\n").unwrap();
    assert_eq!(encoder.transform(&test).unwrap().as_f32().unwrap(), [0.0, 1.0, 50.0]);
    let other = read(&Csv::new(), "town,area\nJena,50\nGera,40\n").unwrap();
    let (field, detail) = refused(encoder.transform(&other));
    assert_eq!(field, "line 3, column `town`");
    assert!(detail.contains("`Gera`") && detail.contains("unknown_as_zeros"), "{detail}");
    let lenient = encoder.clone().unknown_as_zeros();
    let x = lenient.transform(&other).unwrap();
    assert_eq!(x.as_f32().unwrap(), [0.0, 1.0, 50.0, 0.0, 0.0, 40.0]);
    // A column that has changed its type.
    let (field, detail) =
        refused(encoder.transform(&read(&Csv::new(), "town,area\n1,2\n").unwrap()));
    assert_eq!(field, "line 2, column `town`");
    assert!(detail.contains("ColumnType::Text"), "{detail}");
    let (field, _) = refused(encoder.transform(&read(&Csv::new(), "town,area\nJena,x\n").unwrap()));
    assert_eq!(field, "line 2, column `area`");
    let (field, _) = refused(encoder.transform(&read(&Csv::new(), "area\n1\n").unwrap()));
    assert_eq!(field, "column `town`");
    says(TableEncoder::fit(&train, &[""; 0]), &["columns"]);
    let gap = read(&Csv::new(), "a,town\n1,Jena\n2,\n").unwrap();
    assert_eq!(refused(TableEncoder::fit(&gap, &["town"])).0, "line 3, column `town`");
}

#[test]
fn a_saved_encoder_comes_back() {
    let folder = std::env::temp_dir().join(format!("wgrad-encoder-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("encoder.json");
    let table = read(&Csv::new(), "area,town\n70,\"Je\"\"na\"\n55,Köln\n").unwrap();
    let (encoder, x) = TableEncoder::fit_transform(&table, &["town", "area"]).unwrap();
    for encoder in [encoder.clone(), encoder.clone().unknown_as_zeros()] {
        encoder.save(&path).unwrap();
        let back = TableEncoder::load(&path).unwrap();
        assert_eq!(back, encoder);
        assert_eq!(back.transform(&table).unwrap(), x);
        assert_eq!(TableEncoder::from_json(&encoder.to_json()).unwrap(), encoder);
    }
    // The negative control: the setting is part of the file.
    assert_ne!(TableEncoder::load(&path).unwrap(), encoder);
    for (bad, word) in [
        (r#""columns":[],"unknown_as_zeros":false"#, "`columns`"),
        (r#""columns":[{"column":"a","classes":["x","x"]}],"unknown_as_zeros":false"#, "`columns`"),
        (r#""columns":[{"column":"a","classes":[]}],"unknown_as_zeros":false"#, "`columns`"),
        (r#""columns":[{"column":1,"classes":null}],"unknown_as_zeros":false"#, "`columns`"),
        (r#""columns":[{"column":"a","classes":[1]}],"unknown_as_zeros":false"#, "`columns`"),
        (r#""columns":[{"column":"a","classes":null}]"#, "`unknown_as_zeros`"),
    ] {
        let bad = format!(r#"{{"kind":"TableEncoder",{bad}}}"#);
        says(TableEncoder::from_json(&bad), &[word, "no saved TableEncoder"]);
        std::fs::write(&path, bad).unwrap();
        says(TableEncoder::load(&path), &["encoder.json", word]);
    }
    for other in ["", "{}", "[", r#"{"kind":"StandardScaler"}"#] {
        says(TableEncoder::from_json(other), &["no saved TableEncoder"]);
    }
    says(TableEncoder::load(folder.join("none")), &["none"]);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn columns_of_several_files_are_joined() {
    let csv = |name: &str, text: &str| Csv::new().read_from(name, text.as_bytes()).unwrap();
    let homes = || csv("homes.csv", "id,area\n16777217,70\n16777216,55\n16777217,60\n");
    let prices = || csv("prices.csv", "price,id\n180,16777216\n210,16777217\n99,5\n");
    let both = homes().join_on(prices(), "id").unwrap();
    assert_eq!(both.names(), ["id", "area", "price"]);
    assert_eq!(bits(&both, "price"), of(&[210.0, 180.0, 210.0]));
    let beside = homes().join(csv("towns.csv", "town\nJena\n\nHalle\nx\n")).unwrap();
    let towns = ["Jena", "Halle", "x"].map(str::to_owned).to_vec();
    assert_eq!(beside.column("town").unwrap(), &Column::Text(towns));
    // Messages name the file and the line from which a field came.
    let read = beside.numbers(&["town"]);
    says(read, &["towns.csv: line 2, column `town`"]);
    let read = homes().join_on(csv("b.csv", "id,note\n16777216,y\n16777217,x\n"), "id").unwrap();
    says(read.numbers(&["note"]), &["b.csv: line 3, column `note`", "`x`"]);
}

#[test]
fn tables_that_do_not_join_are_refused() {
    let csv = |name: &str, text: &str| Csv::new().read_from(name, text.as_bytes()).unwrap();
    let a = || csv("a.csv", "id,x\n1,2\n3,4\n");
    says(a().join(csv("b.csv", "y\n1\n")), &["a.csv has 2 rows, b.csv has 1", "join_on"]);
    says(a().join(csv("b.csv", "x\n1\n2\n")), &["`x`", "a.csv and b.csv both"]);
    says(a().join_on(csv("b.csv", "id,x\n1,1\n3,2\n"), "id"), &["`x`", "both have"]);
    says(
        a().join_on(csv("b.csv", "id,y\n1,1\n"), "id"),
        &["a.csv: line 3, column `id`", "`3` is no key of b.csv"],
    );
    says(
        a().join_on(csv("b.csv", "id,y\n1,1\n3,2\n1,3\n"), "id"),
        &["b.csv: line 4, column `id`", "line 2 has this key too"],
    );
    says(a().join_on(csv("b.csv", "y\n1\n2\n"), "id"), &["b.csv: column `id`"]);
    says(a().join_on(csv("b.csv", "id,y\n1.5,1\n"), "id"), &["b.csv: line 2", "1.5"]);
}

#[test]
fn costs_grow_with_the_columns() {
    let names = |n: usize| (0..n).map(|i| format!("c{i}")).collect::<Vec<_>>();
    let took = |n: usize| -> Duration {
        let names = names(n);
        let row = vec!["1.5"; n].join(",");
        let text = format!("{}\n{row}\n{row}\n", names.join(","));
        let typed = names.iter().fold(Csv::new(), |csv, name| csv.column(name, ColumnType::Number));
        let once = || {
            let start = Instant::now();
            let table = read(&typed, &text).unwrap();
            assert_eq!(table.numbers(&names).unwrap().shape().dims(), [2, n]);
            start.elapsed()
        };
        (0..3).map(|_| once()).min().unwrap()
    };
    // Ten times the columns: ten times the time, and a hundred times if each looks at all others. Another program may
    // disturb a pair, so one in five is enough.
    let mut pairs = Vec::new();
    let linear = (0..5).any(|_| {
        pairs.push((took(5_000), took(50_000)));
        pairs.last().is_some_and(|&(few, many)| many < few * 35)
    });
    assert!(linear, "5,000 and 50,000 columns: {pairs:?}");
    // A name that is not there does not list them all.
    let table =
        read(&Csv::new(), format!("{}\n{}\n", names(50).join(","), vec!["1"; 50].join(",")));
    let (_, detail) = refused(table.unwrap().column("x").map(|_| ()));
    assert!(detail.ends_with("c11, 38 more"), "{detail}");
}

#[test]
fn a_file_is_read_by_its_path() {
    let path = folder("tables").join("homes.csv");
    std::fs::write(&path, IRIS).unwrap();
    assert_eq!(Csv::new().header(false).read(&path).unwrap().len(), 3);
}

proptest! {
    /// No bytes make the reader panic, whatever is set.
    #[test]
    fn any_bytes_and_settings_give_a_table_or_an_error(
        bytes in prop::collection::vec(prop::sample::select(b"a1.,;\"\n\r -NA\xff\xc3".to_vec()), 0..60),
        header in prop::option::of(any::<bool>()),
        comma in any::<bool>(),
        mark in prop::option::of(prop::sample::select(vec!['.', ',', ' '])),
        missing in prop::sample::select(vec![
            Missing::Refuse, Missing::DropRow, Missing::Mean, Missing::Nan, Missing::fill(1), Missing::fill("x"),
        ]),
    ) {
        let mut csv = Csv::new().missing(missing).delimiter(b';');
        if let Some(header) = header {
            csv = csv.header(header);
        }
        if comma {
            csv = csv.decimal_comma();
        }
        if let Some(mark) = mark {
            csv = csv.thousands(mark);
        }
        if let Ok(table) = read(&csv, &bytes) {
            prop_assert!(!table.is_empty());
            prop_assert!(table.index().is_none_or(|index| index.len() == table.len()));
            for name in table.names() {
                let len = match table.column(name).unwrap() {
                    Column::Number(values) => values.len(),
                    Column::Text(values) => values.len(),
                    other => panic!("{other:?}"),
                };
                prop_assert_eq!(len, table.len());
                let _ = (table.labels(name), table.numbers(&[name]), table.mean(name));
                if let Ok((encoder, x)) = TableEncoder::fit_transform(&table, &[name]) {
                    prop_assert_eq!(x.shape().dims(), [table.len(), encoder.names().len()]);
                }
            }
        }
    }
}
