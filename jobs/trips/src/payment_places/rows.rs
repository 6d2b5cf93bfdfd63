//! The rows of the table.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray, StringBuilder, UInt32Array};
use arrow::compute::take;
use arrow::error::ArrowError;
use schemas::places::payment_places;
use schemas::tables::with_source;

use super::{Judged, PaymentPlaces, Said, present};
use crate::columns::{column, texts};

/// A row for each judged payment, in their order.
pub(super) fn batch(work: &PaymentPlaces<'_>) -> Result<RecordBatch, ArrowError> {
    let schema = with_source(&payment_places());
    let said: Vec<Said> = work.judged.iter().map(|judged| work.said(judged)).collect();
    let trip_of_stop = texts(work.inputs.stops, "trip_id")?;
    // Arrow's texts have 32-bit offsets, so rows fit too.
    let chosen: UInt32Array = work.judged.iter().map(|judged| u32::try_from(judged.payment).ok()).collect();
    let of_payment = |name: &str| {
        let data_type = schema.field_with_name(name)?.data_type();
        take(&column(work.inputs.payments, name, data_type)?, &chosen, None)
    };
    let of_judged = |value: &dyn Fn(&Judged) -> Option<String>| -> ArrayRef {
        Arc::new(work.judged.iter().map(value).collect::<StringArray>())
    };
    let of_carrier = |value: &dyn Fn(&crate::assignments::Assignments) -> &StringArray| -> ArrayRef {
        let mut builder = StringBuilder::new();
        for judged in &work.judged {
            let (assignments, row) = work.assigned.assignment(judged.carrier);
            builder.append_option(present(value(assignments), row));
        }
        Arc::new(builder.finish())
    };
    let revisions = |value: &dyn Fn(&Judged) -> Option<i32>| -> ArrayRef {
        Arc::new(work.judged.iter().map(value).collect::<Int32Array>())
    };
    let numbers = |value: &dyn Fn(&Said) -> Option<f64>| -> ArrayRef {
        Arc::new(said.iter().map(value).collect::<Float64Array>())
    };
    let columns = schema.fields().iter().map(|field| {
        Ok(match field.name().as_str() {
            "revision" => revisions(&|judged| Some(judged.revision)),
            "courier_id" => of_judged(&|judged| {
                let (assignments, row) = work.assigned.assignment(judged.carrier);
                let named = present(&work.courier_id, judged.payment);
                Some(named.unwrap_or_else(|| assignments.courier_id.value(row)).to_string())
            }),
            "device_id" => of_carrier(&|assignments| &assignments.device_id),
            "vehicle" => of_carrier(&|assignments| &assignments.vehicle),
            "place" => Arc::new(StringArray::from_iter_values(said.iter().map(|said| said.kind.name()))),
            "lat" => numbers(&|said| said.sighted.map(|sighted| sighted.place.lat)),
            "lon" => numbers(&|said| said.sighted.map(|sighted| sighted.place.lon)),
            "fix_s" => numbers(&|said| said.sighted?.fix_s),
            "stop_id" => of_judged(&|judged| Some(work.stops.id.value(judged.basis.stop?.row).to_string())),
            "stop_revision" => revisions(&|judged| Some(work.stops.revision.value(judged.basis.stop?.row))),
            "stop_m" => numbers(&|said| said.stop_m),
            "since_arrival_s" => numbers(&|said| said.since_arrival_s),
            "trip_id" => of_judged(&|judged| {
                let of_stop = |row: usize| present(&trip_of_stop, row).map(str::to_string);
                match judged.basis.trip {
                    Some(trip) => Some(work.trips.id.value(trip.row).to_string()),
                    None if judged.basis.is_at_stop => of_stop(judged.basis.stop?.row),
                    None => None,
                }
            }),
            "trip_revision" => revisions(&|judged| Some(work.trips.revision.value(judged.basis.trip?.row))),
            "courier_m" => numbers(&|said| said.courier_m),
            carried => of_payment(carried)?,
        })
    });
    let columns = columns.collect::<Result<Vec<ArrayRef>, ArrowError>>()?;
    RecordBatch::try_new(schema, columns)
}
