//! Bytes that mean harm, or come from a broken producer: they cost their own record and nothing else.

use super::foreign::{decoder, fixes};
use super::round_trip::{any_rows, any_topic};
use super::*;

/// A body of the foreign schema up to its map, from which each of these goes on.
fn framed(body: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 0, 1][..], body].concat()
}

fn cause(payload: Vec<u8>) -> String {
    let read = decoder().decode(&records(&[fixes().remove(0), payload, fixes().remove(1)])).unwrap();
    assert_eq!(read.offsets, [FIRST, FIRST + 2]);
    assert_eq!(read.rejects[0].reason, reason::BAD_AVRO);
    read.rejects[0].detail.clone()
}

#[test]
fn lengths_counts_and_branches_that_lie_are_found() {
    let good = fixes().remove(0);
    assert_eq!(cause([&good[..], &[0]].concat()), "the record goes on after its last value");
    assert_eq!(cause(good[..good.len() - 1].to_vec()), "field speed_mps: a number does not end");
    let many = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    let least = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert_eq!(cause(framed(&many)), "field tags: a number does not end");
    assert_eq!(cause(framed(&[&least[..], &[0]].concat())), "field tags: a number does not end");
    assert_eq!(cause(framed(&[&[2][..], &many].concat())), "field tags: the record ends inside a value");
    assert_eq!(cause(framed(&[2, 1])), "field tags: a length is negative");
    assert_eq!(cause(framed(&[2, 2, 0xff])), "field tags: a text is not UTF-8");
    assert_eq!(
        cause(framed(&[2, 2, b'a', 2, 6])),
        "field tags: it names a branch or symbol that its schema does not have"
    );
    assert_eq!(cause(framed(&[0xff; 11])), "field tags: a number does not end");
    let mut untrue = good.clone();
    let place = untrue.len() - 2;
    untrue[place] = 2;
    assert_eq!(cause(untrue), "field hired: a truth value is neither 0 nor 1");
}

/// Overflows the stack if a value that holds itself may go on as long as its body does.
#[test]
fn a_long_chain_costs_no_stack() {
    let chain = |links: usize| {
        let mut body = vec![0, 1, 2, 2, 0, 0, 0, 0, 0];
        body.extend((0..links).flat_map(|_| [2, 7, 7]));
        body.extend([0, 0, 0, 0]);
        framed(&body)
    };
    let read = decoder().decode(&records(&[chain(20)])).unwrap();
    assert_eq!(rejects(&read), []);
    assert_eq!(cause(chain(200_000)), "field chain: it is nested too deeply");
}

/// Runs for ever if items that take no bytes may be as many as a count says, or lists of them one inside the other.
#[test]
fn items_without_bytes_are_bounded() {
    let empty = r#"{"type":"record","name":"Empty","fields":[]}"#;
    for item in ["\"null\"", empty, r#"{"type":"fixed","name":"Zero","size":0}"#] {
        let inner = format!(r#"{{"type":"array","items":{item}}}"#);
        let schema = format!(
            r#"{{"type":"record","name":"p","fields":[{{"name":"a","type":{{"type":"array","items":{inner}}}}}]}}"#
        );
        let mut decoder = Decoder::new("pings").unwrap();
        decoder.bring_into_force(1, &schema).unwrap();
        let few = framed(&[4, 6, 0, 0, 0]);
        let bomb = framed(&[[4].as_slice(), &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0, 0, 0]].concat());
        let wide = framed(&[&[0x80, 0x80, 0x08][..], &[0xfe, 0xff, 0x03, 0].repeat(65_536), &[0]].concat());
        let read = decoder.decode(&records(&[few, bomb, wide])).unwrap();
        assert_eq!(read.offsets, [FIRST]);
        let detail = "field a: it has more values than its length allows";
        assert_eq!(rejects(&read), [(41, reason::BAD_AVRO, detail), (42, reason::BAD_AVRO, detail)]);
    }
}

