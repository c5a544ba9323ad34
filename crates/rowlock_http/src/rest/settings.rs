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
    /// How large rendered images may be; none where images are not rendered at all
    /// (`IMAGE_TRANSFORMATION_ENABLED`).
    pub images: Option<ImageSides>,
}

/// The least and the most pixels of a rendered image's width and height: what is asked for is
/// brought in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageSides {
    /// `IMAGE_TRANSFORMATION_LIMIT_MIN_SIZE`.
    pub least: u32,
    /// `IMAGE_TRANSFORMATION_LIMIT_MAX_SIZE`.
    pub most: u32,
}

impl Default for ImageSides {
    fn default() -> Self {
        Self { least: 1, most: 2000 }
    }
}

impl RestSettings {
    /// How large rendered images may be, or would.
    pub(crate) fn sides(&self) -> ImageSides {
        self.images.unwrap_or_default()
    }
}

impl Default for RestSettings {
    fn default() -> Self {
        Self {
            s_maxage: 0,
            etag_headers: vec![http::header::IF_NONE_MATCH],
            upload_url_seconds: 60,
            images: None,
        }
    }
}
