//! A lenient reader of `.env` files.
//!
//! It reads what people have: values with spaces, `$` (never expanded), quotes in the shell's
//! manner, `export`, comments, CRLF and a byte order mark. A line that makes no sense is left out
//! with a warning that names its number, never its text.

use std::collections::BTreeMap;

/// What a file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct DotEnv {
    /// The variables; of a name that occurs twice the last value counts, as in a shell.
    pub(crate) values: BTreeMap<String, String>,
    /// One sentence for each line that was left out.
    pub(crate) warnings: Vec<String>,
}

/// Reads a file's bytes.
pub(crate) fn parse(bytes: &[u8]) -> DotEnv {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let lines: Vec<Option<&str>> = bytes
        .split(|byte| *byte == b'\n')
        .map(|line| std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)).ok())
        .collect();
    let mut read = DotEnv::default();
    let mut at = 0;
    while at < lines.len() {
        let number = at + 1;
        let (used, entry) = entry(&lines[at..]);
        at += used;
        match entry {
            Ok(None) => {}
            Ok(Some((name, value))) => {
                read.values.insert(name, value);
            }
            Err(reason) => {
                read.warnings.push(format!(".env line {number} is left out: {reason}"));
            }
        }
    }
    read
}

type Entry = Result<Option<(String, String)>, &'static str>;

/// Reads the entry that begins on the first line; returns how many lines it takes.
fn entry(lines: &[Option<&str>]) -> (usize, Entry) {
    let Some(Some(line)) = lines.first() else {
        return (1, Err("it is not UTF-8"));
    };
    let line = line.trim_start();
    if line.is_empty() || line.starts_with('#') {
        return (1, Ok(None));
    }
    let line = match line.strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start(),
        _ => line,
    };
    let Some((name, value)) = line.split_once('=') else {
        return (1, Err("it has no `=`"));
    };
    let name = name.trim_end();
    if !is_name(name) {
        return (1, Err("what stands before `=` is no variable's name"));
    }
    let (used, value) = value_of(value, &lines[1..]);
    (used, value.map(|value| Some((name.to_owned(), value))))
}

fn value_of(text: &str, following: &[Option<&str>]) -> (usize, Result<String, &'static str>) {
    let start = text.trim_start();
    let quote = match start.chars().next() {
        Some(quote @ ('"' | '\'')) => quote,
        // After white space a `#` begins a comment even where the value would.
        Some('#') if start.len() < text.len() => return (1, Ok(String::new())),
        _ => return (1, Ok(unquoted(start).to_owned())),
    };
    // A quoted value may go on over lines (certificates do), but never over one that looks like
    // the next variable: then the quote was forgotten.
    let mut joined = start[1..].to_owned();
    for used in 1.. {
        if let Some((value, rest)) = quoted(&joined, quote) {
            let rest = rest.trim();
            let complete = rest.is_empty() || rest.starts_with('#');
            return (used, complete.then_some(value).ok_or("text follows its closing quote"));
        }
        match following.get(used - 1) {
            Some(Some(line)) if !is_assignment(line) => {
                joined.push('\n');
                joined.push_str(line);
            }
            _ => break,
        }
    }
    (1, Err("its quote is not closed"))
}

/// The value up to its closing quote, and what follows; nothing without a closing quote.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            _ if character == quote => return Some((value, &text[at + 1..])),
            '\\' if quote == '"' => match characters.next()?.1 {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                escaped @ ('"' | '\\' | '$' | '`') => value.push(escaped),
                other => value.extend(['\\', other]),
            },
            _ => value.push(character),
        }
    }
    None
}

fn unquoted(text: &str) -> &str {
    let mut end = text.len();
    for (at, _) in text.match_indices('#') {
        if text[..at].ends_with([' ', '\t']) {
            end = at;
            break;
        }
    }
    text[..end].trim_end()
}

/// Whether a line looks like the next variable, and not like the padded end of base64.
fn is_assignment(line: &str) -> bool {
    line.split_once('=')
        .is_some_and(|(name, value)| is_name(name) && !matches!(value.trim_end(), "" | "="))
}

fn is_name(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|other| other.is_ascii_alphanumeric() || matches!(other, '_' | '.' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(line: &str) -> String {
        let read = parse(line.as_bytes());
        assert_eq!(read.warnings, Vec::<String>::new(), "{line}");
        read.values["A"].clone()
    }

    #[test]
    fn reads_what_people_write() {
        for (line, expected) in [
            ("A=b", "b"),
            ("A = b", "b"),
            ("export A=b", "b"),
            ("export\tA=b", "b"),
            ("  A=b  ", "b"),
            ("A=b c d", "b c d"),
            ("A=pa$$word${X}", "pa$$word${X}"),
            ("A=b#c", "b#c"),
            ("A=#c", "#c"),
            ("A=b # c", "b"),
            ("A=b\t# c # d", "b"),
            ("A= # c", ""),
            ("A=", ""),
            ("A=''", ""),
            ("A='b c' # d", "b c"),
            (r"A='b\n$c'", r"b\n$c"),
            (r#"A="b\n\"c\" \$d \\ \x""#, "b\n\"c\" $d \\ \\x"),
            ("A=\"b # c\"", "b # c"),
            ("A=it's", "it's"),
            ("A=b=c==", "b=c=="),
            ("A=ü", "ü"),
            ("\u{feff}A=b", "b"),
            ("A=b\r\n", "b"),
            ("A=b\nA=c", "c"),
            ("A=\"b\nc\r\nd\"\r\n", "b\nc\nd"),
            ("A='-----BEGIN\nMIIa\nMI==\n-----END'\nB=c", "-----BEGIN\nMIIa\nMI==\n-----END"),
        ] {
            assert_eq!(value(line), expected, "{line:?}");
        }
    }

    #[test]
    fn a_line_without_sense_is_named_and_left_out() {
        for (text, line) in [
            ("B=1\nnonsense secret", 2),
            ("=secret", 1),
            ("B=1\r\n\r\nA B=secret", 3),
            ("A=\"secret\nB=1", 1),
            ("A='secret'more\nB=1", 1),
            ("A=\"secret", 1),
        ] {
            let read = parse(text.as_bytes());
            assert_eq!(read.warnings.len(), 1, "{text:?}");
            assert!(read.warnings[0].starts_with(&format!(".env line {line} is left out")));
            assert!(!read.warnings[0].contains("secret"), "{}", read.warnings[0]);
            assert!(!read.values.contains_key("A"), "{text:?}");
        }
        let read = parse(b"A=\xff\nB=1");
        assert_eq!(read.warnings, [".env line 1 is left out: it is not UTF-8"]);
        assert_eq!(read.values["B"], "1");
    }

    #[test]
    fn a_forgotten_quote_costs_only_its_own_line() {
        let read = parse(b"A=\"x\nB=\"y\"\nC=z");
        assert_eq!(read.values.get("B").map(String::as_str), Some("y"));
        assert_eq!(read.values.get("C").map(String::as_str), Some("z"));
    }
}
