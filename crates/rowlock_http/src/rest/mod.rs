//! The REST API over the domain: a file per operation, each of which parses, calls the domain,
//! and renders.
//!
//! [`RestService::serve`] is the way in. It finds the operation ([`router`]), authenticates
//! ([`context`]), and renders whatever comes back; every error is rendered in one place
//! ([`error`]).

pub(crate) mod body;
mod bucket;
mod cdn;
mod context;
pub(crate) mod error;
mod json;
mod object;

pub(crate) mod path;
mod query;
mod range;
mod render;
mod response;
mod router;
mod settings;
pub(crate) mod time;

use std::fmt;
use std::sync::Arc;

use axum::body::Body;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use rowlock_auth::Authenticator;
use rowlock_storage::Storage;

pub(crate) use self::object::metadata;
pub use self::settings::{ImageSides, RestSettings};

use self::body::RequestBody;
use self::context::RestRequest;
use self::error::RestError;
use self::router::{Route, route};
use crate::gateway::{self, RestRoute};

/// The REST API. Cheap to clone.
#[derive(Clone)]
pub struct RestService(Arc<Inner>);

struct Inner {
    storage: Storage,
    tokens: Arc<Authenticator>,
    settings: RestSettings,
}

impl fmt::Debug for RestService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestService").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

impl RestService {
    /// Puts the API on top of the domain. `tokens` verifies what callers send.
    pub fn new(settings: RestSettings, storage: Storage, tokens: Arc<Authenticator>) -> Self {
        Self(Arc::new(Inner { storage, tokens, settings }))
    }

    pub(crate) fn storage(&self) -> &Storage {
        &self.0.storage
    }

    pub(crate) fn tokens(&self) -> &Authenticator {
        &self.0.tokens
    }

    pub(crate) fn settings(&self) -> &RestSettings {
        &self.0.settings
    }

    /// Answers a request. Never fails: every error becomes an answer.
    pub async fn serve(&self, request: Request<Body>, at: RestRoute) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let mut body = RequestBody::new(body, &parts.headers);
        let ready = route(&parts.method, &at.path)
            .filter(|(route, _)| !route.renders() || self.settings().images.is_some())
            .ok_or_else(|| RestError::route_not_found(&parts, &at.path))
            .and_then(|(route, named)| {
                Ok((route, RestRequest::prepare(self.tokens(), parts, route, named)?))
            });
        let answer = match ready {
            Ok((route, request)) => self.dispatch(route, &request, &mut body).await,
            Err(error) => Err(error),
        };
        let response = answer.unwrap_or_else(|error| error.into_response(&at.request_id));
        body.answer(response).await
    }

    async fn dispatch(
        &self,
        route: Route,
        request: &RestRequest,
        body: &mut RequestBody,
    ) -> Result<Response<Body>, RestError> {
        match route {
            Route::BucketCreate => bucket::create::handle(self, request, body).await,
            Route::BucketList => bucket::list::handle(self, request).await,
            Route::BucketGet => bucket::get::handle(self, request).await,
            Route::BucketUpdate => bucket::update::handle(self, request, body).await,
            Route::BucketEmpty => bucket::empty::handle(self, request).await,
            Route::BucketDelete => bucket::delete::handle(self, request).await,
            Route::ObjectUpload => object::upload::handle(self, request, body, false).await,
            Route::ObjectUpdate => object::upload::handle(self, request, body, true).await,
            Route::ObjectRead(_) => object::read::handle(self, request).await,
            Route::ObjectInfo(_) => object::info::handle(self, request).await,
            Route::ObjectDelete => object::delete::handle(self, request).await,
            Route::ObjectDeleteMany => object::delete_many::handle(self, request, body).await,
            Route::ObjectList => object::list::handle(self, request, body).await,
            Route::ObjectListV2 => object::list_v2::handle(self, request, body).await,
            Route::ObjectCopy => object::copy::handle(self, request, body).await,
            Route::ObjectMove => object::move_object::handle(self, request, body).await,
            Route::ObjectSign => object::sign::handle(self, request, body).await,
            Route::ObjectSignMany => object::sign_many::handle(self, request, body).await,
            Route::ObjectGetSigned => object::get_signed::handle(self, request).await,
            Route::ObjectSignUpload => object::sign_upload::handle(self, request).await,
            Route::ObjectUploadSigned => object::upload_signed::handle(self, request, body).await,
            Route::Cdn(_) => cdn::handle(request),
            Route::RenderAuthenticated => render::authenticated::handle(self, request).await,
            Route::RenderPublic => render::public::handle(self, request).await,
            Route::RenderSigned => render::sign::handle(self, request).await,
        }
    }
}

impl gateway::RestService for RestService {
    fn answer(&self, request: Request<Body>, at: RestRoute) -> BoxFuture<'static, Response<Body>> {
        let this = self.clone();
        Box::pin(async move { this.serve(request, at).await })
    }
}
