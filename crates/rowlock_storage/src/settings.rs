use rowlock_types::KeyRules;
use std::time::Duration;

/// What the domain needs to know of the configuration.
#[derive(Clone)]
pub struct Settings {
    /// The largest object in bytes that any protocol accepts (`UPLOAD_FILE_SIZE_LIMIT`).
    pub max_object_bytes: Option<u64>,
    /// The largest object in bytes that a single request may carry
    /// (`UPLOAD_FILE_SIZE_LIMIT_STANDARD`).
    pub max_single_upload_bytes: Option<u64>,
    /// Which keys new objects may have (`STRICT_KEYS`).
    pub key_rules: KeyRules,
    /// How long a replaced or deleted blob stays, so that a reader between two ranges can finish
    /// (`ROWLOCK_BLOB_GRACE`).
    pub blob_grace: Duration,
    /// After how long without a new part a multipart upload is aborted
    /// (`ROWLOCK_MULTIPART_EXPIRY`).
    pub multipart_expiry: Duration,
    /// After how long without progress a resumable upload is given up (`TUS_URL_EXPIRY_MS`).
    pub resumable_expiry: Duration,
    /// The key that the reference seals the progress of multipart uploads with
    /// (`AUTH_ENCRYPTION_KEY`).
    pub encryption_key: String,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("max_object_bytes", &self.max_object_bytes)
            .field("key_rules", &self.key_rules)
            .field("blob_grace", &self.blob_grace)
            .field("multipart_expiry", &self.multipart_expiry)
            .field("resumable_expiry", &self.resumable_expiry)
            .finish_non_exhaustive()
    }
}
