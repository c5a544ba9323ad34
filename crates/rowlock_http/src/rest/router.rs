//! Which operation a request means.

use http::Method;
use rowlock_types::Operation;

use super::path::Named;

/// The operations that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    BucketCreate,
    BucketList,
    BucketGet,
    BucketUpdate,
    BucketDelete,
    BucketEmpty,
    ObjectUpload,
    ObjectUpdate,
    ObjectRead(Door),
    ObjectInfo(Door),
    ObjectDelete,
    ObjectDeleteMany,
    ObjectList,
    ObjectListV2,
    ObjectCopy,
    ObjectMove,
    ObjectSign,
    ObjectSignMany,
    ObjectGetSigned,
    ObjectSignUpload,
    ObjectUploadSigned,
    Cdn(Operation),
    RenderAuthenticated,
    RenderPublic,
    RenderSigned,
}

/// By which of its paths an object is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// `/object/{bucket}/{key}`: whoever asks.
    Any,
    /// `/object/authenticated/…`: callers with a token.
    Authenticated,
    /// `/object/public/…`: public buckets, whoever asks.
    Public,
}

/// What an operation demands of its `Authorization`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demand {
    /// A good token.
    Token,
    /// A token, if there is a good one: else the request is anonymous.
    Optional,
    /// Nothing: whatever is there is not looked at.
    Nothing,
}

impl Route {
    /// The name that policies see.
    pub(crate) fn operation(self) -> Operation {
        match self {
            Self::BucketCreate => Operation::BucketCreate,
            Self::BucketList => Operation::BucketList,
            Self::BucketGet => Operation::BucketGet,
            Self::BucketUpdate => Operation::BucketUpdate,
            Self::BucketDelete => Operation::BucketDelete,
            Self::BucketEmpty => Operation::BucketEmpty,
            Self::ObjectUpload => Operation::ObjectUpload,
            Self::ObjectUpdate => Operation::ObjectUploadUpdate,
            Self::ObjectRead(Door::Public) => Operation::ObjectGetPublic,
            Self::ObjectRead(_) => Operation::ObjectGetAuthenticated,
            Self::ObjectInfo(Door::Public) => Operation::ObjectInfoPublic,
            Self::ObjectInfo(_) => Operation::ObjectInfoAuthenticated,
            Self::ObjectDelete => Operation::ObjectDelete,
            Self::ObjectDeleteMany => Operation::ObjectDeleteMany,
            Self::ObjectList => Operation::ObjectList,
            Self::ObjectListV2 => Operation::ObjectListV2,
            Self::ObjectCopy => Operation::ObjectCopy,
            Self::ObjectMove => Operation::ObjectMove,
            Self::ObjectSign => Operation::ObjectSign,
            Self::ObjectSignMany => Operation::ObjectSignMany,
            Self::ObjectGetSigned => Operation::ObjectGetSigned,
            Self::ObjectSignUpload => Operation::ObjectSignUpload,
            Self::ObjectUploadSigned => Operation::ObjectUploadSigned,
            Self::Cdn(operation) => operation,
            Self::RenderAuthenticated => Operation::RenderAuthenticated,
            Self::RenderPublic => Operation::RenderPublic,
            Self::RenderSigned => Operation::RenderSigned,
        }
    }

    /// Whether its answer is a rendered image.
    pub(crate) fn renders(self) -> bool {
        matches!(self, Self::RenderAuthenticated | Self::RenderPublic | Self::RenderSigned)
    }

    /// What it demands of its caller.
    pub(crate) fn demand(self) -> Demand {
        match self {
            Self::ObjectGetSigned | Self::ObjectUploadSigned | Self::RenderSigned => {
                Demand::Nothing
            }
            Self::ObjectRead(Door::Public)
            | Self::ObjectInfo(Door::Public)
            | Self::RenderPublic => Demand::Nothing,
            Self::ObjectRead(Door::Any) => Demand::Optional,
            _ => Demand::Token,
        }
    }
}

