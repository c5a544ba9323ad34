use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::LoggingSettings;

/// Sends log lines to standard error; what was set up first stays.
pub(crate) fn start(settings: &LoggingSettings) {
    let level: LevelFilter = settings.level.parse().unwrap_or(LevelFilter::INFO);
    // Libraries are quieter than ourselves: their debug lines quote statements and headers.
    let libraries = level.min(LevelFilter::INFO);
    let filter = OWN.iter().fold(Targets::new().with_default(libraries), |filter, target| {
        filter.with_target(*target, level)
    });
    // Where AWS's own chain finds no key, the server says so in a sentence of its own; the chain's
    // line is a page of its structures, for whoever asks for details.
    let chain = if level > LevelFilter::INFO { libraries } else { level.min(LevelFilter::ERROR) };
    let filter = filter.with_target("aws_config", chain);
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let _ = if settings.json {
        registry.with(lines.json().flatten_event(true)).try_init()
    } else {
        // Colours are for people: a file or a journal gets plain text.
        let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
        registry.with(lines.with_target(false).with_ansi(colours)).try_init()
    };
}

/// Our own crates; a target covers what begins with it.
const OWN: &[&str] = &["rowlock"];
