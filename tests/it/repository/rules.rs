//! Rules about single files, as functions from a file's text to what breaks them. Each has a test that plants a
//! violation.

use std::ops::Range;

use super::scan::{Code, is_word, line_of, words};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
/// Shortest text of an `expect` that can be a reason.
const REASON_CHARACTERS_MIN: usize = 15;
/// Lengths of card numbers in use (ISO/IEC 7812-1) that are told from other numbers.
const CARD_DIGITS: std::ops::RangeInclusive<usize> = 13..=19;
/// A hexadecimal text from this length on is a hash, a key or a frame: digits in it are by chance.
const HEX_DIGITS_MIN: usize = 24;
/// Only this file asks for the time.
const CLOCK: &str = "src/clock.rs";
const CLOCKS: [&str; 6] = ["SystemTime::now", "Instant::now", "Timestamp::now", "Zoned::now", "Utc::now", "Local::now"];
/// Parts of names that hold money.
const MONEY: [&str; 9] = ["amount", "amounts", "minor", "money", "price", "prices", "fee", "fees", "balance"];
/// What pure crates do not use.
const OUTSIDE: [&str; 6] = ["std::fs", "std::net", "std::process", "std::thread", "tokio::", "rdkafka::"];

/// Threads that end with the call that made them: nothing outside sees them.
const WITHIN_A_CALL: &str = "std::thread::scope(";

/// Published test card numbers, each with where it is published.
const PUBLISHED_CARDS: [(&str, &str); 6] = [
    ("4111111111111111", "Visa test number of PayPal and other payment gateways"),
    ("5105105105105100", "Mastercard test number of PayPal and other payment gateways"),
    ("378282246310005", "American Express test number of PayPal and other payment gateways"),
    ("6011000990139424", "Discover test number of PayPal and other payment gateways"),
    ("4012345678909", "sample of ANSI X9.24-1:2009 annex A.4"),
    ("4124939999999990", "sample swipe in manuals of encrypting readers"),
];

/// A rule over the code of one file: what is not code is blanked.
pub type CodeRule = fn(&str, &Code) -> Vec<String>;

/// Files are short enough to be read at once.
pub fn long_file(path: &str, source: &str) -> Vec<String> {
    let lines = source.lines().count();
    let finding = || format!("{path}: {lines} lines, more than {FILE_LINES_MAX}; a concept is missing: name it");
    (lines > FILE_LINES_MAX).then(finding).into_iter().collect()
}

/// Functions fit on a screen.
pub fn long_functions(path: &str, code: &Code) -> Vec<String> {
    let long = code.functions().into_iter().filter(|function| function.lines > FUNCTION_LINES_MAX);
    long.map(|function| {
        let super::scan::Function { name, line, lines } = function;
        format!("{path}:{line}: {name} has {lines} lines, more than {FUNCTION_LINES_MAX}")
    })
    .collect()
}

/// Outside tests nothing is unwrapped without a reason. `code` and `source` have the same places.
pub fn unwraps(path: &str, code: &Code, source: &str) -> Vec<String> {
    let text = code.text();
    let bare = text.match_indices(".unwrap()").map(|(place, _)| (place, "unwrap gives no reason"));
    let short = text.match_indices(".expect(").filter_map(|(place, call)| {
        let argument = source[place + call.len()..].trim_start().strip_prefix('"')?;
        let reason = argument.split('"').next().unwrap_or_default();
        (reason.chars().count() < REASON_CHARACTERS_MIN).then_some((place, "the text of expect is no reason"))
    });
    bare.chain(short).map(|(place, problem)| at(path, text, place, problem)).collect()
}

/// There is one clock.
pub fn clocks(path: &str, code: &Code) -> Vec<String> {
    if path == CLOCK {
        return Vec::new();
    }
    let found = CLOCKS.into_iter().flat_map(|clock| words(code.text(), clock).map(move |place| (place, clock)));
    found.map(|(place, clock)| at(path, code.text(), place, &format!("{clock} outside {CLOCK}"))).collect()
}

