//! Brokers that go away and come back, and brokers that refuse.

use std::time::Duration;

use log::group::{Event, GroupError, GroupLog, Remedy};
use log::kafka::{Admin, Feeder, KafkaLog, Settings};
use schemas::Offset;
use xtask::kafka::{Broker, Options, Security};

use super::{INPUT, OUTPUT, POLLS_MAX, WAIT, assigned, feed, make_topics, place, read, rows, settings};

/// Calls after which a test gives up, with [`WAIT`] between them.
const CALLS_MAX: usize = 100;

/// Makes the call until it works; another remedy than `Retry` is a failure.
fn until_it_works<T>(mut call: impl FnMut() -> Result<T, GroupError>) -> T {
    for _ in 0..CALLS_MAX {
        match call() {
            Ok(done) => return done,
            Err(error) => assert_eq!(error.remedy, Remedy::Retry, "{error}"),
        }
        std::thread::sleep(WAIT);
    }
    panic!("the brokers are back and the call does not work");
}

/// Fails when errors that pass by themselves are handed on: the member would be given up in each restart of a broker.
#[test]
fn a_member_goes_on_after_an_outage() {
    if !xtask::kafka::can_start("a_member_goes_on_after_an_outage") {
        return;
    }
    let mut broker = Broker::start(&Options::default()).unwrap();
    make_topics(broker.bootstrap());
    let settings = Settings {
        call_timeout: Duration::from_secs(2),
        session_timeout: Duration::from_secs(30),
        transaction_timeout: Duration::from_secs(60),
        ..settings(broker.bootstrap(), "outage")
    };
    let (input, output) = (place(INPUT, 0), place(OUTPUT, 0));
    feed(&settings, input, 0, 5);
    let mut member = KafkaLog::connect(&settings, "writer", &[INPUT], true).unwrap();
    let mut reader = KafkaLog::connect(&settings, "reader", &[INPUT], false).unwrap();
    for log in [&mut member, &mut reader] {
        assigned(log);
        log.start(&[(input, Offset(0))]).unwrap();
        assert_eq!(read(log, input).len(), 5);
        log.commit(&[(input, Offset(3))]).unwrap();
    }
    member.send(OUTPUT, output.partition, &rows(0..4)).unwrap();

    broker.stop().unwrap();
    for _ in 0..10 {
        for log in [&mut member, &mut reader] {
            let event = log.next(10, WAIT).unwrap();
            assert!(matches!(event, Event::Idle | Event::CaughtUp(_)), "{event:?}");
        }
    }
    assert_eq!(member.commit(&[(input, Offset(5))]).unwrap_err().remedy, Remedy::Retry);
    assert_eq!(reader.commit(&[(input, Offset(5))]).unwrap_err().remedy, Remedy::Retry);
    assert_eq!(reader.committed(input).unwrap_err().remedy, Remedy::Retry);
    broker.restart().unwrap();

    until_it_works(|| member.commit(&[(input, Offset(5))]));
    until_it_works(|| reader.commit(&[(input, Offset(5))]));
    assert_eq!(until_it_works(|| reader.committed(input)), Some(Offset(5)));
    feed(&settings, input, 5, 2);
    for log in [&mut member, &mut reader] {
        let next = (0..POLLS_MAX).find_map(|_| match log.next(10, WAIT).unwrap() {
            Event::Batch { batch, .. } => Some(batch.offsets),
            _ => None,
        });
        assert_eq!(next.and_then(|offsets| offsets.first().copied()), Some(5));
    }
    let admin = Admin::connect(&settings).unwrap();
    assert!(admin.has_records_after(OUTPUT, output.partition, Offset(3)).unwrap());
    assert!(!admin.has_records_after(OUTPUT, output.partition, Offset(4)).unwrap());
}

/// Fails when a hung broker holds a call up beyond its timeout: the watchdog would end the process.
#[test]
fn a_broker_that_hangs_holds_no_call_up() {
    if !xtask::kafka::can_start("a_broker_that_hangs_holds_no_call_up") {
        return;
    }
    let mut broker = Broker::start(&Options::default()).unwrap();
    make_topics(broker.bootstrap());
    let settings = Settings {
        call_timeout: Duration::from_secs(4),
        session_timeout: Duration::from_secs(60),
        ..settings(broker.bootstrap(), "hang")
    };
    let input = place(INPUT, 0);
    let mut member = KafkaLog::connect(&settings, "writer", &[INPUT], true).unwrap();
    let mut reader = KafkaLog::connect(&settings, "reader", &[INPUT], false).unwrap();
    for log in [&mut member, &mut reader] {
        assigned(log);
        log.start(&[(input, Offset(0))]).unwrap();
        log.commit(&[(input, Offset(0))]).unwrap();
    }
    broker.pause().unwrap();
    for log in [&mut member, &mut reader] {
        assert_ne!(log.commit(&[(input, Offset(0))]).unwrap_err().remedy, Remedy::Stop);
        assert_eq!(log.committed(input).unwrap_err().remedy, Remedy::Retry);
        assert_eq!(log.bounds(input).unwrap_err().remedy, Remedy::Retry);
    }
    drop((member, reader));
    broker.resume().unwrap();
}

/// By TLS and with a password, and told soon where either is wrong.
#[test]
fn brokers_are_reached_by_tls_with_a_password() {
    if !xtask::kafka::can_start("brokers_are_reached_by_tls_with_a_password") {
        return;
    }
    let security = Security::SaslTls { user: "till".to_string(), password: "correct".to_string() };
    let broker = Broker::start(&Options { security, ..Options::default() }).unwrap();
    let authority = broker.ca_pem().unwrap().display().to_string();
    let with = |password: &str, authority: Option<&str>| {
        let mut properties = vec![
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanisms", "SCRAM-SHA-512"),
            ("sasl.username", "till"),
            ("sasl.password", password),
        ];
        properties.extend(authority.map(|path| ("ssl.ca.location", path)));
        let properties = properties.into_iter().map(|(key, value)| (key.to_string(), value.to_string()));
        Settings { properties: properties.collect(), ..settings(broker.bootstrap(), "tls") }
    };
    let right = with("correct", Some(&authority));
    let admin = Admin::connect(&right).unwrap();
    assert!(admin.create_topic(INPUT, 1, 1, &[]).unwrap());
    let input = place(INPUT, 0);
    feed(&right, input, 0, 3);
    let mut member = KafkaLog::connect(&right, "writer", &[INPUT], true).unwrap();
    assigned(&mut member);
    member.start(&[(input, Offset(0))]).unwrap();
    assert_eq!(read(&mut member, input), vec![0, 1, 2]);
    member.commit(&[(input, Offset(3))]).unwrap();

    let error = Feeder::connect(&with("wrong", Some(&authority))).err().unwrap();
    assert_eq!(error.remedy, Remedy::Stop, "{error}");
    assert!(error.to_string().contains("uthentication"), "{error}");
    assert!(!error.to_string().contains("wrong"), "{error}");
    let error = Feeder::connect(&with("correct", None)).err().unwrap();
    assert_eq!(error.remedy, Remedy::Stop, "{error}");
    assert!(error.to_string().contains("certificate"), "{error}");
}
