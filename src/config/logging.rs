use super::Mode;
use super::error::ConfigError;
use super::source::Source;
use super::variable::Variable;

const LOG_LEVEL: Variable = Variable::new(
    "LOG_LEVEL",
    "How much is logged: `silent`, `error`, `warn`, `info`, `debug` or `trace`.",
)
.default("info");

pub(crate) const VARIABLES: &[&Variable] = &[&LOG_LEVEL];

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoggingSettings {
    /// `LOG_LEVEL` in the words of the `tracing` crate.
    pub(crate) level: &'static str,
    /// One JSON object per line, for collectors; else text for people.
    pub(crate) json: bool,
}

impl LoggingSettings {
    pub(crate) fn from_source(source: &Source, mode: Mode) -> Result<Self, ConfigError> {
        let allowed = "silent, fatal, error, warn, info, debug, trace";
        let level = source.parsed(&LOG_LEVEL, allowed, |text| {
            Some(match text.to_ascii_lowercase().as_str() {
                "silent" => "off",
                "fatal" | "error" => "error",
                "warn" => "warn",
                "info" => "info",
                "debug" => "debug",
                "trace" => "trace",
                _ => return None,
            })
        })?;
        Ok(Self { level: level.unwrap_or("info"), json: mode == Mode::Stack })
    }
}