/// The operation and what it is to be done to. `path` is without the stack's prefix and
/// percent-encoded.
pub(crate) fn route<'a>(method: &Method, path: &'a str) -> Option<(Route, Named<'a>)> {
    let (area, rest) = split(path.strip_prefix('/')?);
    match area {
        "bucket" => bucket(method, rest),
        "object" => object(method, rest?),
        "cdn" => cdn(method, rest.unwrap_or_default()),
        "render" => render(method, rest?),
        _ => None,
    }
}

/// `/bucket`, `/bucket/`, `/bucket/{id}`, `/bucket/{id}/empty`.
fn bucket<'a>(method: &Method, rest: Option<&'a str>) -> Option<(Route, Named<'a>)> {
    let (bucket, more) = split(rest.unwrap_or_default());
    let route = match (method.as_str(), bucket, more) {
        ("POST", "", None) => Route::BucketCreate,
        ("GET" | "HEAD", "", None) => Route::BucketList,
        (_, "", _) => return None,
        ("GET" | "HEAD", _, None) => Route::BucketGet,
        ("PUT", _, None) => Route::BucketUpdate,
        ("DELETE", _, None) => Route::BucketDelete,
        ("POST", _, Some("empty")) => Route::BucketEmpty,
        _ => return None,
    };
    Some((route, Named { bucket, key: "" }))
}

/// `/object/…`. A word such as `public` is a bucket's name where no more fitting path is.
fn object<'a>(method: &Method, rest: &'a str) -> Option<(Route, Named<'a>)> {
    let reads = method == Method::GET || method == Method::HEAD;
    let (word, more) = split(rest);
    let special = match word {
        "authenticated" if reads => {
            pair(more).map(|named| (Route::ObjectRead(Door::Authenticated), named))
        }
        "public" if reads => pair(more).map(|named| (Route::ObjectRead(Door::Public), named)),
        "info" if reads => info(more),
        "sign" if reads => pair(more).map(|named| (Route::ObjectGetSigned, named)),
        "upload" => upload(method, more),
        _ if method == Method::POST => named_post(word, more),
        _ => None,
    };
    special.or_else(|| {
        let route = match method.as_str() {
            "GET" | "HEAD" => Route::ObjectRead(Door::Any),
            "POST" => Route::ObjectUpload,
            "PUT" => Route::ObjectUpdate,
            "DELETE" => {
                return match pair(Some(rest)) {
                    Some(named) => Some((Route::ObjectDelete, named)),
                    None => of_bucket(Some(rest)).map(|named| (Route::ObjectDeleteMany, named)),
                };
            }
            _ => return None,
        };
        Some((route, pair(Some(rest))?))
    })
}

/// `POST` to a word: lists and signatures of a bucket, copies and moves.
fn named_post<'a>(word: &str, more: Option<&'a str>) -> Option<(Route, Named<'a>)> {
    let nothing = Named { bucket: "", key: "" };
    match (word, more) {
        ("copy", None) => Some((Route::ObjectCopy, nothing)),
        ("move", None) => Some((Route::ObjectMove, nothing)),
        ("list", _) => of_bucket(more).map(|named| (Route::ObjectList, named)),
        ("list-v2", _) => of_bucket(more).map(|named| (Route::ObjectListV2, named)),
        ("sign", _) => match pair(more) {
            Some(named) => Some((Route::ObjectSign, named)),
            None => of_bucket(more).map(|named| (Route::ObjectSignMany, named)),
        },
        _ => None,
    }
}

/// `/object/upload/sign/{bucket}/{key}`.
fn upload<'a>(method: &Method, more: Option<&'a str>) -> Option<(Route, Named<'a>)> {
    let route = match method.as_str() {
        "POST" => Route::ObjectSignUpload,
        "PUT" => Route::ObjectUploadSigned,
        _ => return None,
    };
    Some((route, pair(Some(more?.strip_prefix("sign/")?))?))
}

