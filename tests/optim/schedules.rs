//! Schedules against numbers worked out by hand, and against what their formulas promise.

use super::*;
use support::says;
use wgrad::Error;

/// Settings are f32, and rates are computed in f64 from them.
#[track_caller]
fn near(got: f64, want: f64) {
    assert!((got - want).abs() <= 2e-7 * want.abs() + 1e-12, "got {got:e}, want {want:e}");
}

#[track_caller]
fn values(schedule: impl Into<Schedule>, want: &[(u64, f64)]) {
    let schedule = schedule.into();
    schedule.check().unwrap();
    want.iter().for_each(|&(step, want)| near(schedule.at(step), want));
}

#[test]
fn a_number_is_a_constant_rate() {
    assert_eq!(Schedule::from(0.25), Schedule::Constant(0.25));
    values(0.25, &[(0, 0.25), (1, 0.25), (u64::MAX, 0.25)]);
    // A literal needs no type.
    assert_eq!(Adam::new(0.001), Adam::default());
}

#[test]
fn pieces_end_at_their_boundaries() {
    let pieces = PiecewiseConstantDecay::new([3, 5], [1.0, 0.5, 0.1]);
    values(pieces, &[(0, 1.0), (3, 1.0), (4, 0.5), (5, 0.5), (6, 0.1), (1 << 40, 0.1)]);
    values(PiecewiseConstantDecay::new([], [0.5]), &[(0, 0.5), (9, 0.5)]);
}

#[test]
fn exponential_decay_takes_a_factor_per_span() {
    let smooth = ExponentialDecay::new(0.5, 10, 0.25);
    values(smooth, &[(0, 0.5), (5, 0.25), (10, 0.125), (15, 0.0625), (20, 0.031_25)]);
    let stairs = smooth.staircase(true);
    values(stairs, &[(0, 0.5), (9, 0.5), (10, 0.125), (19, 0.125), (20, 0.031_25)]);
}

#[test]
fn inverse_time_decay_divides_by_a_line() {
    let smooth = InverseTimeDecay::new(0.5, 4, 2.0);
    values(smooth, &[(0, 0.5), (2, 0.25), (4, 0.5 / 3.0), (6, 0.125), (8, 0.1)]);
    let stairs = smooth.staircase(true);
    values(stairs, &[(0, 0.5), (3, 0.5), (4, 0.5 / 3.0), (7, 0.5 / 3.0), (8, 0.1)]);
}

#[test]
fn polynomial_decay_reaches_its_end_and_stays_or_cycles() {
    let line = PolynomialDecay::new(0.5, 10).end_learning_rate(0.25);
    values(line, &[(0, 0.5), (4, 0.4), (5, 0.375), (10, 0.25), (11, 0.25), (1000, 0.25)]);
    values(line.power(2.0), &[(0, 0.5), (5, 0.3125), (10, 0.25), (99, 0.25)]);
    // From the 11th on, the span is 20, then 30.
    let cycle = line.cycle(true);
    values(cycle, &[(0, 0.5), (10, 0.25), (11, 0.3625), (15, 0.3125), (20, 0.25), (21, 0.325)]);
    values(PolynomialDecay::new(0.5, 10), &[(10, 0.0001)]);
}

#[test]
fn a_cosine_falls_after_its_warm_up() {
    let half = 0.5f64.sqrt();
    let plain = CosineDecay::new(0.5, 8);
    values(plain, &[(0, 0.5), (2, 0.25 * (1.0 + half)), (4, 0.25), (6, 0.25 * (1.0 - half))]);
    values(plain, &[(8, 0.0), (9, 0.0), (1 << 40, 0.0)]);
    values(plain.alpha(0.5), &[(0, 0.5), (4, 0.375), (8, 0.25), (80, 0.25)]);
    let warm = CosineDecay::new(0.125, 8).alpha(0.25).warmup(0.5, 3);
    values(warm, &[(0, 0.125), (1, 0.25), (2, 0.375), (3, 0.5), (7, 0.3125), (11, 0.125)]);
    values(warm, &[(12, 0.125), (1000, 0.125)]);
    // A warm-up of no steps begins at its target.
    values(CosineDecay::new(0.125, 8).warmup(0.5, 0), &[(0, 0.5), (4, 0.25)]);
}

