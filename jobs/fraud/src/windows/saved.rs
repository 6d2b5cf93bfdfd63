//! The saved form of windows: what is still in reach, key by key in order, so that equal states have equal bytes. Where
//! windows begin and end follows from it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::entries::ENTRIES_MAX;
use super::groups::Group;
use super::key::{Key, of_column};
use super::{WindowError, WindowSet, Windows};

/// Layout of the saved bytes, their first value. A reader refuses others.
const LAYOUT: u16 = 1;

#[derive(Serialize, Deserialize)]
struct Saved {
    /// Definitions and bounds of the set, as text.
    set: Vec<String>,
    newest_us: i64,
    read: u64,
    groups: Vec<SavedKeys>,
}

#[derive(Serialize, Deserialize)]
struct SavedKeys {
    unknown_us: Option<i64>,
    keys: Vec<SavedKey>,
}

#[derive(Serialize, Deserialize)]
struct SavedKey {
    name: String,
    newest_us: i64,
    capped_us: i64,
    /// Texts by column, in the order in which they are first used.
    texts: Vec<Vec<String>>,
    /// Time, less that of the entry before, and values; of texts their places in `texts`.
    entries: Vec<(i64, Vec<Option<i64>>)>,
}

impl Windows {
    /// The state as bytes: equal ones after equal logs, whatever the batch borders and restarts.
    ///
    /// # Errors
    /// Fails where it cannot be written down.
    pub fn save(&self) -> Result<Vec<u8>, WindowError> {
        let groups = self.groups.iter().zip(&self.keys).map(|(group, keys)| {
            let keys_saved = keys.in_order().into_iter().map(|(name, key)| saved_key(name, key, group)).collect();
            SavedKeys { unknown_us: keys.unknown_us, keys: keys_saved }
        });
        let saved =
            Saved { set: identity(self.set()), newest_us: self.newest_us, read: self.read, groups: groups.collect() };
        postcard::to_stdvec(&(LAYOUT, saved)).map_err(|error| WindowError::Saved(error.to_string()))
    }

    /// The state of saved bytes, for the same set.
    ///
    /// # Errors
    /// Fails where they are damaged, of another layout or of other windows.
    pub fn restore(set: WindowSet, bytes: &[u8]) -> Result<Self, WindowError> {
        let damaged = |error: postcard::Error| WindowError::Saved(error.to_string());
        let (layout, rest): (u16, &[u8]) = postcard::take_from_bytes(bytes).map_err(damaged)?;
        if layout != LAYOUT {
            return Err(WindowError::Saved(format!("layout {layout}, but this program reads {LAYOUT}")));
        }
        let (saved, rest): (Saved, &[u8]) = postcard::take_from_bytes(rest).map_err(damaged)?;
        if !rest.is_empty() {
            return Err(WindowError::Saved(format!("{} bytes follow the state", rest.len())));
        }
        let mut windows = Self::new(set)?;
        if saved.set != identity(windows.set()) || saved.groups.len() != windows.groups.len() {
            return Err(WindowError::Saved("they are of other windows".to_string()));
        }
        (windows.newest_us, windows.read) = (saved.newest_us, saved.read);
        for ((group, keys), saved) in windows.groups.iter().zip(&mut windows.keys).zip(saved.groups) {
            keys.unknown_us = saved.unknown_us;
            for key in saved.keys {
                if !keys.add(restored_key(key, group)?) {
                    return Err(WindowError::Saved("a key is there twice".to_string()));
                }
            }
            keys.note_all(group);
        }
        Ok(windows)
    }
}

impl Windows {
    /// The windows of another set over the same log, with what these keep.
    ///
    /// Where a kind of key with the same condition is there already, and has the fields that the other set reads, its
    /// payments are taken over: windows that reach no farther back are whole at once. All others are missing until the time
    /// since now is as long as they and their delay, since they would be too small before.
    ///
    /// # Errors
    /// Fails where the set is wrong.
    pub fn succeeded(self, set: WindowSet) -> Result<Self, WindowError> {
        let mut next = Self::new(set)?;
        (next.newest_us, next.read) = (self.newest_us, self.read);
        let known = next.groups.iter().map(|group| self.columns_of(group, &next)).collect::<Vec<_>>();
        for ((group, keys), known) in next.groups.iter().zip(&mut next.keys).zip(known) {
            let Some((place, columns)) = known else {
                keys.unknown_us = Some(self.newest_us);
                continue;
            };
            let (old, old_keys) = (&self.groups[place], &self.keys[place]);
            let reaches_farther = group.reach_us > old.reach_us;
            let unknown_us = |newest_us: i64| reaches_farther.then(|| newest_us.saturating_sub(old.reach_us));
            keys.unknown_us = old_keys.unknown_us.max(unknown_us(self.newest_us));
            for (name, key) in old_keys.in_order() {
                let mut saved = saved_key(name, key, old);
                saved.capped_us = saved.capped_us.max(unknown_us(saved.newest_us).unwrap_or(i64::MIN));
                saved.texts = columns.iter().map(|column| saved.texts[*column].clone()).collect();
                for (_, values) in &mut saved.entries {
                    *values = columns.iter().map(|column| values[*column]).collect();
                }
                keys.add(restored_key(saved, group)?);
            }
            keys.note_all(group);
        }
        Ok(next)
    }

