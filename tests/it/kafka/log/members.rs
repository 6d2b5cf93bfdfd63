//! What a group does to its members: they share, leave, lose, sleep and are replaced; and only who holds a partition
//! commits for it.

use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::time::Duration;

use log::group::{Event, GroupLog, Remedy, TopicPartition};
use log::kafka::{Admin, KafkaLog};
use schemas::Offset;

use super::{
    INPUT, OUTPUT, POLLS_MAX, SHARED_INPUT, WAIT, assigned, bootstrap, instance, place, remedy, rows, settings, writer,
};

/// The old producer is fenced: a later process of the same instance has taken over.
#[test]
fn a_second_producer_of_the_same_name_fences_the_first() {
    let Some(broker) = bootstrap("a_second_producer_of_the_same_name_fences_the_first") else { return };
    let settings = settings(broker, "fence");
    let (input, output) = (place(INPUT, 6), place(OUTPUT, 6));
    let mut old = writer(&settings, input);
    old.send(OUTPUT, output.partition, &rows(0..5)).unwrap();
    let mut new = KafkaLog::connect(&settings, "writer", &[INPUT], true).unwrap();
    let error = old.send(OUTPUT, output.partition, &rows(5..6)).and_then(|()| old.commit(&[(input, Offset(0))]));
    let error = error.unwrap_err();
    assert_eq!(error.remedy, Remedy::Rebuild, "{error}");
    drop(old);
    assigned(&mut new);
    new.start(&[(input, Offset(0))]).unwrap();
    new.commit(&[(input, Offset(0))]).unwrap();
    let admin = Admin::connect(&settings).unwrap();
    assert!(!admin.has_records_after(OUTPUT, output.partition, Offset(0)).unwrap());
}

/// Drives members until each holds what it should; starts, commits and releases as they are told. Panics after a while.
fn settle(members: &mut [(&mut KafkaLog, BTreeSet<TopicPartition>)], is_done: impl Fn(&[usize]) -> bool) {
    for _ in 0..POLLS_MAX * 2 {
        for (member, owned) in members.iter_mut() {
            match member.next(100, WAIT / 4).unwrap() {
                Event::Assigned(new) => {
                    for partition in &new {
                        let from = member.committed(*partition).unwrap().unwrap_or_default();
                        member.start(&[(*partition, from)]).unwrap();
                        assert!(owned.insert(*partition), "{partition} came twice");
                    }
                }
                Event::Revoked(gone) | Event::Lost(gone) => {
                    for partition in gone {
                        member.release(&[partition]).unwrap();
                        assert!(owned.remove(&partition), "{partition} was not held");
                    }
                }
                Event::Batch { partition, .. } => assert!(owned.contains(&partition)),
                Event::CaughtUp(_) | Event::Idle => {}
            }
        }
        if is_done(&members.iter().map(|(_, owned)| owned.len()).collect::<Vec<_>>()) {
            return;
        }
    }
    panic!("{:?}", members.iter().map(|(_, owned)| owned).collect::<Vec<_>>());
}

/// Fails when a rebalance takes everything from everybody (eager), or when a member that left is not followed.
#[test]
fn members_share_partitions_by_increments() {
    let Some(broker) = bootstrap("members_share_partitions_by_increments") else { return };
    let settings = settings(broker, "share");
    let connect = |name| KafkaLog::connect(&instance(&settings, name), "share", &[SHARED_INPUT], false).unwrap();
    let mut first = connect("a");
    let mut alone = [(&mut first, BTreeSet::new())];
    settle(&mut alone, |held| held == [4]);
    let [(_, owned)] = alone;
    let before = owned.clone();
    let mut second = connect("b");
    let mut both = [(&mut first, owned), (&mut second, BTreeSet::new())];
    settle(&mut both, |held| held == [2, 2]);
    let [(_, kept), (_, taken)] = both;
    assert!(kept.is_subset(&before) && kept.is_disjoint(&taken));
    drop(first);
    let mut left = [(&mut second, taken)];
    settle(&mut left, |held| held == [4]);
}

/// Fails when a revocation is answered before all of its partitions are released: two members would hold one.
#[test]
fn nobody_gets_a_partition_before_it_is_released() {
    let Some(broker) = bootstrap("nobody_gets_a_partition_before_it_is_released") else { return };
    let settings = settings(broker, "hold");
    let connect = |name| KafkaLog::connect(&instance(&settings, name), "hold", &[SHARED_INPUT], false).unwrap();
    let mut first = connect("a");
    let held = assigned(&mut first);
    let starts: Vec<_> = held.iter().map(|partition| (*partition, Offset(0))).collect();
    first.start(&starts).unwrap();
    let mut second = connect("b");
    let mut early = Vec::new();
    let mut listen = |member: &mut KafkaLog| {
        if let Event::Assigned(partitions) = member.next(10, WAIT).unwrap() {
            early.extend(partitions);
        }
    };
    let gone = (0..POLLS_MAX).find_map(|_| {
        listen(&mut second);
        if let Event::Revoked(gone) = first.next(10, WAIT).unwrap() { Some(gone) } else { None }
    });
    let gone = gone.unwrap();
    assert_eq!(gone.len(), 2);
    first.release(&[gone[0]]).unwrap();
    first.release(&[gone[0]]).unwrap();
    // Starting what stays, and what goes, is no answer either.
    first.start(&starts).unwrap();
    for _ in 0..10 {
        listen(&mut second);
        first.next(10, WAIT).unwrap();
    }
    assert_eq!(early, vec![]);
    assert!(first.commit(&[(gone[0], Offset(0))]).is_err());
    first.release(&gone[1..]).unwrap();
    // The first member's next call lets the group go on.
    let taken = (0..POLLS_MAX).find_map(|_| {
        first.next(10, WAIT).unwrap();
        if let Event::Assigned(taken) = second.next(10, WAIT).unwrap() { Some(taken) } else { None }
    });
    let taken = taken.unwrap();
    assert_eq!(BTreeSet::from_iter(taken), BTreeSet::from_iter(gone));
}

