use super::*;

fn ring() -> KeyRing {
    KeyRing::published().with_token_key("1", [1; 32]).unwrap().with_routing_key("r1", [2; 32])
}

fn json() -> serde_json::Value {
    serde_json::from_slice(&ring().to_json()).unwrap()
}

fn refusal(file: &serde_json::Value) -> String {
    KeyRing::from_json(&serde_json::to_vec(file).unwrap()).unwrap_err().to_string()
}

#[test]
fn a_ring_survives_its_file() {
    let written = ring().to_json();
    let read = KeyRing::from_json(&written).unwrap();
    assert_eq!(*read.to_json(), *written);
    assert!(read.is_demo() && read.key_sets().iter().all(KeySet::is_test));
    assert_eq!(read.key_set(PUBLISHED_X9_24).unwrap().base_key().bytes(), &PUBLISHED_BASE_KEY);
    assert_eq!(read.token_key("1"), Some(&[1; 32]));
    assert_eq!(read.routing_key(), Some(("r1", &[2; 32])));
    assert_eq!(read.check_value("key_set", PUBLISHED_ID_TECH).as_deref(), Some("08D7B4"));
    assert_eq!(read.check_value("token_key", "1"), Some(key_check_value(&[1; 32])));
    assert_eq!(read.check_value("routing_key", "r2"), None);
    let mut dated = json();
    dated["key_sets"][0]["not_after"] = "2027-12-31".into();
    let dated = KeyRing::from_json(&serde_json::to_vec(&dated).unwrap()).unwrap();
    assert_eq!(dated.key_sets()[0].not_after(), Some(jiff::civil::date(2027, 12, 31)));
}

/// Each wrong entry is refused by its own name and without the key.
#[test]
fn wrong_entries_are_refused_by_name() {
    let with = |pointer: &str, new: serde_json::Value| {
        let mut file = json();
        *file.pointer_mut(pointer).unwrap() = new;
        refusal(&file)
    };
    let key = "1123456789ABCDEFFEDCBA9876543210";
    let cases = [
        ("/key_sets/0/base_key", key.into(), "key set \"test-id-tech\" in the key file has check value"),
        ("/key_sets/1/base_key", key[1..].into(), "key set \"test-x9-24\" in the key file: must be 32"),
        ("/key_sets/0/check_value", "08D7B5".into(), "not 08D7B5 as stated: enter the key again"),
        ("/key_sets/0/ksn_prefix", "".into(), "must be 1 to 14 hexadecimal digits"),
        ("/key_sets/0/ksn_prefix", "FFFF9876543210E".into(), "must be 1 to 14 hexadecimal digits"),
        ("/key_sets/0/ksn_prefix", "ffff9876543210".into(), "its id and its ksn_prefix must be its own"),
        ("/key_sets/1/id", "test-id-tech".into(), "its id and its ksn_prefix must be its own"),
        ("/key_sets/1/cipher", "aes-dukpt".into(), "not readable at line 1"),
        ("/token_keys/0/check_value", "000000".into(), "token key \"1\" in the key file has check value"),
        ("/routing_key/key", "02".into(), "routing key \"r1\" in the key file: must be 64"),
        ("/routing_key/check_value", "000000".into(), "routing key \"r1\" in the key file has check value"),
    ];
    for (pointer, new, message) in cases {
        let refusal = with(pointer, new);
        assert!(refusal.contains(message), "{pointer}: {refusal}");
        assert!(!refusal.contains("123456789ABCDEF"), "{refusal}");
    }
    assert!(ring().with_token_key("1", [3; 32]).is_err());
}

#[test]
fn the_longest_prefix_wins_among_those_that_may_be_used() {
    let set = |id, prefix| KeySet::new(id, prefix, [7; 16], false).unwrap();
    let ring = ring().with_key_set(set("one", "629949011")).unwrap().with_key_set(set("all", "6")).unwrap();
    let find =
        |ksn: &str, barred: &str| ring.key_set_for(Ksn::from_hex(ksn).unwrap(), |id| id != barred).map(KeySet::id);
    assert_eq!(find("62994901190000000001", ""), Some("one"));
    assert_eq!(find("62994901190000000001", "one"), Some(PUBLISHED_ID_TECH));
    assert_eq!(find("62994902190000000001", ""), Some("all"));
    assert_eq!(find("72994902190000000001", ""), None);
}

#[test]
fn keys_never_show_in_debug_output() {
    let shown = format!("{:?}", ring());
    assert!(shown.contains("r1: ****") && shown.contains("TdesKey(****)"), "{shown}");
    assert!(!shown.contains("1, 1") && !shown.contains("2, 2") && !shown.contains("35, 69"), "{shown}");
}
