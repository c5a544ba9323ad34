//! The REST API: reads of a public bucket and of one under policies, uploads, lists.

use http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use crate::Result;
use crate::client::{Connection, Repeat, drain, noise, split};
use crate::load::{self, Counter, Load};
use crate::report::Figure;

/// Anyone may read it.
const PUBLIC: &str = "bench-public";
/// Policies decide who may.
const PRIVATE: &str = "bench-private";

/// A REST API with the keys to use there.
#[derive(Debug, Clone)]
pub(crate) struct Rest {
    /// The API as the user named it.
    pub(crate) url: String,
    authority: String,
    path: String,
    service_key: String,
    token: Option<String>,
}

impl Rest {
    /// `url` is what `/object` and `/bucket` follow; `token` is a user's.
    pub(crate) fn new(url: &str, service_key: &str, token: Option<&str>) -> Result<Self> {
        let (authority, path) = split(url)?;
        Ok(Self {
            url: url.to_owned(),
            authority,
            path,
            service_key: service_key.to_owned(),
            token: token.map(str::to_owned),
        })
    }

    /// Whether there is a user's token.
    pub(crate) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    fn request(
        &self,
        method: &Method,
        path: &str,
        key: Option<&str>,
        body: Repeat,
    ) -> Result<Request<Repeat>> {
        let target = format!("{}/{path}", self.path);
        let mut request =
            Request::builder().method(method).uri(target).header("host", &self.authority);
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        Ok(request.body(body)?)
    }

    fn json(&self, path: &str, key: &str, document: &Value) -> Result<Request<Repeat>> {
        let body = Repeat::whole(document.to_string().into());
        let mut request = self.request(&Method::POST, path, Some(key), body)?;
        request
            .headers_mut()
            .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        Ok(request)
    }

    fn user(&self) -> Result<&str> {
        Ok(self.token.as_deref().ok_or("this part needs --token")?)
    }

    /// Makes both buckets, unless they are there.
    pub(crate) async fn create_buckets(&self) -> Result<()> {
        let mut connection = Connection::open(&self.authority).await?;
        for (name, public) in [(PUBLIC, true), (PRIVATE, false)] {
            let wanted = json!({ "id": name, "name": name, "public": public });
            let request = self.json("bucket", &self.service_key, &wanted)?;
            let answer = connection.send(request).await?;
            let status = answer.status();
            drain(answer).await?;
            // 400 is what the reference says to a bucket that exists.
            if !matches!(status, StatusCode::OK | StatusCode::CONFLICT | StatusCode::BAD_REQUEST) {
                return Err(format!("{}: creating a bucket answered {status}", self.url).into());
            }
        }
        Ok(())
    }

    async fn prepare(&self, bucket: &str, key: &str, size: usize) -> Result<()> {
        let (rest, data) = (self.clone(), noise(size));
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        load::prepare(&self.authority, move |name| {
            // PUT: an earlier run's object is replaced.
            let path = format!("object/{bucket}/{name}");
            rest.request(&Method::PUT, &path, Some(&key), Repeat::whole(data.clone()))
        })
        .await
    }

    /// Reads of a public bucket, by nobody.
    pub(crate) async fn public(&self, size: usize, loads: &[Load]) -> Result<Vec<Figure>> {
        self.prepare(PUBLIC, &self.service_key, size).await?;
        let make = |name: &str| {
            let path = format!("object/public/{PUBLIC}/{name}");
            self.request(&Method::GET, &path, None, Repeat::nothing())
        };
        self.repeat("REST GET, public", size, loads, make).await
    }

    /// Reads by a user, whom policies let.
    pub(crate) async fn token(&self, size: usize, loads: &[Load]) -> Result<Vec<Figure>> {
        let user = self.user()?;
        self.prepare(PRIVATE, user, size).await?;
        let make = |name: &str| {
            let path = format!("object/authenticated/{PRIVATE}/{name}");
            self.request(&Method::GET, &path, Some(user), Repeat::nothing())
        };
        self.repeat("REST GET, token", size, loads, make).await
    }

    async fn repeat(
        &self,
        name: &str,
        size: usize,
        loads: &[Load],
        make: impl Fn(&str) -> Result<Request<Repeat>>,
    ) -> Result<Vec<Figure>> {
        let mut figures = Vec::new();
        for load in loads {
            let size = Some(size as u64);
            figures.extend(load::repeat(name, &self.authority, *load, size, &make).await?);
        }
        Ok(figures)
    }

    /// Uploads of new objects, with the service key or as a user.
    pub(crate) async fn post(
        &self,
        as_user: bool,
        size: usize,
        loads: &[Load],
    ) -> Result<Vec<Figure>> {
        let mut figures = Vec::new();
        for load in loads {
            figures.extend(self.post_once(as_user, size, *load).await?);
        }
        Ok(figures)
    }

    async fn post_once(&self, as_user: bool, size: usize, load: Load) -> Result<Vec<Figure>> {
        let (name, key) = match as_user {
            true => ("REST POST, token", self.user()?),
            false => ("REST POST, service key", self.service_key.as_str()),
        };
        let (rest, key, data) = (self.clone(), key.to_owned(), noise(size));
        let (folder, next) = (load::fresh_folder(), Counter::default());
        load::run(name, &self.authority, load, move || {
            let number = next.next();
            let path = format!("object/{PRIVATE}/{folder}/{}/{number}", number % 100);
            let body = Repeat::whole(data.clone());
            Ok((rest.request(&Method::POST, &path, Some(&key), body)?, None))
        })
        .await
    }

    /// Pages of 100 entries as a user sees them, of both kinds of list.
    pub(crate) async fn list(&self, size: usize, loads: &[Load]) -> Result<Vec<Figure>> {
        let user = self.user()?;
        self.prepare(PRIVATE, user, size).await?;
        // Fifty objects to a folder: what a user looks at is one.
        let first = json!({ "prefix": "get/1", "limit": 100, "offset": 0 });
        let second = json!({ "prefix": "get/", "limit": 100 });
        let requests = [
            ("REST list v1, 50 of a folder", format!("object/list/{PRIVATE}"), first),
            ("REST list v2, 100 of a bucket", format!("object/list-v2/{PRIVATE}"), second),
        ];
        let mut figures = Vec::new();
        for (name, path, document) in requests {
            let request = self.json(&path, user, &document)?;
            for load in loads {
                let request = request.clone();
                let made =
                    load::run(name, &self.authority, *load, move || Ok((request.clone(), None)));
                figures.extend(made.await?);
            }
        }
        Ok(figures)
    }

    /// Uploads whose figures nobody looks at: what they leave is the server's memory at its peak.
    pub(crate) async fn fill(&self, size: usize, load: Load) -> Result<()> {
        self.post_once(false, size, load).await.map(|_| ())
    }
}
