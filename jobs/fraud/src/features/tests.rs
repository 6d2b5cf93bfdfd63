//! Texts of features, and their values.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::Float64Type;

use super::*;

/// Columns of the published simulation.
pub(crate) fn fields() -> Fields {
    Fields::new([
        ("event_time", FieldType::Time),
        ("customer_id", FieldType::Text),
        ("terminal_id", FieldType::Text),
        ("amount_minor", FieldType::Integer),
        ("fraud", FieldType::Boolean),
    ])
    .unwrap()
}

#[test]
fn the_handbook_has_its_15_features() {
    let set = FeatureSet::parse(&HANDBOOK, &fields()).unwrap();
    assert_eq!((set.windows.len(), set.derived.len()), (12, 3));
    for days in [1, 7, 30] {
        for (name, is_customers) in [("count", true), ("mean", true), ("count", false), ("risk", false)] {
            let key = if is_customers { "customer" } else { "terminal" };
            let window = set.windows.iter().find(|window| window.name == format!("{key}_{name}_{days}d")).unwrap();
            assert_eq!((window.length_us, window.key[0].as_str()), (days * 86_400_000_000, &*format!("{key}_id")));
            let delay_us = if is_customers { 0 } else { 7 * 86_400_000_000 };
            assert_eq!((window.includes_current, window.delay_us), (is_customers, delay_us));
        }
    }
    assert_eq!(set.names()[12..], ["amount", "weekend", "night"]);
}

/// Fails where a set of ours loses one of the handbook's.
#[test]
fn ours_has_the_handbooks_features_first_and_parses_back() {
    let (handbook, ours) =
        (FeatureSet::parse(&HANDBOOK, &fields()).unwrap(), FeatureSet::parse(&OURS, &fields()).unwrap());
    assert_eq!(ours.windows[..12], handbook.windows);
    assert_eq!(ours.derived[..3], handbook.derived);
    let text = |prefix: &str| {
        let definitions = ours.names().into_iter().filter_map(|name| ours.definition(&name));
        definitions.filter(|definition| definition.starts_with(prefix)).collect::<Vec<_>>().join("\n")
    };
    let (windows, derived) = (text("window "), text("feature "));
    assert_eq!(FeatureSet::parse(&FeatureText { windows: &windows, derived: &derived }, &fields()).unwrap(), ours);
}

/// 2018-04-06 is a Friday.
#[test]
fn derived_features_follow_from_a_row() {
    let times = ["2018-04-06T23:59:59Z", "2018-04-07T00:00:00Z", "2018-04-08T06:59:59Z", "2018-04-09T07:00:00Z"];
    let times = times.map(|time| time.parse::<jiff::Timestamp>().unwrap().as_microsecond());
    let column = |column: ArrayRef| column;
    let rows = RecordBatch::try_from_iter([
        ("event_time", column(Arc::new(TimestampMicrosecondArray::from(times.to_vec()).with_timezone("UTC")))),
        ("customer_id", column(Arc::new(StringArray::from(vec!["a"; 4])))),
        ("terminal_id", column(Arc::new(StringArray::from(vec!["b"; 4])))),
        ("amount_minor", column(Arc::new(Int64Array::from(vec![100, 200, 300, 400])))),
        ("fraud", column(Arc::new(BooleanArray::from(vec![false; 4])))),
        ("customer_mean_7d", column(Arc::new(Float64Array::from(vec![Some(50.0), None, Some(0.0), Some(400.0)])))),
    ])
    .unwrap();
    let windows =
        windows::parse("window customer_mean_7d = mean(amount_minor) by customer_id over 7d", &fields()).unwrap();
    let text = format!("{}feature ratio = amount_minor / customer_mean_7d", HANDBOOK.derived);
    let derived = parse(&text, &with_windows(&fields(), &windows).unwrap()).unwrap();
    let rows = with_derived(&rows, &derived).unwrap();
    let flags =
        |name: &str| rows.column_by_name(name).unwrap().as_boolean().iter().map(Option::unwrap).collect::<Vec<_>>();
    assert_eq!(flags("weekend"), [false, true, true, false]);
    assert_eq!(flags("night"), [false, true, true, false]);
    assert_eq!(
        rows.column_by_name("amount").unwrap().to_data(),
        rows.column_by_name("amount_minor").unwrap().to_data()
    );
    let ratio = rows.column_by_name("ratio").unwrap().as_primitive::<Float64Type>();
    assert_eq!(ratio.iter().collect::<Vec<_>>(), [Some(2.0), None, None, Some(1.0)]);
}

#[test]
fn every_wrong_feature_is_said_with_its_place() {
    let text = "feature a = amount_mino\nfeature b = customer_id\nfeature c = event_time\n\
        feature amount_minor = 1\nfeature d 5\nfeature e = amount_minor + )\nfeature f = 1\nfeature f = 2\nfeatur";
    let errors = parse(text, &fields()).unwrap_err();
    let wrong: Vec<String> = errors.iter().map(|error| error.marked(text)).collect();
    let starts = [
        "line 1: there is no field amount_mino; did you mean `amount_minor`?",
        "line 2: this is a text, which is no feature",
        "line 3: this is a time, which is no feature",
        "line 4: amount_minor is the name of a field",
        "line 5: `=` should stand here",
        "line 6: a value should stand here",
        "line 8: there is another feature f",
        "line 9: `feature` should stand here",
    ];
    for (wrong, start) in wrong.iter().zip(starts) {
        assert!(wrong.starts_with(start), "{wrong}\nshould start with: {start}");
    }
    assert_eq!(wrong.len(), starts.len(), "{wrong:#?}");
}

#[test]
fn sets_name_what_is_wrong_with_them() {
    let wrong =
        |windows, derived| FeatureSet::parse(&FeatureText { windows, derived }, &fields()).unwrap_err().to_string();
    let error = wrong("window a = count by card over 1d", "");
    assert_eq!(error, "the windows do not parse, 1 errors; first: there is no field card");
    let error = wrong("window a = count by customer_id over 1d", "feature a = 1");
    assert_eq!(error, "the derived features do not parse, 1 errors; first: a is the name of a field");
}