#[test]
fn cosines_restart() {
    let twice = CosineDecayRestarts::new(0.5, 10).m_mul(0.5).alpha(0.5);
    // Periods of 10, 20 and 40 updates, of heights 1, 1/2 and 1/4 above the lowest rate of 0.25.
    values(twice, &[(0, 0.5), (5, 0.375), (10, 0.375), (20, 0.3125), (30, 0.3125), (50, 0.281_25)]);
    values(twice, &[(70, 0.281_25)]);
    let even = CosineDecayRestarts::new(0.5, 4).t_mul(1.0);
    values(even, &[(0, 0.5), (2, 0.25), (4, 0.5), (6, 0.25), (4000, 0.5), (4002, 0.25)]);
}

/// The same by counting: periods are taken off one by one.
#[test]
fn restarts_fall_on_the_sum_of_the_periods() {
    for (first, t_mul) in [(1, 10.0f32), (1, 2.0), (3, 5.0), (7, 1.5), (10, 1.0), (4, 1.25)] {
        let schedule = Schedule::from(CosineDecayRestarts::new(1.0, first).t_mul(t_mul).m_mul(0.5));
        let (mut start, mut length, mut height) = (0.0, first as f64, 1.0);
        for step in 0..20_000 {
            while step as f64 >= start + length {
                start += length;
                length *= f64::from(t_mul);
                height *= 0.5;
            }
            let done = (step as f64 - start) / length;
            let want = height * 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
            let got = schedule.at(step);
            assert!((got - want).abs() < 1e-9, "{first}, {t_mul}: {got} at {step}, want {want}");
        }
    }
}

#[test]
fn one_cycle_goes_up_and_down_once() {
    // A rise of 5 updates, of which the last is number 4.
    let cycle = OneCycle::new(1.0, 10).pct_start(0.5).div_factor(4.0).final_div_factor(8.0);
    let low = 0.031_25;
    let linear = cycle.anneal(Anneal::Linear);
    values(linear, &[(0, 0.25), (1, 0.4375), (4, 1.0), (5, 0.806_25), (9, low), (10, low)]);
    let eighth = |from: f64, to: f64, x: f64| {
        to + (from - to) * 0.5 * (1.0 + (x * std::f64::consts::PI).cos())
    };
    values(cycle, &[(0, 0.25), (2, 0.625), (1, eighth(0.25, 1.0, 0.25)), (4, 1.0)]);
    values(cycle, &[(5, eighth(1.0, low, 0.2)), (9, low), (1 << 40, low)]);
    // PyTorch's defaults.
    values(OneCycle::new(1.0, 1000), &[(0, 0.04), (299, 1.0), (999, 4e-6)]);
}

#[test]
fn one_cycle_in_three_phases_passes_its_first_rate() {
    let cycle = OneCycle::new(1.0, 12).pct_start(0.25).div_factor(4.0).final_div_factor(8.0);
    let linear = cycle.anneal(Anneal::Linear).three_phase(true);
    // Up to number 2, back to number 4, on to number 11.
    values(linear, &[(0, 0.25), (1, 0.625), (2, 1.0), (3, 0.625), (4, 0.25), (11, 0.031_25)]);
    near(Schedule::from(linear).at(5), 0.25 - (0.25 - 0.031_25) / 7.0);
}

#[test]
fn short_cycles_have_a_rate_everywhere() {
    for total in 1..6 {
        for pct_start in [0.0, 0.2, 0.25, 0.5, 1.0] {
            for three_phase in [false, pct_start <= 0.5] {
                let cycle = OneCycle::new(1.0, total).pct_start(pct_start).three_phase(three_phase);
                let schedule = Schedule::from(cycle);
                schedule.check().unwrap();
                for step in 0..10 {
                    let rate = schedule.at(step);
                    assert!((4e-6 - 1e-12..=1.0).contains(&rate), "{cycle:?}: {rate} at {step}");
                }
            }
        }
    }
}

fn refuse(schedule: impl Into<Schedule>, words: &[&str]) {
    let schedule = schedule.into();
    let error = schedule.check().unwrap_err();
    assert!(matches!(error, Error::Parameter { .. }), "{error:?}");
    says(&error, words);
    // A rate of refused settings is some number: nothing panics.
    let _ = [0, 1, 5, u64::MAX].map(|step| schedule.at(step));
}

