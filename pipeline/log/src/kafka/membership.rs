//! What the members of a group hold, as the brokers describe it.
//!
//! The bytes of an assignment are those of Kafka's `ConsumerProtocolAssignment` (versions 0 to 3): version (int16), count
//! of topics (int32), of each its name (int16 length, UTF-8) and its partitions (int32 count, int32 each), then user data
//! (int32 length or -1), all big-endian. What a later version appends is not looked at.

use std::collections::{BTreeMap, BTreeSet};

use rdkafka::groups::GroupInfo;

/// State of a group whose members all know what they hold.
const STABLE: &str = "Stable";
/// What the members of a group that reads topics have in common.
const CONSUMERS: &str = "consumer";
/// Characters of the UUID that a broker adds to a name to make a member's id of it, with the `-` before it.
const ID_SUFFIX: usize = 37;

/// A partition, by the name that its topic has on the brokers.
pub(super) type Place = (String, i32);

/// Bytes that are no assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no assignment of partitions to a member")]
pub(super) struct Malformed;

/// What each member of a stable group holds, by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Membership(BTreeMap<String, BTreeSet<Place>>);

impl Membership {
    /// Of the group that the brokers described; `None` unless it is one group of consumers and stable: in any other state
    /// its members are just being told what they hold.
    pub(super) fn of_stable(described: &[GroupInfo]) -> Result<Option<Self>, Malformed> {
        let [group] = described else { return Ok(None) };
        if group.state() != STABLE || group.protocol_type() != CONSUMERS {
            return Ok(None);
        }
        let members = group.members().iter();
        Self::of(members.map(|member| (member.id(), member.assignment().unwrap_or_default()))).map(Some)
    }

    /// Of members with their assignments. One without any bytes holds nothing.
    pub(super) fn of<'a>(members: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Self, Malformed> {
        let held = |assignment: &[u8]| if assignment.is_empty() { Ok(BTreeSet::new()) } else { places(assignment) };
        let members = members.into_iter().map(|(id, assignment)| Ok((id.to_string(), held(assignment)?)));
        members.collect::<Result<_, _>>().map(Self)
    }

    /// Those of the partitions that no member holds.
    pub(super) fn unowned<'a>(&self, partitions: &'a BTreeSet<Place>) -> Vec<&'a Place> {
        partitions.iter().filter(|place| !self.0.values().any(|held| held.contains(place))).collect()
    }

    /// How many members come before the one of this `group.instance.id`, by their ids; `None`: it is no member.
    pub(super) fn rank(&self, instance_id: &str) -> Option<usize> {
        let is_it = |id: &String| {
            id.strip_prefix(instance_id).is_some_and(|rest| rest.len() == ID_SUFFIX && rest.starts_with('-'))
        };
        self.0.keys().position(is_it)
    }
}

/// The partitions of an assignment.
fn places(bytes: &[u8]) -> Result<BTreeSet<Place>, Malformed> {
    let mut rest = Bytes(bytes);
    let version = rest.int16()?;
    if version < 0 {
        return Err(Malformed);
    }
    let mut places = BTreeSet::new();
    // Each turn of a loop takes bytes, so that a wrong count ends with them.
    for _ in 0..rest.count()? {
        let length = usize::try_from(rest.int16()?).map_err(|_| Malformed)?;
        let topic = std::str::from_utf8(rest.take(length)?).map_err(|_| Malformed)?;
        for _ in 0..rest.count()? {
            places.insert((topic.to_string(), rest.int32()?));
        }
    }
    match rest.int32()? {
        -1 => {}
        length => drop(rest.take(usize::try_from(length).map_err(|_| Malformed)?)?),
    }
    Ok(places)
}

