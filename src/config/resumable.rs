//! Resumable uploads (TUS).

use std::time::Duration;

use super::error::ConfigError;
use super::source::Source;
use super::variable::Variable;

const TUS_URL_PATH: Variable =
    Variable::new("TUS_URL_PATH", "The path of resumable uploads.").default(PATH).strict();
const TUS_URL_EXPIRY_MS: Variable = Variable::new(
    "TUS_URL_EXPIRY_MS",
    "Milliseconds without progress after which an unfinished resumable upload is given up and its \
     bytes are removed.",
)
.default("3600000");
const TUS_MAX_CONCURRENT_UPLOADS: Variable = Variable::new(
    "TUS_MAX_CONCURRENT_UPLOADS",
    "How many requests may bring bytes of resumable uploads at a time; more are told to come again.",
)
.default("500");

const TUS_PART_SIZE: Variable = Variable::new(
    "TUS_PART_SIZE",
    "The largest parts in which resumable uploads go to an S3 service, in MiB (at least 5): what does \
     not fill one is sent again with what comes next.",
)
.default("that of `STORAGE_S3_UPLOAD_PART_SIZE`");

pub(crate) const VARIABLES: &[&Variable] =
    &[&TUS_URL_PATH, &TUS_URL_EXPIRY_MS, &TUS_MAX_CONCURRENT_UPLOADS, &TUS_PART_SIZE];

const PATH: &str = "/upload/resumable";
const EXPIRY: Duration = Duration::from_secs(60 * 60);
const CONCURRENT: u64 = 500;
/// In MiB, what a part of an S3 service may have (S3 user guide, "multipart upload limits").
const PART_SIZES: std::ops::RangeInclusive<u64> = 5..=5 * 1024;
/// What other protocols answer at.
const TAKEN: [&str; 9] =
    ["s3", "object", "bucket", "cdn", "render", "storage", "status", "health", "version"];

/// Resumable uploads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResumableSettings {
    /// `TUS_URL_PATH`: begins with a slash and does not end in one.
    pub(crate) path: String,
    /// `TUS_URL_EXPIRY_MS`.
    pub(crate) expiry: Duration,
    /// `TUS_MAX_CONCURRENT_UPLOADS`.
    pub(crate) concurrent_uploads: usize,
    /// `TUS_PART_SIZE`, in bytes.
    pub(crate) part_size: Option<u64>,
}

impl ResumableSettings {
    pub(crate) fn from_source(source: &Source) -> Result<Self, ConfigError> {
        let path =
            source.parsed(&TUS_URL_PATH, "a path of its own such as /upload/resumable", path)?;
        let positive = |variable| source.number(variable).filter(|number| *number > 0);
        let concurrent = positive(&TUS_MAX_CONCURRENT_UPLOADS).unwrap_or(CONCURRENT);
        Ok(Self {
            path: path.unwrap_or_else(|| PATH.to_owned()),
            expiry: positive(&TUS_URL_EXPIRY_MS).map_or(EXPIRY, Duration::from_millis),
            concurrent_uploads: usize::try_from(concurrent).unwrap_or(usize::MAX),
            part_size: positive(&TUS_PART_SIZE)
                .map(|size| size.clamp(*PART_SIZES.start(), *PART_SIZES.end()) << 20),
        })
    }
}

fn path(text: &str) -> Option<String> {
    let path = text.trim_end_matches('/');
    let mut segments = path.strip_prefix('/')?.split('/');
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    let good = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(plain);
    let first = segments.next()?;
    (good(first) && !TAKEN.contains(&first) && segments.all(good)).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<ResumableSettings, String> {
        let source = Source::new(pairs, &[]);
        ResumableSettings::from_source(&source).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_and_values() {
        let default = read(&[]).unwrap();
        assert_eq!(default.path, "/upload/resumable");
        assert_eq!((default.expiry, default.concurrent_uploads), (EXPIRY, 500));
        assert_eq!(default.part_size, None);
        for (text, bytes) in [("50", 50 << 20), ("1", 5 << 20), ("9999999", 5 << 30)] {
            assert_eq!(read(&[("TUS_PART_SIZE", text)]).unwrap().part_size, Some(bytes), "{text}");
        }
        let set = read(&[
            ("TUS_URL_PATH", "/tus/v1/"),
            ("TUS_URL_EXPIRY_MS", "1500"),
            ("TUS_MAX_CONCURRENT_UPLOADS", "7"),
        ]);
        let set = set.unwrap();
        assert_eq!(set.path, "/tus/v1");
        assert_eq!((set.expiry, set.concurrent_uploads), (Duration::from_millis(1500), 7));
        let zero = read(&[("TUS_URL_EXPIRY_MS", "0"), ("TUS_MAX_CONCURRENT_UPLOADS", "0")]);
        assert_eq!(zero.unwrap(), default);
    }

    #[test]
    fn the_path_is_one_of_its_own() {
        for bad in ["upload", "/", "//a", "/a//b", "/object/tus", "/s3", "/a/../b", "/a b", "/a?b"]
        {
            let refused = read(&[("TUS_URL_PATH", bad)]).unwrap_err();
            assert!(refused.starts_with("TUS_URL_PATH is "), "{bad}: {refused}");
        }
    }
}
