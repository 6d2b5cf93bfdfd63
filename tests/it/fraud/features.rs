//! `till fraud features`: a file of one's own, with its decimals and formats.

use std::fs;

use tempfile::TempDir;

use crate::support::{one_day, query, text, till};

/// Fails if a decimal loses a digit, a name is not brought to the one way of writing it, or formats say different things.
#[test]
fn a_file_of_ones_own_has_features_too() {
    let folder = TempDir::new().unwrap();
    let (shop, windows) = (folder.path().join("shop.csv"), folder.path().join("windows.txt"));
    let content = "Paid At,Card,TX-Amount\n2026-01-01T10:00:00Z,a,57.16\n2026-01-01T11:00:00Z,a,0.10\n\
        2026-01-01T11:00:00Z,b,3\n2026-01-02T10:30:00Z,a,1.5\n";
    fs::write(&shop, content).unwrap();
    fs::write(&windows, "window spent = sum(tx_amount) by card where tx_amount >= 1_00 over 1d including current")
        .unwrap();
    let out = folder.path().join("out.csv");
    let arguments =
        ["fraud", "features", "--transactions", text(&shop), "--windows", text(&windows), "--out", text(&out)];
    let more = ["--time", "Paid At", "--decimals", "TX-Amount=2"];
    till(&[&arguments[..], &more].concat()).with_exit(0);
    let written = fs::read_to_string(&out).unwrap();
    let spent: Vec<&str> = written.lines().map(|line| line.rsplit(',').next().unwrap()).collect();
    assert_eq!(spent, ["spent", "5716", "5716", "300", "150"]);

    let ended = till(&arguments).with_exit(2);
    assert!(ended.stderr.contains("no column event_time") && ended.stderr.contains("paid_at"), "{ended}");
    let ended = till(&[&arguments[..], &["--time", "paid_at"]].concat()).with_exit(2);
    assert!(ended.stderr.contains("tx_amount is a number"), "{ended}");
    fs::write(&shop, content.replace("1.5", "1.505")).unwrap();
    let ended = till(&[&arguments[..], &more].concat()).with_exit(1);
    let said = ended.stderr.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
    assert!(said.contains("row 4 of a batch: more than 2 digits follow the point"), "{ended}");
}

/// Fails if windows by a key of neither side, or about the answer, cannot be had of a lake, or not what SQL says of them.
#[test]
fn a_lake_has_windows_by_keys_that_no_unit_has() {
    let lake = one_day().lake();
    let folder = TempDir::new().unwrap();
    let (windows, out) = (folder.path().join("windows.txt"), folder.path().join("couriers.csv"));
    let text_of = "window refused_1h = count by courier_id where reason != 'approved' over 1h\n\
        window paid_1h = sum(amount_minor) by courier_id where reason = 'approved' over 1h\n";
    fs::write(&windows, text_of).unwrap();
    let swipes = "SELECT d.event_time, d.courier_id, d.reason, d.amount_minor, d.payment_id FROM decisions d \
        WHERE d.kind = 'authorization' AND NOT d.repeat AND d.courier_id IS NOT NULL AND d.payment_id IS NOT NULL";
    let asked = format!("{swipes} ORDER BY d.event_time, d.payment_id");
    let command = ["fraud", "features", "--sql", &asked, "--lake", text(&lake), "--windows", text(&windows)];
    let said = till(&[&command[..], &["--out", text(&out), "--json"]].concat()).with_exit(0).json();
    let newest = query(&lake, &format!("SELECT max(event_time) AS newest FROM ({swipes}) d"));
    assert_eq!(said["newest"].as_str().unwrap()[..19], newest[0]["newest"].as_str().unwrap()[..19]);
    let twin = format!(
        "SELECT a.payment_id, count(b.payment_id) FILTER (WHERE b.reason <> 'approved') AS refused, \
         coalesce(sum(b.amount_minor) FILTER (WHERE b.reason = 'approved'), 0) AS paid \
         FROM ({swipes}) a LEFT JOIN ({swipes}) b ON b.courier_id = a.courier_id \
             AND b.event_time > a.event_time - INTERVAL '1 hour' \
             AND (b.event_time < a.event_time OR (b.event_time = a.event_time AND b.payment_id < a.payment_id)) \
         GROUP BY a.payment_id"
    );
    let mut expected: Vec<String> = query(&lake, &twin)
        .iter()
        .map(|row| format!("{},{},{}", row["payment_id"].as_str().unwrap(), row["refused"], row["paid"]))
        .collect();
    let written = fs::read_to_string(&out).unwrap();
    let mut found: Vec<String> =
        written.lines().skip(1).map(|line| line.splitn(5, ',').nth(4).unwrap().to_string()).collect();
    expected.sort_unstable();
    found.sort_unstable();
    assert!(expected.len() > 100 && expected.iter().any(|row| !row.contains(",0,")), "{} rows", expected.len());
    assert_eq!(found, expected);
}