#[test]
fn schedules_name_the_setting_that_is_wrong() {
    const LOW: &str = "a finite number, 0 or more";
    for bad in [-0.1, f32::NAN, f32::INFINITY] {
        refuse(bad, &["learning_rate = ", LOW]);
        refuse(
            PiecewiseConstantDecay::new([1], [0.1, bad]),
            &["PiecewiseConstantDecay values", LOW],
        );
        refuse(
            ExponentialDecay::new(bad, 1, 0.5),
            &["ExponentialDecay initial_learning_rate", LOW],
        );
        refuse(ExponentialDecay::new(0.1, 1, bad), &["ExponentialDecay decay_rate", LOW]);
        refuse(
            InverseTimeDecay::new(bad, 1, 0.5),
            &["InverseTimeDecay initial_learning_rate", LOW],
        );
        refuse(InverseTimeDecay::new(0.1, 1, bad), &["InverseTimeDecay decay_rate", LOW]);
        let polynomial = PolynomialDecay::new(0.1, 1);
        refuse(PolynomialDecay::new(bad, 1), &["PolynomialDecay initial_learning_rate", LOW]);
        refuse(polynomial.end_learning_rate(bad), &["PolynomialDecay end_learning_rate", LOW]);
        refuse(polynomial.power(bad), &["PolynomialDecay power", LOW]);
        let cosine = CosineDecay::new(0.1, 1);
        refuse(CosineDecay::new(bad, 1), &["CosineDecay initial_learning_rate", LOW]);
        refuse(cosine.alpha(bad), &["CosineDecay alpha", "[0, 1]"]);
        refuse(cosine.warmup(bad, 1), &["CosineDecay warmup_target", LOW]);
        let restarts = CosineDecayRestarts::new(0.1, 1);
        let name = "CosineDecayRestarts";
        refuse(CosineDecayRestarts::new(bad, 1), &[name, "initial_learning_rate", LOW]);
        refuse(restarts.t_mul(bad), &[name, "t_mul", "1 or more"]);
        refuse(restarts.m_mul(bad), &[name, "m_mul", LOW]);
        refuse(restarts.alpha(bad), &[name, "alpha", "[0, 1]"]);
        refuse(OneCycle::new(bad, 1), &["OneCycle max_learning_rate", LOW]);
        refuse(OneCycle::new(0.1, 1).pct_start(bad), &["OneCycle pct_start", "[0, 1]"]);
        refuse(OneCycle::new(0.1, 1).div_factor(bad), &["OneCycle div_factor", "above 0"]);
        let cycle = OneCycle::new(0.1, 1).final_div_factor(bad);
        refuse(cycle, &["OneCycle final_div_factor", "above 0"]);
    }
    let empty = "at least one step";
    refuse(ExponentialDecay::new(0.1, 0, 0.5), &["ExponentialDecay decay_steps = 0", empty]);
    refuse(InverseTimeDecay::new(0.1, 0, 0.5), &["InverseTimeDecay decay_steps = 0", empty]);
    refuse(PolynomialDecay::new(0.1, 0), &["PolynomialDecay decay_steps = 0", empty]);
    refuse(PolynomialDecay::new(0.1, 0).cycle(true), &["PolynomialDecay decay_steps = 0", empty]);
    refuse(CosineDecay::new(0.1, 0), &["CosineDecay decay_steps = 0", empty]);
    refuse(CosineDecayRestarts::new(0.1, 0), &["first_decay_steps = 0", empty]);
    refuse(CosineDecayRestarts::new(0.1, 1).t_mul(0.5), &["t_mul = 0.5", "1 or more"]);
    refuse(OneCycle::new(0.1, 0), &["OneCycle total_steps = 0", empty]);
    refuse(OneCycle::new(0.1, 9).pct_start(0.6).three_phase(true), &["pct_start = 0.6", "0.5"]);
    refuse(OneCycle::new(0.1, 9).div_factor(0.0), &["div_factor = 0", "above 0"]);
    let name = "PiecewiseConstantDecay boundaries";
    refuse(PiecewiseConstantDecay::new([5, 5], [0.1; 3]), &[name, "[5, 5]", "ascend strictly"]);
    refuse(PiecewiseConstantDecay::new([5, 9], [0.1; 2]), &[name, "one value per", "there are 2"]);
}

#[test]
fn optimizers_name_themselves_and_the_setting() {
    let bad = ExponentialDecay::new(0.1, 0, 0.5);
    let rules: [(Box<dyn Optimizer>, &str); 5] = [
        (Box::new(Sgd::new(bad)), "SGD"),
        (Box::new(RmsProp::new(bad)), "RMSprop"),
        (Box::new(Adagrad::new(bad)), "Adagrad"),
        (Box::new(Adam::new(bad)), "Adam"),
        (Box::new(AdamW::new(bad, 0.1)), "Adam"),
    ];
    for (rule, name) in rules {
        let words = format!("{name} ExponentialDecay decay_steps = 0: at least one step");
        says(&rule.check().unwrap_err(), &[&words]);
        assert_eq!(rule.learning_rate(), &Schedule::from(bad));
    }
}