/// Runs for ever if only lists are bounded: each of these types is twice the one before it, without a byte.
#[test]
fn a_schema_that_fans_out_is_bounded() {
    let mut fields = vec![r#"{"name":"f0","type":{"type":"record","name":"R0","fields":[]}}"#.to_string()];
    for level in 1..60 {
        let twice = ["a", "b"].map(|name| format!(r#"{{"name":"{name}","type":"R{}"}}"#, level - 1)).join(",");
        let kind = format!(r#"{{"type":"record","name":"R{level}","fields":[{twice}]}}"#);
        fields.push(format!(r#"{{"name":"f{level}","type":{kind}}}"#));
    }
    let schema = format!(r#"{{"type":"record","name":"p","fields":[{}]}}"#, fields.join(","));
    let mut decoder = Decoder::new("pings").unwrap();
    decoder.bring_into_force(1, &schema).unwrap();
    let read = decoder.decode(&records(&[framed(&[])])).unwrap();
    assert_eq!(read.rejects[0].detail, "field f11: it has more values than its length allows");
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let likely = prop::sample::select(vec![0_u8, 1, 2, 3, 4, 6, 0x7f, 0x80, 0xff, b'a']);
    prop_oneof![prop::collection::vec(any::<u8>(), 0..80), prop::collection::vec(likely, 0..80)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes_after_any_head_are_a_row_or_a_reject(
        topic in any_topic(),
        bodies in prop::collection::vec(any_bytes(), 1..8),
    ) {
        let mut decoder = Decoder::new(topic).unwrap();
        decoder.bring_into_force(1, &schema_text(topic)).unwrap();
        let own = decoder.own.keys().map(|own| [&SINGLE_OBJECT[..], &own.to_le_bytes()].concat());
        let others = [framed(&[]), vec![], b"{".to_vec(), SINGLE_OBJECT.to_vec(), vec![FRAME]];
        let heads: Vec<Vec<u8>> = own.chain(others).collect();
        let of_head = |head: &Vec<u8>| bodies.iter().map(|body| [&head[..], body].concat()).collect::<Vec<_>>();
        let payloads: Vec<Vec<u8>> = heads.iter().flat_map(of_head).collect();
        let read = decoder.decode(&records(&payloads)).unwrap();
        prop_assert_eq!(read.offsets.len() + read.rejects.len(), payloads.len());
    }

    #[test]
    fn any_bytes_of_a_foreign_schema_are_a_row_or_a_reject(bodies in prop::collection::vec(any_bytes(), 1..20)) {
        let payloads: Vec<Vec<u8>> = bodies.iter().map(|body| framed(body)).collect();
        let read = decoder().decode(&records(&payloads)).unwrap();
        prop_assert_eq!(read.offsets.len() + read.rejects.len(), payloads.len());
    }

    /// Fails if a decoder reads on from one body into the next.
    #[test]
    fn a_damaged_record_leaves_its_neighbours_alone(
        rows in any_topic().prop_flat_map(|topic| (Just(topic), any_rows(topics::by_name(topic).unwrap(), 3_usize..6))),
        which in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        damage in prop_oneof![any::<u8>().prop_map(Some), Just(None)],
        format in prop::sample::select(vec![Format::Json, Format::Avro, Format::Registry(1)]),
    ) {
        let (topic, rows) = rows;
        let mut payloads = encode(topic, format, &rows);
        let damaged = which.index(payloads.len());
        let at = place.index(payloads[damaged].len());
        match damage {
            Some(byte) => payloads[damaged][at] ^= byte,
            None => payloads[damaged].truncate(at),
        }
        let mut decoder = Decoder::new(topic).unwrap().with_source(Arc::new(Published(vec![])));
        decoder.bring_into_force(1, &schema_text(topic)).unwrap();
        let read = decoder.decode(&records(&payloads)).unwrap();
        prop_assert_eq!(read.offsets.len() + read.rejects.len(), payloads.len());
        for index in (0..payloads.len()).filter(|index| *index != damaged) {
            let offset = FIRST + i64::try_from(index).unwrap();
            let row = read.offsets.binary_search(&offset).expect("a neighbour is a row");
            prop_assert_eq!(read.rows.slice(row, 1), rows.slice(index, 1));
        }
    }
}