/// What is left of some bytes.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    fn int16(&mut self) -> Result<i16, Malformed> {
        self.array().map(i16::from_be_bytes)
    }

    fn int32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    fn count(&mut self) -> Result<u32, Malformed> {
        self.int32()?.try_into().map_err(|_| Malformed)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An assignment as a group's leader writes it.
    pub(in super::super) fn assignment(topics: &[(&str, &[i32])], user_data: Option<&[u8]>) -> Vec<u8> {
        let count = |count: usize| i32::try_from(count).unwrap().to_be_bytes();
        let mut bytes = [1_i16.to_be_bytes().as_slice(), &count(topics.len())].concat();
        for (topic, partitions) in topics {
            bytes.extend(i16::try_from(topic.len()).unwrap().to_be_bytes());
            bytes.extend(topic.as_bytes());
            bytes.extend(count(partitions.len()));
            bytes.extend(partitions.iter().flat_map(|partition| partition.to_be_bytes()));
        }
        bytes.extend(user_data.map_or((-1_i32).to_be_bytes(), |data| count(data.len())));
        bytes.extend(user_data.unwrap_or_default());
        bytes
    }

    /// The id of a member with this `group.instance.id`.
    pub(in super::super) fn id(instance_id: &str) -> String {
        format!("{instance_id}-0a1b2c3d-0000-4000-8000-0123456789ab")
    }

    pub(in super::super) fn place(topic: &str, partition: i32) -> Place {
        (topic.to_string(), partition)
    }

    #[test]
    fn assignments_are_read() {
        let two = assignment(&[("pings", &[3, 0]), ("control", &[0])], Some(b"state"));
        let expected = BTreeSet::from([place("control", 0), place("pings", 0), place("pings", 3)]);
        assert_eq!(places(&two), Ok(expected.clone()));
        // A later version with a field more.
        assert_eq!(places(&[two.as_slice(), &[1, 2, 3]].concat()), Ok(expected));
        assert_eq!(places(&assignment(&[], None)), Ok(BTreeSet::new()));
        // As librdkafka and the brokers have it for `pings`, partitions 1 and 2.
        let literal =
            b"\x00\x00\x00\x00\x00\x01\x00\x05pings\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x02\xff\xff\xff\xff";
        assert_eq!(places(literal), Ok(BTreeSet::from([place("pings", 1), place("pings", 2)])));
    }

    /// Fails if a length is believed before it is checked.
    #[test]
    fn bytes_that_are_no_assignment_are_an_error() {
        let whole = assignment(&[("pings", &[3, 0]), ("control", &[0])], Some(b"state"));
        for end in 0..whole.len() {
            assert_eq!(places(&whole[..end]), Err(Malformed), "{end}");
        }
        let negative = |place: usize, length: usize| {
            let mut bytes = whole.clone();
            bytes[place..place + length].fill(0xff);
            places(&bytes)
        };
        assert_eq!([negative(0, 2), negative(2, 4), negative(6, 2), negative(13, 4)], [const { Err(Malformed) }; 4]);
        let mut not_text = whole.clone();
        not_text[8] = 0xff;
        assert_eq!(places(&not_text), Err(Malformed));
        let mut endless = whole.clone();
        endless[2..6].copy_from_slice(&i32::MAX.to_be_bytes());
        assert_eq!(places(&endless), Err(Malformed));
        let mut below_nothing = whole;
        let user_data = below_nothing.len() - 9;
        below_nothing[user_data..user_data + 4].copy_from_slice(&(-2_i32).to_be_bytes());
        assert_eq!(places(&below_nothing), Err(Malformed));
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            // Whatever it says of them.
            let _ = places(&bytes);
        }
    }

    #[test]
    fn what_nobody_holds_is_found() {
        let (first, second) = (assignment(&[("pings", &[0])], None), assignment(&[("pings", &[2])], None));
        let (a, b, c) = (id("lake-a"), id("lake-b"), id("lake-c"));
        let members = [(b.as_str(), second.as_slice()), (a.as_str(), first.as_slice()), (c.as_str(), &[])];
        let membership = Membership::of(members).unwrap();
        let all = BTreeSet::from([place("pings", 0), place("pings", 1), place("pings", 2), place("trips", 0)]);
        assert_eq!(membership.unowned(&all), [&place("pings", 1), &place("trips", 0)]);
        assert_eq!(
            ["lake-a", "lake-b", "lake-c", "lake", "lake-"].map(|id| membership.rank(id)),
            [Some(0), Some(1), Some(2), None, None]
        );
        assert_eq!(Membership::of([(a.as_str(), &second[..5])]), Err(Malformed));
    }
}
