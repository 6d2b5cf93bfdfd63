//! Random rules over random payments: against a count row by row, and over all ways to cut the log into batches.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::counts::share;
use crate::expression::Row;
use crate::expression::tests::properties::{AnyRow, any_rows, sliced, values};
use crate::rules::Class;
use crate::rules::tests::any_file;

/// Label, and whether it was refused then.
type AnyPast = (Option<bool>, Option<bool>);

fn any_past() -> impl Strategy<Value = Vec<AnyPast>> {
    let one = (prop::option::weighted(0.8, any::<bool>()), prop::option::of(prop::bool::weighted(0.2)));
    prop::collection::vec(one, 140)
}

fn identity(row: usize) -> Option<String> {
    (row % 5 != 4).then(|| format!("pay_{row}"))
}

fn past_batch(rows: &[AnyRow], past: &[AnyPast]) -> RecordBatch {
    let (fields, _) = sliced(rows, 0);
    let past = &past[..rows.len()];
    let beside: [(&str, ArrayRef); 3] = [
        ("fraud", Arc::new(BooleanArray::from_iter(past.iter().map(|past| past.0)))),
        ("refused", Arc::new(BooleanArray::from_iter(past.iter().map(|past| past.1)))),
        ("payment_id", Arc::new(StringArray::from_iter((0..rows.len()).map(identity)))),
    ];
    let schema = fields.schema();
    let names = schema.fields().iter().map(|field| field.name().as_str());
    let all = names.zip(fields.columns().iter().cloned()).chain(beside);
    RecordBatch::try_from_iter_with_nullable(all.map(|(name, column)| (name, column, true))).unwrap()
}

/// What one payment adds to a count.
fn counted(counts: &mut Counts, (label, refused): AnyPast, amount_minor: Option<i64>) {
    let amount_minor = i128::from(amount_minor.unwrap_or(0));
    counts.payments += 1;
    match (label, refused) {
        (Some(true), _) => {
            (counts.frauds, counts.frauds_minor) = (counts.frauds + 1, counts.frauds_minor + amount_minor)
        }
        (Some(false), _) => {
            (counts.genuine, counts.genuine_minor) = (counts.genuine + 1, counts.genuine_minor + amount_minor);
        }
        (None, Some(true)) => counts.unknowable += 1,
        (None, _) => counts.unlabelled += 1,
    }
}

fn quoted(rows: &[AnyRow], row: usize) -> Quoted {
    Quoted { identity: identity(row), amount_minor: rows[row].0[0] }
}

