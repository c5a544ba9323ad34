//! What the stack's gateway does, for users who talk to us directly: the same routes at the root
//! and under `/storage/v1`, CORS on everything, API keys translated, proxies' headers understood.

mod access_log;
mod api_key;
mod base_url;
mod cors;
mod forwarded;
mod head;
mod request_id;
mod route;

use std::sync::Arc;

use axum::body::Body;
use futures_util::future::BoxFuture;
use http::{HeaderName, Method, Request, Response, header};
use rowlock_auth::Authenticator;

use crate::server::{ConnectionInfo, refuse_early};
use crate::system::{self, HealthCheck};
use access_log::AccessRecord;

pub use cors::CorsOrigins;
pub use forwarded::{
    ForwardingSettings, InvalidPublicUrl, MAX_CANDIDATES, PublicUrl, SignedCandidates, fits_route,
};
pub(crate) use head::HeadTooLong;
pub use head::MAX_HEAD_BYTES;
pub use request_id::RequestId;
pub use route::RouteInfo;

/// How the gateway answers and what it believes.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// Which web origins may read answers (`CORS_ORIGINS`).
    pub cors_origins: CorsOrigins,
    /// What is believed of proxies' headers.
    pub forwarding: ForwardingSettings,
    /// The header that carries a request's id (`REQUEST_TRACE_HEADER`); ids are made where it is
    /// absent.
    pub request_id_header: Option<HeaderName>,
    /// What `/version` answers (`VERSION`).
    pub version: String,
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self {
            cors_origins: CorsOrigins::Any,
            forwarding: ForwardingSettings::default(),
            request_id_header: None,
            version: "0.0.0".to_owned(),
        }
    }
}

/// The S3 protocol, as the gateway calls it. Closures of this shape implement it.
pub trait S3Service: Send + Sync + 'static {
    /// Answers a request to `/s3` or below; its URI is in origin form and otherwise as received.
    /// Errors are answers too, in S3's XML.
    fn answer(
        &self,
        request: Request<Body>,
        route: RouteInfo,
    ) -> BoxFuture<'static, Response<Body>>;
}

impl<T, F> S3Service for T
where
    T: Fn(Request<Body>, RouteInfo) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    fn answer(
        &self,
        request: Request<Body>,
        route: RouteInfo,
    ) -> BoxFuture<'static, Response<Body>> {
        Box::pin(self(request, route))
    }
}

/// A request to the REST API.
#[derive(Debug, Clone)]
pub struct RestRoute {
    /// What the request is called in logs and answers.
    pub request_id: RequestId,
    /// The path, percent-encoded, without the stack's prefix and without query.
    pub path: String,
}

/// The REST API, as the gateway calls it. Closures of this shape implement it.
pub trait RestService: Send + Sync + 'static {
    /// Answers a request to `/bucket`, `/object`, `/cdn`, `/render/image` or below. Errors are
    /// answers too, in JSON.
    fn answer(&self, request: Request<Body>, at: RestRoute) -> BoxFuture<'static, Response<Body>>;
}

impl<T, F> RestService for T
where
    T: Fn(Request<Body>, RestRoute) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    fn answer(&self, request: Request<Body>, at: RestRoute) -> BoxFuture<'static, Response<Body>> {
        Box::pin(self(request, at))
    }
}

/// A request to resumable uploads.
#[derive(Debug, Clone)]
pub struct TusRoute {
    /// What the request is called in logs and answers.
    pub request_id: RequestId,
    /// What follows the path of the protocol, percent-encoded: empty, or `/…`.
    pub rest: String,
    /// The URL of that path as the client knows it.
    pub url: String,
}

/// Resumable uploads (TUS), as the gateway calls them. Closures of this shape implement it.
pub trait TusService: Send + Sync + 'static {
    /// Answers a request, whatever its method is: preflights too. Errors are answers.
    fn answer(&self, request: Request<Body>, at: TusRoute) -> BoxFuture<'static, Response<Body>>;
}

impl<T, F> TusService for T
where
    T: Fn(Request<Body>, TusRoute) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    fn answer(&self, request: Request<Body>, at: TusRoute) -> BoxFuture<'static, Response<Body>> {
        Box::pin(self(request, at))
    }
}

/// Where resumable uploads are, and who answers there.
struct TusMount {
    path: String,
    service: Arc<dyn TusService>,
}

/// The one entry of every request.
pub struct Gateway {
    settings: GatewaySettings,
    authenticator: Arc<Authenticator>,
    health: Arc<dyn HealthCheck>,
    s3: Option<Arc<dyn S3Service>>,
    rest: Option<Arc<dyn RestService>>,
    tus: Option<TusMount>,
}

