//! Events, and who is told of them.

use std::time::Duration;

use url::Url;

use super::error::ConfigError;
use super::source::Source;
use super::variable::Variable;

const WEBHOOK_URL: Variable = Variable::new(
    "WEBHOOK_URL",
    "Where events of objects are posted to, `http://` or `https://`; without it there are none.",
)
.secret();
const WEBHOOK_API_KEY: Variable =
    Variable::new("WEBHOOK_API_KEY", "What the receiver of events is shown as a bearer token.")
        .secret();
const WEBHOOK_QUEUE_PULL_INTERVAL: Variable = Variable::new(
    "WEBHOOK_QUEUE_PULL_INTERVAL",
    "Milliseconds between two looks for events of other servers and for deliveries to be repeated.",
)
.default("700");
const QUEUE_WEBHOOK_CONCURRENCY: Variable =
    Variable::new("QUEUE_WEBHOOK_CONCURRENCY", "How many events each server delivers at a time.")
        .default("50");
const SERVER_REGION: Variable =
    Variable::new("SERVER_REGION", "The region that events name.").default("that of `REGION`");

pub(crate) const VARIABLES: &[&Variable] = &[
    &WEBHOOK_URL,
    &WEBHOOK_API_KEY,
    &WEBHOOK_QUEUE_PULL_INTERVAL,
    &QUEUE_WEBHOOK_CONCURRENCY,
    &SERVER_REGION,
];

const CONCURRENCY: u64 = 50;
const MOST: u64 = 500;
const SHORTEST: Duration = Duration::from_millis(50);

/// Who is told of events.
#[derive(Clone)]
pub(crate) struct WebhookSettings {
    /// `WEBHOOK_URL`.
    pub(crate) url: Url,
    /// `WEBHOOK_API_KEY`.
    pub(crate) key: Option<String>,
    /// `WEBHOOK_QUEUE_PULL_INTERVAL`.
    pub(crate) interval: Duration,
    /// `QUEUE_WEBHOOK_CONCURRENCY`.
    pub(crate) concurrency: usize,
    /// `SERVER_REGION`.
    pub(crate) region: String,
}

impl std::fmt::Debug for WebhookSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookSettings").field("region", &self.region).finish_non_exhaustive()
    }
}

impl WebhookSettings {
    pub(crate) fn from_source(source: &Source) -> Result<Option<Self>, ConfigError> {
        let url = source.parsed(&WEBHOOK_URL, "an http:// or https:// URL", web_url)?;
        let key = source.parsed(&WEBHOOK_API_KEY, "what a header can carry", |text| {
            let good = text.bytes().all(|b| b == b'\t' || (b >= b' ' && b != 0x7f));
            good.then(|| text.to_owned())
        })?;
        let positive = |variable| source.number(variable).filter(|number| *number > 0);
        let concurrency = positive(&QUEUE_WEBHOOK_CONCURRENCY).unwrap_or(CONCURRENCY).min(MOST);
        Ok(url.map(|url| Self {
            url,
            key,
            interval: source.milliseconds(&WEBHOOK_QUEUE_PULL_INTERVAL, 700).max(SHORTEST),
            concurrency: usize::try_from(concurrency).unwrap_or(usize::MAX),
            region: region(source),
        }))
    }
}

/// `SERVER_REGION`, or the older name that an S3 service's region has as well.
fn region(source: &Source) -> String {
    const OLDER: Variable = Variable::new("REGION", "");
    let own = source.text(&SERVER_REGION).or_else(|| source.text(&OLDER));
    own.unwrap_or_else(|| "not-specified".to_owned())
}

fn web_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Option<WebhookSettings>, String> {
        let source = Source::new(pairs, &[]);
        WebhookSettings::from_source(&source).map_err(|error| error.to_string())
    }

    #[test]
    fn nobody_is_told_without_an_address() {
        assert!(read(&[]).unwrap().is_none());
        assert!(read(&[("WEBHOOK_API_KEY", "k")]).unwrap().is_none());
    }

    #[test]
    fn defaults_and_values() {
        let url = ("WEBHOOK_URL", "https://hooks.example/a?token=t");
        let plain = read(&[url]).unwrap().unwrap();
        assert_eq!(plain.url.as_str(), "https://hooks.example/a?token=t");
        assert_eq!((plain.key, plain.region.as_str()), (None, "not-specified"));
        assert_eq!((plain.concurrency, plain.interval), (50, Duration::from_millis(700)));
        let set = read(&[
            url,
            ("WEBHOOK_API_KEY", "k"),
            ("WEBHOOK_QUEUE_PULL_INTERVAL", "100"),
            ("QUEUE_WEBHOOK_CONCURRENCY", "3"),
            ("REGION", "stub"),
        ]);
        let set = set.unwrap().unwrap();
        assert_eq!((set.key.as_deref(), set.region.as_str()), (Some("k"), "stub"));
        assert_eq!((set.concurrency, set.interval), (3, Duration::from_millis(100)));
        let odd = [url, ("QUEUE_WEBHOOK_CONCURRENCY", "0"), ("WEBHOOK_QUEUE_PULL_INTERVAL", "0")];
        let odd = read(&odd).unwrap().unwrap();
        assert_eq!((odd.concurrency, odd.interval), (50, SHORTEST));
    }

    #[test]
    fn a_bad_address_or_key_stops_the_start_and_is_not_shown() {
        for bad in ["hooks.example", "ftp://hooks.example", "https://:80", "http:///x y", "hidden"]
        {
            let refused = read(&[("WEBHOOK_URL", bad)]).unwrap_err();
            assert!(refused.starts_with("WEBHOOK_URL "), "{refused}");
            assert!(!refused.contains(bad) && !refused.contains('\n'), "{refused}");
        }
        let refused = read(&[("WEBHOOK_API_KEY", "a\nkey7")]).unwrap_err();
        assert!(refused.starts_with("WEBHOOK_API_KEY ") && !refused.contains("key7"), "{refused}");
    }
}
