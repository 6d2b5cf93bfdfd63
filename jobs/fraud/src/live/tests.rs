//! Both sides over payments rows, as units hand them over.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    new_null_array,
};
use arrow::compute::concat_batches;
use arrow::datatypes::Field;
use proptest::prelude::*;
use schemas::bundles::RulesBundle;
use schemas::ids::ContentHash;
use schemas::judgement::{Judgement, Outcome};
use schemas::topics::{self, kind};

use super::*;

const SECOND_US: i64 = 1_000_000;

const WINDOWS: &str = "
    window card_swipes_10m = count by token over 10m including current
    window card_merchants_10m = distinct(merchant_id) by token over 10m including current
    window reader_small_10m = distinct(token) by reader_id where amount_minor <= 300 over 10m including current
    window merchant_mean_1h = mean(amount_minor) by merchant_id over 1h
    window merchant_refunds_1h = count by merchant_id where kind = 'refund' over 1h including current";
const RULES: &str = "
    rule fast_spending review
      \"{card_swipes_10m} swipes of one card at {card_merchants_10m} merchants in 10 minutes\"
      when card_swipes_10m >= 3 and card_merchants_10m >= 2
    rule card_testing block
      when reader_small_10m >= 3
    rule travel review
      \"{card_distance_m} m from the card's last swipe\"
      when card_speed_mps > 100
    rule refunds review
      when kind = 'refund' and merchant_refunds_1h >= 2
    rule regular allow
      when token in @trusted";

/// A payment as decode passes it on.
#[derive(Debug, Clone)]
struct Paid {
    kind: &'static str,
    /// Its payment, or the one that is spoken of, by its number.
    payment: u32,
    label: Option<&'static str>,
    at_s: i64,
    merchant: &'static str,
    card: Option<&'static str>,
    amount_minor: i64,
    lat: Option<f64>,
    repeat: bool,
}

fn swipe(at_s: i64, merchant: &'static str, card: &'static str, amount_minor: i64) -> Paid {
    let (payment, label) = (at_s as u32, None);
    Paid { kind: kind::SWIPE, payment, label, at_s, merchant, card: Some(card), amount_minor, lat: None, repeat: false }
}

fn refund(at_s: i64, merchant: &'static str) -> Paid {
    Paid { kind: kind::REFUND, card: None, ..swipe(at_s, merchant, "", 500) }
}

fn rows(paid: &[Paid]) -> RecordBatch {
    let texts =
        |text: fn(&Paid) -> Option<String>| Arc::new(paid.iter().map(text).collect::<StringArray>()) as ArrayRef;
    let times = || {
        let times = paid.iter().map(|paid| paid.at_s * SECOND_US).collect::<Vec<_>>();
        Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")) as ArrayRef
    };
    let schema = topics::payments();
    let column = |field: &Arc<Field>| -> ArrayRef {
        match field.name().as_str() {
            "kind" => texts(|paid| Some(paid.kind.to_string())),
            "repeat" => Arc::new(paid.iter().map(|paid| Some(paid.repeat)).collect::<BooleanArray>()),
            "payment_id" => texts(|paid| Some(format!("{:028x}", paid.payment))),
            "label" => texts(|paid| paid.label.map(str::to_string)),
            "merchant_id" => texts(|paid| Some(paid.merchant.to_string())),
            "reader_id" => texts(|paid| Some(format!("reader of {}", paid.merchant))),
            "token" => texts(|paid| paid.card.map(str::to_string)),
            "amount_minor" => Arc::new(paid.iter().map(|paid| Some(paid.amount_minor)).collect::<Int64Array>()),
            "lat" => Arc::new(paid.iter().map(|paid| paid.lat).collect::<Float64Array>()),
            "lon" => Arc::new(paid.iter().map(|paid| paid.lat.map(|_| 0.0)).collect::<Float64Array>()),
            "findings" => {
                let mut findings = topics::text_lists();
                paid.iter().for_each(|_| findings.append(true));
                Arc::new(findings.finish())
            }
            "origin_partition" => Arc::new(arrow::array::Int32Array::from(vec![0; paid.len()])),
            "event_time" | "ingest_time" => times(),
            _ => new_null_array(field.data_type(), paid.len()),
        }
    };
    RecordBatch::try_new(schema.clone(), schema.fields().iter().map(column).collect()).unwrap()
}

