use http::HeaderName;

/// What the REST API needs to know of the configuration.
#[derive(Debug, Clone)]
pub struct RestSettings {
    /// Seconds that a shared cache may keep an answer to a request that revalidates
    /// (`RESPONSE_S_MAXAGE`); 0 for none.
    pub s_maxage: u64,
    /// The headers that carry the entity tag of a revalidation (`REQUEST_ETAG_HEADERS`).
    pub etag_headers: Vec<HeaderName>,
    /// How many seconds a signed upload URL is good for (`UPLOAD_SIGNED_URL_EXPIRATION_TIME`).
    pub upload_url_seconds: i64,
}

impl Default for RestSettings {
    fn default() -> Self {
        Self {
            s_maxage: 0,
            etag_headers: vec![http::header::IF_NONE_MATCH],
            upload_url_seconds: 60,
        }
    }
}
