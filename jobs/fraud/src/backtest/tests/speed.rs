//! How long a backtest of half a year takes: `cargo test --release -p till-fraud --lib backtest -- --ignored --nocapture`.
//! Prints; asserts nothing about time.

use std::time::Instant;

use arrow::array::Float64Array;

use super::*;

/// As many as the handbook's simulation makes in its 183 days.
const PAYMENTS: usize = 1_754_155;
const BATCH_ROWS: usize = 8_192;

/// Numbers that look random, of one seed (splitmix64 of S. Vigna).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

fn payments(first: usize, rows: usize, numbers: &mut Numbers) -> RecordBatch {
    let integers = |end: u64, numbers: &mut Numbers| -> Vec<i64> {
        (0..rows).map(|_| numbers.below(end).min(numbers.below(end)) as i64).collect()
    };
    let amounts = Int64Array::from(integers(30_000, numbers));
    let counts = Int64Array::from(integers(12, numbers));
    let scores: Float64Array =
        (0..rows).map(|_| Some(numbers.below(10_000) as f64 / 100.0).filter(|score| *score > 1.0)).collect();
    let risks: Float64Array = (0..rows).map(|_| Some(numbers.below(10_000) as f64 / 10_000.0)).collect();
    let texts = |name: &str, end: u64, numbers: &mut Numbers| {
        StringArray::from_iter_values((0..rows).map(|_| format!("{name}_{}", numbers.below(end))))
    };
    let times: Vec<i64> = (first..first + rows).map(|row| row as i64 * 9_000_000).collect();
    let earlier: Vec<i64> = times.iter().map(|time| time - numbers.below(3_600_000_000) as i64).collect();
    let columns: [(&str, ArrayRef); 14] = [
        ("amount_minor", Arc::new(amounts)),
        ("card_count_1h", Arc::new(counts)),
        ("score", Arc::new(scores)),
        ("risk", Arc::new(risks)),
        ("currency", Arc::new(texts("C", 4, numbers))),
        ("merchant_id", Arc::new(texts("m", 10_000, numbers))),
        ("token", Arc::new(texts("tok", 5_000, numbers))),
        ("contactless", Arc::new(BooleanArray::from_iter((0..rows).map(|_| Some(numbers.below(3) > 0))))),
        ("abroad", Arc::new(BooleanArray::from_iter((0..rows).map(|_| Some(numbers.below(20) == 0))))),
        ("received_at", Arc::new(TimestampMicrosecondArray::from(times))),
        ("card_last_at", Arc::new(TimestampMicrosecondArray::from(earlier))),
        ("fraud", Arc::new(BooleanArray::from_iter((0..rows).map(|_| Some(numbers.below(120) == 0))))),
        ("refused", Arc::new(BooleanArray::from_iter((0..rows).map(|_| Some(numbers.below(50) == 0))))),
        ("payment_id", Arc::new(StringArray::from_iter_values((first..first + rows).map(|row| format!("pay_{row}"))))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// Twenty rules, of which some fire for one payment in a thousand and some for one in ten.
fn twenty() -> String {
    let rule = |index: usize| {
        let class = if index % 10 == 3 { "allow" } else { ["review", "block"][index % 2] };
        let condition = match index % 10 {
            0 => format!("amount_minor > {} and card_count_1h >= 5", 15_000 + index * 500),
            1 => format!("score > {}", 99.0 - index as f64 / 10.0),
            2 => "token in @stolen or risk > 0.999".to_string(),
            3 => "merchant_id in @trusted and amount_minor < 5000".to_string(),
            4 => format!("received_at - card_last_at < {}s and amount_minor > 5000", 30 + index),
            5 => "hour(received_at) in (1, 2, 3, 4) and abroad and not contactless".to_string(),
            6 => format!("score * risk > {}", 95 - index),
            7 => "currency in ('C_2', 'C_3') and card_count_1h >= 7".to_string(),
            8 => format!("amount_minor > 0 and risk / (card_count_1h + 1) > 0.9{index}"),
            _ => "score is missing and amount_minor > 20000".to_string(),
        };
        let rollout = if index == 4 { "\n  rollout 25%" } else { "" };
        format!("rule r{index} {class}{rollout}\n  when {condition}\n")
    };
    (0..20).map(rule).collect()
}

#[test]
#[ignore = "measures"]
fn half_a_year_of_payments() {
    let mut numbers = Numbers(7);
    let batches: Vec<RecordBatch> = (0..PAYMENTS)
        .step_by(BATCH_ROWS)
        .map(|first| payments(first, BATCH_ROWS.min(PAYMENTS - first), &mut numbers))
        .collect();
    let alone = RuleSet::parse(&twenty(), &fields(), &lists()).unwrap();
    let measured = |name: &str, plan: Plan| {
        let start = Instant::now();
        let report = reported(plan, &batches);
        let took = start.elapsed();
        println!("{name}: {:.3} s, {:.0} payments/s", took.as_secs_f64(), PAYMENTS as f64 / took.as_secs_f64());
        report
    };
    let start = Instant::now();
    let decided: usize =
        batches.iter().map(|batch| alone.evaluate_columns(batch).unwrap().outcomes().iter().flatten().count()).sum();
    println!("rules alone: {:.3} s, {decided} decided", start.elapsed().as_secs_f64());
    let twenty = Plan { rules: alone.clone(), ..plan("", None) };
    let report = measured("20 rules", twenty.clone());
    let live = Plan { live: Some(alone), full_rollout: true, ..twenty };
    measured("20 rules, as many in force, and all at full rollout", live);
    let many: String = (0..1_000)
        .map(|index| format!("rule many_{index} review when amount_minor > {}\n", 10_000 + 17 * index))
        .collect();
    measured("1000 rules that overlap", plan(&many, None));
    println!("\n{report}");
}
