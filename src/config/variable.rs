//! How a variable is declared: once, beside the code that reads it.

/// An environment variable: its names, and what the README says about it.
#[derive(Debug)]
pub(crate) struct Variable {
    /// The name that counts first.
    pub(crate) name: &'static str,
    /// Other names that work, in the order in which they count: older ones, then those of a
    /// stack's own `.env`.
    pub(crate) also: &'static [&'static str],
    /// The default as the README shows it; empty for none.
    pub(crate) default: &'static str,
    /// One sentence for the README.
    pub(crate) doc: &'static str,
    /// Its value is never shown.
    pub(crate) secret: bool,
    /// A malformed value stops the start (secrets, access, data location, our own features);
    /// of other variables it warns, and the default counts.
    pub(crate) strict: bool,
}

impl Variable {
    pub(crate) const fn new(name: &'static str, doc: &'static str) -> Self {
        Self { name, also: &[], default: "", doc, secret: false, strict: false }
    }

    pub(crate) const fn also(mut self, names: &'static [&'static str]) -> Self {
        self.also = names;
        self
    }

    pub(crate) const fn default(mut self, text: &'static str) -> Self {
        self.default = text;
        self
    }

    pub(crate) const fn secret(mut self) -> Self {
        self.secret = true;
        self.strict = true;
        self
    }

    pub(crate) const fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// All names, in the order in which they count.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.also.iter().copied())
    }
}
