//! A table is trained on in one process and served in another, which has nothing but the file.

use super::*;
use std::process::Command;
use wgrad::Result;
use wgrad::data::{Csv, Missing, StandardScaler, Table, TableEncoder};

/// Marks the process that trains; names its folder.
const CHILD: &str = "WGRAD_TEST_TRAINS";
const COLUMNS: [&str; 3] = ["area", "town", "rooms"];

/// 90 homes. What a home is called follows from its area and its town.
fn homes() -> String {
    let mut text = String::from("area,town,rooms,kind\n");
    for i in 0..90_u64 {
        let (area, town) = (scramble(i) % 150, ["Jena", "Halle", "Gera"][i as usize % 3]);
        let kind = match (area, town) {
            (..60, _) => "flat",
            (_, "Gera") => "farm",
            _ => "house",
        };
        // Some have no number of rooms.
        let rooms = if i % 7 == 0 { String::new() } else { (1 + area / 25).to_string() };
        text += &format!("{area},{town},{rooms},{kind}\n");
    }
    text
}

fn table(name: &str, text: &str) -> Result<Table> {
    Csv::new().missing_in("rooms", Missing::fill(2)).read_from(name, text.as_bytes())
}

/// Trains on a table and writes one file with the model and all that its samples need, and one with predictions.
fn train(folder: &Path) -> Result<()> {
    let homes = table("homes.csv", &homes())?;
    let (encoder, x) = TableEncoder::fit_transform(&homes, &COLUMNS)?;
    let (scaler, x) = StandardScaler::fit_transform(&x)?;
    let kind = homes.labels("kind")?;
    let data = TensorDataset::new(x, kind.labels)?;
    let model = Sequential::new([encoder.names().len()])
        .add(Dense::new(16).activation(Activation::Relu))
        .add(Dense::new(kind.classes.len()).activation(Activation::Softmax));
    let loss = Loss::SparseCategoricalCrossentropy { from_logits: false };
    let settings = Compile::new(Adam::new(0.02), loss).metrics([Metric::Accuracy]).seed(1);
    let mut trainer = model.compile(device(), settings)?;
    trainer.fit(&data, Fit::new().epochs(150).batch_size(30).verbose(Verbose::Silent))?;
    let saved = trainer.saved_model()?.attach("encoder", encoder.to_json());
    let saved = saved.attach("scaler", scaler.to_json()).attach("classes", kind.classes.join("\n"));
    saved.save(folder.join("homes.safetensors"))?;
    let predictions =
        trainer.predict(&scaler.transform(&encoder.transform(&table("new", NEW)?)?)?)?;
    std::fs::write(folder.join("predictions"), predictions.data().bytes()).unwrap();
    Ok(())
}

/// Homes that nobody trained on: not every town, and the columns in another order.
const NEW: &str = "rooms,town,area\n1,Gera,30\n,Gera,120\n5,Jena,115\n";

#[test]
fn a_table_is_served_in_another_process() -> Result<()> {
    if let Some(folder) = std::env::var_os(CHILD) {
        return train(Path::new(&folder));
    }
    let folder = Folder::new("served");
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "served::a_table_is_served_in_another_process"])
        .env(CHILD, folder.path())
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    // Here begins the program that serves.
    let saved = Model::load(folder.file("homes.safetensors"))?;
    let part = |name: &str| saved.attached(name).expect(name);
    let encoder = TableEncoder::from_json(part("encoder"))?;
    let scaler = StandardScaler::from_json(part("scaler"))?;
    let classes: Vec<&str> = part("classes").lines().collect();
    let x = scaler.transform(&encoder.transform(&table("new.csv", NEW)?)?)?;
    let predictions = Predictor::from_saved(device(), &saved)?.predict(&x)?;
    let named = predictions.as_f32()?.chunks(classes.len()).map(|row| {
        let largest = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]));
        classes[largest.expect("a class")]
    });
    assert_eq!(named.collect::<Vec<_>>(), ["flat", "farm", "house"]);
    // To the bit what the process gave that trained.
    let trained = std::fs::read(folder.file("predictions")).unwrap();
    assert_eq!(predictions.data().bytes(), trained);
    Ok(())
}
