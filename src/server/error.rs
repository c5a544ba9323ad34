/// Why the server does not start: each text is one plain sentence for the user.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error(transparent)]
    Auth(#[from] rowlock_auth::SettingsError),
    #[error(transparent)]
    Bind(#[from] rowlock_http::server::BindError),
    #[error("SERVER_HOST {0:?} is no address of this machine")]
    Host(String),
    #[error("signals can't be received: {0}")]
    Signals(std::io::Error),
    #[error(transparent)]
    Embedded(#[from] rowlock_catalog::embedded::EmbeddedError),
    #[error("DATABASE_URL: {0}")]
    Connect(#[from] rowlock_catalog::connect::ConnectError),
    #[error(transparent)]
    Schema(#[from] rowlock_catalog::schema::Error),
    #[error(transparent)]
    Catalog(#[from] rowlock_catalog::Error),
    #[error(transparent)]
    Files(#[from] rowlock_blobs::file::OpenError),
    #[error(transparent)]
    S3(#[from] rowlock_blobs_s3::OpenError),
    #[error("no Rowlock has used this database yet: start `rowlock serve` once")]
    NeverServed,
    #[error("the store can't be used: {0}")]
    Store(String),
    #[error("WEBHOOK_URL: {0}")]
    Webhook(rowlock_webhooks::EndpointError),
    #[error("{0} is no name of a header")]
    Header(&'static str),
    #[error("STORAGE_PUBLIC_URL: {0}")]
    PublicUrl(#[from] rowlock_http::gateway::InvalidPublicUrl),
}
