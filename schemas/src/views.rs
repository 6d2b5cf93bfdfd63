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
pub const ALL: [ViewSpec; 3] = [
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
];
