//! A recording of many devices: fixes read batch by batch into columns, and handed out device by device in the order in
//! which they came. A fix takes some 30 bytes and a name is kept once, so that millions of fixes fit.
//!
//! It may depend on Arrow and on what this crate takes for a fix. It refuses to clean or sort by time.

use std::collections::HashMap;

use arrow::array::{Array, RecordBatch};

use crate::fix::{Columns, Verdict};
use crate::metric::Place;
use crate::sighting::Sighting;

/// Most fixes: what an index of 32 bits counts.
pub const FIXES_MAX: usize = u32::MAX as usize;

/// Values that most recordings do not have: no room is taken before the first.
#[derive(Debug, Default)]
struct Rare<T>(Vec<Option<T>>);

impl<T: Copy> Rare<T> {
    fn put(&mut self, index: usize, value: Option<T>) {
        if value.is_some() || !self.0.is_empty() {
            self.0.resize(index, None);
            self.0.push(value);
        }
    }

    fn get(&self, index: usize) -> Option<T> {
        self.0.get(index).copied().flatten()
    }
}

/// Fixes as they came.
#[derive(Debug, Default)]
pub struct Recording {
    names: Vec<String>,
    numbers: HashMap<String, u32>,
    devices: Vec<u32>,
    times_us: Vec<i64>,
    lats: Vec<f64>,
    lons: Vec<f64>,
    accuracies_m: Rare<f64>,
    speeds_mps: Rare<f64>,
    hired: Rare<bool>,
    received_us: Rare<i64>,
    other_rows: u64,
}

impl Recording {
    /// Takes rows of the pings topic. `on_bad` gets each row that cannot be a fix, with reason and detail as in dead
    /// letters; ticks and control records are counted apart.
    ///
    /// # Errors
    /// Rows of another schema, which is a mistake of the caller, and more fixes than [`FIXES_MAX`].
    pub fn add(
        &mut self,
        rows: &RecordBatch,
        mut on_bad: impl FnMut(usize, &'static str, &'static str),
    ) -> Result<(), String> {
        let columns = Columns::of(rows)?;
        if self.times_us.len() + rows.num_rows() > FIXES_MAX {
            return Err(format!("more than {FIXES_MAX} fixes do not fit; split the file by device"));
        }
        for row in 0..rows.num_rows() {
            let is_control = columns.kind.is_valid(row) && columns.kind.value(row) == schemas::topics::kind::CONTROL;
            match columns.judge(row) {
                _ if is_control => self.other_rows += 1,
                Verdict::Tick => self.other_rows += 1,
                Verdict::NoFix(reason, detail) => on_bad(row, reason, detail),
                Verdict::Fix => {
                    let device = self.number_of(columns.device_id.value(row));
                    self.push(device, &columns.sighting(row));
                }
            }
        }
        Ok(())
    }

    fn number_of(&mut self, name: &str) -> u32 {
        // Mostly the next fix is of the same device.
        if let Some(last) = self.devices.last().filter(|last| self.names[**last as usize] == name) {
            return *last;
        }
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).expect("there are no more devices than fixes, which are bounded");
        self.names.push(name.to_string());
        self.numbers.insert(name.to_string(), number);
        number
    }

    fn push(&mut self, device: u32, fix: &Sighting) {
        let index = self.devices.len();
        self.devices.push(device);
        self.times_us.push(fix.time_us);
        self.lats.push(fix.place.lat);
        self.lons.push(fix.place.lon);
        self.accuracies_m.put(index, fix.accuracy_m);
        self.speeds_mps.put(index, fix.speed_mps);
        self.hired.put(index, fix.hired);
        self.received_us.put(index, fix.received_us);
    }

    /// Rows that are no fixes and no mistakes: ticks and control records.
    pub fn other_rows(&self) -> u64 {
        self.other_rows
    }

    /// Number of fixes.
    pub fn fixes(&self) -> usize {
        self.times_us.len()
    }

    /// The same by device.
    pub fn by_device(self) -> Tracks {
        let mut ends = vec![0_usize; self.names.len()];
        self.devices.iter().for_each(|device| ends[*device as usize] += 1);
        let mut begin = 0;
        for end in &mut ends {
            let count = std::mem::replace(end, begin);
            begin += count;
        }
        let mut order = vec![0_u32; self.devices.len()];
        for (index, device) in (0_u32..).zip(&self.devices) {
            let place = &mut ends[*device as usize];
            order[*place] = index;
            *place += 1;
        }
        Tracks { recording: self, ends, order }
    }
}

/// The tracks of a recording, in the order in which their devices first appear.
#[derive(Debug)]
pub struct Tracks {
    recording: Recording,
    /// Where each device's part of `order` ends.
    ends: Vec<usize>,
    /// Places of the fixes, device by device.
    order: Vec<u32>,
}

impl Tracks {
    /// Names of the devices.
    pub fn devices(&self) -> &[String] {
        &self.recording.names
    }

    /// Number of fixes of all devices.
    pub fn fixes(&self) -> usize {
        self.order.len()
    }

    /// First and last time of all fixes, microseconds UTC; nothing where there are none.
    pub fn span_us(&self) -> Option<(i64, i64)> {
        let times = || self.recording.times_us.iter().copied();
        times().min().zip(times().max())
    }

    /// The fixes of a device, by its place among [`Tracks::devices`], in the order in which they came.
    pub fn track(&self, device: usize) -> impl ExactSizeIterator<Item = Sighting> + Clone + '_ {
        let begin = device.checked_sub(1).map_or(0, |before| self.ends[before]);
        let Recording { times_us, lats, lons, accuracies_m, speeds_mps, hired, received_us, .. } = &self.recording;
        self.order[begin..self.ends[device]].iter().map(move |place| {
            let place = *place as usize;
            Sighting {
                time_us: times_us[place],
                place: Place { lat: lats[place], lon: lons[place] },
                accuracy_m: accuracies_m.get(place),
                speed_mps: speeds_mps.get(place),
                hired: hired.get(place),
                received_us: received_us.get(place),
            }
        })
    }
}

#[cfg(test)]
mod tests;
