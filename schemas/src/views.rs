//! Views that analysts read: name, comment and SQL over the tables.

/// A view of the lake.
#[derive(Debug, Clone, Copy)]
pub struct ViewSpec {
    /// Name in SQL.
    pub name: &'static str,
    /// What one row is, for people.
    pub comment: &'static str,
    /// `SELECT` over the tables of [`crate::tables`]. [`CLOCK`] in it stands for the newest time in `clock_of`.
    pub sql: &'static str,
    /// Table whose newest ingest time is the present of the view. The session finds it in the statistics of the table's
    /// files and puts it there as a constant, so that files of the past are left out without being opened.
    pub clock_of: Option<&'static str>,
}

/// What stands in a view's SQL for its present.
pub const CLOCK: &str = ":clock";

/// Every view.
pub const ALL: [ViewSpec; 6] = [
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
];
