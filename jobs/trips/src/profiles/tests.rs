mod bus304;
mod golden;
mod traccar_by_words;

use super::*;

#[test]
fn every_name_is_a_profile_and_no_other() {
    for name in Profile::NAMES {
        assert_eq!(name.parse::<Profile>().unwrap().name(), name);
    }
    let error = "Traccar".parse::<Profile>().unwrap_err();
    let text = "no published profile is named \"Traccar\"; the names are skmob, movingpandas, traccar";
    assert_eq!(error.to_string(), text);
}

fn at(lat: f64, lon: f64) -> Fix {
    Fix { time_us: 0, lat, lon, accuracy_m: None }
}

/// Fails where the coordinates of one fix are taken together, or where the mean of the middle two is left out.
#[test]
fn the_median_is_taken_coordinate_by_coordinate() {
    assert_eq!(median_place(&[at(1.0, 9.0)]), (1.0, 9.0));
    assert_eq!(median_place(&[at(1.0, 9.0), at(3.0, 4.0)]), (2.0, 6.5));
    assert_eq!(median_place(&[at(1.0, 9.0), at(3.0, 4.0), at(2.0, 20.0)]), (2.0, 9.0));
    assert_eq!(median_place(&[at(7.0, 1.0), at(3.0, 1.0), at(2.0, 2.0), at(4.0, 5.0)]), (3.5, 1.5));
}
