//! The operator: the devices of one partition of a log, and when they fall silent by the log's clock.
//!
//! A device's stops and trips depend on its own fixes alone; only when a silence is noticed depends on the clock, which is
//! the largest `received_at` so far. Devices are bounded: who was not heard of for a week is forgotten, and when there are
//! too many those of whom nothing was heard for longest. It refuses clocks of its own, and knows no tables.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use serde::{Deserialize, Serialize};

use crate::device::{Device, Said};
use crate::segment::Event;
use crate::sighting::{Reason, Sighting};
use crate::units::DAY_US;
use crate::vehicle::{Told, VehicleSeen};

/// A device of which nothing was heard for so long is forgotten.
pub const FORGET_US: i64 = 7 * DAY_US;
/// Most devices of one partition: at some 20 KB each, most of it the line of an open trip, they take 320 MB.
pub const DEVICES_MAX: usize = 16_384;
/// When there are too many, one of so many is forgotten at once.
const FORGET_SHARE: usize = 16;
/// No entry counts.
const UNARMED: i64 = i64::MIN;

/// What the operator says about a device.
#[derive(Debug, Clone, PartialEq)]
pub enum Row {
    /// A fix was left out.
    Fault(Sighting, Reason),
    /// A stop or trip has ended, or was revised.
    Ended(Event),
    /// Where a vehicle is and what it does.
    Vehicle(VehicleSeen),
}

/// A device of the partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Slot {
    id: Box<str>,
    device: Device,
    told: Told,
    /// Number of the last record about it.
    heard: u64,
    is_silent: bool,
}

impl Slot {
    /// When the clock makes it due: to fall silent, or to be forgotten.
    fn due_us(&self) -> Option<i64> {
        let silent_at_us = self.device.silent_at_us()?;
        if self.is_silent { Some(self.device.arrived_us()?.max(silent_at_us) + FORGET_US) } else { Some(silent_at_us) }
    }

    fn fall_silent(&mut self, say: &mut impl FnMut(&str, Row)) {
        let Self { id, device, told, .. } = self;
        device.fall_silent(&mut |said| say(id, row(said)));
        if let Some(seen) = told.due(device.segmenter()) {
            say(id, Row::Vehicle(seen));
        }
        self.is_silent = true;
    }
}

fn row(said: Said) -> Row {
    match said {
        Said::Fault(fix, reason) => Row::Fault(fix, reason),
        Said::Ended(event) => Row::Ended(event),
    }
}

/// What is saved.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
struct State {
    /// Largest `received_at`.
    clock_us: Option<i64>,
    records: u64,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
}

/// The devices of one partition.
#[derive(Debug, Default)]
pub struct Operator {
    state: State,
    by_id: HashMap<Box<str>, u32>,
    /// When devices may be due, at the earliest: a device that was heard of since is due later.
    due: BinaryHeap<Reverse<(i64, u32)>>,
    /// By slot the one entry of `due` that counts.
    armed: Vec<i64>,
    /// Device of the last record: those of one device often follow each other.
    current: Option<u32>,
}

impl Operator {
    /// Takes a fix of a device.
    pub fn take(&mut self, id: &str, fix: Sighting, say: &mut impl FnMut(&str, Row)) {
        if let Some(received_us) = fix.received_us {
            self.pass(received_us, say);
        }
        let number = self.slot_of(id, say);
        self.state.records += 1;
        let Some(slot) = self.state.slots[number as usize].as_mut() else { return };
        slot.heard = self.state.records;
        let has_timer = slot.device.silent_at_us().is_some();
        let Slot { id, device, told, .. } = slot;
        let before_us = device.segmenter().last().map(|last| last.time_us);
        device.arrive(fix, &mut |said| say(id, row(said)));
        let last_us = device.segmenter().last().map(|last| last.time_us);
        if last_us != before_us
            && let Some(seen) = told.due(device.segmenter())
        {
            say(id, Row::Vehicle(seen));
        }
        if (slot.is_silent || !has_timer)
            && let Some(silent_at_us) = slot.device.silent_at_us()
        {
            slot.is_silent = false;
            self.arm(number, silent_at_us);
        }
    }

    fn arm_not(&mut self, number: u32) {
        self.armed.get_mut(number as usize).into_iter().for_each(|armed_us| *armed_us = UNARMED);
    }

    fn arm(&mut self, number: u32, due_us: i64) {
        let index = number as usize;
        if self.armed.len() <= index {
            self.armed.resize(index + 1, UNARMED);
        }
        self.armed[index] = due_us;
        self.due.push(Reverse((due_us, number)));
    }

