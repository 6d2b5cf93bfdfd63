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

/// SQL of durations of trips, and of the dwell of the stops in and after them, by these columns. `zone` is where a trip
/// starts, and where the stop at its end lies.
macro_rules! durations_by {
    ($keys:literal) => {
        durations_by!($keys, "")
    };
    ($keys:literal, $more:literal) => {
        concat!(
            "SELECT ",
            $keys,
            ", trips, p50_s, p90_s, p95_s, mean_s, stddev_s, deviation_s, on_time_share, strange, \
             coalesce(stops, 0) AS stops, dwell_p50_s, dwell_p95_s, dwell_mean_s",
            $more,
            " FROM (SELECT ",
            $keys,
            ", count(*) AS trips, sum(duration_s) AS under_way_s, \
             percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_s) AS p50_s, \
             percentile_cont(0.9) WITHIN GROUP (ORDER BY duration_s) AS p90_s, \
             percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_s) AS p95_s, \
             avg(duration_s) AS mean_s, stddev_samp(duration_s) AS stddev_s, avg(deviation_s) AS deviation_s, \
             avg(CASE WHEN on_time THEN 1.0 WHEN NOT on_time THEN 0.0 END) AS on_time_share, \
             sum(CASE WHEN anomaly_reason IS NULL THEN 0 ELSE 1 END) AS strange \
             FROM (SELECT *, origin_zone AS zone FROM trip_durations_current) GROUP BY ",
            $keys,
            ") t LEFT JOIN (SELECT ",
            $keys,
            ", count(*) AS stops, sum(beside_trip_s) AS beside_trips_s, \
             percentile_cont(0.5) WITHIN GROUP (ORDER BY dwell_s) AS dwell_p50_s, \
             percentile_cont(0.95) WITHIN GROUP (ORDER BY dwell_s) AS dwell_p95_s, \
             avg(dwell_s) AS dwell_mean_s \
             FROM (SELECT *, destination_zone AS zone FROM trip_stops) GROUP BY ",
            $keys,
            ") s USING (",
            $keys,
            ")"
        )
    };
}

/// Stops of an hour under way and at stops, where both are of the same trips.
macro_rules! with_rate {
    ($keys:literal) => {
        durations_by!(
            $keys,
            ", 3600.0 * coalesce(stops, 0) / nullif(under_way_s + coalesce(beside_trips_s, 0), 0) AS stops_per_hour"
        )
    };
}

/// Every view, after those that it reads.
pub const ALL: [ViewSpec; 23] = [
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
        name: "trip_stops",
        comment: "one row a stop of at most an hour in a trip or at its end (longer is a break or a night): its dwell",
        sql: include_str!("../views/trip_stops.sql"),
        clock_of: None,
    },
    ViewSpec {
        name: "durations_by_courier",
        comment: "one row a courier: durations of his trips, dwell at his stops and stops an hour",
        sql: concat!("SELECT * FROM (", with_rate!("courier_id, merchant_id"), ") WHERE courier_id IS NOT NULL"),
        clock_of: None,
    },
    ViewSpec {
        name: "durations_by_zone",
        comment: "one row a zone: durations of the trips that start there, dwell at the end of those that end there",
        sql: durations_by!("zone"),
        clock_of: None,
    },
    ViewSpec {
        name: "durations_by_zone_pair",
        comment: "one row a pair of zones: durations of the trips from one to the other, and dwell at their stops",
        sql: with_rate!("origin_zone, destination_zone"),
        clock_of: None,
    },
    ViewSpec {
        name: "durations_by_hour",
        comment: "one row a zone and hour of the week: durations of the trips that start then and there, dwell of those to there",
        sql: durations_by!("zone, hour_of_week"),
        clock_of: None,
    },
    ViewSpec {
        name: "payment_places_current",
        comment: "one row a courier's payment: where it was paid, as last found out",
        sql: include_str!("../views/payment_places_current.sql"),
        clock_of: None,
    },
    ViewSpec {
        name: "paid_where_by_courier",
        comment: "one row a courier: how many of his payments were paid where, and how far from the stop",
        sql: include_str!("../views/paid_where_by_courier.sql"),
        clock_of: None,
    },
    ViewSpec {
        name: "swipes_far_from_courier",
        comment: "one row a swipe whose phone says that it was more than 1.5 km from the pings of the courier who is named",
        sql: include_str!("../views/swipes_far_from_courier.sql"),
        clock_of: None,
    },
    ViewSpec {
        name: "ping_density",
        comment: "one row an H3 cell of resolution 9 (some 0.1 km²) and hour: fixes, and how many devices sent them",
        sql: include_str!("../views/ping_density.sql"),
        clock_of: None,
    },
    ViewSpec {
        name: "stop_density",
        comment: "one row an H3 cell of resolution 9 (some 0.1 km²): stops, their dwell, and payments that were paid there",
        sql: include_str!("../views/stop_density.sql"),
        clock_of: None,
    },
    ViewSpec {
        name: "ping_clocks",
        comment: "one row a partition of the pings whose clock moved within a day: how far it has come",
        sql: include_str!("../views/ping_clocks.sql"),
        clock_of: Some("pings"),
    },
    ViewSpec {
        name: "courier_alerts_current",
        comment: "one row a swipe that was far from its courier's phone: raised, or withdrawn since",
        sql: include_str!("../views/courier_alerts_current.sql"),
        clock_of: None,
    },
    ViewSpec {
        name: "alerts_current",
        comment: "one row an alert, of decisions and of couriers' phones: raised, or withdrawn since",
        sql: include_str!("../views/alerts_current.sql"),
        clock_of: None,
    },
    ViewSpec {
        name: "alert_causes",
        comment: "one row a cause of an alert that stands: a rule that fired, or the reason where no rule did",
        sql: include_str!("../views/alert_causes.sql"),
        clock_of: None,
    },
    ViewSpec {
        name: "alerts_snoozed",
        comment: "one row an alert that stands and whose every cause somebody has snoozed: until when",
        sql: include_str!("../views/alerts_snoozed.sql"),
        clock_of: None,
    },
    ViewSpec {
        name: "alert_groups_current",
        comment: "one row a group of alerts that belong together, as last found out",
        sql: include_str!("../views/alert_groups_current.sql"),
        clock_of: None,
    },
];
