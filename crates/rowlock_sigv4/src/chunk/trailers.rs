use rowlock_digest::{Algorithm, Checksum};

use super::{ChunkError, TRAILER_SIGNATURE};

/// The trailers of a body, names in lower case, in the order received; the signature over them
/// is not among them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trailers(Vec<(String, String)>);

impl Trailers {
    /// The value of the trailer `name` (lower case).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// All names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The checksums among them.
    pub fn checksums(&self) -> impl Iterator<Item = Checksum> {
        self.iter()
            .filter_map(|(name, value)| Checksum::parse(Algorithm::from_header(name)?, value).ok())
    }
}

/// Trailers being read: only announced ones, each once, checksums well-formed.
pub(super) struct TrailerReader {
    announced: Vec<String>,
    found: Trailers,
    signed: bool,
    pub(super) signature: Option<String>,
}

impl TrailerReader {
    /// Takes the value of `x-amz-trailer`, names separated by commas, and whether a signature
    /// over the trailers comes after them.
    pub(super) fn new(announced: &str, signed: bool) -> Self {
        let names = announced.split(',').map(str::trim).filter(|name| !name.is_empty());
        Self {
            announced: names.map(str::to_ascii_lowercase).collect(),
            found: Trailers::default(),
            signed,
            signature: None,
        }
    }

    /// Takes one line without its end.
    pub(super) fn line(&mut self, line: &[u8]) -> Result<(), ChunkError> {
        let malformed = Err(ChunkError::MalformedTrailer("a line is not \"name:value\""));
        let Some((name, value)) =
            std::str::from_utf8(line).ok().and_then(|line| line.split_once(':'))
        else {
            return malformed;
        };
        let (name, value) = (trim(name).to_ascii_lowercase(), trim(value));
        let text = |byte: u8| (b' '..=b'~').contains(&byte) || byte >= 0x80;
        if !value.bytes().all(text) {
            return malformed;
        }
        if self.signature.is_some() {
            return Err(ChunkError::MalformedTrailer("something follows the trailer signature"));
        }
        if self.signed && name == TRAILER_SIGNATURE {
            self.signature = Some(value.to_owned());
            return Ok(());
        }
        if !self.announced.contains(&name) {
            return Err(ChunkError::MalformedTrailer("x-amz-trailer does not name a trailer"));
        }
        if self.found.get(&name).is_some() {
            return Err(ChunkError::MalformedTrailer("a trailer is given twice"));
        }
        let checksum = Algorithm::from_header(&name).map(|a| Checksum::parse(a, value));
        if let Some(Err(_)) = checksum {
            return Err(ChunkError::MalformedTrailer("a checksum is not a base64 value"));
        }
        self.found.0.push((name, value.to_owned()));
        Ok(())
    }

    /// Whether a last line without a line end can be known to be whole.
    pub(super) fn is_whole(line: &[u8]) -> bool {
        let Some((name, value)) =
            std::str::from_utf8(line).ok().and_then(|line| line.split_once(':'))
        else {
            return false;
        };
        let (name, value) = (trim(name), trim(value));
        name.eq_ignore_ascii_case(TRAILER_SIGNATURE) && value.len() == 64
            || Algorithm::from_header(name).is_some_and(|a| Checksum::parse(a, value).is_ok())
    }

    /// What the trailers' signature covers.
    pub(super) fn canonical(&self) -> String {
        self.found.iter().map(|(name, value)| format!("{name}:{value}\n")).collect()
    }

    /// The trailers, all announced ones being there.
    pub(super) fn finish(self) -> Result<Trailers, ChunkError> {
        if self.announced.iter().any(|name| self.found.get(name).is_none()) {
            return Err(ChunkError::MalformedTrailer("an announced trailer is missing"));
        }
        Ok(self.found)
    }
}

/// Without optional white space (RFC 9110 section 5.6.3).
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}