/// `{bucket}` alone.
fn of_bucket(rest: Option<&str>) -> Option<Named<'_>> {
    let bucket = rest.filter(|rest| !rest.is_empty() && !rest.contains('/'))?;
    Some(Named { bucket, key: "" })
}

/// `DELETE /cdn`, `/cdn/{bucket}`, `/cdn/{bucket}/{key}`.
fn cdn<'a>(method: &Method, rest: &'a str) -> Option<(Route, Named<'a>)> {
    if method != Method::DELETE {
        return None;
    }
    let (bucket, key) = split(rest);
    let operation = match (bucket, key) {
        ("", None) => Operation::CdnPurgeTenant,
        ("", Some(_)) => return None,
        (_, None | Some("")) => Operation::CdnPurgeBucket,
        _ => Operation::CdnPurgeObject,
    };
    Some((Route::Cdn(operation), Named { bucket, key: key.unwrap_or_default() }))
}

/// `/object/info/{bucket}/{key}`, `/object/info/authenticated/…`, `/object/info/public/…`.
fn info(rest: Option<&str>) -> Option<(Route, Named<'_>)> {
    let (word, more) = split(rest?);
    let special = match word {
        "authenticated" => Some(Door::Authenticated),
        "public" => Some(Door::Public),
        _ => None,
    };
    match special.and_then(|door| Some((door, pair(more)?))) {
        Some((door, named)) => Some((Route::ObjectInfo(door), named)),
        None => Some((Route::ObjectInfo(Door::Any), pair(rest)?)),
    }
}

/// `{bucket}/{key}`; the key may be empty, which no object's is.
fn pair(rest: Option<&str>) -> Option<Named<'_>> {
    let (bucket, key) = rest?.split_once('/')?;
    (!bucket.is_empty()).then_some(Named { bucket, key })
}

/// `/render/image/{authenticated,public,sign}/{bucket}/{key}`.
fn render<'a>(method: &Method, rest: &'a str) -> Option<(Route, Named<'a>)> {
    let (kind, named) = rest.strip_prefix("image/")?.split_once('/')?;
    let route = match (method.as_str(), kind) {
        ("GET" | "HEAD", "authenticated") => Route::RenderAuthenticated,
        ("GET" | "HEAD", "public") => Route::RenderPublic,
        ("GET" | "HEAD", "sign") => Route::RenderSigned,
        _ => return None,
    };
    let (bucket, key) = named.split_once('/')?;
    Some((route, Named { bucket, key }))
}