/// What a set says, row by row.
fn plain(set: &RuleSet, live: Option<&RuleSet>, rows: &[AnyRow], past: &[AnyPast], plan: &Plan) -> SetReport {
    let fields = fields();
    let amount = fields.get("amount_minor").unwrap();
    let payments: Vec<_> = rows.iter().map(values).collect();
    let verdicts: Vec<_> = payments.iter().map(|payment| set.evaluate_row(payment)).collect();
    let live_of = |row: usize| live.and_then(|live| live.evaluate_row(&payments[row]).outcome);
    let count = |is_meant: &dyn Fn(usize) -> bool| {
        let mut counts = Counts::default();
        let meant = (0..rows.len()).filter(|row| is_meant(*row));
        meant.for_each(|row| counted(&mut counts, past[row], payments[row].integer(amount)));
        counts
    };
    let all = count(&|_| true);
    let fires = |rule: usize, row: usize| verdicts[row].fired.contains(&rule);
    let rules = set.rules().iter().enumerate().map(|(index, rule)| {
        let hits = count(&|row| fires(index, row));
        let genuine = (0..rows.len()).filter(|row| fires(index, *row) && past[*row].0 == Some(false));
        let example = |row: usize| Example { payment: quoted(rows, row), condition: rule.filled_in(&payments[row]) };
        RuleReport {
            rule: rule.name().into(),
            class: rule.class(),
            rollout: rule.rollout(),
            hits,
            precision: hits.precision(),
            recall: share(hits.frauds, all.frauds),
            only: verdicts.iter().filter(|verdict| verdict.fired == [index]).count() as u64,
            missing: payments.iter().filter(|payment| rule.tree().of_row(*payment).is_none()).count() as u64,
            genuine_examples: genuine.take(plan.examples_max).map(example).collect(),
        }
    });
    let rules: Vec<RuleReport> = rules.collect();
    let mut overlaps = Vec::new();
    for one in 0..rules.len() {
        for other in one + 1..rules.len() {
            let both = count(&|row| fires(one, row) && fires(other, row)).payments;
            let either = count(&|row| fires(one, row) || fires(other, row)).payments;
            let names = [rules[one].rule.clone(), rules[other].rule.clone()];
            overlaps.push(Overlap { rules: names, both, jaccard: both as f64 / either as f64 });
        }
    }
    overlaps.retain(|overlap| overlap.both > 0);
    overlaps.sort_by_key(|overlap| std::cmp::Reverse(overlap.both));
    let classes: Vec<Option<Class>> = Class::ALL.into_iter().map(Some).chain([None]).collect();
    let pairs = classes.iter().flat_map(|live| classes.iter().map(move |own| (*live, *own)));
    let flip = |(live, own): (Option<Class>, Option<Class>)| Flip {
        live,
        rules: own,
        payments: count(&|row| live_of(row) == live && verdicts[row].outcome == own),
    };
    let says = |class: Class| count(&|row| verdicts[row].outcome == Some(class));
    let missed = (0..rows.len()).filter(|row| verdicts[*row].fired.is_empty() && past[*row].0 == Some(true));
    SetReport {
        rules,
        overlaps,
        outcomes: pairs.map(flip).filter(|flip| flip.payments.payments > 0).collect(),
        cost: cost(says(Class::Block), says(Class::Review), plan),
        missed: missed.take(plan.examples_max).map(|row| quoted(rows, row)).collect(),
    }
}

fn cost(blocked: Counts, reviewed: Counts, plan: &Plan) -> Cost {
    let reviews_minor = i128::from(reviewed.payments) * i128::from(plan.review_cost_minor);
    Cost {
        frauds_blocked: blocked.frauds,
        frauds_blocked_minor: blocked.frauds_minor,
        genuine_blocked: blocked.genuine,
        genuine_blocked_minor: blocked.genuine_minor,
        reviews: reviewed.payments,
        reviews_minor,
        net_minor: blocked.frauds_minor - blocked.genuine_minor - reviews_minor,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn batches_do_not_matter_and_rows_agree(
        text in any_file(), live in prop::option::of(any_file()), rows in any_rows(), past in any_past(),
        cuts in prop::collection::vec(any::<Index>(), 0..5), full_rollout in any::<bool>(), examples_max in 0usize..4,
    ) {
        let parse = |text: &str| RuleSet::parse(text, &fields(), &lists()).ok();
        let Some(rules) = parse(&text) else { return Ok(()) };
        let live = live.as_deref().and_then(parse);
        let plan = Plan { rules: rules.clone(), live, full_rollout, examples_max, ..plan("", None) };
        let whole = past_batch(&rows, &past);
        let mut borders: Vec<usize> = cuts.iter().map(|cut| cut.index(rows.len() + 1)).chain([0, rows.len()]).collect();
        borders.sort_unstable();
        let batches: Vec<_> = borders.windows(2).map(|ends| whole.slice(ends[0], ends[1] - ends[0])).collect();
        let report = reported(plan.clone(), &batches);
        prop_assert_eq!(&report, &reported(plan.clone(), std::slice::from_ref(&whole)));

        let of_set = |set: &RuleSet| plain(set, plan.live.as_ref(), &rows, &past, &plan);
        prop_assert_eq!(&report.as_written, &of_set(&rules));
        let is_partial = rules.rules().iter().any(|rule| rule.rollout() < 10_000);
        let full = (full_rollout && is_partial).then(|| of_set(&rules.at_full_rollout()));
        prop_assert_eq!(&report.at_full_rollout, &full);
        let live_cost = plan.live.as_ref().map(|live| plain(live, None, &rows, &past, &plan).cost);
        prop_assert_eq!(report.live_cost, live_cost);
        prop_assert_eq!(report.to_string(), report.to_string());
    }
}
