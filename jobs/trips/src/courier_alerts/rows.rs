//! The rows of the table.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Int64Type};
use arrow::error::ArrowError;
use schemas::alerting::{FAR_FROM_COURIER, courier_alerts, state};
use schemas::ids::{CardToken, PaymentId, alert_id, alerting_payment, card_group_id, hash_of_parts, hex_of};
use schemas::money::{Currency, Money};
use schemas::tables::with_source;

use super::{CourierAlerts, Phone, Said};
use crate::assignments::Assignments;
use crate::columns::{column, texts};
use crate::units::seconds;

/// What a sentence says of a swipe.
struct Told<'a> {
    courier: &'a str,
    merchant: Option<&'a str>,
    reader: Option<&'a str>,
    paid: Option<Money>,
}

impl Told<'_> {
    fn sentence(&self, said: &Said, age_s: Option<f64>) -> String {
        match (said.phone, said.is_withdrawn) {
            (Some(phone), false) => {
                let paid = self.paid.map_or_else(|| "an unreadable amount".to_string(), |paid| paid.to_string());
                format!(
                    "A swipe {} from where the phone of courier {} was {:.0} s before: {paid} on reader {} at {}.",
                    far(phone.distance_m),
                    self.courier,
                    age_s.unwrap_or_default(),
                    self.reader.unwrap_or("without a name"),
                    self.merchant.unwrap_or("an unnamed merchant"),
                )
            }
            (Some(phone), true) => format!(
                "Withdrawn: by what the phone of courier {} sent later it was {} from the swipe.",
                self.courier,
                far(phone.distance_m)
            ),
            (None, _) => format!(
                "Withdrawn: what the phone of courier {} sent later leaves no position at the swipe.",
                self.courier
            ),
        }
    }
}

/// A distance for people.
fn far(distance_m: f64) -> String {
    if distance_m < 1_000.0 { format!("{distance_m:.0} m") } else { format!("{:.1} km", distance_m / 1_000.0) }
}

/// A row for each thing said, in their order.
pub(super) fn batch(work: &CourierAlerts<'_>, said: &[Said], sequence: i64) -> Result<RecordBatch, ArrowError> {
    let schema = with_source(&courier_alerts());
    // Arrow's texts have 32-bit offsets, so rows fit too.
    let chosen: UInt32Array = said.iter().map(|said| u32::try_from(said.swipe).ok()).collect();
    let of_swipe = |name: &str| {
        let data_type = schema.field_with_name(name)?.data_type();
        take(&column(&work.batches, name, data_type)?, &chosen, None)
    };
    let text = |value: &dyn Fn(&Said) -> Option<String>| -> ArrayRef {
        Arc::new(said.iter().map(value).collect::<StringArray>())
    };
    let number = |value: &dyn Fn(&Said) -> Option<f64>| -> ArrayRef {
        Arc::new(said.iter().map(value).collect::<Float64Array>())
    };
    let assigned = |said: &Said, value: &dyn Fn(&Assignments) -> &StringArray| {
        let (assignments, row) = work.assigned.assignment(said.carrier);
        present(value(assignments), row).map(str::to_string)
    };
    let phone = |value: &dyn Fn(&Phone) -> f64| number(&|said| said.phone.as_ref().map(value));
    let tokens = texts(&work.batches, "token")?;
    let name = |said: &Said| named(work.payment_id.value(said.swipe));
    let columns = schema.fields().iter().map(|field| {
        Ok(match field.name().as_str() {
            "alert_id" => text(&|said| Some(hex_of(&alert_id(&name(said), FAR_FROM_COURIER)))),
            "state" => text(&|said| Some(if said.is_withdrawn { state::WITHDRAWN } else { state::RAISED }.to_string())),
            "sequence" => Arc::new(Int64Array::from_iter_values((sequence..).take(said.len()))),
            "courier_id" => text(&|said| assigned(said, &|assignments| &assignments.courier_id)),
            "device_id" => text(&|said| assigned(said, &|assignments| &assignments.device_id)),
            "vehicle" => text(&|said| assigned(said, &|assignments| &assignments.vehicle)),
            "reason" => text(&|_| Some(FAR_FROM_COURIER.to_string())),
            "group_id" => text(&|said| Some(group_id(present(&tokens, said.swipe), &name(said)))),
            "group_number" => Arc::new(Int32Array::from(vec![1; said.len()])),
            "sentence" => Arc::new(StringArray::from(sentences(work, said)?)),
            "phone_lat" => phone(&|phone| phone.place.lat),
            "phone_lon" => phone(&|phone| phone.place.lon),
            "fix_s" => number(&|said| age_s(work, said)),
            "distance_m" => phone(&|phone| phone.distance_m),
            "limit_m" => number(&|_| Some(work.far_m)),
            "known_at" => {
                let known: TimestampMicrosecondArray = said.iter().map(|said| Some(said.known_us)).collect();
                Arc::new(known.with_timezone("UTC"))
            }
            carried => of_swipe(carried)?,
        })
    });
    let columns = columns.collect::<Result<Vec<ArrayRef>, ArrowError>>()?;
    RecordBatch::try_new(schema, columns)
}

fn sentences(work: &CourierAlerts<'_>, said: &[Said]) -> Result<Vec<String>, ArrowError> {
    let of = |name| texts(&work.batches, name);
    let (merchants, readers, currencies) = (of("merchant_id")?, of("reader_id")?, of("currency")?);
    let amounts = column(&work.batches, "amount_minor", &DataType::Int64)?.as_primitive::<Int64Type>().clone();
    let sentence = |said: &Said| {
        let (assignments, row) = work.assigned.assignment(said.carrier);
        let currency = present(&currencies, said.swipe).and_then(Currency::from_code);
        let paid = currency.filter(|_| amounts.is_valid(said.swipe));
        let told = Told {
            courier: assignments.courier_id.value(row),
            merchant: present(&merchants, said.swipe),
            reader: present(&readers, said.swipe),
            paid: paid.map(|currency| Money { minor: amounts.value(said.swipe), currency }),
        };
        told.sentence(said, age_s(work, said))
    };
    Ok(said.iter().map(sentence).collect())
}

fn age_s(work: &CourierAlerts<'_>, said: &Said) -> Option<f64> {
    Some(seconds(work.at.value(said.swipe) - said.phone?.fix_us))
}

/// What names the payment in identities.
fn named(payment_id: &str) -> [u8; 16] {
    PaymentId::from_hex(payment_id)
        .map_or_else(|| hash_of_parts(&[b"payment", payment_id.as_bytes()]), alerting_payment)
}

/// Identity of the card's group that the payment opens; of an unknown card that of the payment alone.
fn group_id(token: Option<&str>, name: &[u8; 16]) -> String {
    let of_card = token.and_then(CardToken::from_hex).map(|token| card_group_id(token, name));
    hex_of(&of_card.unwrap_or(*name))
}

fn present(texts: &StringArray, row: usize) -> Option<&str> {
    texts.is_valid(row).then(|| texts.value(row))
}
