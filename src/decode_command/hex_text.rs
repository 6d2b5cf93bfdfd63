//! Reads frames from a file: raw bytes, or hexadecimal text in which blank lines separate frames.

use zeroize::Zeroizing;

/// First byte of a raw frame (STX), which no text starts with.
const START: u8 = 0x02;

/// A frame's bytes, wiped on drop: closed as they are, they are sensitive.
pub type FrameBytes = Zeroizing<Vec<u8>>;

/// Where a text is not hexadecimal.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum HexError {
    /// A sign that is no digit.
    #[error("line {line}, column {column}: {sign} is no hexadecimal digit")]
    NoDigit {
        /// From 1.
        line: usize,
        /// From 1, in bytes.
        column: usize,
        /// The sign, spelled out where it does not print.
        sign: String,
    },
    /// The last byte of a frame has one digit only.
    #[error("line {line}, column {column}: the frame ends in the middle of a byte")]
    HalfByte {
        /// From 1.
        line: usize,
        /// Of the single digit, from 1.
        column: usize,
    },
}

/// The frames of a file.
pub fn frames(content: &[u8]) -> Result<Vec<FrameBytes>, HexError> {
    if content.first() == Some(&START) {
        return Ok(vec![Zeroizing::new(content.to_vec())]);
    }
    let mut reader = Reader::default();
    for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
        let text = line.trim_ascii();
        if text.is_empty() {
            reader.end_frame()?;
        } else if text[0] != b'#' {
            reader.line(index + 1, line)?;
        }
    }
    reader.end_frame()?;
    Ok(reader.frames)
}

#[derive(Default)]
struct Reader {
    frames: Vec<FrameBytes>,
    frame: FrameBytes,
    /// First digit of a byte, with its line and column.
    half: Option<(u8, usize, usize)>,
}

impl Reader {
    fn line(&mut self, number: usize, line: &[u8]) -> Result<(), HexError> {
        for (index, byte) in line.iter().enumerate().filter(|(_, byte)| !byte.is_ascii_whitespace()) {
            let digit = char::from(*byte).to_digit(16).ok_or_else(|| HexError::NoDigit {
                line: number,
                column: index + 1,
                sign: byte.escape_ascii().to_string(),
            })? as u8;
            match self.half.take() {
                Some((high, ..)) => self.frame.push(high << 4 | digit),
                None => self.half = Some((digit, number, index + 1)),
            }
        }
        Ok(())
    }

    fn end_frame(&mut self) -> Result<(), HexError> {
        if let Some((_, line, column)) = self.half {
            return Err(HexError::HalfByte { line, column });
        }
        if !self.frame.is_empty() {
            self.frames.push(std::mem::take(&mut self.frame));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(content: &[u8]) -> Vec<Vec<u8>> {
        frames(content).unwrap().iter().map(|frame| frame.to_vec()).collect()
    }

    #[test]
    fn the_published_frame_is_whole() {
        let content = include_bytes!("../../tests/data/idtech_frame.hex");
        let frames = bytes(content);
        assert_eq!(frames.len(), 1);
        assert_eq!((frames[0].len(), frames[0][0], frames[0][386]), (387, 0x02, 0x03));
        assert_eq!(bytes(&frames[0]), frames);
    }

    #[test]
    fn blank_lines_separate_frames_and_comments_do_not() {
        assert_eq!(bytes(b"# a\n02 0a\r\n# still the first\n\tFF\r\n \n\n03"), [vec![2, 10, 255], vec![3]]);
        assert_eq!(bytes(b"0\n2"), [vec![2]]);
        assert!(bytes(b"").is_empty() && bytes(b"# nothing\n\n").is_empty());
    }

    #[test]
    fn mistakes_are_found_at_their_place() {
        let no_digit = HexError::NoDigit { line: 2, column: 4, sign: "g".into() };
        assert_eq!(frames(b"02\n 0 g1"), Err(no_digit));
        assert_eq!(frames(b"02\n\n012 \n\n02"), Err(HexError::HalfByte { line: 3, column: 3 }));
        assert_eq!(frames(b"\xFF").unwrap_err().to_string(), "line 1, column 1: \\xff is no hexadecimal digit");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..20), 0..4), width in 1..9_usize
        ) {
            let lines = |frame: &Vec<u8>| {
                let digits = hex::encode(frame);
                digits.as_bytes().chunks(width).map(|line| String::from_utf8(line.to_vec()).unwrap()).collect::<Vec<_>>().join("\n")
            };
            let text = frames.iter().map(lines).collect::<Vec<_>>().join("\n\n");
            prop_assert_eq!(bytes(text.as_bytes()), frames);
        }
    }
}
