//! Reads Rust text without a parser: what is code and what is text or comment, where functions are, what only tests
//! compile. Places stay as they are: whatever is left out becomes spaces, line ends stand.
//!
//! It knows nothing about macros: braces in them are counted like all others, which balanced macros bear.

use std::ops::Range;

/// Code with everything else blanked.
pub struct Code {
    text: Vec<u8>,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Line of `fn`, from 1.
    pub line: usize,
    /// Lines from `fn` to the closing brace.
    pub lines: usize,
}

impl Code {
    /// Blanks comments and the insides of texts and characters; their quotes stand.
    pub fn of(source: &str) -> Self {
        let bytes = source.as_bytes();
        let mut text = vec![b' '; bytes.len()];
        let mut place = 0;
        while place < bytes.len() {
            let (end, shown) = token(bytes, place);
            if shown {
                text[place..end].copy_from_slice(&bytes[place..end]);
            } else if !bytes[place..].starts_with(b"/") {
                (text[place], text[end - 1]) = (bytes[place], bytes[end - 1]);
            }
            place = end;
        }
        for (shown, byte) in text.iter_mut().zip(bytes).filter(|(_, byte)| **byte == b'\n') {
            *shown = *byte;
        }
        Self { text }
    }

    /// The code as text, each byte where it was.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.text).expect("whole tokens are copied, and the rest is spaces")
    }

    /// The same without items under `#[cfg(test)]`.
    pub fn without_tests(&self) -> Self {
        let mut text = self.text.clone();
        for item in self.test_items() {
            text[item].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        }
        Self { text }
    }

    /// Modules under `#[cfg(test)]` that lie in files of their own.
    pub fn test_modules(&self) -> Vec<&str> {
        let module = |item: Range<usize>| {
            let declaration = self.text()[item].trim_end().strip_suffix(';')?;
            let (_, name) = declaration.rsplit_once("mod ")?;
            name.bytes().all(is_word).then_some(name)
        };
        self.test_items().into_iter().filter_map(module).collect()
    }

    fn test_items(&self) -> Vec<Range<usize>> {
        let starts = self.text().match_indices("#[cfg(test)]").map(|(start, _)| start);
        starts.map(|start| start..self.item_end(start)).collect()
    }

    /// Where the item ends that starts here: after its `;` outside of brackets, or after its closing brace.
    fn item_end(&self, start: usize) -> usize {
        let mut depth = 0_usize;
        for (place, byte) in self.text.iter().enumerate().skip(start) {
            match byte {
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' => depth = depth.saturating_sub(1),
                b'}' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return place + 1;
                    }
                }
                b';' if depth == 0 => return place + 1,
                _ => {}
            }
        }
        self.text.len()
    }

    /// Every function that has a body, functions inside functions included.
    pub fn functions(&self) -> Vec<Function> {
        let text = self.text();
        let mut functions = Vec::new();
        for start in words(text, "fn") {
            // Without a name it is the type of a function, without a brace a declaration.
            let Some(rest) = text[start..].strip_prefix("fn ") else { continue };
            let name: String = rest.bytes().take_while(|byte| is_word(*byte)).map(char::from).collect();
            let end = self.item_end(start);
            if text[start..end].ends_with('}') {
                let lines = text[start..end].matches('\n').count() + 1;
                functions.push(Function { name, line: line_of(text, start), lines });
            }
        }
        functions
    }
}

/// Line of a place, from 1.
pub fn line_of(text: &str, place: usize) -> usize {
    text.as_bytes()[..place].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Where a word stands that is not part of a longer one.
pub fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(word).map(|(start, _)| start).filter(move |start| {
        let (before, after) = (&text.as_bytes()[..*start], &text.as_bytes()[start + word.len()..]);
        !before.last().copied().is_some_and(is_word) && !after.first().copied().is_some_and(is_word)
    })
}

/// Whether the byte may be part of a name.
pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// End of the token that starts here, and whether it is code.
fn token(bytes: &[u8], start: usize) -> (usize, bool) {
    let rest = &bytes[start..];
    match rest[0] {
        b'/' if rest.starts_with(b"//") => (find(bytes, start, b"\n").unwrap_or(bytes.len()), false),
        b'/' if rest.starts_with(b"/*") => (comment_end(bytes, start), false),
        b'"' => (quote_end(bytes, start, b'"'), false),
        b'\'' if is_character(rest) => (quote_end(bytes, start, b'\''), false),
        byte if is_word(byte) => {
            let end = start + rest.iter().take_while(|byte| is_word(**byte)).count();
            // A raw text has no escapes: its prefix and number signs belong to its quotes.
            let raw = matches!(&bytes[start..end], b"r" | b"br" | b"cr");
            match raw.then(|| raw_end(bytes, end)).flatten() {
                Some(end) => (end, false),
                None => (end, true),
            }
        }
        _ => (start + 1, true),
    }
}

