use super::*;
use crate::metric::{Offset, Place};
use crate::units::SECOND_US;

fn fix(second: i64, east_m: f64) -> Sighting {
    let place = Plane::at(Place { lat: 53.0, lon: -6.0 }).place(Offset { east_m, north_m: 0.0 });
    Sighting { time_us: second * SECOND_US, place, accuracy_m: None, speed_mps: None, hired: None, received_us: None }
}

/// What was said about each fix, by its second; a restart has none.
fn judged(fixes: &[Sighting]) -> Vec<(i64, &'static str)> {
    let (mut cleaner, mut said) = (Cleaner::default(), Vec::new());
    let mut say = |step| {
        said.push(match step {
            Step::Kept(fix, _) => (fix.time_us / SECOND_US, "kept"),
            Step::Fault(fix, reason) => (fix.time_us / SECOND_US, reason.code()),
            Step::Restart => (0, "restart"),
        });
    };
    fixes.iter().for_each(|fix| cleaner.judge(*fix, &mut say));
    cleaner.settle(&mut say);
    said
}

/// Dropping any arm of the rules keeps one of these.
#[test]
fn each_fault_has_its_reason() {
    let zero = Place { lat: 0.0, lon: 0.0 };
    let bad = [
        (Sighting { place: zero, ..fix(40, 0.0) }, "zero_island"),
        (Sighting { accuracy_m: Some(101.0), ..fix(40, 400.0) }, "accuracy"),
        (fix(40, 5_000.0), "teleport"),
        (Sighting { time_us: 30 * SECOND_US, ..fix(40, 301.0) }, "same_time"),
        (Sighting { speed_mps: Some(9.0), ..fix(40, 300.0) }, "frozen"),
    ];
    for (bad, reason) in bad {
        let mut fixes: Vec<Sighting> = (1..=3).map(|tenth| fix(tenth * 10, tenth as f64 * 100.0)).collect();
        fixes.push(bad);
        fixes.push(fix(50, 500.0));
        let said = judged(&fixes);
        assert!(said.contains(&(bad.time_us / SECOND_US, reason)), "{reason}: {said:?}");
        assert_eq!(said.iter().filter(|(_, what)| *what == "kept").count(), 4, "{reason}: {said:?}");
    }
}

/// The limit itself is no fault, and a device that stands may state the same position.
#[test]
fn what_is_only_unusual_is_kept() {
    let mut fixes: Vec<Sighting> = (1..=3).map(|tenth| fix(tenth * 10, 0.0)).collect();
    fixes.push(Sighting { accuracy_m: Some(100.0), ..fix(40, 690.0) });
    fixes.push(Sighting { speed_mps: Some(0.1), ..fix(50, 690.0) });
    assert!(judged(&fixes).iter().all(|(_, what)| *what == "kept"));
}

#[test]
fn three_refused_fixes_that_agree_start_anew_and_fewer_are_faults() {
    let mut fixes: Vec<Sighting> = (1..=5).map(|tenth| fix(tenth * 10, 0.0)).collect();
    fixes.extend([fix(60, 50_000.0), fix(70, 50_100.0), fix(80, 0.0)]);
    let kept_on = judged(&fixes);
    assert_eq!(kept_on.iter().filter(|(_, what)| *what == "teleport").count(), 2, "{kept_on:?}");
    fixes.truncate(7);
    fixes.push(fix(80, 50_200.0));
    let restarted = judged(&fixes);
    let end: Vec<_> = restarted[4..].iter().map(|(_, what)| *what).collect();
    assert_eq!(end, ["kept", "restart", "kept", "kept", "kept"]);
}

/// Fails when it matters whether the silence timer or the next fix finds a silence.
#[test]
fn a_gap_settles_as_the_silence_timer_does() {
    let first = fix(0, 100_000.0);
    let after: Vec<Sighting> = (0..4).map(|tenth| fix(GAP_US / SECOND_US + 1 + tenth * 10, 0.0)).collect();
    let (mut cleaner, mut by_timer) = (Cleaner::default(), Vec::new());
    cleaner.judge(first, &mut |step| by_timer.push(step));
    cleaner.settle(&mut |step| by_timer.push(step));
    let mut by_fix = Vec::new();
    let mut other = Cleaner::default();
    other.judge(first, &mut |step| by_fix.push(step));
    for fix in after {
        cleaner.judge(fix, &mut |step| by_timer.push(step));
        other.judge(fix, &mut |step| by_fix.push(step));
    }
    assert_eq!(by_timer, by_fix);
    assert!(by_fix.contains(&Step::Restart));
}
