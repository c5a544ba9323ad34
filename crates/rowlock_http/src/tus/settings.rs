/// What resumable uploads need to know of the configuration.
#[derive(Debug, Clone)]
pub struct TusSettings {
    /// The most bytes that an object may have, as `Tus-Max-Size` says it.
    pub max_size: Option<u64>,
    /// How many requests may bring bytes at a time (`TUS_MAX_CONCURRENT_UPLOADS`); more are
    /// answered 503.
    pub concurrent_uploads: usize,
}

impl Default for TusSettings {
    fn default() -> Self {
        Self { max_size: None, concurrent_uploads: 500 }
    }
}
