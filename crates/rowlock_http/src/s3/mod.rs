//! The S3 protocol over the domain: a file per operation, each of which parses, calls the
//! domain, and renders.
//!
//! [`S3Service::serve`] is the way in. It authenticates, finds the operation ([`router`]), and
//! renders whatever comes back; every error is rendered in one place ([`error`]).

mod authenticate;
mod body;
mod body_fault;
mod checksum;
pub(crate) mod code;
mod conditions;
mod copy_object;
mod copy_source;
mod create_bucket;
mod delete_bucket;
mod delete_object;
mod delete_objects;
mod encode;
mod error;
#[cfg(test)]
#[path = "../../../../fuzz/src/seeds.rs"]
#[allow(unreachable_pub, reason = "as the fuzz targets' tests share it")]
pub(crate) mod fuzz_seeds;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod get_acl;
mod get_bucket_location;
mod get_object;
mod get_object_attributes;
mod head_bucket;
mod head_object;
mod keep_alive;
mod list_buckets;
mod list_object_versions;
mod list_objects;
mod list_objects_v2;
mod listing;
mod multipart;
mod object_headers;
mod path;
mod post_object;
mod put_object;
mod query;
mod range;
mod request;
mod response;
mod router;
mod row_refusal;
mod sub_resource;
mod tagging;
mod tags;
mod unsupported;
mod xml;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use axum::body::Body;
use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use rowlock_auth::Authenticator;
use rowlock_sigv4::{Policy, SigningKeys};
use rowlock_storage::Storage;
use time::OffsetDateTime;

pub use self::authenticate::StaticCredentials;

use self::authenticate::Keyring;
use self::body::RequestBody;
use self::error::S3Error;
use self::path::Named;
use self::query::Query;
use self::request::S3Request;
use self::response::Ids;
use self::router::{Level, Route, route};
use crate::gateway::{self, HeadTooLong, MAX_HEAD_BYTES, RouteInfo};
use crate::request_info::request_info;
use crate::server::refuse_early;

/// What the S3 protocol needs to know of the configuration.
#[derive(Debug, Clone)]
pub struct S3Settings {
    /// The server's region (`STORAGE_S3_REGION`, else `REGION`).
    pub region: String,
    /// Whether clients must sign for that region (`S3_PROTOCOL_ENFORCE_REGION`).
    pub enforce_region: bool,
    /// The credentials that act as the service role, if there are any.
    pub credentials: Option<StaticCredentials>,
}

/// The S3 protocol. Cheap to clone.
#[derive(Clone)]
pub struct S3Service(Arc<Inner>);

struct Inner {
    storage: Storage,
    keyring: Keyring,
    region: String,
}

impl fmt::Debug for S3Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Service").field("region", &self.0.region).finish_non_exhaustive()
    }
}

impl S3Service {
    /// Puts the protocol on top of the domain. `tokens` verifies session tokens and knows the
    /// tenant's id, the anon key and the service role.
    pub fn new(settings: S3Settings, storage: Storage, tokens: Arc<Authenticator>) -> Self {
        let S3Settings { region, enforce_region, credentials } = settings;
        let policy = Policy { enforce_region, ..Policy::new(region.clone()) };
        let keyring = Keyring { credentials, tokens, policy, keys: SigningKeys::new() };
        Self(Arc::new(Inner { storage, keyring, region }))
    }

    pub(crate) fn storage(&self) -> &Storage {
        &self.0.storage
    }

    pub(crate) fn region(&self) -> &str {
        &self.0.region
    }

    pub(crate) fn keyring(&self) -> &Keyring {
        &self.0.keyring
    }

    /// The id of the one owner that buckets have.
    pub(crate) fn tenant(&self) -> &str {
        self.0.keyring.tokens.tenant_id()
    }

