//! How fields, lists and rules may be called, and which known name is nearest to one that nobody knows.
//!
//! It may depend on `strsim`. It refuses to correct a name by itself.

/// Longest name, bytes: a window's name says field, function and length, and a column of a table still shows it.
pub const NAME_BYTES_MAX: usize = 64;

/// Edits of a word that still count as a slip of the pen, per letters of it: one in three.
const LETTERS_PER_EDIT: usize = 3;

/// Words of the language, which nothing else may be called.
const RESERVED: [&str; 16] = [
    "allow", "and", "block", "false", "fires", "in", "is", "missing", "not", "or", "review", "rollout", "rule", "true",
    "when", "until",
];

/// Whether something may be called that: lower-case letters, digits and underscores, a letter first, no word of the
/// language, at most [`NAME_BYTES_MAX`].
pub(crate) fn is_name(text: &str) -> bool {
    let is_written_so = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    text.len() <= NAME_BYTES_MAX
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(is_written_so)
        && !is_reserved(text)
}

/// Whether it is a word of the language.
pub(crate) fn is_reserved(text: &str) -> bool {
    RESERVED.contains(&text)
}

/// The known name with the fewest edits from a wanted one, of equals the first in order of names; none where even that
/// would be another word.
pub(crate) fn nearest<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    if wanted.len() > NAME_BYTES_MAX {
        return None;
    }
    let wanted = wanted.to_ascii_lowercase();
    let edits_max = wanted.len().div_ceil(LETTERS_PER_EDIT);
    let edits = known.map(|name| (strsim::damerau_levenshtein(&wanted, name), name));
    edits.filter(|(edits, _)| *edits <= edits_max).min().map(|(_, name)| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for name in ["a", "card_count_10m", "x2"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "_a", "2x", "Amount", "a-b", "größe", "and", "rule", &"a".repeat(NAME_BYTES_MAX + 1)] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn the_nearest_is_near() {
        let known = ["card_count_1h", "card_count_10m", "currency", "mcc"];
        let near = |wanted: &str| nearest(wanted, known.into_iter());
        assert_eq!(near("card_cuont_1h").as_deref(), Some("card_count_1h"));
        assert_eq!(near("CURRENCY").as_deref(), Some("currency"));
        assert_eq!(near("mc").as_deref(), Some("mcc"));
        assert_eq!(near("velocity"), None);
        assert_eq!(near(&"c".repeat(1_000)), None);
    }
}
