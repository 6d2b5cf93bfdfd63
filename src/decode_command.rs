//! `till decode`: what is in a reader's frame, as far as a person may see it. Card numbers show in full under published
//! test keys only.

mod hex_text;
mod shown;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use decode::keys::KeyRing;
use decode::reveal::reveal;
use schemas::bundles::NumberRange;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::output;
use hex_text::{FrameBytes, frames};
use shown::ShownFrame;

/// Largest file of frames, which is held in memory: some ten thousand frames.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Number ranges of the card schemes (ISO/IEC 7812 registrations). The longest fitting one counts.
const SCHEMES: [(&str, &str, &str); 14] = [
    ("2200", "2204", "Mir"),
    ("2221", "2720", "Mastercard"),
    ("34", "34", "American Express"),
    ("3528", "3589", "JCB"),
    ("37", "37", "American Express"),
    ("4", "4", "Visa"),
    ("50", "50", "Maestro"),
    ("51", "55", "Mastercard"),
    ("56", "61", "Maestro"),
    ("6011", "6011", "Discover"),
    ("62", "62", "UnionPay"),
    ("63", "63", "Maestro"),
    ("64", "65", "Discover"),
    ("66", "69", "Maestro"),
];

/// Show what is in encrypted frames of card readers.
#[derive(Args)]
#[command(
    after_help = "A file holds raw bytes of one frame, or frames as hexadecimal text, separated by blank lines; lines \
    that start with # are comments. The clear tracks show under published test keys only."
)]
pub struct DecodeArgs {
    /// Files of frames; - is standard input.
    #[arg(value_name = "FRAMES", required = true)]
    frames: Vec<PathBuf>,
    /// Key file (keys.json) [default: the published test keys].
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// One JSON document.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &DecodeArgs) -> Result<(), Failure> {
    let ring = match &args.keys {
        Some(path) => read_keys(path)?,
        None => KeyRing::published(),
    };
    let mut found = Vec::new();
    for path in &args.frames {
        found.extend(read_frames(path)?);
    }
    let range = |(from, to, scheme): (&str, &str, &str)| NumberRange {
        from: from.to_string(),
        to: to.to_string(),
        scheme: scheme.to_string(),
    };
    let ranges = SCHEMES.map(range);
    let shown: Vec<ShownFrame> =
        found.iter().map(|(source, frame)| ShownFrame::of(source.clone(), reveal(&ring, frame, &ranges))).collect();
    if args.json {
        output::print_json(&shown)?;
    } else {
        let texts: Vec<String> = shown.iter().map(ShownFrame::text).collect();
        output::print(&texts.join("\n\n"))?;
    }
    let closed = shown.iter().filter(|frame| !frame.is_open()).count();
    if closed > 0 {
        return Err(Failure::failed(format!("{closed} of {} frames did not open", shown.len())));
    }
    Ok(())
}

fn read_keys(path: &Path) -> Result<KeyRing, Failure> {
    let content = Zeroizing::new(read_file(path)?);
    KeyRing::from_json(&content).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

/// The frames of a file, each with where it comes from.
fn read_frames(path: &Path) -> Result<Vec<(String, FrameBytes)>, Failure> {
    let (name, content) = match path.to_str() {
        Some("-") => ("standard input".to_string(), read_all(io::stdin().lock(), "standard input")?),
        _ => (path.display().to_string(), read_file(path)?),
    };
    let content = Zeroizing::new(content);
    let frames = frames(&content).map_err(|error| {
        Failure::usage(format!("{name}, {error}"))
            .with_help("a file holds hexadecimal text, or the raw bytes of one frame, which start with 02")
    })?;
    if frames.is_empty() {
        return Err(Failure::usage(format!("{name} holds no frame")));
    }
    let place = |number: usize| if frames.len() > 1 { format!("{name}, frame {}", number + 1) } else { name.clone() };
    let places: Vec<String> = (0..frames.len()).map(place).collect();
    Ok(places.into_iter().zip(frames).collect())
}

fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| Failure::usage(format!("cannot read {name}: {error}")))?;
    read_all(file, &name)
}

fn read_all(source: impl Read, name: &str) -> Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    let read = source.take(FILE_BYTES_MAX + 1).read_to_end(&mut content);
    read.map_err(|error| Failure::usage(format!("cannot read {name}: {error}")))?;
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err(Failure::usage(format!("{name} is larger than {FILE_BYTES_MAX} bytes; split it")));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of overlapping ranges of one length, chance would choose.
    #[test]
    fn ranges_of_one_length_do_not_overlap() {
        for (index, (from, to, scheme)) in SCHEMES.iter().enumerate() {
            assert!(from.len() == to.len() && from <= to, "{scheme}");
            for (other_from, other_to, other) in &SCHEMES[index + 1..] {
                let apart = from.len() != other_from.len() || to < other_from || other_to < from;
                assert!(apart, "{scheme} {from} and {other} {other_from}");
            }
        }
    }
}