/// Fails when a member that was silent beyond its poll interval may commit what others hold by then.
#[test]
fn a_member_that_lost_its_partitions_cannot_commit() {
    let Some(broker) = bootstrap("a_member_that_lost_its_partitions_cannot_commit") else { return };
    let mut settings = settings(broker, "zombie");
    settings.properties = vec![("max.poll.interval.ms".to_string(), "7000".to_string())];
    let (input, output) = (place(INPUT, 7), place(OUTPUT, 7));
    let mut zombie = writer(&settings, input);
    zombie.send(OUTPUT, output.partition, &rows(0..5)).unwrap();
    std::thread::sleep(Duration::from_secs(9));
    let error = zombie.commit(&[(input, Offset(0))]).unwrap_err();
    assert!(matches!(error.remedy, Remedy::Abort | Remedy::Rebuild), "{error}");
    let admin = Admin::connect(&settings).unwrap();
    assert!(!admin.has_records_after(OUTPUT, output.partition, Offset(0)).unwrap());
    assert_eq!(admin.committed("zombie-writer", &[(INPUT, input.partition)]).unwrap(), vec![None]);
    if error.remedy == Remedy::Abort {
        zombie.abort().unwrap();
        // The group takes it in again under another identity, which must not go on with what the earlier one had.
        let told = (0..POLLS_MAX).find_map(|_| zombie.next(10, WAIT).err());
        assert_eq!(told.map(|error| error.remedy), Some(Remedy::Rebuild));
        assert_eq!(remedy(zombie.commit(&[(input, Offset(0))])), Remedy::Rebuild);
    }
    drop(zombie);
    let mut successor = writer(&settings, input);
    successor.commit(&[(input, Offset(0))]).unwrap();
}

/// What the process does that will be stopped: it sends rows, and commits when it is told to.
fn stopped_process(broker: &str) {
    let mut settings = settings(broker, "stopped");
    settings.transaction_timeout = Duration::from_secs(60);
    let (input, output) = (place(INPUT, 8), place(OUTPUT, 8));
    let mut member = writer(&settings, input);
    member.send(OUTPUT, output.partition, &rows(0..5)).unwrap();
    println!("\nstopped: sent");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    println!("\nstopped: {:?}", member.commit(&[(input, Offset(1))]).map_err(|error| error.remedy));
}

/// Next line that the stopped process says.
fn said(lines: &mut impl Iterator<Item = std::io::Result<String>>) -> String {
    lines.map(|line| line.unwrap()).find_map(|line| line.strip_prefix("stopped: ").map(str::to_string)).unwrap()
}

fn signal(signal: &str, process: &std::process::Child) {
    let sent = std::process::Command::new("kill").args([signal, &process.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Fails when offsets are committed without the membership: a process that slept through its session would commit what
/// its successor has committed already.
#[test]
fn a_process_that_slept_through_its_session_cannot_commit() {
    const TEST: &str = "a_process_that_slept_through_its_session_cannot_commit";
    if let Ok(broker) = std::env::var("TILL_TEST_STOPPED_PROCESS") {
        return stopped_process(&broker);
    }
    let Some(broker) = bootstrap(TEST) else { return };
    let (_, module) = module_path!().split_once("::").unwrap();
    let mut process = std::process::Command::new(std::env::current_exe().unwrap())
        .args([&format!("{module}::{TEST}"), "--exact", "--nocapture"])
        .env("TILL_TEST_STOPPED_PROCESS", broker)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(process.stdout.take().unwrap()).lines();
    assert_eq!(said(&mut lines), "sent");
    signal("-STOP", &process);

    let settings = instance(&settings(broker, "stopped"), "successor");
    let (input, output) = (place(INPUT, 8), place(OUTPUT, 8));
    let mut successor = writer(&settings, input);
    successor.commit(&[(input, Offset(3))]).unwrap();
    signal("-CONT", &process);
    writeln!(process.stdin.take().unwrap(), "commit").unwrap();
    let answer = said(&mut lines);
    assert!(["Err(Abort)", "Err(Rebuild)"].contains(&answer.as_str()), "{answer}");
    process.wait().unwrap();
    assert_eq!(successor.committed(input).unwrap(), Some(Offset(3)));
    let admin = Admin::connect(&settings).unwrap();
    assert!(!admin.has_records_after(OUTPUT, output.partition, Offset(0)).unwrap());
}

/// Fails when closing waits for an answer to a rebalance that nobody gives any more.
#[test]
fn dropping_does_not_hang() {
    let Some(broker) = bootstrap("dropping_does_not_hang") else { return };
    let settings = settings(broker, "drop");
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for round in 0..50 {
            let name = format!("i{}", round % 3);
            let mut member = KafkaLog::connect(&instance(&settings, &name), "drop", &[SHARED_INPUT], false).unwrap();
            for _ in 0..round % 5 {
                member.next(10, WAIT / 4).unwrap();
            }
            drop(member);
        }
        tell.send(()).unwrap();
    });
    told.recv_timeout(Duration::from_secs(120)).unwrap();
}