/// No name that says money has a floating-point type, no function of such a name gives one, and no such value becomes
/// one.
pub fn floating_money(path: &str, code: &Code) -> Vec<String> {
    let text = code.text();
    let floats = ["f64", "f32"].into_iter().flat_map(|float| words(text, float));
    floats
        .filter_map(|place| {
            let name = named_by(&text[..place])?;
            says_money(name).then(|| at(path, text, place, &format!("{name} is floating-point money")))
        })
        .collect()
}

/// Whether a part of the name says money.
pub fn says_money(name: &str) -> bool {
    name.to_ascii_lowercase().split('_').any(|part| MONEY.contains(&part))
}

/// The name to which the float type after this text belongs: `NAME: Option<`, `NAME =`, `NAME as`, `fn NAME(...) ->`.
fn named_by(before: &str) -> Option<&str> {
    let before = before.trim_end();
    if let Some(value) = before.strip_suffix("as").filter(|value| value.ends_with(' ')) {
        return Some(last_name(value.trim_end().trim_end_matches(['(', ')', '?', '.'])));
    }
    let bytes = before.as_bytes();
    let mut place = bytes.len();
    while place > 0 {
        place -= 1;
        match bytes[place] {
            b':' if bytes[..place].ends_with(b":") => place -= 1,
            b':' | b'=' => return Some(last_name(&before[..place])),
            b'>' if bytes[..place].ends_with(b"-") => {
                let (_, function) = before[..place].rsplit_once("fn ")?;
                return function.split(['(', '<']).next();
            }
            b';' | b'{' | b'}' => return None,
            _ => {}
        }
    }
    None
}

/// The name with which the text ends.
fn last_name(text: &str) -> &str {
    let text = text.trim_end();
    let length = text.bytes().rev().take_while(|byte| is_word(*byte)).count();
    &text[text.len() - length..]
}

/// Pure crates know neither files nor network nor a runtime.
pub fn outside_world(path: &str, code: &Code) -> Vec<String> {
    let text = code.text();
    let direct = OUTSIDE.into_iter().flat_map(|way| text.match_indices(way)).map(|(place, _)| place);
    let direct = direct.filter(|place| !text[*place..].starts_with(WITHIN_A_CALL));
    let grouped = text.match_indices("use std::{").filter_map(|(place, _)| {
        let names = text[place..].split(';').next()?;
        ["fs", "net", "process", "thread"].into_iter().any(|name| words(names, name).next().is_some()).then_some(place)
    });
    direct.chain(grouped).map(|place| at(path, text, place, "a pure crate reaches outside")).collect()
}

/// A module opens with what it is for. `tests.rs` needs no such words: its parent names it.
pub fn module_docs(path: &str, source: &str) -> Vec<String> {
    let is_missing = !path.ends_with("tests.rs") && !source.starts_with("//!");
    let finding = || format!("{path}: does not open with what it is for, what it may depend on, what it refuses");
    is_missing.then(finding).into_iter().collect()
}

/// Every number that could be a card's is a published test number.
pub fn card_numbers(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for number in numbers(line) {
            let is_published = PUBLISHED_CARDS.iter().any(|(published, _)| *published == number);
            if !is_published && could_be_a_card(&number) {
                findings.push(format!(
                    "{path}:{}: a number of {} digits passes as a card number and is no published test number",
                    index + 1,
                    number.len()
                ));
            }
        }
    }
    findings
}

