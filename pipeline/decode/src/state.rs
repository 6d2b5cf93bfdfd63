//! Everything that one partition remembers, and its saved form: names and check values of keys, the bundle's hash,
//! counters, sums and remembered swipes; no card number, track, frame, bundle content or key.

use schemas::ids::ContentHash;
use schemas::unit::UnitError;
use serde::{Deserialize, Serialize};

use crate::days::Days;
use crate::error::{internal, unreadable_state};
use crate::guard::Guards;
use crate::keys_in_force::KeysInForce;
use crate::memory::Memory;

/// Layout of the saved bytes, their first value. A reader refuses others.
const LAYOUT: u16 = 1;
/// Room made for a remembered swipe at first, bytes. What is missing is added in few steps.
const ARRIVAL_BYTES: usize = 120;

/// The state of one partition.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct State {
    /// Hash of the bundle in force.
    pub(crate) bundle: Option<ContentHash>,
    pub(crate) keys: KeysInForce,
    pub(crate) guards: Guards,
    pub(crate) days: Days,
    pub(crate) memory: Memory,
}

impl State {
    /// The state as bytes: equal for equal states.
    pub(crate) fn save(&self) -> Result<Vec<u8>, UnitError> {
        let room = Vec::with_capacity(self.memory.len() * ARRIVAL_BYTES);
        postcard::to_extend(&(LAYOUT, self), room)
            .map_err(|error| internal(format!("the state does not serialize: {error}")))
    }

    /// The state of saved bytes.
    pub(crate) fn restore(bytes: &[u8]) -> Result<Self, UnitError> {
        let unreadable = |error: postcard::Error| unreadable_state(error.to_string());
        let (layout, rest): (u16, &[u8]) = postcard::take_from_bytes(bytes).map_err(unreadable)?;
        if layout != LAYOUT {
            return Err(unreadable_state(format!("layout {layout}, but this program reads {LAYOUT}")));
        }
        let (mut state, rest): (Self, &[u8]) = postcard::take_from_bytes(rest).map_err(unreadable)?;
        if !rest.is_empty() {
            return Err(unreadable_state(format!("{} bytes follow the state", rest.len())));
        }
        state.memory.rebuild()?;
        Ok(state)
    }
}
