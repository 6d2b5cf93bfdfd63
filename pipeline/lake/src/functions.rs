//! SQL functions of the lake's session: cells of the H3 grid (h3geo.org), in which densities are counted.

use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::{DataFusionError, exec_datafusion_err};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use h3o::{CellIndex, LatLng, Resolution};

/// Every function.
pub(crate) fn all() -> [ScalarUDF; 3] {
    let degrees = |name: &str, degrees: fn(LatLng) -> f64| {
        let of_cells = move |arguments: &[ColumnarValue]| on_arrays(arguments, |columns| centre(&columns[0], degrees));
        create_udf(name, vec![DataType::Utf8], DataType::Float64, Volatility::Immutable, Arc::new(of_cells))
    };
    let cell_arguments = vec![DataType::Float64, DataType::Float64, DataType::Int64];
    let of_degrees = |arguments: &[ColumnarValue]| on_arrays(arguments, cell);
    [
        create_udf("h3_cell", cell_arguments, DataType::Utf8, Volatility::Immutable, Arc::new(of_degrees)),
        degrees("h3_lat", |place| place.lat()),
        degrees("h3_lon", |place| place.lng()),
    ]
}

fn on_arrays(
    arguments: &[ColumnarValue],
    compute: impl Fn(&[ArrayRef]) -> Result<ArrayRef, DataFusionError>,
) -> Result<ColumnarValue, DataFusionError> {
    compute(&ColumnarValue::values_to_arrays(arguments)?).map(ColumnarValue::Array)
}

/// `h3_cell(lat, lon, resolution)`: the cell in which a position lies, as H3 writes it (15 hexadecimal digits).
fn cell(columns: &[ArrayRef]) -> Result<ArrayRef, DataFusionError> {
    let [lat, lon] = [0, 1].map(|column: usize| columns[column].as_primitive::<Float64Type>());
    let resolutions = columns[2].as_primitive::<Int64Type>();
    let mut cells = StringBuilder::with_capacity(lat.len(), 15 * lat.len());
    for row in 0..lat.len() {
        if lat.is_null(row) || lon.is_null(row) || resolutions.is_null(row) {
            cells.append_null();
            continue;
        }
        let (lat, lon, resolution) = (lat.value(row), lon.value(row), resolutions.value(row));
        let place = LatLng::new(lat, lon)
            .ok()
            .filter(|_| lat.abs() <= 90.0)
            .ok_or_else(|| exec_datafusion_err!("h3_cell: {lat}, {lon} is no position in degrees (latitude first)"))?;
        let resolution = u8::try_from(resolution)
            .ok()
            .and_then(|resolution| Resolution::try_from(resolution).ok())
            .ok_or_else(|| exec_datafusion_err!("h3_cell: resolution {resolution} is not from 0 to 15"))?;
        cells.append_value(place.to_cell(resolution).to_string());
    }
    Ok(Arc::new(cells.finish()))
}

/// `h3_lat(cell)` and `h3_lon(cell)`: a coordinate of the cell's centre, degrees.
fn centre(cells: &ArrayRef, degrees: fn(LatLng) -> f64) -> Result<ArrayRef, DataFusionError> {
    let cells: &StringArray = cells.as_string();
    let centre = |cell: Option<&str>| match cell {
        None => Ok(None),
        Some(text) => match CellIndex::from_str(text) {
            Ok(cell) => Ok(Some(degrees(LatLng::from(cell)))),
            Err(_) => Err(exec_datafusion_err!("{text:?} is no H3 cell: h3_cell(lat, lon, 9) gives one")),
        },
    };
    let centres: Float64Array = cells.iter().map(centre).collect::<Result<_, DataFusionError>>()?;
    Ok(Arc::new(centres))
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;

    use super::*;

    fn cell_of(lat: f64, lon: f64, resolution: i64) -> Result<ArrayRef, String> {
        let columns: [ArrayRef; 3] = [
            Arc::new(Float64Array::from(vec![Some(lat), None])),
            Arc::new(Float64Array::from(vec![lon, lon])),
            Arc::new(Int64Array::from(vec![resolution, resolution])),
        ];
        cell(&columns).map_err(|error| error.to_string())
    }

    /// The Statue of Liberty, the example of H3's own documentation (h3geo.org, quick start).
    #[test]
    fn a_known_place_lies_in_its_cell() {
        let cells = cell_of(40.689_167, -74.044_444, 10).unwrap();
        assert_eq!(cells.as_string::<i32>().iter().collect::<Vec<_>>(), [Some("8a2a1072b59ffff"), None]);
        let lat = centre(&cells, |place| place.lat()).unwrap();
        let lat = lat.as_primitive::<Float64Type>();
        // A cell of resolution 10 is some 130 m wide.
        assert!((lat.value(0) - 40.689_167).abs() < 0.001 && lat.is_null(1), "{lat:?}");
    }

    #[test]
    fn what_is_no_position_resolution_or_cell_is_said() {
        assert!(cell_of(91.0, 0.0, 9).unwrap_err().contains("latitude first"));
        assert!(cell_of(f64::NAN, 0.0, 9).unwrap_err().contains("no position"));
        assert!(cell_of(51.0, 0.0, 16).unwrap_err().contains("not from 0 to 15"));
        let text: ArrayRef = Arc::new(StringArray::from(vec!["8a2a"]));
        assert!(centre(&text, |place| place.lat()).unwrap_err().to_string().contains("no H3 cell"));
    }
}