fn find(bytes: &[u8], start: usize, wanted: &[u8]) -> Option<usize> {
    bytes[start..].windows(wanted.len()).position(|window| window == wanted).map(|place| start + place)
}

/// End of a comment, in which others may lie.
fn comment_end(bytes: &[u8], start: usize) -> usize {
    let (mut depth, mut place) = (0, start);
    while place < bytes.len() {
        let step = match &bytes[place..] {
            [b'/', b'*', ..] => 1,
            [b'*', b'/', ..] => -1,
            _ => 0,
        };
        depth += step;
        place += if step == 0 { 1 } else { 2 };
        if depth == 0 {
            return place;
        }
    }
    bytes.len()
}

fn quote_end(bytes: &[u8], start: usize, quote: u8) -> usize {
    let mut place = start + 1;
    while place < bytes.len() {
        match bytes[place] {
            b'\\' => place += 1,
            byte if byte == quote => return place + 1,
            _ => {}
        }
        place += 1;
    }
    bytes.len()
}

/// Whether an apostrophe starts a character and not a lifetime: the next character is an escape, or an apostrophe
/// follows it.
fn is_character(rest: &[u8]) -> bool {
    let width = match rest.get(1) {
        None => return false,
        Some(b'\\') => return true,
        Some(0..=0x7F) => 1,
        Some(0x80..=0xDF) => 2,
        Some(0xE0..=0xEF) => 3,
        Some(_) => 4,
    };
    rest.get(1 + width) == Some(&b'\'')
}

/// End of a raw text whose number signs start here; nothing where there is none.
fn raw_end(bytes: &[u8], start: usize) -> Option<usize> {
    let signs = bytes[start..].iter().take_while(|byte| **byte == b'#').count();
    let open = start + signs;
    if bytes.get(open) != Some(&b'"') {
        return None;
    }
    let close = [b"\"".as_slice(), &b"#".repeat(signs)].concat();
    Some(find(bytes, open + 1, &close).map_or(bytes.len(), |place| place + close.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blanked(source: &str) -> String {
        Code::of(source).text().to_string()
    }

    #[test]
    fn comments_and_texts_are_blanked_and_code_stands() {
        assert_eq!(blanked("a(); // b();\nc();"), "a();        \nc();");
        assert_eq!(blanked("a /* b /* c */ d */ e"), "a                   e");
        assert_eq!(blanked(r#"a("b\"{", 'c')"#), r#"a("    ", ' ')"#);
        assert_eq!(blanked(r##"a(r#"b"c"#, d)"##), r##"a(r      #, d)"##);
        assert_eq!(blanked("a(b\"{\", b'{', '\\'', '\"')"), "a(b\" \", b' ', '  ', ' ')");
        assert_eq!(blanked("fn a<'b>(c: &'b str) {}"), "fn a<'b>(c: &'b str) {}");
        assert_eq!(blanked("a('é', \"é\n\", b)"), "a('  ', \"  \n\", b)");
        assert_eq!(blanked("r#type(a)"), "r#type(a)");
    }

    #[test]
    fn what_only_tests_compile_is_known() {
        let source = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { {} }\n}\n#[cfg(test)]\npub(crate) mod testing;\n\
            #[cfg(test)]\nuse c::{d, e};\nfn f() {}";
        let code = Code::of(source);
        assert_eq!(code.test_modules(), ["testing"]);
        let names: Vec<_> = code.without_tests().functions().into_iter().map(|function| function.name).collect();
        // `use c::{d, e};` ends with its brace here: the semicolon that is left says nothing.
        assert_eq!(names, ["a", "f"]);
    }

    #[test]
    fn functions_are_measured_from_fn_to_brace() {
        let source = "trait A {\n    fn b(&self) -> [u8; 2];\n}\nfn c(d: fn(u8) -> u8, e: [u8; 2])\nwhere\n    F: G,\n{\n    \
            \"}\";\n}\n";
        let expected = [Function { name: "c".to_string(), line: 4, lines: 6 }];
        assert_eq!(Code::of(source).functions(), expected);
    }
}