impl Gateway {
    /// A gateway; without an S3 service its routes don't exist (`S3_PROTOCOL_ENABLED=false`).
    pub fn new(
        settings: GatewaySettings,
        authenticator: Arc<Authenticator>,
        health: Arc<dyn HealthCheck>,
        s3: Option<Arc<dyn S3Service>>,
    ) -> Self {
        Self { settings, authenticator, health, s3, rest: None, tus: None }
    }

    /// The gateway with a REST API behind it; without one its routes don't exist.
    #[must_use]
    pub fn with_rest(self, rest: Arc<dyn RestService>) -> Self {
        Self { rest: Some(rest), ..self }
    }

    /// The gateway with resumable uploads at `path` (`/upload/resumable`); without them their
    /// routes don't exist.
    #[must_use]
    pub fn with_tus(self, path: String, service: Arc<dyn TusService>) -> Self {
        Self { tus: Some(TusMount { path, service }), ..self }
    }

    /// The gateway as the server calls it.
    pub fn into_app(
        self,
    ) -> impl Fn(Request<Body>, ConnectionInfo) -> BoxFuture<'static, Response<Body>>
    + Clone
    + Send
    + Sync
    + 'static {
        let gateway = Arc::new(self);
        move |request, connection| {
            let gateway = Arc::clone(&gateway);
            Box::pin(async move { gateway.handle(request, connection).await })
        }
    }

    /// Answers a request.
    pub async fn handle(
        &self,
        mut request: Request<Body>,
        connection: ConnectionInfo,
    ) -> Response<Body> {
        let id = RequestId::of(request.headers(), self.settings.request_id_header.as_ref());
        let mut record = AccessRecord::begin(&request, &id, connection.peer);
        let origin = request.headers().get(header::ORIGIN).cloned();
        request.extensions_mut().insert(id.clone());
        let mut response = self.route(request, id, connection).await;
        self.settings.cors_origins.mark(origin.as_ref(), response.headers_mut());
        match record.take() {
            Some(record) => record.watch(response),
            None => response,
        }
    }

    async fn route(
        &self,
        mut request: Request<Body>,
        id: RequestId,
        connection: ConnectionInfo,
    ) -> Response<Body> {
        if !route::to_origin_form(&mut request) {
            let (_, body) = request.into_parts();
            return refuse_early(body, system::bad_target());
        }
        if head::is_too_long(&request) {
            return self.refuse_head(request, id, connection).await;
        }
        if let Some(tus) = &self.tus
            && let Some((received, rest)) = route::below_mount(request.uri().path(), &tus.path)
        {
            let base = self.settings.forwarding.base_url(request.headers(), received);
            let at = TusRoute {
                request_id: id,
                rest: rest.to_owned(),
                url: format!("{base}{}", tus.path),
            };
            api_key::translate(&mut request, &self.authenticator);
            return tus.service.answer(request, at).await;
        }
        if request.method() == Method::OPTIONS {
            let (parts, body) = request.into_parts();
            return refuse_early(body, cors::preflight(&parts.headers));
        }
        api_key::translate(&mut request, &self.authenticator);
        if let Some(rest) = &self.rest
            && let Some(path) = route::rest_path(request.uri().path())
        {
            let at = RestRoute { request_id: id, path: path.to_owned() };
            return rest.answer(request, at).await;
        }
        let route = RouteInfo::of(&request, id, connection, &self.settings.forwarding);
        if let (Some(route), Some(s3)) = (route, &self.s3) {
            return s3.answer(request, route).await;
        }
        let (parts, body) = request.into_parts();
        let path = route::without_prefix(parts.uri.path());
        let readable = parts.method == Method::GET || parts.method == Method::HEAD;
        let response = match path {
            "/status" if readable => system::status(),
            "/version" if readable => system::version(&self.settings.version),
            "/health" if readable => {
                system::health(&parts.headers, &self.authenticator, &*self.health).await
            }
            _ => system::route_not_found(&parts.method, path, parts.uri.query()),
        };
        refuse_early(body, response)
    }

    /// The answer to a head that is too long: S3 has words for it.
    async fn refuse_head(
        &self,
        mut request: Request<Body>,
        id: RequestId,
        connection: ConnectionInfo,
    ) -> Response<Body> {
        let route = RouteInfo::of(&request, id, connection, &self.settings.forwarding);
        if let (Some(route), Some(s3)) = (route, &self.s3) {
            request.extensions_mut().insert(HeadTooLong);
            return s3.answer(request, route).await;
        }
        refuse_early(request.into_body(), system::head_too_long())
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("settings", &self.settings).finish_non_exhaustive()
    }
}
