//! The merchant's side: values of its windows, as texts that travel with each payment.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type};

use schemas::ids::ContentHash;
use schemas::topics;

use super::rows::{Judged, WINDOWS, column};
use super::side::{Content, Side};
use super::{Definitions, LiveError};

/// Between a window's identity and its value.
const EQUALS: char = '=';

/// The merchant's side of a partition of payments rows.
#[derive(Default)]
pub struct MerchantSide {
    side: Side,
    identities: Vec<String>,
}

impl MerchantSide {
    /// Hash of the bundle in force.
    pub fn bundle(&self) -> Option<ContentHash> {
        self.side.bundle()
    }

    /// Brings a bundle into force at this time, microseconds UTC, behind the rows that were read: see
    /// [`Windows::succeeded`](crate::windows::Windows::succeeded).
    ///
    /// # Errors
    /// Fails where the bundle is wrong; what was in force stays so.
    pub fn accept(&mut self, hash: ContentHash, content: &[u8], at_us: i64) -> Result<(), LiveError> {
        let definitions = Definitions::of_content(content)?;
        self.side.accept(hash, definitions.merchant.clone(), at_us)?;
        self.identities = definitions.identities;
        Ok(())
    }

    /// Column `windows` for payments rows, which follow those before: null where a row is not judged, and everywhere where
    /// nothing is in force. A window without a value is left out.
    ///
    /// # Errors
    /// Fails where the rows are no payments; nothing was entered then.
    pub fn values(&mut self, rows: &RecordBatch) -> Result<ArrayRef, LiveError> {
        let mut texts = topics::text_lists();
        let mut next = 0;
        if let Some((judged, values)) = self.side.process(rows)? {
            for (row, place) in judged.places.values().iter().enumerate() {
                (next..*place).for_each(|_| texts.append(false));
                next = place + 1;
                for (identity, column) in self.identities.iter().zip(values.columns()) {
                    if let Some(value) = text_of(column, row) {
                        texts.values().append_value(format!("{identity}{EQUALS}{value}"));
                    }
                }
                texts.append(true);
            }
        }
        (next as usize..rows.num_rows()).for_each(|_| texts.append(false));
        Ok(Arc::new(texts.finish()))
    }

    /// The state as bytes: equal ones after equal rows.
    ///
    /// # Errors
    /// Fails where it cannot be written down.
    pub fn save(&self) -> Result<Vec<u8>, LiveError> {
        self.side.save()
    }

    /// The state of saved bytes, or of rows that nobody noted. `content` gives a bundle's bytes by its hash.
    ///
    /// # Errors
    /// Fails where they are damaged, or their bundle is not there or wrong.
    pub fn restore(bytes: Option<&[u8]>, content: Content<'_>) -> Result<Self, LiveError> {
        let mut identities = Vec::new();
        let side = Side::restore(bytes, |hash| {
            let definitions = Definitions::of_content(&content(hash).map_err(LiveError::Bundle)?)?;
            identities = definitions.identities;
            Ok(definitions.merchant)
        })?;
        Ok(Self { side, identities })
    }
}

/// A value of a window as text that reads back to the same bits; nothing where there is none.
pub(super) fn text_of(column: &ArrayRef, row: usize) -> Option<String> {
    if column.is_null(row) {
        return None;
    }
    match column.as_primitive_opt::<Int64Type>() {
        Some(whole) => Some(whole.value(row).to_string()),
        None => column.as_primitive_opt::<Float64Type>().map(|numbers| numbers.value(row).to_string()),
    }
}

/// The values of the merchant's windows that travelled with payments, one column a window. What has another identity, or
/// does not read, is missing.
pub(super) fn travelled(
    rows: &RecordBatch,
    judged: &Judged,
    definitions: &Definitions,
) -> Result<Vec<ArrayRef>, LiveError> {
    let lists = column(rows, WINDOWS)?.as_list_opt::<i32>().ok_or(LiveError::Column(WINDOWS))?;
    let texts = lists.values().as_string_opt::<i32>().ok_or(LiveError::Column("windows"))?;
    let identified = definitions.merchant.windows.iter().zip(&definitions.identities);
    let columns = identified.map(|(window, wanted)| {
        let values = judged.places.values().iter().map(|place| {
            let ends = &lists.value_offsets()[*place as usize..];
            let mut of_row = (ends[0]..ends[1]).filter_map(|place| texts.value(place as usize).split_once(EQUALS));
            of_row.find(|(identity, _)| identity == wanted).map(|(_, value)| value)
        });
        match window.function.data_type() {
            DataType::Int64 => Arc::new(values.map(|text| text?.parse().ok()).collect::<Int64Array>()) as ArrayRef,
            _ => Arc::new(values.map(|text| text?.parse().ok()).collect::<Float64Array>()),
        }
    });
    Ok(columns.collect())
}
