//! `till fraud features`: a file of one's own, with its decimals and formats.

use std::fs;

use tempfile::TempDir;

use crate::support::{text, till};

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