    /// Time has passed to this moment of the log.
    pub fn pass(&mut self, received_us: i64, say: &mut impl FnMut(&str, Row)) {
        let clock_us = self.state.clock_us.map_or(received_us, |clock_us| clock_us.max(received_us));
        self.state.clock_us = Some(clock_us);
        if self.due.peek().is_none_or(|Reverse((due_us, _))| *due_us > clock_us) {
            return;
        }
        let mut due: Vec<(i64, Box<str>, u32)> = Vec::new();
        while let Some(Reverse((entry_us, number))) =
            self.due.peek().copied().filter(|Reverse((us, _))| *us <= clock_us)
        {
            self.due.pop();
            if self.armed[number as usize] != entry_us {
                continue;
            }
            self.arm_not(number);
            let Some(slot) = &self.state.slots[number as usize] else { continue };
            match slot.due_us() {
                Some(due_us) if due_us > clock_us => self.arm(number, due_us),
                Some(due_us) => due.push((due_us, slot.id.clone(), number)),
                None => {}
            }
        }
        due.sort();
        for (_, _, number) in due {
            self.come_due(number, say);
        }
    }

    fn come_due(&mut self, number: u32, say: &mut impl FnMut(&str, Row)) {
        let Some(slot) = &mut self.state.slots[number as usize] else { return };
        if slot.is_silent {
            self.forget(number);
            return;
        }
        slot.fall_silent(say);
        if let Some(due_us) = slot.due_us() {
            self.arm(number, due_us);
        }
    }

    fn forget(&mut self, number: u32) {
        if let Some(slot) = self.state.slots[number as usize].take() {
            self.by_id.remove(&slot.id);
            self.state.free.push(number);
            self.arm_not(number);
            self.current = None;
        }
    }

    /// The slot of a device, a new one for a new device.
    fn slot_of(&mut self, id: &str, say: &mut impl FnMut(&str, Row)) -> u32 {
        let slots = &self.state.slots;
        let is_it = |number: &u32| slots[*number as usize].as_ref().is_some_and(|slot| &*slot.id == id);
        if let Some(number) = self.current.filter(is_it) {
            return number;
        }
        let number = match self.by_id.get(id) {
            Some(number) => *number,
            None => self.add(id, say),
        };
        self.current = Some(number);
        number
    }

    fn add(&mut self, id: &str, say: &mut impl FnMut(&str, Row)) -> u32 {
        if self.by_id.len() >= DEVICES_MAX {
            self.make_room(say);
        }
        let id: Box<str> = id.into();
        let slot =
            Slot { id: id.clone(), device: Device::default(), told: Told::default(), heard: 0, is_silent: false };
        let number = self.state.free.pop().unwrap_or_else(|| {
            self.state.slots.push(None);
            // There are at most DEVICES_MAX slots.
            u32::try_from(self.state.slots.len() - 1).unwrap_or(u32::MAX)
        });
        self.state.slots[number as usize] = Some(slot);
        self.by_id.insert(id, number);
        number
    }

    /// Writes what is open of the devices of which nothing was heard for longest, and forgets them.
    fn make_room(&mut self, say: &mut impl FnMut(&str, Row)) {
        let heard = |(slot, number): (&Option<Slot>, u32)| slot.as_ref().map(|slot| (slot.heard, number));
        let mut by_age: Vec<(u64, u32)> = self.state.slots.iter().zip(0..).filter_map(heard).collect();
        by_age.sort();
        for (_, number) in by_age.into_iter().take(DEVICES_MAX / FORGET_SHARE) {
            if let Some(slot) = self.state.slots[number as usize].as_mut().filter(|slot| !slot.is_silent) {
                slot.fall_silent(say);
            }
            self.forget(number);
        }
    }

    /// Number of devices at hand.
    pub fn devices(&self) -> usize {
        self.by_id.len()
    }

    /// The state as bytes, equal for equal states.
    pub fn save(&self) -> Result<Vec<u8>, postcard::Error> {
        postcard::to_stdvec(&self.state)
    }

    /// The operator of saved bytes.
    pub fn restore(bytes: &[u8]) -> Result<Self, postcard::Error> {
        let (state, rest): (State, &[u8]) = postcard::take_from_bytes(bytes)?;
        if !rest.is_empty() {
            return Err(postcard::Error::DeserializeBadEncoding);
        }
        let mut operator = Self { state, ..Self::default() };
        let slots = operator.state.slots.iter().zip(0..);
        let known =
            slots.filter_map(|(slot, number)| Some((slot.as_ref()?.id.clone(), slot.as_ref()?.due_us(), number)));
        for (id, due_us, number) in known.collect::<Vec<_>>() {
            operator.by_id.insert(id, number);
            due_us.into_iter().for_each(|due_us| operator.arm(number, due_us));
        }
        Ok(operator)
    }
}

#[cfg(test)]
mod tests;