fn bundle(windows: &str, rules: &str) -> Vec<u8> {
    let lists = BTreeMap::from([("trusted".to_string(), "global card-t".to_string())]);
    serde_json::to_vec(&RulesBundle { windows: windows.into(), rules: rules.into(), lists, model: None }).unwrap()
}

/// Both sides, chained.
#[derive(Default)]
struct Chain {
    merchant: MerchantSide,
    card: CardSide,
}

impl Chain {
    fn with(content: &[u8]) -> Self {
        let mut chain = Self::default();
        chain.accept(content);
        chain
    }

    fn accept(&mut self, content: &[u8]) {
        self.merchant.accept(ContentHash::of(content), content, 0).unwrap();
        self.card.accept(ContentHash::of(content), content, 0).unwrap();
    }

    fn judge(&mut self, paid: &[Paid]) -> Vec<Option<Judgement>> {
        let rows = rows(paid);
        let mut columns = rows.columns().to_vec();
        columns[rows.schema().index_of("windows").unwrap()] = self.merchant.values(&rows).unwrap();
        self.card.judge(&RecordBatch::try_new(rows.schema(), columns).unwrap()).unwrap()
    }

    fn restarted(self, content: &[u8]) -> Self {
        let of_hash =
            |hash| if hash == ContentHash::of(content) { Ok(content.to_vec()) } else { Err("no".to_string()) };
        let merchant = MerchantSide::restore(Some(&self.merchant.save().unwrap()), &of_hash).unwrap();
        Self { merchant, card: CardSide::restore(Some(&self.card.save().unwrap()), &of_hash).unwrap() }
    }
}

fn last(judgements: Vec<Option<Judgement>>) -> Judgement {
    judgements.into_iter().next_back().flatten().expect("the last row is judged")
}

fn feature(judgement: &Judgement, name: &str) -> Option<String> {
    let start = format!("{name} = ");
    judgement.features.iter().find_map(|text| text.strip_prefix(&start)).map(str::to_string)
}

#[test]
fn a_card_that_goes_round_is_reviewed_with_what_was_seen() {
    let mut chain = Chain::with(&bundle(WINDOWS, RULES));
    let paid =
        [swipe(0, "m1", "c1", 900), swipe(60, "m2", "c1", 700), swipe(70, "m2", "c2", 100), swipe(90, "m1", "c1", 800)];
    let judgements = chain.judge(&paid);
    assert!(
        judgements[..3].iter().flatten().all(|judgement| judgement.outcome.is_none() && judgement.fired.is_empty())
    );
    let judged = last(judgements);
    assert_eq!(judged.outcome, Some(Outcome::Review));
    assert_eq!(judged.sentence, "3 swipes of one card at 2 merchants in 10 minutes");
    assert_eq!(judged.fired, ["review fast_spending: card_swipes_10m = 3 >= 3 and card_merchants_10m = 2 >= 2"]);
    // What the merchant's side saw has travelled.
    assert_eq!(feature(&judged, "merchant_mean_1h").as_deref(), Some("900"));
    assert_eq!(judged.score, None);
}

#[test]
fn what_a_reader_has_seen_blocks_and_a_trusted_card_is_let_go_on() {
    let mut chain = Chain::with(&bundle(WINDOWS, RULES));
    let mut paid: Vec<Paid> = ["c1", "c2", "c3"].map(|card| swipe(5, "m1", card, 100)).to_vec();
    assert_eq!(last(chain.judge(&paid)).outcome, Some(Outcome::Block));
    paid = vec![swipe(6, "m1", "card-t", 100)];
    let judged = last(chain.judge(&paid));
    assert_eq!((judged.outcome, judged.fired.len(), judged.sentence.as_str()), (None, 2, ""));
}