/// The first segment, and what follows its slash.
fn split(path: &str) -> (&str, Option<&str>) {
    match path.split_once('/') {
        Some((first, rest)) => (first, Some(rest)),
        None => (path, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(method: &str, path: &'static str) -> Option<(Route, &'static str, &'static str)> {
        let method: Method = method.parse().unwrap();
        route(&method, path).map(|(route, named)| (route, named.bucket, named.key))
    }

    #[test]
    fn objects() {
        for (method, path, wanted, bucket, key) in [
            ("POST", "/object/b/k", Route::ObjectUpload, "b", "k"),
            ("PUT", "/object/b/a//k%2F", Route::ObjectUpdate, "b", "a//k%2F"),
            ("POST", "/object/b/", Route::ObjectUpload, "b", ""),
            ("POST", "/object/public/k", Route::ObjectUpload, "public", "k"),
            ("GET", "/object/b/a/k", Route::ObjectRead(Door::Any), "b", "a/k"),
            ("HEAD", "/object/public/k", Route::ObjectRead(Door::Any), "public", "k"),
            ("GET", "/object/public/b/k", Route::ObjectRead(Door::Public), "b", "k"),
            ("GET", "/object/authenticated/b/k", Route::ObjectRead(Door::Authenticated), "b", "k"),
            ("GET", "/object/info/b/k", Route::ObjectInfo(Door::Any), "b", "k"),
            ("GET", "/object/info/public/k", Route::ObjectInfo(Door::Any), "public", "k"),
            ("GET", "/object/info/public/b/k", Route::ObjectInfo(Door::Public), "b", "k"),
            ("GET", "/object/info/k", Route::ObjectRead(Door::Any), "info", "k"),
        ] {
            assert_eq!(find(method, path), Some((wanted, bucket, key)), "{method} {path}");
        }
    }

    #[test]
    fn words_that_are_operations() {
        for (method, path, wanted, bucket, key) in [
            ("POST", "/object/list/b", Route::ObjectList, "b", ""),
            ("POST", "/object/list/b/k", Route::ObjectUpload, "list", "b/k"),
            ("POST", "/object/list-v2/b", Route::ObjectListV2, "b", ""),
            ("POST", "/object/copy", Route::ObjectCopy, "", ""),
            ("POST", "/object/move", Route::ObjectMove, "", ""),
            ("POST", "/object/move/k", Route::ObjectUpload, "move", "k"),
            ("POST", "/object/sign/b", Route::ObjectSignMany, "b", ""),
            ("POST", "/object/sign/b/a/k", Route::ObjectSign, "b", "a/k"),
            ("GET", "/object/sign/b/a/k", Route::ObjectGetSigned, "b", "a/k"),
            ("HEAD", "/object/sign/b/k", Route::ObjectGetSigned, "b", "k"),
            ("GET", "/object/sign/k", Route::ObjectRead(Door::Any), "sign", "k"),
            ("POST", "/object/upload/sign/b/k", Route::ObjectSignUpload, "b", "k"),
            ("PUT", "/object/upload/sign/b/k", Route::ObjectUploadSigned, "b", "k"),
            ("PUT", "/object/upload/k", Route::ObjectUpdate, "upload", "k"),
            ("DELETE", "/object/b/k/", Route::ObjectDelete, "b", "k/"),
            ("DELETE", "/object/b", Route::ObjectDeleteMany, "b", ""),
            ("DELETE", "/object/list", Route::ObjectDeleteMany, "list", ""),
            ("DELETE", "/cdn/b/k", Route::Cdn(Operation::CdnPurgeObject), "b", "k"),
            ("DELETE", "/cdn/b", Route::Cdn(Operation::CdnPurgeBucket), "b", ""),
            ("DELETE", "/cdn", Route::Cdn(Operation::CdnPurgeTenant), "", ""),
        ] {
            assert_eq!(find(method, path), Some((wanted, bucket, key)), "{method} {path}");
        }
        for (method, path) in
            [("GET", "/cdn/b/k"), ("POST", "/object/copy2"), ("DELETE", "/object")]
        {
            assert_eq!(find(method, path), None, "{method} {path}");
        }
    }

    #[test]
    fn buckets() {
        for (method, path, wanted, bucket) in [
            ("POST", "/bucket", Route::BucketCreate, ""),
            ("POST", "/bucket/", Route::BucketCreate, ""),
            ("GET", "/bucket", Route::BucketList, ""),
            ("GET", "/bucket/", Route::BucketList, ""),
            ("GET", "/bucket/a%20b", Route::BucketGet, "a%20b"),
            ("PUT", "/bucket/a", Route::BucketUpdate, "a"),
            ("DELETE", "/bucket/a", Route::BucketDelete, "a"),
            ("POST", "/bucket/a/empty", Route::BucketEmpty, "a"),
        ] {
            assert_eq!(find(method, path), Some((wanted, bucket, "")), "{method} {path}");
        }
        for (method, path) in [
            ("DELETE", "/bucket"),
            ("POST", "/object"),
            ("POST", "/object/a"),
            ("POST", "/object//a"),
            ("PATCH", "/bucket/a"),
            ("GET", "/bucket/a/b"),
            ("GET", "/bucketx"),
        ] {
            assert_eq!(find(method, path), None, "{method} {path}");
        }
    }
}
