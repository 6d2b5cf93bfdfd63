//! Views that analysts read: name, comment and SQL over the tables.

/// A view of the lake.
#[derive(Debug, Clone, Copy)]
pub struct ViewSpec {
    /// Name in SQL.
    pub name: &'static str,
    /// What one row is, for people.
    pub comment: &'static str,
    /// `SELECT` over the tables of [`crate::tables`].
    pub sql: &'static str,
}

/// Every view.
pub const ALL: [ViewSpec; 6] = [
    ViewSpec {
        name: "payments_current",
        comment: "one row a payment: the swipe with its newest state",
        sql: include_str!("../views/payments_current.sql"),
    },
    ViewSpec {
        name: "merchants_current",
        comment: "one row a merchant: as the newest bundle names it",
        sql: include_str!("../views/merchants_current.sql"),
    },
    ViewSpec {
        name: "outcomes",
        comment: "answers to swipes by response code and reason, with count and amount",
        sql: include_str!("../views/outcomes.sql"),
    },
    ViewSpec {
        name: "trips_current",
        comment: "one row a trip: its newest revision",
        sql: include_str!("../views/trips_current.sql"),
    },
    ViewSpec {
        name: "stops_current",
        comment: "one row a stop: its newest revision",
        sql: include_str!("../views/stops_current.sql"),
    },
    ViewSpec {
        name: "vehicles_current",
        comment: "one row a vehicle heard of within a week: where it was last and what it does",
        sql: include_str!("../views/vehicles_current.sql"),
    },
];
