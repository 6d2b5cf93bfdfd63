use proptest::prelude::*;

use super::*;

const BASE_KEY: [u8; 16] =
    [0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF, 0xFE, 0xDC, 0xBA, 0x98, 0x76, 0x54, 0x32, 0x10];
/// Masks of the other keys of X9.24-1:2009 table A-1, which this product does not use.
const PIN_MASK: u128 = 0x0000_0000_0000_00FF_0000_0000_0000_00FF;
const MAC_REQUEST_MASK: u128 = 0x0000_0000_0000_FF00_0000_0000_0000_FF00;

fn standard_key(ksn: &str) -> TdesKey {
    let ksn = Ksn::from_hex(ksn).unwrap();
    transaction_key(&initial_key(&TdesKey::new(BASE_KEY), ksn), ksn)
}

/// The sample request `4012345678909D987`, zero-padded.
fn request() -> [[u8; 8]; 3] {
    [*b"40123456", *b"78909D98", *b"7\0\0\0\0\0\0\0"]
}

/// Retail MAC (X9.19): CBC under the left half, the last block finished under both.
fn request_mac(key: &TdesKey) -> String {
    let (left, _) = key.halves();
    let mut chain = 0_u64;
    let blocks = request();
    for (number, block) in blocks.iter().enumerate() {
        let input = (chain ^ u64::from_be_bytes(*block)).to_be_bytes();
        let output = if number + 1 == blocks.len() {
            key.encrypt(input)
        } else {
            let mut block = input.into();
            Des::new(&left.into()).encrypt_block(&mut block);
            block.into()
        };
        chain = u64::from_be_bytes(output);
    }
    hex::encode_upper(&chain.to_be_bytes()[..4])
}

#[test]
fn initial_keys_agree_with_published_ones() {
    let key = |ksn| hex::encode_upper(initial_key(&TdesKey::new(BASE_KEY), Ksn::from_hex(ksn).unwrap()).0);
    // ANSI X9.24-1:2009 annex A.4, and a widely published vector of an ID TECH reader.
    assert_eq!(key("FFFF9876543210E00000"), "6AC292FAA1315B4D858AB3A3D7D5933A");
    assert_eq!(key("629949012C0000000003"), "D2943CCF80F42E88E23C12D1162FD547");
}

#[test]
fn x9_24_vectors_hold_for_every_use_of_the_key() {
    let vectors = [
        (
            "FFFF9876543210E00001",
            "042666B49184CFA368DE9628D0397BC9",
            "1B9C1845EB993A7A",
            "9CCC7817",
            "FC0D53B7EA1FDA9EE68AAF2E70D9B9506229BE2AA993F04F",
        ),
        (
            "FFFF9876543210E00002",
            "C46551CEF9FD24B0AA9AD834130D3BC7",
            "10A01C8D02C69107",
            "F608A9BC",
            "A2B4E70F846E63D68775B7215EB4563DFD3037244C61CC13",
        ),
    ];
    // PIN 1234 and card number 4012345678909 in ISO 9564 format 0.
    let pin_block = (0x0412_34FF_FFFF_FFFF_u64 ^ 0x0000_4012_3456_7890_u64).to_be_bytes();
    for (ksn, key, pin, mac, closed) in vectors {
        let derived = standard_key(ksn);
        assert_eq!(hex::encode_upper(derived.0), key);
        assert_eq!(hex::encode_upper(derived.masked(PIN_MASK).encrypt(pin_block)), pin);
        assert_eq!(request_mac(&derived.masked(MAC_REQUEST_MASK)), mac);
        let mut blocks = request();
        cbc_encrypt(&data_key(&derived), &mut blocks);
        assert_eq!(hex::encode_upper(blocks.as_flattened()), closed);
        cbc_decrypt(&data_key(&derived), &mut blocks);
        assert_eq!(blocks, request());
    }
}

/// Walks all counters of a device. Breaking the skip (for instance by 11 one-bits) changes the count.
#[test]
fn a_device_makes_exactly_1_048_575_swipes() {
    let (mut counter, mut count) = (0, 0);
    while let Some(next) = next_counter(counter) {
        assert!(next > counter && next.count_ones() <= COUNTER_ONE_BITS_MAX);
        (counter, count) = (next, count + 1);
    }
    assert_eq!((counter, count), (COUNTER_MAX, 1_048_575));
}

#[test]
fn illegal_counters_are_refused() {
    let at = |counter| Ksn::new([0xFF; 10]).with_counter(counter);
    assert_eq!(at(0).check(), Err(CounterError::Zero));
    assert_eq!(at(0x7FF).check(), Err(CounterError::TooManyOneBits(0x7FF)));
    assert_eq!(at(0x1F_F801).check(), Err(CounterError::TooManyOneBits(0x1F_F801)));
    assert_eq!(at(1).check(), Ok(()));
    assert_eq!(at(COUNTER_MAX).check(), Ok(()));
}

#[test]
fn keys_never_show_in_debug_output() {
    assert_eq!(format!("{:?}", TdesKey::new(BASE_KEY)), "TdesKey(****)");
    assert_eq!(TdesKey::new(BASE_KEY).check_value(), "08D7B4");
}

proptest! {
    #[test]
    fn a_counter_changes_only_the_low_21_bits(bytes: [u8; 10], counter in 0..=COUNTER_MASK) {
        let ksn = Ksn::new(bytes);
        prop_assert_eq!(ksn.with_counter(counter).counter(), counter);
        prop_assert_eq!(ksn.with_counter(counter).device(), ksn.device());
        prop_assert_eq!(ksn.with_counter(ksn.counter()), ksn);
        prop_assert_eq!(Ksn::from_hex(&ksn.to_hex()), Some(ksn));
    }

    #[test]
    fn cbc_round_trips(key: [u8; 16], blocks: Vec<[u8; 8]>) {
        let key = TdesKey::new(key);
        let mut closed = blocks.clone();
        cbc_encrypt(&key, &mut closed);
        cbc_decrypt(&key, &mut closed);
        prop_assert_eq!(closed, blocks);
    }
}
