//! Views that analysts read: name, comment and SQL over the tables.

/// A view of the lake.
#[derive(Debug, Clone, Copy)]
pub struct ViewSpec {
    /// Name in SQL.
    pub name: &'static str,
    /// What one row is, for people.
    pub comment: &'static str,
    /// `SELECT` over the tables of [`crate::tables`] and the views before it. [`CLOCK`] in it stands for the newest time in
    /// `clock_of`.
    pub sql: &'static str,
    /// Table whose newest ingest time is the present of the view. The session finds it in the statistics of the table's
    /// files and puts it there as a constant, so that files of the past are left out without being opened.
    pub clock_of: Option<&'static str>,
}

/// What stands in a view's SQL for its present.
pub const CLOCK: &str = ":clock";

/// Every view, after those that it reads.
pub const ALL: [ViewSpec; 11] = [
    ViewSpec {
        name: "payments_current",
        comment: "one row a payment: the swipe with its newest state",
        sql: include_str!("../views/payments_current.sql"),
        clock_of: None,
    },
    ViewSpec {
        name: "merchants_current",
        comment: "one row a merchant: as the newest bundle names it",
        sql: include_str!("../views/merchants_current.sql"),
        clock_of: None,
    },
    ViewSpec {
        name: "outcomes",
        comment: "answers to swipes by response code and reason, with count and amount",
        sql: include_str!("../views/outcomes.sql"),
        clock_of: None,
    },
    ViewSpec {
        name: "trips_current",
        comment: "one row a trip: its newest revision",
        sql: include_str!("../views/trips_current.sql"),
        clock_of: None,
    },
    ViewSpec {
        name: "stops_current",
        comment: "one row a stop: its newest revision",
        sql: include_str!("../views/stops_current.sql"),
        clock_of: None,
    },
    ViewSpec {
        name: "vehicles_current",
        comment: "one row a vehicle heard of within a week: where it was last and what it does",
        sql: include_str!("../views/vehicles_current.sql"),
        clock_of: Some("pings"),
    },
    ViewSpec {
        name: "trip_durations_current",
        comment: "one row a trip: how long it took, as computed for its newest revision",
        sql: include_str!("../views/trip_durations_current.sql"),
        clock_of: None,
    },
    ViewSpec {
        name: "durations_by_courier",
        comment: "one row a courier: durations of his trips, dwell of his stops and stops an hour",
        sql: include_str!("../views/durations_by_courier.sql"),
        clock_of: None,
    },
    ViewSpec {
        name: "durations_by_zone",
        comment: "one row a zone: durations of the trips that start there",
        sql: include_str!("../views/durations_by_zone.sql"),
        clock_of: None,
    },
    ViewSpec {
        name: "durations_by_zone_pair",
        comment: "one row a pair of zones: durations of the trips from one to the other",
        sql: include_str!("../views/durations_by_zone_pair.sql"),
        clock_of: None,
    },
    ViewSpec {
        name: "durations_by_hour",
        comment: "one row a zone and hour of the week: durations of the trips that start then and there",
        sql: include_str!("../views/durations_by_hour.sql"),
        clock_of: None,
    },
];
