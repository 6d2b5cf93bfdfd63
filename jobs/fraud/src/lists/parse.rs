//! The text of a list, line by line.
//!
//! It may depend on `jiff` for written times. It refuses to guess what a line means; every line that is wrong is said.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{ENTRIES_MAX, Entry, LIST_BYTES_MAX, ListError, ListProblem, Tier, VALUE_BYTES_MAX};
use crate::names::is_name;

/// Most errors that are said: whoever has more has taken another file for a list.
const ERRORS_MAX: usize = 100;

/// Characters of a value that is too long that are shown.
const SHOWN_CHARACTERS: usize = 20;

/// A word of a line, and whether it stood between quotes, where it is never a keyword.
#[derive(Debug, PartialEq)]
struct Word {
    text: String,
    is_quoted: bool,
    is_exclusion: bool,
}

/// The entries of a list.
pub(super) fn entries(name: &str, text: &str) -> Result<Vec<Entry>, Vec<ListError>> {
    let error = |line: usize, problem: ListProblem| ListError { list: name.to_string(), line, problem };
    if !is_name(name) {
        return Err(vec![error(0, ListProblem::Name(name.to_string()))]);
    }
    if text.len() > LIST_BYTES_MAX {
        return Err(vec![error(0, ListProblem::TooLong)]);
    }
    let mut entries: Vec<Entry> = Vec::new();
    let mut lines: BTreeMap<(String, Option<String>, Tier), usize> = BTreeMap::new();
    let mut errors = Vec::new();
    for (line, written) in (1..).zip(text.lines()) {
        let read = words(written).and_then(|words| entry(words.into_iter()));
        let problem = match read {
            Ok(None) => continue,
            Ok(Some(_)) if entries.len() >= ENTRIES_MAX => {
                errors.push(error(line, ListProblem::TooMany));
                break;
            }
            Ok(Some(entry)) => {
                let key = (entry.value.clone(), entry.merchant.clone(), entry.tier);
                if let Some(earlier) = lines.get(&key) {
                    ListProblem::Again(*earlier)
                } else {
                    lines.insert(key, line);
                    entries.push(entry);
                    continue;
                }
            }
            Err(problem) => problem,
        };
        errors.push(error(line, problem));
        if errors.len() >= ERRORS_MAX {
            break;
        }
    }
    if errors.is_empty() { Ok(entries) } else { Err(errors) }
}

/// The words of a line up to its comment.
fn words(line: &str) -> Result<Vec<Word>, ListProblem> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() && !rest.starts_with('#') {
        let bare = rest.strip_prefix('!');
        let is_exclusion = bare.is_some();
        let written = bare.unwrap_or(rest);
        let (text, is_quoted, after) = match written.strip_prefix('\'') {
            Some(content) => {
                let (text, after) = quoted(content)?;
                (text, true, after)
            }
            None => {
                let (text, after) = written.split_at(written.find(char::is_whitespace).unwrap_or(written.len()));
                (text.to_string(), false, after)
            }
        };
        words.push(Word { text, is_quoted, is_exclusion });
        rest = after.trim_start();
    }
    Ok(words)
}

/// What stands before the closing quote, and what behind it.
fn quoted(content: &str) -> Result<(String, &str), ListProblem> {
    let mut text = String::new();
    let mut rest = content;
    loop {
        let (before, after) = rest.split_once('\'').ok_or(ListProblem::Quote)?;
        text.push_str(before);
        match after.strip_prefix('\'') {
            Some(further) => {
                text.push('\'');
                rest = further;
            }
            None if after.is_empty() || after.starts_with(char::is_whitespace) => return Ok((text, after)),
            None => return Err(ListProblem::Quote),
        }
    }
}

/// The entry of a line; none where it has no words.
fn entry(mut words: impl Iterator<Item = Word>) -> Result<Option<Entry>, ListProblem> {
    let Some(first) = words.next() else { return Ok(None) };
    let tier = Tier::ALL.into_iter().find(|tier| first == Word::bare(tier.name()));
    let tier = tier.ok_or_else(|| ListProblem::Tier(shortened(&first.text)))?;
    let value = words.next().ok_or(ListProblem::NoValue)?;
    let mut merchant = None;
    let mut until_us = None;
    while let Some(word) = words.next() {
        let is_at = word == Word::bare("at");
        if !(is_at && merchant.is_none() || word == Word::bare("until") && until_us.is_none()) {
            return Err(ListProblem::Word(shortened(&word.text)));
        }
        let said = words.next().filter(|said| !said.is_exclusion && !said.text.is_empty());
        let said = said.ok_or(ListProblem::Nothing(word.text))?;
        if is_at {
            merchant = Some(bounded(said.text)?);
        } else {
            until_us = Some(time_us(&said.text)?);
        }
    }
    match (tier, &merchant, until_us) {
        (Tier::Global, Some(_), _) => {
            Err(ListProblem::Scope("a global entry is for all merchants: leave `at` out, or make it `merchant`"))
        }
        (Tier::Merchant, None, _) => Err(ListProblem::Scope("a merchant's entry says for whom: `at MERCHANT`")),
        (Tier::Case, _, None) => {
            Err(ListProblem::Scope("an entry of a case goes out by itself: say when with `until TIME`"))
        }
        _ if value.text.is_empty() => Err(ListProblem::NoValue),
        _ => {
            let Word { text, is_exclusion, .. } = value;
            Ok(Some(Entry { tier, value: bounded(text)?, is_exclusion, merchant, until_us }))
        }
    }
}

impl Word {
    fn bare(text: &str) -> Self {
        Self { text: text.to_string(), is_quoted: false, is_exclusion: false }
    }
}

fn bounded(text: String) -> Result<String, ListProblem> {
    if text.len() > VALUE_BYTES_MAX { Err(ListProblem::LongValue(shortened(&text))) } else { Ok(text) }
}

fn shortened(text: &str) -> String {
    text.chars().take(SHOWN_CHARACTERS).collect()
}

fn time_us(text: &str) -> Result<i64, ListProblem> {
    let time: Timestamp = text.parse().map_err(|_| ListProblem::Time(shortened(text)))?;
    Ok(time.as_microsecond())
}
