use http::HeaderName;

/// What the REST API needs to know of the configuration.
#[derive(Debug, Clone)]
pub struct RestSettings {
    /// Seconds that a shared cache may keep an answer to a request that revalidates
    /// (`RESPONSE_S_MAXAGE`); 0 for none.
    pub s_maxage: u64,
    /// The headers that carry the entity tag of a revalidation (`REQUEST_ETAG_HEADERS`).
    pub etag_headers: Vec<HeaderName>,
}

impl Default for RestSettings {
    fn default() -> Self {
        Self { s_maxage: 0, etag_headers: vec![http::header::IF_NONE_MATCH] }
    }
}
