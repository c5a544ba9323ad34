//! Where names that begin so in any case can be.

use crate::lists::successor;

/// At most so many ranges: each is one descent into the index.
const MOST: usize = 64;

/// Ranges of names, `low` included, `high` not, that together hold every name which begins with
/// `prefix` in any case, in the byte order of names. They hold others too: the statement still
/// compares.
pub(super) fn any_case(prefix: &str) -> (Vec<String>, Vec<String>) {
    let mut starts = vec![String::new()];
    for letter in prefix.chars() {
        let variants = variants(letter);
        // What lower() makes of other letters is the database's locale to say.
        if variants.is_empty() || starts.len() * variants.len() > MOST {
            break;
        }
        starts = starts
            .iter()
            .flat_map(|start| variants.iter().map(move |letter| format!("{start}{letter}")))
            .collect();
    }
    let ends = starts
        .iter()
        .map(|start| successor(start).unwrap_or_else(|| super::BEHIND_ALL.to_owned()))
        .collect();
    (starts, ends)
}

/// The letters that some locale's lower() makes equal to this one; none where that is not known.
pub(super) fn variants(letter: char) -> Vec<char> {
    match letter {
        // The dotless and the dotted I of Turkish, and the sign for Kelvin.
        'i' | 'I' => vec!['I', 'i', '\u{130}', '\u{131}'],
        'k' | 'K' => vec!['K', 'k', '\u{212A}'],
        _ if letter.is_ascii_alphabetic() => {
            vec![letter.to_ascii_uppercase(), letter.to_ascii_lowercase()]
        }
        _ if letter.is_ascii() => vec![letter],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn holds(prefix: &str, name: &str) -> usize {
        let (lows, highs) = any_case(prefix);
        lows.iter()
            .zip(&highs)
            .filter(|(low, high)| name >= low.as_str() && name < high.as_str())
            .count()
    }

    #[test]
    fn a_name_is_in_one_range_whatever_its_case() {
        for (prefix, name) in [
            ("", "x"),
            ("", "\u{10FFFF}"),
            ("dir/", "DIR/x"),
            ("Dir/", "dIr/"),
            ("317eadce-631a-4429-a0bb-f19a7a517b4a/", "317EADCE-631A-4429-A0BB-F19A7A517B4A/mine"),
            ("kilo", "\u{212A}\u{130}LO/1"),
            ("\u{fc}ber/", "\u{dc}BER/x"),
            ("a\u{fc}", "A\u{dc}"),
        ] {
            assert_eq!(holds(prefix, name), 1, "{prefix} {name}");
        }
        assert_eq!(holds("dir/", "dis/x"), 0);
        assert_eq!(holds("dir/", "dir0"), 0);
    }

    #[test]
    fn there_are_never_many() {
        assert!(any_case(&"i".repeat(1000)).0.len() <= MOST);
        assert_eq!(any_case("2026/08/01/").0, ["2026/08/01/"]);
    }

    proptest! {
        #[test]
        fn ranges_cover_and_never_overlap(prefix in "[a-zA-Z/ü0-9]{0,9}", rest in ".{0,3}", up in any::<bool>()) {
            let start = if up { prefix.to_uppercase() } else { prefix.to_lowercase() };
            prop_assert_eq!(holds(&prefix, &format!("{start}{rest}")), 1);
        }
    }
}
