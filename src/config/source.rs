//! The one place that reads the environment.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::embedded::data_folder;
use super::error::ConfigError;
use super::variable::Variable;
use super::{Mode, dotenv, duration, remembered};

/// The variables as they were set: in the environment, and in `.env`.
#[derive(Default)]
pub(crate) struct Source {
    environment: BTreeMap<String, String>,
    file: BTreeMap<String, String>,
    /// What the data folder remembers of earlier starts: counts where nothing else is set.
    remembered: BTreeMap<String, String>,
    warnings: RefCell<Vec<String>>,
    alarms: RefCell<Vec<String>>,
}

/// A value, and the name under which it was found.
struct Found<'a> {
    name: &'static str,
    value: &'a str,
}

impl Source {
    /// Reads the process's environment and the `.env` in that folder, where there is one; alone,
    /// also what the data folder remembers.
    ///
    /// # Errors
    /// The file exists and can't be read.
    pub(crate) fn from_process(folder: &Path) -> Result<Self, ConfigError> {
        let mut environment = BTreeMap::new();
        let mut warnings = Vec::new();
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => {
                    environment.insert(name, value);
                }
                Err(_) if super::registry::knows(&name) => {
                    warnings.push(format!("{name} is left out: its value is not UTF-8"));
                }
                Err(_) => {}
            }
        }
        let path = folder.join(".env");
        let file = match std::fs::read(&path) {
            Ok(bytes) => dotenv::parse(&bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Default::default(),
            Err(source) => return Err(ConfigError::File { path, source }),
        };
        warnings.extend(file.warnings);
        let source = Self {
            environment,
            file: file.values,
            warnings: RefCell::new(warnings),
            ..Self::default()
        };
        if Mode::of(&source) == Mode::Stack {
            return Ok(source);
        }
        let remembered = remembered::read(&folder.join(data_folder(&source)));
        Ok(source.remembering(remembered))
    }

    /// The same, with what the data folder remembers beneath it.
    pub(crate) fn remembering(mut self, remembered: BTreeMap<String, String>) -> Self {
        self.remembered = remembered;
        self
    }

    /// What a process with this environment and this `.env` would see.
    #[cfg(test)]
    pub(crate) fn new(environment: &[(&str, &str)], file: &[(&str, &str)]) -> Self {
        let owned = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        Self { environment: owned(environment), file: owned(file), ..Self::default() }
    }

    /// All names that are set anywhere.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.environment.keys().chain(self.file.keys()).map(String::as_str)
    }

    /// The folders in which the system looks for programs (`PATH`).
    pub(crate) fn search_path(&self) -> Option<OsString> {
        self.environment.get("PATH").map(OsString::from)
    }

    /// Those of these names that are set in `.env` and not, or to nothing, in the environment, with
    /// their values.
    pub(crate) fn only_in_file(&self, names: &[&'static str]) -> Vec<(&'static str, &str)> {
        let in_file = |name: &&'static str| {
            let value = self.file.get(*name).filter(|value| !value.is_empty())?;
            // AWS's chain takes what is set to nothing for not set.
            let is_set = self.environment.get(*name).is_some_and(|value| !value.is_empty());
            (!is_set).then_some((*name, value.as_str()))
        };
        names.iter().filter_map(in_file).collect()
    }

    /// Notes a sentence for the operator, once.
    pub(crate) fn warn(&self, sentence: String) {
        let mut warnings = self.warnings.borrow_mut();
        if !warnings.contains(&sentence) {
            warnings.push(sentence);
        }
    }

    /// Notes a sentence that the operator must not overlook, once.
    pub(crate) fn alarm(&self, sentence: String) {
        let mut alarms = self.alarms.borrow_mut();
        if !alarms.contains(&sentence) {
            alarms.push(sentence);
        }
    }

    /// The alarms so far.
    pub(crate) fn take_alarms(&self) -> Vec<String> {
        self.alarms.take()
    }

    /// What was noted so far.
    pub(crate) fn take_warnings(&self) -> Vec<String> {
        self.warnings.take()
    }

    fn find(&self, variable: &Variable) -> Option<Found<'_>> {
        // An empty value counts as unset.
        let is_set = |map: &BTreeMap<String, String>, name: &str| {
            map.get(name).is_some_and(|value| !value.is_empty())
        };
        let layers = [&self.environment, &self.file, &self.remembered];
        let (map, name) = layers.into_iter().find_map(|map| {
            variable.names().find(|name| is_set(map, name)).map(|name| (map, name))
        })?;
        let value = map.get(name)?.as_str();
        for other in variable.names().filter(|other| *other != name) {
            let of_other = [&self.environment, &self.file]
                .into_iter()
                .find_map(|map| map.get(other).filter(|value| !value.is_empty()));
            if of_other.is_some_and(|of_other| of_other != value) {
                self.warn(format!("{name} and {other} are both set and differ: {name} counts"));
            }
        }
        Some(Found { name, value })
    }

    fn malformed(&self, variable: &Variable, found: &Found<'_>, allowed: &str) -> ConfigError {
        let (name, allowed) = (found.name, allowed.to_owned());
        if variable.secret {
            ConfigError::MalformedSecret { name, allowed }
        } else {
            ConfigError::Malformed { name, value: found.value.to_owned(), allowed }
        }
    }

    /// The name under which it is set, or its first.
    pub(crate) fn name_of(&self, variable: &Variable) -> &'static str {
        self.find(variable).map_or(variable.name, |found| found.name)
    }

    /// Whether it is set.
    pub(crate) fn has(&self, variable: &Variable) -> bool {
        self.find(variable).is_some()
    }

    /// The text as it was set.
    pub(crate) fn text(&self, variable: &Variable) -> Option<String> {
        self.find(variable).map(|found| found.value.to_owned())
    }

    /// The text, or this one.
    pub(crate) fn text_or(&self, variable: &Variable, default: &str) -> String {
        self.text(variable).unwrap_or_else(|| default.to_owned())
    }

    /// The value that `read` makes of the text; nothing when it is unset.
    ///
    /// # Errors
    /// `read` makes nothing of it and the variable is strict; of a lenient one this warns and
    /// the value counts as unset.
    pub(crate) fn parsed<T>(
        &self,
        variable: &Variable,
        allowed: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(found) = self.find(variable) else { return Ok(None) };
        if let Some(value) = read(found.value.trim()) {
            return Ok(Some(value));
        }
        let error = self.malformed(variable, &found, allowed);
        if variable.strict {
            return Err(error);
        }
        self.warn(format!("{error}. The default is used"));
        Ok(None)
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// As [`parsed`](Self::parsed).
    pub(crate) fn flag(&self, variable: &Variable, default: bool) -> Result<bool, ConfigError> {
        let read = |text: &str| text.parse().ok();
        Ok(self.parsed(variable, "true, false", read)?.unwrap_or(default))
    }

    /// A span of time of our own variables.
    ///
    /// # Errors
    /// As [`parsed`](Self::parsed).
    pub(crate) fn span(
        &self,
        variable: &Variable,
        default: Duration,
    ) -> Result<Duration, ConfigError> {
        Ok(self.parsed(variable, duration::GRAMMAR, duration::parse)?.unwrap_or(default))
    }

    /// A number, read up to the first non-digit as the reference does; what is no number at all
    /// warns and counts as unset.
    pub(crate) fn number(&self, variable: &Variable) -> Option<u64> {
        let found = self.find(variable)?;
        let text = found.value.trim();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let Ok(number) = text[..digits].parse() else {
            let error = self.malformed(variable, &found, "a number");
            self.warn(format!("{error}. The default is used"));
            return None;
        };
        if digits < text.len() {
            self.warn(format!("{} is {:?}: read as {number}", found.name, found.value));
        }
        Some(number)
    }

    /// A number of bytes, read as [`Self::number`] reads it. A unit behind it is not read, which
    /// makes the number a million times smaller than it was meant: that is said loudly.
    pub(crate) fn bytes(&self, variable: &Variable) -> Option<u64> {
        let found = self.find(variable)?;
        let text = found.value.trim();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        match text[..digits].parse::<u64>() {
            Ok(number) if digits < text.len() => {
                let meant = unit(&text[digits..])
                    .and_then(|unit| number.checked_mul(unit))
                    .map(|bytes| format!("; for {text} write {}={bytes}", found.name))
                    .unwrap_or_default();
                self.alarm(format!(
                    "{} is {:?} and means {number} bytes: sizes are read up to the first letter, \
                     as the reference reads them{meant}",
                    found.name, found.value
                ));
                Some(number)
            }
            _ => self.number(variable),
        }
    }

    /// A number of milliseconds.
    pub(crate) fn milliseconds(&self, variable: &Variable, default: u64) -> Duration {
        Duration::from_millis(self.number(variable).unwrap_or(default))
    }
}

/// How many bytes a unit stands for.
fn unit(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let (letter, rest) = text.split_at_checked(1)?;
    let power = ["k", "m", "g", "t"].iter().position(|known| *known == letter)? as u32 + 1;
    match rest {
        "b" => 1000_u64.checked_pow(power),
        "" | "i" | "ib" => 1024_u64.checked_pow(power),
        _ => None,
    }
}