/// Fails if refunds count as swipes, or rules about swipes judge refunds.
#[test]
fn refunds_are_judged_by_rules_about_refunds_alone() {
    let rules = format!("{RULES}\nrule any review when merchant_refunds_1h >= 0");
    let mut chain = Chain::with(&bundle(WINDOWS, &rules));
    let judgements =
        chain.judge(&[swipe(0, "m1", "c1", 900), refund(10, "m1"), refund(20, "m1"), swipe(30, "m1", "c1", 1)]);
    let outcome = |row: usize| judgements[row].as_ref().unwrap().outcome;
    assert_eq!([outcome(0), outcome(1), outcome(2)], [Some(Outcome::Review), None, Some(Outcome::Review)]);
    assert_eq!(feature(judgements[3].as_ref().unwrap(), "merchant_mean_1h").as_deref(), Some("900"));
    let other = Paid { kind: kind::SIGNATURE, ..refund(40, "m1") };
    let repeat = Paid { repeat: true, ..swipe(50, "m1", "c1", 1) };
    assert_eq!(chain.judge(&[other, repeat]), [None, None]);
}

const RISKS: &str = "
    window reader_frauds_1h = sum(fraud) by reader_id over 1h
    window reader_risk_1h = mean(fraud) by reader_id over 1h delayed 10s
    window card_frauds_1h = count by token where fraud over 1h
    window card_swipes_10m = count by token over 10m including current";

/// What somebody says of the payment that was made at this second.
fn said(at_s: i64, payment: u32, kind: &'static str, label: Option<&'static str>) -> Paid {
    Paid { kind, payment, label, card: None, ..swipe(at_s, "m1", "", 0) }
}

/// Fails if a label does not count from where it is read, or something counts that is no label.
#[test]
fn what_is_said_of_payments_counts_for_the_next() {
    let content = bundle(RISKS, "rule bad_reader review when reader_frauds_1h >= 1");
    let mut chain = Chain::with(&content);
    let risks = |judged: &Judgement| {
        ["reader_frauds_1h", "reader_risk_1h", "card_frauds_1h"].map(|name| feature(judged, name).unwrap_or_default())
    };
    let judged = chain.judge(&[
        swipe(0, "m1", "c1", 9),
        swipe(1, "m1", "c2", 9),
        swipe(20, "m1", "c1", 9),
        said(21, 0, kind::DISPOSITION, Some("fraud")),
        swipe(22, "m1", "c1", 9),
    ]);
    assert_eq!(risks(judged[2].as_ref().unwrap()), ["0", "0", "0"], "nobody has said anything");
    let seen = judged[4].as_ref().unwrap();
    assert_eq!((risks(seen), seen.outcome), (["1", "0.5", "1"].map(str::to_string), Some(Outcome::Review)));
    chain = chain.restarted(&content);
    let judged = chain.judge(&[
        said(23, 0, kind::DISPOSITION, Some("maybe")),
        said(23, 0, kind::SIGNATURE, Some("legitimate")),
        said(23, 1_000, kind::DISPOSITION, Some("fraud")),
        said(24, 1, kind::CHARGEBACK, None),
        swipe(25, "m1", "c2", 9),
        said(26, 0, kind::DISPOSITION, Some("legitimate")),
        swipe(27, "m1", "c1", 9),
        swipe(28, "m2", "c1", 9),
    ]);
    assert_eq!(risks(judged[4].as_ref().unwrap()), ["2", "1", "1"]);
    assert_eq!(risks(judged[6].as_ref().unwrap()), ["1", "0.5", "0"], "the newest word counts");
    assert_eq!(risks(judged[7].as_ref().unwrap()), ["0", "", "0"], "another reader");
}

#[test]
fn windows_and_rules_say_no_more_of_labels_than_can_be_known() {
    let problems = |windows: &str, rules: &str| {
        let bundle = RulesBundle { windows: windows.into(), rules: rules.into(), ..RulesBundle::default() };
        Definitions::read(&bundle).unwrap_err().to_string()
    };
    let by_label = problems("window a = count by reader_id, fraud over 1d", "");
    assert!(by_label.contains("is no key; leave out fraud"), "{by_label}");
    let of_refunds = problems("window a = sum(fraud) by token where kind = 'refund' over 1d", "");
    assert!(of_refunds.contains("about swipes alone"), "{of_refunds}");
    assert!(problems("", "rule a review when fraud").contains("there is no field fraud"));
    let of_answer = problems("window a = count by reader_id where reason = 'approved' over 1d", "");
    assert!(of_answer.contains("a window cannot filter on the answer (reason)"), "{of_answer}");
    assert!(of_answer.contains("till fraud features") && of_answer.contains("line 1"), "{of_answer}");
}

