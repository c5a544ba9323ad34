use std::fmt;

use crate::md5::Md5;

/// An MD5 digest that can be written down half way, and gone on with in another process.
#[derive(Debug, Clone)]
pub struct RunningMd5(Md5);

/// A text that is no [`RunningMd5`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the state of an MD5 digest")]
pub struct InvalidState;

impl Default for RunningMd5 {
    fn default() -> Self {
        Self::new()
    }
}

impl RunningMd5 {
    /// The digest of nothing yet.
    pub fn new() -> Self {
        Self(Md5::new())
    }

    /// Takes the next bytes of the stream.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// How many bytes it has taken.
    pub fn length(&self) -> u64 {
        self.0.parts().1
    }

    /// The digest of all bytes.
    pub fn finish(self) -> [u8; 16] {
        self.0.finish()
    }

    /// Reads what was written by its `Display`.
    ///
    /// # Errors
    /// [`InvalidState`] for any other text.
    pub fn parse(text: &str) -> Result<Self, InvalidState> {
        let mut fields = text.split('-');
        let (Some(words), Some(length), Some(block), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(InvalidState);
        };
        let mut bytes = [0; 16];
        hex::decode_to_slice(words, &mut bytes).map_err(|_| InvalidState)?;
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *word = u32::from_be_bytes(*bytes);
        }
        let length = length.parse().map_err(|_| InvalidState)?;
        let block = hex::decode(block).map_err(|_| InvalidState)?;
        Md5::from_parts(words, length, &block).map(Self).ok_or(InvalidState)
    }
}

/// `<chaining words>-<length in bytes>-<bytes of the unfinished block>`: hex, but for the length.
impl fmt::Display for RunningMd5 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (words, length, block) = self.0.parts();
        for word in words {
            write!(f, "{word:08x}")?;
        }
        write!(f, "-{length}-{}", hex::encode(block))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at * 31 % 251) as u8).collect()
    }

    #[test]
    fn a_digest_goes_on_from_every_split() {
        let bytes = bytes(300);
        for end in 0..=bytes.len() {
            for at in 0..=end {
                let mut first = RunningMd5::new();
                first.update(&bytes[..at]);
                assert_eq!(first.length(), at as u64);
                let mut second = RunningMd5::parse(&first.to_string()).unwrap();
                assert_eq!(second.length(), at as u64);
                second.update(&bytes[at..end]);
                assert_eq!(second.finish(), crate::md5(&bytes[..end]), "{at} of {end}");
            }
        }
    }

    #[test]
    fn the_beginning_is_the_one_of_the_rfc() {
        let text = "67452301efcdab8998badcfe10325476-0-";
        assert_eq!(RunningMd5::new().to_string(), text);
        assert_eq!(RunningMd5::parse(text).unwrap().finish(), crate::md5(b""));
    }

    #[test]
    fn lengths_beyond_32_bits_are_kept() {
        let words = "67452301efcdab8998badcfe10325476";
        // 512 MiB are 2^32 bits.
        for length in [1_u64 << 29, (1 << 40) + 1, (1 << 61) - 1] {
            let text = format!("{words}-{length}-{}", "61".repeat((length % 64) as usize));
            let state = RunningMd5::parse(&text).unwrap();
            assert_eq!((state.length(), state.to_string()), (length, text));
        }
        // Across the carry, by another way to the same state.
        let block = "00".repeat(63);
        let mut carried =
            RunningMd5::parse(&format!("{words}-{}-{block}", (1_u64 << 29) - 1)).unwrap();
        carried.update(&[0]);
        let length = 1_u64 << 29;
        assert!(carried.to_string().ends_with(&format!("-{length}-")), "{carried}");
        assert_eq!(carried.length(), length);
    }

    #[test]
    fn other_texts_are_refused() {
        let words = "67452301efcdab8998badcfe10325476";
        for bad in [
            "",
            words,
            &format!("{words}-0"),
            &format!("{words}-0-61"),
            &format!("{words}-1-"),
            &format!("{words}-1-6"),
            &format!("{words}-1-zz"),
            &format!("{words}-64-{}", "00".repeat(64)),
            &format!("{words}--1-61"),
            &format!("{words}-0--"),
            &format!("{words}0-0-"),
            &format!("{words}-{}-", 1_u64 << 61),
            "é-0-",
        ] {
            assert_eq!(RunningMd5::parse(bad).unwrap_err(), InvalidState, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_number_of_rests_makes_no_difference(
            bytes in proptest::collection::vec(any::<u8>(), 0..2000),
            mut cuts in proptest::collection::vec(0usize..2000, 0..6),
        ) {
            cuts.push(bytes.len());
            cuts.sort_unstable();
            let (mut state, mut from) = (RunningMd5::new().to_string(), 0);
            for cut in cuts {
                let cut = cut.min(bytes.len());
                let mut running = RunningMd5::parse(&state).unwrap();
                running.update(&bytes[from..cut]);
                state = running.to_string();
                from = cut;
            }
            prop_assert_eq!(RunningMd5::parse(&state).unwrap().finish(), crate::md5(&bytes));
        }

        #[test]
        fn no_text_does_harm(text in "\\PC{0,80}") {
            if let Ok(state) = RunningMd5::parse(&text) {
                prop_assert_eq!(RunningMd5::parse(&state.to_string()).unwrap().length(), state.length());
            }
        }
    }
}