    /// Answers a request. Never fails: every error becomes an S3 error.
    pub async fn serve(&self, request: Request<Body>, route: RouteInfo) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let head = parts.method == Method::HEAD;
        let ids = Ids::of(route.request_id.as_str());
        let resource = match route.rest() {
            "" => "/".to_owned(),
            path => path.to_owned(),
        };
        if parts.extensions.get::<HeadTooLong>().is_some() {
            let error = S3Error::new(
                code::HEAD_TOO_LARGE,
                "Your request header and query parameters used to make the request exceed the maximum allowed size.",
            )
            .detail("MaxSizeAllowed", MAX_HEAD_BYTES.to_string());
            return refuse_early(body, error.into_response(&resource, &ids, head));
        }
        if let Some(boundary) = post_object::boundary_of(&parts) {
            return post_object::serve(self, (&parts, body), boundary, &route, &ids).await;
        }
        let (operation, request, mut body) = match self.prepare(parts, body, &route, &ids) {
            Ok(ready) => ready,
            Err((body, error)) => {
                return refuse_early(body, error.into_response(&resource, &ids, head));
            }
        };
        let response = match self.dispatch(operation, &request, &mut body).await {
            Ok(mut response) => {
                ids.put(response.headers_mut());
                response
            }
            Err(error) => error.about(&request).into_response(&resource, &ids, head),
        };
        match body.unread() {
            Some(unread) => refuse_early(unread, response),
            None => response,
        }
    }

    /// Everything that can be said before an operation begins. A refusal gives the unread body
    /// back.
    fn prepare(
        &self,
        parts: Parts,
        body: Body,
        route: &RouteInfo,
        ids: &Ids,
    ) -> Result<(Route, S3Request, RequestBody), (Body, S3Error)> {
        let now = OffsetDateTime::now_utc();
        let who = match self.0.keyring.authenticate(&parts, route, now) {
            Ok(who) => who,
            Err(error) => return Err((body, error)),
        };
        let chosen = match self.choose(&parts, route.rest()) {
            Ok(chosen) => chosen,
            Err(error) => return Err((body, error)),
        };
        let Chosen { operation, named, headers, query } = chosen;
        let of_body = match operation {
            Route::CompleteMultipartUpload => Cow::Owned(checksum::without_values(&headers)),
            _ => Cow::Borrowed(&headers),
        };
        let body = RequestBody::new(body, &of_body, who.payload, who.context)?;
        let scheme = match parts.headers.get("x-forwarded-proto").map(HeaderValue::as_bytes) {
            Some(b"https") => "https",
            _ => "http",
        };
        let request = S3Request {
            info: Arc::new(request_info(&parts)),
            headers,
            query,
            bucket: named.bucket,
            key: named.key,
            resource: route.rest().to_owned(),
            url: format!("{scheme}://{}{}", who.host, who.path),
            ids: ids.clone(),
            caller: who.caller,
            operation: operation.operation(),
        };
        Ok((operation, request, body))
    }

    /// What is to be done to what.
    fn choose(&self, parts: &Parts, rest: &str) -> Result<Chosen, S3Error> {
        let named = Named::parse(rest)
            .ok_or_else(|| S3Error::new(code::INVALID_URI, "Couldn't parse the specified URI."))?;
        let query = Query::parse(parts.uri.query().unwrap_or_default())?;
        let headers = with_query_headers(&parts.headers, &query);
        let level = match (named.bucket.is_empty(), named.key.is_empty()) {
            (true, _) => Level::Service,
            (false, true) => Level::Bucket,
            (false, false) => Level::Object,
        };
        let copy_source = headers.contains_key("x-amz-copy-source");
        let operation = route(&parts.method, level, &query, copy_source)?;
        unsupported::check(&headers, operation == Route::CreateBucket, self.tenant())?;
        Ok(Chosen { operation, named, headers, query })
    }

    async fn dispatch(
        &self,
        route: Route,
        request: &S3Request,
        body: &mut RequestBody,
    ) -> Result<Response<Body>, S3Error> {
        match route {
            Route::ListBuckets => list_buckets::handle(self, request).await,
            Route::CreateBucket => create_bucket::handle(self, request, body).await,
            Route::HeadBucket => head_bucket::handle(self, request).await,
            Route::DeleteBucket => delete_bucket::handle(self, request).await,
            Route::GetBucketLocation => get_bucket_location::handle(self, request).await,
            Route::GetBucketAcl => get_acl::of_bucket(self, request).await,
            Route::GetBucketTagging => tagging::get_of_bucket(self, request).await,
            Route::PutBucketTagging => tagging::put_of_bucket(self, request, body).await,
            Route::DeleteBucketTagging => tagging::delete_of_bucket(self, request).await,
            Route::ReadBucket(which) => sub_resource::of_bucket(self, request, which).await,
            Route::ListObjectVersions => list_object_versions::handle(self, request).await,
            Route::GetObjectAcl => get_acl::of_object(self, request).await,
            Route::GetObjectAttributes => get_object_attributes::handle(self, request).await,
            Route::GetObjectTagging => tagging::get_of_object(self, request).await,
            Route::PutObjectTagging => tagging::put_of_object(self, request, body).await,
            Route::DeleteObjectTagging => tagging::delete_of_object(self, request).await,
            Route::ReadObject(which) => sub_resource::of_object(self, request, which).await,
            Route::ListObjects => list_objects::handle(self, request).await,
            Route::ListObjectsV2 => list_objects_v2::handle(self, request).await,
            Route::DeleteObjects => delete_objects::handle(self, request, body).await,
            Route::HeadObject => head_object::handle(self, request).await,
            Route::GetObject => get_object::handle(self, request).await,
            Route::PutObject => put_object::handle(self, request, body).await,
            Route::CopyObject => copy_object::handle(self, request).await,
            Route::DeleteObject => delete_object::handle(self, request).await,
            Route::CreateMultipartUpload => multipart::create::handle(self, request).await,
            Route::UploadPart => multipart::upload_part::handle(self, request, body).await,
            Route::UploadPartCopy => multipart::upload_part_copy::handle(self, request).await,
            Route::CompleteMultipartUpload => {
                multipart::complete::handle(self, request, body).await
            }
            Route::AbortMultipartUpload => multipart::abort::handle(self, request).await,
            Route::ListParts => multipart::list_parts::handle(self, request).await,
            Route::ListMultipartUploads => multipart::list_uploads::handle(self, request).await,
        }
    }
}