/// Fails if degrees are mixed up, the time is not the distance's, or a place is carried on for longer than a day.
#[test]
fn a_card_cannot_be_in_two_places() {
    let at = |at_s, lat| Paid { lat: Some(lat), ..swipe(at_s, "m1", "c1", 900) };
    let mut chain = Chain::with(&bundle(WINDOWS, RULES));
    let judgements = chain.judge(&[at(0, 53.0), at(600, 54.0), swipe(650, "m1", "c1", 900), at(86_400 + 601, 55.0)]);
    let judged = judgements[1].clone().unwrap();
    // A degree of latitude on a sphere of 6,371,008.8 m.
    assert_eq!(judged.sentence, "111195 m from the card's last swipe");
    assert_eq!(judged.outcome, Some(Outcome::Review));
    assert_eq!(judgements[2].as_ref().unwrap().outcome, None, "a swipe without a place has no distance");
    assert_eq!(feature(judgements[3].as_ref().unwrap(), "card_distance_m"), None);
}

/// Fails if a new window says less than there was, or one that is kept already has to begin anew.
#[test]
fn a_new_window_is_whole_or_missing() {
    let kept = "window kept = count by token over 10m including current";
    let shorter = format!("{kept} window short = count by token over 5m including current");
    let longer = format!(
        "{kept} window long = count by token over 3d including current
        window other = count by token where amount_minor > 5 over 5m including current"
    );
    let mut chain = Chain::with(&bundle(kept, ""));
    chain.judge(&[swipe(0, "m1", "c1", 9)]);
    chain.accept(&bundle(&shorter, ""));
    let judged = last(chain.judge(&[swipe(60, "m1", "c1", 9)]));
    assert_eq!([feature(&judged, "kept"), feature(&judged, "short")], [Some("2".into()), Some("2".into())]);
    chain.accept(&bundle(&longer, ""));
    let judged = last(chain.judge(&[swipe(120, "m1", "c1", 9)]));
    assert_eq!(feature(&judged, "kept"), Some("3".into()));
    assert_eq!([feature(&judged, "long"), feature(&judged, "other")], [None, None]);
    // Of the other condition nothing was seen up to 60 s.
    let judged = last(chain.judge(&[swipe(60 + 300, "m1", "c1", 9)]));
    assert_eq!([feature(&judged, "long"), feature(&judged, "other")], [None, Some("2".into())]);
    // What was kept at 60 s reached back ten minutes and the day that payments may be late.
    let whole_s = 60 - (600 + 86_400) + 3 * 86_400;
    let long = |at_s| feature(&last(chain.judge(&[swipe(at_s, "m1", "c2", 9)])), "long");
    assert_eq!([whole_s - 1, whole_s].map(long), [None, Some("2".into())]);
}

/// Fails if a first bundle takes what it has not seen for nothing.
#[test]
fn windows_that_begin_in_the_middle_of_a_log_are_missing_at_first() {
    let mut chain = Chain::default();
    assert_eq!(chain.judge(&[swipe(0, "m1", "c1", 9)]), [None]);
    let content = bundle(WINDOWS, RULES);
    chain.accept(&content);
    assert_eq!(feature(&last(chain.judge(&[swipe(599, "m1", "c1", 9)])), "card_swipes_10m"), None);
    chain = chain.restarted(&content);
    assert_eq!(feature(&last(chain.judge(&[swipe(600, "m1", "c1", 9)])), "card_swipes_10m"), Some("2".into()));
    // A state of before there was scoring: nobody noted the rows, but the bundle says when it came.
    let mut late = MerchantSide::restore(None, &|_| Err("no".to_string())).unwrap();
    late.accept(ContentHash::of(&content), &content, 60 * SECOND_US).unwrap();
    let values = late.values(&rows(&[swipe(61, "m1", "c1", 9)])).unwrap();
    assert_eq!(values.as_list::<i32>().value(0).len(), 0, "no window reaches back to rows that were seen");
}