/// Numbers of a line: runs of digits, and four groups of four with one space or hyphen between them. Left out: digits
/// after a decimal point and digits of a long hexadecimal text.
fn numbers(line: &str) -> Vec<String> {
    let bytes = line.as_bytes();
    let mut runs: Vec<Range<usize>> = Vec::new();
    for place in (0..bytes.len()).filter(|place| bytes[*place].is_ascii_digit()) {
        match runs.last_mut() {
            Some(run) if run.end == place => run.end += 1,
            _ => runs.push(place..place + 1),
        }
    }
    let is_decimal = |run: &Range<usize>| matches!(&bytes[..run.start], [.., digit, b'.'] if digit.is_ascii_digit());
    let hex_digits = |run: &Range<usize>| {
        let before = bytes[..run.start].iter().rev().take_while(|byte| byte.is_ascii_hexdigit()).count();
        before + bytes[run.start..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count()
    };
    let alone = runs.iter().filter(|run| !is_decimal(run) && hex_digits(run) < HEX_DIGITS_MIN);
    let is_grouped = |group: &&[Range<usize>]| {
        let joined = |pair: &[Range<usize>]| pair[0].end + 1 == pair[1].start && b" -".contains(&bytes[pair[0].end]);
        group.iter().all(|run| run.len() == 4) && group.windows(2).all(joined)
    };
    let grouped = runs.windows(4).filter(is_grouped);
    let text = |run: &Range<usize>| &line[run.clone()];
    alone.map(|run| text(run).to_string()).chain(grouped.map(|group| group.iter().map(text).collect())).collect()
}

/// Whether length and check digit are those of a card number (Luhn, ISO/IEC 7812-1 annex B). No card for payments
/// starts with 1 (airlines), as every time in microseconds of our days does.
fn could_be_a_card(number: &str) -> bool {
    let value = |(place, digit): (usize, u8)| {
        let digit = u32::from(digit - b'0');
        if place % 2 == 1 { digit * 2 / 10 + digit * 2 % 10 } else { digit }
    };
    let sum: u32 = number.bytes().rev().enumerate().map(value).sum();
    CARD_DIGITS.contains(&number.len()) && !number.starts_with('1') && sum.is_multiple_of(10)
}

/// No file names a folder of one person's machine.
pub fn machine_paths(path: &str, text: &str) -> Vec<String> {
    // Put together here, so that this file does not name them.
    let folders = ["root", "home"].map(|name| format!("/{name}/"));
    let starts = |folder: &String| {
        let inside_another =
            |place: usize| text[..place].ends_with(|sign: char| sign.is_alphanumeric() || ".-_~}".contains(sign));
        text.match_indices(folder.as_str())
            .map(|(place, _)| place)
            .filter(|place| !inside_another(*place))
            .collect::<Vec<_>>()
    };
    let found = folders.iter().flat_map(starts);
    found.map(|place| at(path, text, place, "a path of one machine")).collect()
}

fn at(path: &str, text: &str, place: usize, problem: &str) -> String {
    format!("{path}:{}: {problem}", line_of(text, place))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of the findings of a rule about code.
    fn lines(rule: CodeRule, source: &str) -> Vec<String> {
        rule("a.rs", &Code::of(source).without_tests())
    }

    #[test]
    fn planted_long_files_and_functions_are_found() {
        assert!(long_file("a.rs", &"\n".repeat(FILE_LINES_MAX)).is_empty());
        assert_eq!(long_file("a.rs", &"\n".repeat(FILE_LINES_MAX + 1)).len(), 1);
        let function = |lines: usize| format!("\nfn f() {{{}}}", "\n".repeat(lines - 1));
        assert!(lines(long_functions, &function(FUNCTION_LINES_MAX)).is_empty());
        let found = lines(long_functions, &function(FUNCTION_LINES_MAX + 1));
        assert_eq!(found, ["a.rs:2: f has 71 lines, more than 70"]);
    }

    #[test]
    fn planted_unwraps_are_found() {
        let source = "/// a.unwrap()\nfn f() {\n    a.unwrap();\n    b.expect(\"oops\");\n    \
            c.expect(\"the list above is never empty\");\n    d.expect(\n        \"no\",\n    );\n}\n\
            #[cfg(test)]\nmod tests {\n    fn g() { e.unwrap() }\n}";
        let found = unwraps("a.rs", &Code::of(source).without_tests(), source);
        let problems =
            ["3: unwrap gives no reason", "4: the text of expect is no reason", "6: the text of expect is no reason"];
        assert_eq!(found, problems.map(|problem| format!("a.rs:{problem}")));
    }

    #[test]
    fn planted_clocks_are_found() {
        let source = "// Instant::now()\nlet a = std::time::Instant::now();";
        assert_eq!(lines(clocks, source), ["a.rs:2: Instant::now outside src/clock.rs"]);
        assert!(clocks(CLOCK, &Code::of(source)).is_empty());
        for clock in CLOCKS {
            assert_eq!(lines(clocks, &format!("fn f() -> T {{ {clock}() }}")).len(), 1, "{clock}");
        }
    }

    #[test]
    fn planted_floating_money_is_found() {
        for planted in [
            "struct A { amount_minor: f64 }",
            "fn f(a: i64, fee: Option<f32>) {}",
            "fn f() { let price: Vec<f64> = g(); }",
            "fn f() { let total_fees = h::<f64>(); }",
            "fn day_amount(a: &[i64]) -> Result<f64, E> {}",
            "fn f() { g(a.amount_minor as f64); }",
            "fn f() { g(i64::from(balance) as f64); }",
            "const PRICE: f64 = 1.0;",
            "struct A { money: (Currency, f64) }",
        ] {
            assert_eq!(lines(floating_money, planted).len(), 1, "{planted}");
        }
        for innocent in [
            "struct A { amount_minor: i64, lat: f64 }",
            "fn f(amount: i64, lon: f64) -> f64 {}",
            "fn f() { let coffee: f64 = 1.0; }",
            "// the amount: f64",
            "fn distance(a: f64) -> f64 { a as f64 }",
        ] {
            assert!(lines(floating_money, innocent).is_empty(), "{innocent}");
        }
    }

    #[test]
    fn planted_ways_outside_are_found() {
        for planted in [
            "use std::fs;",
            "use std::{collections::BTreeMap, fs::File};",
            "fn f() { std::net::TcpStream::connect(a); }",
            "async fn f() { tokio::time::sleep(a).await }",
            "use rdkafka::Message;",
            "fn f() { std::thread::spawn(a); }",
            "use std::thread;",
        ] {
            assert_eq!(lines(outside_world, planted).len(), 1, "{planted}");
        }
        for innocent in ["use std::{fmt, iter};\n// std::fs\n", "fn f() { std::thread::scope(|scope| a) }"] {
            assert!(lines(outside_world, innocent).is_empty(), "{innocent}");
        }
    }

    #[test]
    fn planted_modules_without_docs_are_found() {
        assert_eq!(module_docs("a/src/lib.rs", "use b;").len(), 1);
        assert!(module_docs("a/src/lib.rs", "//! B.\nuse b;").is_empty());
        assert!(module_docs("a/src/b/tests.rs", "use b;").is_empty());
    }

    /// The planted numbers are made here, so that this file does not hold them.
    #[test]
    fn planted_card_numbers_are_found() {
        let (prefix, check) = ("555555555555", "4444");
        let number = [prefix, check].concat();
        for planted in [
            number.clone(),
            format!("%B{number}^DOE/JANE^"),
            format!("\"{number}\","),
            number.as_bytes().chunks(4).map(|digits| String::from_utf8_lossy(digits)).collect::<Vec<_>>().join(" "),
        ] {
            let found = card_numbers("a.md", &format!("\n{planted}"));
            assert_eq!(found.len(), 1, "{planted}");
            assert!(found[0].starts_with("a.md:2: a number of 16 digits") && !found[0].contains(&number), "{found:?}");
        }
        for innocent in [
            format!("0.{number}"),
            format!("{number}1"),
            format!("00{number}abcdef"),
            "1798790400000006".to_string(),
            "4111 1111 1111 1111 and 378282246310005".to_string(),
        ] {
            assert!(card_numbers("a.md", &innocent).is_empty(), "{innocent}");
        }
    }

    #[test]
    fn every_published_number_would_be_found_if_it_were_not_listed() {
        assert!(PUBLISHED_CARDS.iter().all(|(number, source)| could_be_a_card(number) && !source.is_empty()));
    }

    #[test]
    fn planted_machine_paths_are_found() {
        for name in ["root", "home"] {
            assert_eq!(machine_paths("a.sh", &format!("cd \"/{name}/jane\"")), ["a.sh:1: a path of one machine"]);
            assert!(machine_paths("a.sh", &format!("cd src/{name}/b")).is_empty());
        }
    }
}
