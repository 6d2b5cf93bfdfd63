//! Saved states of two parts: one unit's own, and that of what is plugged into it.

/// Bytes of the length of the second part.
const LENGTH_BYTES: usize = size_of::<u64>();
/// At the end of a state with two parts. One without it was saved before there were second parts.
const MARK: [u8; 8] = *b"+scoring";

/// Both parts as one: the first is taken as it is, since it may be large.
pub fn joined(mut first: Vec<u8>, second: &[u8]) -> Vec<u8> {
    first.extend_from_slice(second);
    first.extend_from_slice(&(second.len() as u64).to_le_bytes());
    first.extend_from_slice(&MARK);
    first
}

/// The parts of what [`joined`] made; the second is missing in what was saved without one.
pub fn parted(bytes: &[u8]) -> (&[u8], Option<&[u8]>) {
    let parts = || {
        let (parts, length) = bytes.strip_suffix(&MARK)?.split_last_chunk::<LENGTH_BYTES>()?;
        let second = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        parts.split_at_checked(parts.len().checked_sub(second)?)
    };
    parts().map_or((bytes, None), |(first, second)| (first, Some(second)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_apart_as_they_were() {
        for (first, second) in [(&b"state"[..], &b"windows"[..]), (b"", b""), (b"a", b""), (b"", b"b")] {
            assert_eq!(parted(&joined(first.to_vec(), second)), (first, Some(second)));
        }
        for old in [&b"state of before"[..], b"", b"+scoring"] {
            assert_eq!(parted(old), (old, None));
        }
    }
}