#[test]
fn what_is_wrong_with_a_bundle_is_said_part_by_part() {
    let read = |windows: &str, rules: &str| {
        let lists = BTreeMap::from([("cards".to_string(), "globl x".to_string())]);
        let bundle = RulesBundle { windows: windows.into(), rules: rules.into(), lists, model: Some("tree".into()) };
        Definitions::read(&bundle).unwrap_err().0.iter().map(Problem::to_string).collect::<Vec<_>>()
    };
    let problems = read("window a = count by courier_id over 1d", "");
    assert_eq!(problems.len(), 3, "{problems:#?}");
    assert!(problems[0].starts_with("windows: window a: a key of courier_id lies in many partitions"), "{problems:#?}");
    assert!(problems[1].starts_with("cards: ") && problems[2].starts_with("model: "), "{problems:#?}");
    let of_rules = |rules: &str| {
        let bundle = RulesBundle { windows: WINDOWS.into(), rules: rules.into(), ..RulesBundle::default() };
        Definitions::read(&bundle).unwrap_err().0.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
    };
    assert!(of_rules("rule a review when card_swipe_10m > 1").contains("did you mean `card_swipes_10m`?"));
    let problem = of_rules("rule a review \"{cards} of them\" when score > 0.5");
    assert_eq!(problem, "rules: the description of a fills in {cards}, which is no field");
}

fn paid() -> impl Strategy<Value = Paid> {
    let merchants = prop::sample::select(vec!["m1", "m2", "m3"]);
    let cards = prop::sample::select(vec!["c1", "c2", "c3", "card-t"]);
    let kinds = prop::sample::select(vec![kind::SWIPE, kind::SWIPE, kind::SWIPE, kind::REFUND, kind::TICK]);
    (kinds, 0..1_500_i64, merchants, cards, 1..400_i64, prop::option::of(50.0..60.0_f64), prop::bool::weighted(0.1))
        .prop_map(|(kind, at_s, merchant, card, amount_minor, lat, repeat)| {
            let card = (kind == kind::SWIPE).then_some(card);
            Paid { kind, payment: 0, label: None, at_s, merchant, card, amount_minor, lat, repeat }
        })
}

proptest! {
    /// Whatever the batch borders and restarts, in time order or not.
    #[test]
    fn judgements_do_not_depend_on_batches_and_restarts(
        paid in prop::collection::vec(paid(), 1..60),
        cuts in prop::collection::vec((0..60_usize, any::<bool>()), 0..6),
    ) {
        let content = bundle(WINDOWS, RULES);
        let at_once = Chain::with(&content).judge(&paid);
        let mut chain = Chain::with(&content);
        let mut cuts: Vec<(usize, bool)> = cuts.into_iter().map(|(cut, restarts)| (cut.min(paid.len()), restarts)).collect();
        cuts.sort_unstable();
        let (mut in_pieces, mut start) = (Vec::new(), 0);
        for (cut, restarts) in cuts.into_iter().chain([(paid.len(), false)]) {
            in_pieces.extend(chain.judge(&paid[start..cut]));
            start = cut;
            if restarts {
                chain = chain.restarted(&content);
            }
        }
        prop_assert_eq!(in_pieces, at_once);
    }
}

/// The column is what the topic's schema says.
#[test]
fn values_travel_in_the_column_of_the_schema() {
    let mut side = MerchantSide::default();
    let content = bundle(WINDOWS, RULES);
    side.accept(ContentHash::of(&content), &content, 0).unwrap();
    let batch = concat_batches(&topics::payments(), [&rows(&[swipe(0, "m1", "c1", 200), refund(1, "m1")])]).unwrap();
    let values = side.values(&batch).unwrap();
    assert_eq!(values.data_type(), topics::payments().field_with_name("windows").unwrap().data_type());
    let of_swipe = values.as_list::<i32>().value(0);
    let texts: Vec<&str> = of_swipe.as_string::<i32>().iter().flatten().collect();
    // Distinct cards and refunds; there is no mean of nothing.
    assert_eq!(texts.len(), 2);
    assert!(texts[0].ends_with("=1") && texts[1].ends_with("=0") && texts[0].find('=') == Some(16), "{texts:?}");
}
