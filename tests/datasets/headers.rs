//! CSV files with a header, without one, and those in which a row of data seems to be one.

use super::tables::{IRIS, bits, of, read, refused};
use super::{keep_log, said};
use wgrad::data::Csv;

#[test]
fn a_file_without_a_header_keeps_its_first_row() {
    let (field, detail) = refused(read(&Csv::new(), IRIS));
    assert_eq!(field, "line 1");
    for words in ["`5.1` is a number", "no header", "Csv::header(false)", "Csv::names"] {
        assert!(detail.contains(words), "{detail}");
    }
    let numbered = read(&Csv::new().header(false), IRIS).unwrap();
    assert_eq!((numbered.len(), numbered.names().join(" ")), (3, "0 1 2".to_owned()));
    assert_eq!(bits(&numbered, "0"), of(&[5.1, 4.9, 6.3]));
    let csv = Csv::new().names(["length", "width", "species"]);
    let named = read(&csv, IRIS).unwrap();
    assert_eq!(named.len(), 3);
    assert_eq!(named.labels("species").unwrap().labels.as_u32().unwrap(), [0, 0, 1]);
    // A header whose names are replaced.
    let replaced = read(&csv.header(true), format!("a,b,c\n{IRIS}")).unwrap();
    assert_eq!(
        replaced,
        read(&Csv::new().header(true), format!("length,width,species\n{IRIS}")).unwrap()
    );
    assert_eq!(bits(&replaced, "length"), of(&[5.1, 4.9, 6.3]));
}

#[test]
fn a_header_of_numbers_is_one_if_it_is_said() {
    for text in ["1,2\n3,4\n", "1,-2e3\n3,4\n", "0.5,a\n1,2\n", "7\n8\n"] {
        let (field, detail) = refused(read(&Csv::new(), text));
        assert_eq!(field, "line 1", "{text:?}");
        assert!(detail.contains("Csv::header(true)"), "{detail}");
        let table = read(&Csv::new().header(true), text).unwrap();
        assert_eq!(table.len(), 1, "{text:?}");
        assert_eq!(read(&Csv::new().header(false), text).unwrap().len(), 2, "{text:?}");
    }
    // Years are names.
    assert_eq!(read(&Csv::new(), "country,2019,2020\nDE,1.5,2\n").unwrap().len(), 1);
    // Two fields of one number are no two names.
    let (_, detail) = refused(read(&Csv::new(), "3.5,3.5,x\n1,2,y\n"));
    assert!(detail.contains("Csv::header(false)"), "{detail}");
    // An index without a name is no name.
    let (_, detail) = refused(read(&Csv::new(), ",0,1\n0,5,6\n"));
    assert!(detail.contains("is a number"), "{detail}");
}

/// The first rows of UCI's adult.data.
const ADULT: &str = "\
39, State-gov, 77516, Bachelors, 13, Never-married, Adm-clerical, Not-in-family, White, Male, 2174, 0, 40, United-States, <=50K
50, Self-emp-not-inc, 83311, Bachelors, 13, Married-civ-spouse, Exec-managerial, Husband, White, Male, 0, 0, 13, United-States, <=50K
38, Private, 215646, HS-grad, 9, Divorced, Handlers-cleaners, Not-in-family, White, Male, 0, 0, 40, United-States, <=50K
53, Private, 234721, 11th, 7, Married-civ-spouse, Handlers-cleaners, Husband, Black, Male, 0, 0, 40, United-States, <=50K
";

#[test]
fn a_first_row_of_text_and_whole_numbers_is_not_lost() {
    let (field, detail) = refused(read(&Csv::new(), ADULT));
    assert_eq!(field, "line 1");
    for words in ["comes again below", "no header", "Csv::header(false)", "Csv::header(true)"] {
        assert!(detail.contains(words), "{detail}");
    }
    assert_eq!(read(&Csv::new().header(false), ADULT).unwrap().len(), 4);
    assert_eq!(read(&Csv::new().header(true), ADULT).unwrap().len(), 3);
    let names: Vec<String> = (0..15).map(|i| format!("column {i}")).collect();
    assert_eq!(read(&Csv::new().names(names), ADULT).unwrap().len(), 4);
    // Text alone: every name comes again, or a name is there twice.
    for text in ["low,yes\nhigh,yes\nlow,no\n", "high,high,yes\nlow,high,no\n"] {
        let (_, detail) = refused(read(&Csv::new(), text));
        assert!(detail.contains("Csv::header(false)"), "{detail}");
        assert!(read(&Csv::new().header(false), text).unwrap().len() > 1);
    }
    // A header whose years are names, one whose word comes again, and a single column of words.
    for text in [
        "country,2019,2020\nDE,1,2\nFR,3,4\n",
        "team,colour,points\nteam,red,3\nother,blue,4\n",
        "team,colour\nteam,red\nother,blue\n",
        "word\nword\nother\n",
    ] {
        assert_eq!(read(&Csv::new(), text).unwrap().len(), 2, "{text:?}");
    }
    // A number as a name may be a year, so it is told, but not if the header was said.
    keep_log();
    let text = "country,201917\nDE,1\nFR,3\n";
    assert_eq!(read(&Csv::new().header(true), text).unwrap().len(), 2);
    assert_eq!(said("201917"), Vec::<String>::new());
    assert_eq!(read(&Csv::new(), text).unwrap().len(), 2);
    let said = said("201917");
    assert!(said.len() == 1 && said[0].starts_with("WARN"), "{said:?}");
    assert!(said[0].contains("Csv::header(false)"), "{said:?}");
}
