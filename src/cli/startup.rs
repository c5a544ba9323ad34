use std::path::Path;

use super::{CliError, ambient, init, logging};
use crate::config::{Config, Mode, Source};

/// What `serve` begins with: reads the configuration from the environment and the `.env`
/// of the current folder, starts the log, and says what is odd.
///
/// Alone, where nothing is configured, the keys are made first.
///
/// # Errors
/// Whatever stops the start, in a sentence.
pub(crate) fn prepare() -> Result<Config, CliError> {
    let folder = Path::new(".");
    let mut source = Source::from_process(folder)?;
    if Mode::of(&source) == Mode::Alone {
        let older = init::older_data(&source, folder);
        if init::ensure(&source, folder)? {
            source = Source::from_process(folder)?;
            if let Some(sentence) = older {
                source.alarm(sentence);
            }
        }
    }
    let config = Config::from_source(&source);
    if let Ok(config) = &config {
        if let Some(sentence) = ambient::hand_over(&source, config) {
            source.warn(sentence);
        }
        logging::start(&config.logging);
        config.warn_of_another_port(&source);
    }
    for sentence in source.take_warnings() {
        tracing::warn!("{sentence}");
    }
    Ok(config?)
}
