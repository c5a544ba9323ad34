//! The sockets and the front.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use http::{HeaderName, Request, Response};
use rowlock_auth::Authenticator;
use rowlock_http::gateway::{
    CorsOrigins, ForwardingSettings, Gateway, GatewaySettings, MAX_HEAD_BYTES, PublicUrl,
};
use rowlock_http::rest::{RestService, RestSettings};
use rowlock_http::s3::{S3Service, S3Settings, StaticCredentials};
use rowlock_http::server::{ConnectionInfo, Listeners, ServerSettings};
use rowlock_http::tus::{TusService, TusSettings};
use rowlock_storage::Storage;

use super::ServeError;
use super::health::Health;
use crate::config::{self, Config};

/// The server's settings but for its addresses.
pub(super) fn settings(config: &Config) -> ServerSettings {
    ServerSettings {
        header_timeout: config.bind.headers_timeout,
        keep_alive_timeout: config.bind.keep_alive_timeout,
        max_connections: config.bind.max_connections,
        // Up to there a head that is too long is answered in its protocol's words.
        max_head_bytes: 2 * MAX_HEAD_BYTES,
        shutdown_grace: config.database.drain_timeout,
        ..ServerSettings::default()
    }
}

/// Listens.
pub(super) async fn bind(config: &Config) -> Result<Listeners, ServeError> {
    let mut listen: Vec<SocketAddr> = Vec::new();
    for host in &config.bind.hosts {
        let found = tokio::net::lookup_host((host.as_str(), config.bind.port)).await;
        match found.ok().and_then(|mut addresses| addresses.next()) {
            Some(address) => listen.push(address),
            None => return Err(ServeError::Host(host.clone())),
        }
    }
    Ok(rowlock_http::server::bind(&ServerSettings { listen, ..settings(config) })?)
}

/// Everything behind the sockets.
pub(super) fn app(
    config: &Config,
    storage: &Storage,
    authenticator: &Arc<Authenticator>,
    health: Health,
) -> Result<
    impl Fn(Request<Body>, ConnectionInfo) -> futures_util::future::BoxFuture<'static, Response<Body>>
    + Clone
    + Send
    + Sync
    + 'static,
    ServeError,
> {
    let s3 = config.s3.enabled.then(|| s3(config, storage, authenticator));
    let gateway = Gateway::new(
        gateway(config)?,
        Arc::clone(authenticator),
        Arc::new(health),
        s3.map(|service| Arc::new(service) as Arc<dyn rowlock_http::gateway::S3Service>),
    )
    .with_rest(Arc::new(rest(config, storage, authenticator)?))
    .with_tus(config.resumable.path.clone(), Arc::new(tus(config, storage, authenticator)));
    Ok(gateway.into_app())
}

fn s3(config: &Config, storage: &Storage, authenticator: &Arc<Authenticator>) -> S3Service {
    let settings = S3Settings {
        region: config.s3.region.clone(),
        enforce_region: config.s3.enforce_region,
        credentials: config.s3.credentials.as_ref().map(|key| StaticCredentials {
            access_key_id: key.access_key.clone(),
            secret_access_key: key.secret_key.clone(),
        }),
    };
    S3Service::new(settings, storage.clone(), Arc::clone(authenticator))
}

fn rest(
    config: &Config,
    storage: &Storage,
    authenticator: &Arc<Authenticator>,
) -> Result<RestService, ServeError> {
    let etag_headers = config.gateway.etag_headers.iter().map(|name| {
        HeaderName::try_from(name.as_str()).map_err(|_| ServeError::Header("REQUEST_ETAG_HEADERS"))
    });
    let settings = RestSettings {
        s_maxage: config.gateway.s_maxage,
        etag_headers: etag_headers.collect::<Result<_, _>>()?,
        upload_url_seconds: config.uploads.signed_url_seconds,
        images: config.images.sides,
    };
    Ok(RestService::new(settings, storage.clone(), Arc::clone(authenticator)))
}

fn tus(config: &Config, storage: &Storage, authenticator: &Arc<Authenticator>) -> TusService {
    let settings = TusSettings {
        max_size: config.uploads.size_limit,
        concurrent_uploads: config.resumable.concurrent_uploads,
    };
    TusService::new(settings, storage.clone(), Arc::clone(authenticator))
}

fn gateway(config: &Config) -> Result<GatewaySettings, ServeError> {
    let header = |name: &Option<String>, variable| match name {
        Some(name) => {
            HeaderName::try_from(name.as_str()).map(Some).map_err(|_| ServeError::Header(variable))
        }
        None => Ok(None),
    };
    let public_url = match &config.gateway.public_url {
        Some(url) => Some(PublicUrl::parse(url.as_str())?),
        None => None,
    };
    Ok(GatewaySettings {
        cors_origins: match &config.gateway.cors_origins {
            config::gateway::CorsOrigins::Any => CorsOrigins::Any,
            config::gateway::CorsOrigins::Only(list) => CorsOrigins::List(list.clone()),
        },
        forwarding: ForwardingSettings {
            public_url,
            allow_forwarded_header: config.s3.allow_forwarded_header,
            non_canonical_host_header: header(
                &config.s3.host_header,
                "S3_PROTOCOL_NON_CANONICAL_HOST_HEADER",
            )?,
            allow_forwarded_path: config.gateway.allow_forwarded_path,
            s3_prefix: Some(config.s3.prefix.clone()).filter(|prefix| !prefix.is_empty()),
        },
        request_id_header: header(&config.gateway.trace_header, "REQUEST_TRACE_HEADER")?,
        version: config.bind.version.clone(),
    })
}
