//! What callbacks decide against Keras' own, on recorded sequences (`tests/known/README.md`).

use super::*;
use serde_json::Value;

fn cases(section: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../known/callbacks.json")).unwrap();
    let cases = all[section].as_array().unwrap().clone();
    assert!(cases.len() >= 20, "{} cases", cases.len());
    cases
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn count(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

fn mode(config: &Value) -> Mode {
    if config["mode"] == "max" { Mode::Max } else { Mode::Min }
}

#[test]
fn early_stopping_decides_as_keras() -> Result<()> {
    let mut trainer = trainer();
    let mut stopped = 0;
    for case in cases("early_stopping") {
        let config = &case["config"];
        let values = numbers(&case["values"]);
        let mut stopping = EarlyStopping::new("loss")
            .mode(mode(config))
            .patience(count(&config["patience"]))
            .min_delta(config["min_delta"].as_f64().unwrap())
            .start_from_epoch(count(&config["start_from_epoch"]));
        if let Some(baseline) = config["baseline"].as_f64() {
            stopping = stopping.baseline(baseline);
        }
        let fit = fit(values.len()).callback(made_up("loss", &values)).callback(&mut stopping);
        let ran = trainer.fit(&line(4), fit)?.epochs.len();
        assert_eq!(ran, count(&case["epochs"]), "{case}");
        assert_eq!(stopping.best(), case["best"].as_f64(), "{case}");
        assert_eq!(stopping.best_epoch(), Some(count(&case["best_epoch"])), "{case}");
        assert_eq!(stopping.wait(), count(&case["wait"]), "{case}");
        stopped += usize::from(ran < values.len());
    }
    assert!(stopped >= 10, "{stopped} sequences end early");
    Ok(())
}

#[test]
fn rates_fall_as_in_keras() -> Result<()> {
    let mut reduced = 0;
    let mut trainer = trainer();
    for case in cases("reduce_lr_on_plateau") {
        let config = &case["config"];
        let values = numbers(&case["values"]);
        let reduce = ReduceLrOnPlateau::new("loss")
            .mode(mode(config))
            .factor(config["factor"].as_f64().unwrap())
            .patience(count(&config["patience"]))
            .min_delta(config["min_delta"].as_f64().unwrap())
            .cooldown(count(&config["cooldown"]))
            .min_lr(config["min_lr"].as_f64().unwrap());
        trainer.set_learning_rate(0.125)?;
        let fit = fit(values.len()).callback(made_up("loss", &values)).callback(reduce);
        let mut rates = trainer.fit(&line(4), fit)?.get("learning_rate");
        rates.push(trainer.learning_rate());
        // Rates are f32; reading decimals as f64 may be off by a unit in the last place.
        let rates: Vec<f32> = rates.into_iter().map(|r| r as f32).collect();
        let want: Vec<f32> =
            numbers(&case["learning_rates"]).into_iter().map(|r| r as f32).collect();
        assert_eq!(rates, want, "{case}");
        reduced += want.windows(2).filter(|w| w[0] != w[1]).count();
    }
    assert!(reduced >= 50, "{reduced} reductions");
    Ok(())
}
