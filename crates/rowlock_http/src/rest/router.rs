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
    Render(Operation),
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
            Self::Render(operation) => operation,
        }
    }

    /// What it demands of its caller.
    pub(crate) fn demand(self) -> Demand {
        match self {
            Self::Render(_) => Demand::Nothing,
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
        _ => return None,
    };
    Some((route, Named { bucket, key: "" }))
}

/// `/render/image/{authenticated,public,sign}/{bucket}/{key}`.
fn render<'a>(method: &Method, rest: &'a str) -> Option<(Route, Named<'a>)> {
    let (kind, named) = rest.strip_prefix("image/")?.split_once('/')?;
    let operation = match (method.as_str(), kind) {
        ("GET" | "HEAD", "authenticated") => Operation::RenderAuthenticated,
        ("GET" | "HEAD", "public") => Operation::RenderPublic,
        ("GET" | "HEAD", "sign") => Operation::RenderSigned,
        _ => return None,
    };
    let (bucket, key) = named.split_once('/')?;
    Some((Route::Render(operation), Named { bucket, key }))
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
    fn buckets() {
        for (method, path, wanted, bucket) in [
            ("POST", "/bucket", Route::BucketCreate, ""),
            ("POST", "/bucket/", Route::BucketCreate, ""),
            ("GET", "/bucket", Route::BucketList, ""),
            ("GET", "/bucket/", Route::BucketList, ""),
            ("GET", "/bucket/a%20b", Route::BucketGet, "a%20b"),
            ("PUT", "/bucket/a", Route::BucketUpdate, "a"),
            ("DELETE", "/bucket/a", Route::BucketDelete, "a"),
        ] {
            assert_eq!(find(method, path), Some((wanted, bucket, "")), "{method} {path}");
        }
        for (method, path) in [
            ("DELETE", "/bucket"),
            ("PATCH", "/bucket/a"),
            ("GET", "/bucket/a/b"),
            ("GET", "/bucketx"),
        ] {
            assert_eq!(find(method, path), None, "{method} {path}");
        }
    }
}
