use std::path::Path;
use std::time::Duration;

use clap::Args;
use rowlock_storage::{Finding, ScrubOptions, ScrubSummary};

use super::{CliError, ambient, logging};
use crate::config::{Config, LoggingSettings, Source, duration};
use crate::server::upkeep::Upkeep;

/// How to compare.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Move blobs without an object that are older than a day to __internal/quarantine in the
    /// store; nothing is ever deleted
    #[arg(long)]
    quarantine: bool,
    /// What was written later than this ago is only counted: its object may be about to come
    #[arg(long, default_value = "10m", value_name = "SPAN", value_parser = span)]
    min_age: Duration,
}

/// `rowlock scrub`: compares all objects with all that lies in the store. Returns whether every
/// object has its bytes.
pub(crate) fn run(arguments: &Arguments) -> Result<bool, CliError> {
    let source = Source::from_process(Path::new("."))?;
    let config = Config::from_source(&source)?;
    if let Some(sentence) = ambient::hand_over(&source, &config) {
        source.warn(sentence);
    }
    logging::start(&LoggingSettings { level: "warn", ..config.logging.clone() });
    for sentence in source.take_warnings().iter().chain(&config.alarms) {
        super::complain(sentence);
    }
    let options = ScrubOptions { min_age: arguments.min_age, quarantine: arguments.quarantine };
    let runtime = super::runtime()?;
    let summary = runtime.block_on(async {
        let upkeep = Upkeep::open(&config).await?;
        let mut printed = Ok(());
        let mut report = |finding: Finding| {
            if printed.is_ok() {
                printed = super::print(&format!("{}\n", line(&finding)));
            }
        };
        let summary = upkeep.storage.scrub(options, &mut report).await;
        upkeep.close().await;
        printed.and(summary.map_err(CliError::from))
    });
    runtime.shutdown_timeout(Duration::from_secs(2));
    let summary = summary?;
    super::print(&text(&summary))?;
    Ok(!summary.has_damage())
}

fn span(text: &str) -> Result<Duration, String> {
    duration::parse(text).ok_or_else(|| duration::GRAMMAR.to_owned())
}

/// A finding on one line: what it is, where, and what is known of it, with tabs between.
fn line(finding: &Finding) -> String {
    let parts = match finding {
        Finding::Missing { bucket, key, version } => (
            "object-without-blob",
            format!("{bucket}/{key}"),
            format!("version {}", version.as_deref().unwrap_or("none")),
        ),
        Finding::WrongSize { bucket, key, expected, found } => (
            "wrong-size",
            format!("{bucket}/{key}"),
            format!("{found} bytes where {expected} should be"),
        ),
        Finding::Unreferenced { name, size, age, moved_to } => (
            "blob-without-object",
            name.clone(),
            match moved_to {
                Some(new) => format!("{}, moved to {new}", facts(*size, *age)),
                None => facts(*size, *age),
            },
        ),
        Finding::OtherLayout { name } => (
            "other-separator",
            name.clone(),
            "TUS_USE_FILE_VERSION_SEPARATOR is not what it was when this was written".to_owned(),
        ),
        Finding::Upload { name, id, size, age } => {
            ("parts-without-upload", name.clone(), format!("upload {id}, {}", facts(*size, *age)))
        }
        Finding::Resumable { name, size, age } => {
            ("unfinished-resumable-upload", name.clone(), facts(*size, *age))
        }
        Finding::Temporary { name, size, age } => {
            ("temporary-file", name.clone(), facts(*size, *age))
        }
        Finding::Odd { name } => ("no-blob", name.clone(), "looks like no blob".to_owned()),
    };
    let (kind, place, more) = parts;
    format!("{kind}\t{}\t{}", plain(&place), plain(&more))
}

fn facts(size: u64, age: Duration) -> String {
    let minutes = age.as_secs() / 60;
    let age = match minutes {
        0..120 => format!("{minutes} min"),
        120..2880 => format!("{} h", minutes / 60),
        _ => format!("{} d", minutes / 1440),
    };
    format!("{size} bytes, {age} old")
}

/// Text that changes neither lines nor columns.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            plain.extend(character.escape_default());
        } else {
            plain.push(character);
        }
    }
    plain
}

fn text(summary: &ScrubSummary) -> String {
    let ScrubSummary { rows, blobs, bytes, .. } = summary;
    let mut text = format!("{rows} objects and {blobs} blobs ({bytes} bytes) were looked at.\n");
    let mut say = |count: u64, what: &str| {
        if count > 0 {
            text.push_str(&format!("{count} {what}\n"));
        }
    };
    say(summary.missing, "objects have no blob: they can't be read.");
    say(summary.wrong_size, "objects have a blob of another size: they can't be read.");
    say(
        summary.unreferenced,
        &format!("blobs have no object ({} bytes).", summary.unreferenced_bytes),
    );
    say(summary.quarantined, "of them were moved to __internal/quarantine.");
    say(summary.uploads, "sets of parts belong to no upload.");
    say(summary.others, "other things were found.");
    say(summary.waiting, "blobs wait for their deletion, as they should.");
    say(summary.under_way, "blobs are too new to be judged, or being written.");
    if summary.is_clean() {
        text.push_str("Nothing is missing and nothing is left over.\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finding_is_one_line_of_three_columns() {
        let name = "b/a\tb\nc".to_owned();
        let (size, age) = (5, Duration::from_secs(7 * 24 * 3600));
        for (finding, begin) in [
            (
                Finding::Missing { bucket: "b".into(), key: "k".into(), version: None },
                "object-without-blob\tb/k\tversion none",
            ),
            (
                Finding::WrongSize { bucket: "b".into(), key: "k".into(), expected: 2, found: 1 },
                "wrong-size\tb/k\t1 bytes where 2 should be",
            ),
            (
                Finding::Unreferenced { name: name.clone(), size, age, moved_to: None },
                "blob-without-object\tb/a\\tb\\nc\t5 bytes, 7 d old",
            ),
            (Finding::Odd { name: name.clone() }, "no-blob\t"),
            (Finding::OtherLayout { name: name.clone() }, "other-separator\t"),
            (Finding::Temporary { name: name.clone(), size, age }, "temporary-file\t"),
            (Finding::Resumable { name: name.clone(), size, age }, "unfinished-resumable"),
            (Finding::Upload { name, id: "u".into(), size, age }, "parts-without-upload\t"),
        ] {
            let line = line(&finding);
            assert!(line.starts_with(begin), "{line}");
            assert_eq!((line.split('\t').count(), line.lines().count()), (3, 1), "{line}");
        }
    }

    #[test]
    fn the_summary_says_what_is_wrong_and_when_nothing_is() {
        let clean = ScrubSummary { rows: 3, blobs: 3, bytes: 30, waiting: 1, ..Default::default() };
        let text = text(&clean);
        assert!(text.contains("3 objects and 3 blobs (30 bytes)"), "{text}");
        assert!(text.ends_with("Nothing is missing and nothing is left over.\n"), "{text}");
        let damaged = ScrubSummary { missing: 2, unreferenced: 1, ..clean };
        let text = self::text(&damaged);
        assert!(text.contains("2 objects have no blob") && text.contains("1 blobs have no object"));
        assert!(!text.contains("Nothing"), "{text}");
    }
}
