//! Records of the transactions topic as lines of NDJSON.

use schemas::topics::kind;
use serde::{Serialize, Serializer};

use crate::clock;

/// A moment, written as RFC 3339 with microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Time(pub(crate) i64);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&clock::rfc3339(self.0))
    }
}

/// A record; columns without a value are left out.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub(crate) struct Record {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) received_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) merchant_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reader_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stan: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) terminal_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) amount_minor: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) currency: Option<&'static str>,
    /// Lower-case hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) frame: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) courier_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) app_version: Option<&'static str>,
    /// WGS84 degrees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lat: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lon: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payment_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) signature_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) label: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) label_source: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) control_unit: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) control_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) control_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) control_hash: Option<String>,
}

impl Record {
    /// A tick of the gateway's clock.
    pub(crate) fn tick() -> Self {
        Self { kind: Some(kind::TICK), ..Self::default() }
    }

    /// The line, with the time at which the gateway puts the record on the log.
    pub(crate) fn line(mut self, received_us: i64) -> Vec<u8> {
        self.received_at = Some(Time(received_us));
        to_line(&self)
    }
}

/// JSON with its line end.
pub(crate) fn to_line(value: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).expect("texts, numbers and lists always serialize");
    line.push(b'\n');
    line
}

/// What can be wrong with a whole line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadLine {
    /// Text that is not JSON.
    NotJson,
    /// A record that ends in the middle.
    CutShort,
    /// A record without `kind`.
    KindMissing,
    /// A record of a kind that nobody knows.
    KindUnknown,
    /// A text where a number belongs.
    WrongType,
}

impl BadLine {
    /// Every sort: each occurs every day.
    pub(crate) const ALL: [Self; 5] =
        [Self::NotJson, Self::CutShort, Self::KindMissing, Self::KindUnknown, Self::WrongType];

    /// Name as the truth shows it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::CutShort => "cut_short",
            Self::KindMissing => "kind_missing",
            Self::KindUnknown => "kind_unknown",
            Self::WrongType => "wrong_type",
        }
    }

    /// Such a line, received at this time.
    pub(crate) fn line(self, received_us: i64) -> Vec<u8> {
        let at = clock::rfc3339(received_us);
        let text = match self {
            Self::NotJson => "gateway restarted, queue flushed".to_string(),
            Self::CutShort => format!(r#"{{"kind":"signature","received_at":"{at}","merchant_id":"M-00"#),
            Self::KindMissing => format!(r#"{{"received_at":"{at}","merchant_id":"M-0001","stan":17}}"#),
            Self::KindUnknown => format!(r#"{{"kind":"loyalty","received_at":"{at}","merchant_id":"M-0001"}}"#),
            Self::WrongType => {
                format!(r#"{{"kind":"refund","received_at":"{at}","merchant_id":"M-0001","amount_minor":"twelve"}}"#)
            }
        };
        format!("{text}\n").into_bytes()
    }
}
