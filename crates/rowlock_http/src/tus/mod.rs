//! Resumable uploads: TUS 1.0.0 (<https://tus.io/protocols/resumable-upload>) over the domain, a
//! file per operation.
//!
//! Extensions: creation, creation-with-upload, creation-defer-length, termination, expiration.
//! [`TusService::serve`] is the way in. It finds the operation ([`router`]), who asks
//! ([`caller`]), checks the protocol's own headers ([`headers`]), and renders whatever comes back;
//! every error is rendered in one place ([`error`]).

mod caller;
mod create;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod head;
mod headers;
mod metadata;
mod options;
mod patch;
mod response;
mod room;
mod router;
mod settings;
mod terminate;

use std::fmt;
use std::sync::Arc;

use axum::body::Body;
use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use rowlock_auth::Authenticator;
use rowlock_storage::Storage;

pub use self::settings::TusSettings;

use self::caller::{Asking, Door};
use self::error::TusError;
use self::room::{Room, Rooms};
use self::router::{Route, Target};
use crate::gateway::{self, TusRoute};
use crate::rest::body::RequestBody;
use crate::system;

/// Resumable uploads. Cheap to clone.
#[derive(Clone)]
pub struct TusService(Arc<Inner>);

struct Inner {
    storage: Storage,
    tokens: Arc<Authenticator>,
    settings: TusSettings,
    /// For requests that bring bytes.
    rooms: Rooms,
}

impl fmt::Debug for TusService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TusService").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

/// A request whose sender is known.
pub(crate) struct TusRequest {
    headers: HeaderMap,
    asking: Asking,
    door: Door,
    /// The URL of the protocol's path, as the client knows it.
    url: String,
}

impl TusService {
    /// Puts the protocol on top of the domain. `tokens` verifies what callers send.
    pub fn new(settings: TusSettings, storage: Storage, tokens: Arc<Authenticator>) -> Self {
        let rooms = Rooms::new(settings.concurrent_uploads);
        Self(Arc::new(Inner { storage, tokens, settings, rooms }))
    }

    fn storage(&self) -> &Storage {
        &self.0.storage
    }

    /// Room for one more request that brings bytes.
    ///
    /// # Errors
    /// 503 where there is none.
    fn room(&self, asking: &Asking) -> Result<Room, TusError> {
        self.0.rooms.take(asking.whose())
    }

    /// Answers a request. Never fails: every error becomes an answer.
    pub async fn serve(&self, request: Request<Body>, at: TusRoute) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let mut body = RequestBody::new(body, &parts.headers);
        let method = headers::method(&parts.method, &parts.headers);
        let Some(target) = router::route(&method, &at.rest) else {
            let (path, query) = (parts.uri.path(), parts.uri.query());
            let response = system::route_not_found(&parts.method, path, query);
            return body.answer(response).await;
        };
        let answer = match target.route {
            Route::Options => Ok(options::handle(&self.0.settings, &parts.headers)),
            _ => self.dispatch(target, parts, at.url, &mut body).await,
        };
        let mut response = answer.unwrap_or_else(|error| error.into_response(&at.request_id));
        // Whatever a proxy remembered of a refusal would be told to whoever goes on.
        if method == Method::HEAD {
            response
                .headers_mut()
                .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        response.headers_mut().insert(headers::TUS_RESUMABLE, headers::VERSION);
        body.answer(response).await
    }

    async fn dispatch(
        &self,
        target: Target<'_>,
        parts: Parts,
        url: String,
        body: &mut RequestBody,
    ) -> Result<Response<Body>, TusError> {
        let tokens = &self.0.tokens;
        let asking = match target.door {
            Door::Token => Asking::of_token(tokens, &parts)?,
            Door::Signed => Asking::of_signature(tokens, &parts)?,
        };
        headers::check(&parts.headers, target.route == Route::Patch)?;
        let request = TusRequest { headers: parts.headers, asking, door: target.door, url };
        match target.route {
            Route::Create => create::handle(self, &request, body).await,
            Route::Head => head::handle(self, &request, &target.id()?).await,
            Route::Patch => patch::handle(self, &request, &target.id()?, body).await,
            Route::Terminate => terminate::handle(self, &request, &target.id()?).await,
            Route::Options => Ok(options::handle(&self.0.settings, &request.headers)),
        }
    }
}

impl gateway::TusService for TusService {
    fn answer(&self, request: Request<Body>, at: TusRoute) -> BoxFuture<'static, Response<Body>> {
        let this = self.clone();
        Box::pin(async move { this.serve(request, at).await })
    }
}