impl gateway::S3Service for S3Service {
    fn answer(
        &self,
        request: Request<Body>,
        route: RouteInfo,
    ) -> BoxFuture<'static, Response<Body>> {
        let this = self.clone();
        Box::pin(async move { this.serve(request, route).await })
    }
}

struct Chosen {
    operation: Route,
    named: Named,
    headers: HeaderMap,
    query: Query,
}

/// Query names that belong to the signature.
const SIGNATURE: [&str; 8] = [
    "x-amz-algorithm",
    "x-amz-content-sha256",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
];

/// The headers, and those that a presigned URL carries in its query instead (SDKs move metadata,
/// ACL and the like there); the query is signed in either case. Checksums are left out: SDKs that
/// presign an upload put the checksum of an empty body there, which AWS ignores too.
fn with_query_headers(headers: &HeaderMap, query: &Query) -> HeaderMap {
    let mut headers = headers.clone();
    for (name, value) in query.pairs() {
        let name = name.to_ascii_lowercase();
        let moved = name.starts_with("x-amz-")
            && !SIGNATURE.contains(&name.as_str())
            && !name.starts_with("x-amz-checksum-")
            && !name.starts_with("x-amz-sdk-");
        if !moved {
            continue;
        }
        if let (Ok(name), Ok(value)) =
            (HeaderName::try_from(name), HeaderValue::from_bytes(value.as_bytes()))
        {
            headers.entry(name).or_insert(value);
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presigned_urls_carry_headers() {
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-meta-a", HeaderValue::from_static("header"));
        let query = Query::parse(
            "X-Amz-Date=d&x-amz-meta-a=query&x-amz-meta-b=%C3%BC&X-Amz-Acl=private&x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-sdk-checksum-algorithm=CRC32&prefix=p",
        )
        .unwrap();
        let merged = with_query_headers(&headers, &query);
        assert_eq!(merged["x-amz-meta-a"], "header");
        assert_eq!(merged["x-amz-meta-b"].as_bytes(), "ü".as_bytes());
        assert_eq!(merged["x-amz-acl"], "private");
        assert_eq!(merged.len(), 3);
    }
}