    /// Which group here has the key and the condition of one of `next`, and which of its columns are that one's; nothing
    /// where there is none with all of them.
    fn columns_of(&self, group: &Group, next: &Self) -> Option<(usize, Vec<usize>)> {
        let place = self.groups.iter().position(|old| self.kind_of(old) == next.kind_of(group))?;
        let old: Vec<(&str, bool)> = self.sources_of(&self.groups[place]);
        let wanted = next.sources_of(group).into_iter().map(|source| old.iter().position(|other| *other == source));
        let position = group.labelled.map(|_| Some(old.len()));
        Some((place, wanted.chain(position).collect::<Option<Vec<usize>>>()?))
    }

    /// Key and condition of a group, whether its payments are labelled, and how late they may be.
    fn kind_of(&self, group: &Group) -> (Vec<&str>, Option<String>, bool, i64) {
        let key = group.key_fields.iter().map(|place| self.fields[*place].as_str()).collect();
        (key, group.filter.as_ref().map(ToString::to_string), group.labelled.is_some(), self.set().lateness_us)
    }

    fn sources_of(&self, group: &Group) -> Vec<(&str, bool)> {
        group.sources.iter().map(|source| (self.fields[source.field].as_str(), source.is_summed)).collect()
    }
}

/// What tells sets apart.
fn identity(set: &WindowSet) -> Vec<String> {
    let bounds = format!("{} {} {}", set.time, set.lateness_us, set.keys_max);
    set.windows.iter().map(ToString::to_string).chain([bounds]).collect()
}

fn saved_key(name: &[u8], key: &Key, group: &Group) -> SavedKey {
    let mut places: Vec<HashMap<i64, i64>> = vec![HashMap::new(); group.columns()];
    let mut texts: Vec<Vec<String>> = vec![Vec::new(); group.columns()];
    let names: Vec<HashMap<i64, &str>> = key
        .texts
        .iter()
        .map(|texts| texts.numbers.iter().map(|(text, number)| (*number, text.as_ref())).collect())
        .collect();
    let mut before_us = 0;
    let left_us = key.newest_us.saturating_sub(group.reach_us);
    let mut kept: Vec<_> = key.entries.entries(key.entries.until(left_us)).collect();
    if let Some(waiting) = &key.waiting {
        kept.extend(waiting.entries(waiting.until(left_us)));
        // The last value is the position.
        kept.sort_by_key(|(at_us, values)| (*at_us, values.last().copied().flatten()));
    }
    let entries = kept.into_iter().map(|(at_us, mut values)| {
        for (column, value) in values.iter_mut().enumerate() {
            let Some((number, text)) = value.and_then(|number| Some((number, names.get(column)?.get(&number)?))) else {
                continue;
            };
            let place = *places[column].entry(number).or_insert_with(|| {
                texts[column].push((*text).to_string());
                texts[column].len() as i64 - 1
            });
            *value = Some(place);
        }
        let since_us = at_us.wrapping_sub(std::mem::replace(&mut before_us, at_us));
        (since_us, values)
    });
    let entries = entries.collect();
    let name = String::from_utf8_lossy(name).into_owned();
    SavedKey { name, newest_us: key.newest_us, capped_us: key.capped_us, texts, entries }
}

fn restored_key(saved: SavedKey, group: &Group) -> Result<Key, WindowError> {
    let refuse = |problem: &str| Err(WindowError::Saved(format!("key {}: {problem}", saved.name)));
    let mut key = Key::new(&saved.name, group, saved.capped_us);
    let lists = if group.labelled.is_some() { 2 } else { 1 };
    if saved.texts.len() != group.columns() || saved.entries.len() > lists * ENTRIES_MAX {
        return refuse("it has other columns, or too many entries");
    }
    for (column, saved) in saved.texts.iter().enumerate() {
        for text in saved {
            of_column(&mut key.texts, column).number(text);
        }
    }
    let mut at_us = 0_i64;
    for (since_us, values) in saved.entries {
        let before_us = at_us;
        at_us = before_us.wrapping_add(since_us);
        let is_first = key.entries.len() == 0 && key.waiting.is_none();
        if values.len() != group.columns() || (!is_first && at_us < before_us) || at_us > saved.newest_us {
            return refuse("its entries are not in order");
        }
        if group.waits(&values) {
            key.waiting.get_or_insert_with(|| Box::new(group.entries())).insert(at_us, values.into_iter());
        } else {
            key.entries.insert(at_us, values.into_iter());
        }
    }
    key.newest_us = saved.newest_us;
    key.settle(group);
    Ok(key)
}
