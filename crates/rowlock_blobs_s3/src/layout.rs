//! What a blob is called in the service.

use crate::settings::OpenError;
use rowlock_blobs::{BlobKey, Error};
use rowlock_types::Version;

/// The longest key in bytes (S3 user guide, "Naming Amazon S3 objects").
const MAX_KEY: usize = 1024;
/// The first segment of keys that are our own.
const OWN: &str = ".rowlock";
/// The longest ending that is put behind a blob's name.
const SIBLINGS: [&str; 2] = [".info", ".part"];

/// What stands between a blob's key and its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Separator {
    /// `/`.
    #[default]
    Slash,
    /// `-$v-` (`TUS_USE_FILE_VERSION_SEPARATOR`), for services in which no key may be another
    /// one's folder.
    DashV,
}

/// The names that all keys begin with.
#[derive(Debug)]
pub(crate) struct Layout {
    tenant: String,
    separator: Separator,
}

impl Layout {
    pub(crate) fn new(tenant: &str, separator: Separator) -> Result<Self, OpenError> {
        let segment = !tenant.is_empty() && !tenant.contains(['/', '\0']) && tenant != OWN;
        if !segment || tenant == "." || tenant == ".." {
            return Err(OpenError::Tenant);
        }
        Ok(Self { tenant: tenant.to_owned(), separator })
    }

    /// The prefix of the tenant's keys.
    pub(crate) fn tenant_prefix(&self) -> String {
        format!("{}/", self.tenant)
    }

    /// The prefix of the tenant's keys that are our own.
    pub(crate) fn aside_prefix(&self) -> String {
        format!("{OWN}/long/{}/", self.tenant)
    }

    /// The prefix of what is kept of the tenant's blobs while they grow.
    pub(crate) fn growing_prefix(&self) -> String {
        format!("{OWN}/growing/{}/", self.tenant)
    }

    /// The prefix of what is kept of this one: its version names it.
    pub(crate) fn growing(&self, version: Version) -> String {
        format!("{}{version}/", self.growing_prefix())
    }

    /// The key of trial writes: always the same, so that none piles up where nothing may be deleted.
    pub(crate) fn probe(&self) -> String {
        format!("{OWN}/check/{}", self.tenant)
    }

    /// A blob's key: the reference's, or our own where that would be too long.
    pub(crate) fn key(&self, blob: &BlobKey) -> String {
        let separator = match self.separator {
            Separator::Slash => "/",
            Separator::DashV => "-$v-",
        };
        let (tenant, bucket, key) = (&self.tenant, blob.bucket.as_str(), blob.key.as_str());
        let mut name = format!("{tenant}/{bucket}/{key}");
        if let Some(version) = blob.version {
            name.push_str(separator);
            name.push_str(&version.to_string());
        }
        if name.len() <= MAX_KEY {
            return name;
        }
        let hash = hex::encode(rowlock_digest::sha256(format!("{bucket}/{key}").as_bytes()));
        let version = blob.version.map_or_else(|| "null".to_owned(), |version| version.to_string());
        format!("{OWN}/long/{tenant}/{hash}/{version}")
    }

    /// A blob's key and those of what the reference keeps beside it. A key without a version
    /// has none: what looks like it is another object.
    pub(crate) fn with_siblings(&self, blob: &BlobKey) -> Vec<String> {
        let key = self.key(blob);
        let mut keys = vec![];
        if blob.version.is_some() {
            let siblings = SIBLINGS.iter().map(|ending| format!("{key}{ending}"));
            keys.extend(siblings.filter(|sibling| sibling.len() <= MAX_KEY));
        }
        // The blob comes last: as long as it is there, so is whoever asks again.
        keys.push(key);
        keys
    }
}

/// A key that XML cannot carry: no service lists or deletes it by name in a body.
pub(crate) fn fits_xml(key: &str) -> bool {
    !key.chars().any(|c| matches!(c, '\u{fffe}' | '\u{ffff}') || c.is_control())
}

/// What no service takes as a key.
pub(crate) fn checked(key: String) -> Result<String, Error> {
    if key.len() > MAX_KEY {
        return Err(Error::UnsupportedKey("it is too long for the service"));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rowlock_types::{BucketName, KeyRules, ObjectKey};

    const V: &str = "8556a18b-0258-4c57-a46a-3ab841478cbf";

    fn blob(key: &str, version: Option<&str>) -> BlobKey {
        BlobKey {
            bucket: BucketName::existing("b3").unwrap(),
            key: ObjectKey::new(key, KeyRules::Utf8).unwrap(),
            version: version.map(|v| Version::parse(v).unwrap()),
        }
    }

    #[test]
    fn keys_are_the_references() {
        let slash = Layout::new("ten", Separator::Slash).unwrap();
        let dash = Layout::new("ten", Separator::DashV).unwrap();
        for key in ["p.txt", "a//zz", "/lead", "tail/", "ünï 日本", ".rowlock/long/x"] {
            assert_eq!(slash.key(&blob(key, Some(V))), format!("ten/b3/{key}/{V}"));
            assert_eq!(dash.key(&blob(key, Some(V))), format!("ten/b3/{key}-$v-{V}"));
            assert_eq!(slash.key(&blob(key, None)), format!("ten/b3/{key}"));
        }
    }

    #[test]
    fn long_keys_go_aside() {
        let layout = Layout::new("ten", Separator::Slash).unwrap();
        let room = 1024 - "ten/b3/".len() - 37;
        let fits = "k".repeat(room);
        assert_eq!(layout.key(&blob(&fits, Some(V))).len(), 1024);
        assert_eq!(layout.with_siblings(&blob(&fits, Some(V))).len(), 1, "no room for siblings");
        let long = "k".repeat(room + 1);
        let hash = hex::encode(rowlock_digest::sha256(format!("b3/{long}").as_bytes()));
        assert_eq!(layout.key(&blob(&long, Some(V))), format!(".rowlock/long/ten/{hash}/{V}"));
        let longest = "k".repeat(1024);
        let hash = hex::encode(rowlock_digest::sha256(format!("b3/{longest}").as_bytes()));
        assert_eq!(layout.key(&blob(&longest, None)), format!(".rowlock/long/ten/{hash}/null"));
    }

    #[test]
    fn siblings_belong_to_versions_only() {
        let layout = Layout::new("ten", Separator::Slash).unwrap();
        let key = format!("ten/b3/p/{V}");
        let all = [format!("{key}.info"), format!("{key}.part"), key];
        assert_eq!(layout.with_siblings(&blob("p", Some(V))), all);
        assert_eq!(layout.with_siblings(&blob("p", None)), ["ten/b3/p"]);
    }

    #[test]
    fn what_grows_is_kept_where_no_blob_lies() {
        let layout = Layout::new("ten", Separator::Slash).unwrap();
        let version = Version::parse(V).unwrap();
        assert_eq!(layout.growing(version), format!(".rowlock/growing/ten/{V}/"));
        assert!(layout.growing(version).starts_with(&layout.growing_prefix()));
    }

    #[test]
    fn tenants_that_would_mix_with_ours_are_refused() {
        for bad in ["", ".", "..", ".rowlock", "a/b"] {
            assert!(Layout::new(bad, Separator::Slash).is_err(), "{bad:?}");
        }
    }
}
