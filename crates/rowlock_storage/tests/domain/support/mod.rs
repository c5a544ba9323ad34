//! A domain on a real PostgreSQL and real files, and short words for what tests do with it.

pub(crate) mod proxy;
pub(crate) mod stores;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use rowlock_blobs::file::{FileSettings, FileStore, Separator};
use rowlock_blobs::{BlobBody, BlobStore};
use rowlock_catalog::connect::{ConnectSettings, Connector};
use rowlock_catalog::schema::{SchemaSettings, prepare};
use rowlock_catalog::testing::{TestDatabase, TestServer, World};
use rowlock_catalog::{
    Catalog, CatalogSettings, Connect, ConnectListening, Error as CatalogError, LaneSettings,
    OwnSchema, Presence,
};
use rowlock_storage::{
    BodyError, Context, Error, Expected, NewObject, Settings, Storage, UploadStream, Uploaded,
    WriteCondition,
};
use rowlock_types::{
    BucketName, Caller, KeyRules, ObjectKey, Operation, RequestInfo, Role, RowlockMetadata,
    UserMetadata,
};
use std::collections::BTreeSet;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio_postgres::Client;

pub(crate) const ALICE: &str = "11111111-1111-4111-8111-111111111111";
pub(crate) const BOB: &str = "22222222-2222-4222-8222-222222222222";
pub(crate) const SERVICE_CLAIMS: &str = r#"{"role":"service_role","iss":"test"}"#;

pub(crate) type Wrap = Box<dyn FnOnce(Arc<dyn BlobStore>) -> Arc<dyn BlobStore>>;

/// How a rig differs from the usual one.
pub(crate) struct Plan {
    pub(crate) world: World,
    pub(crate) grace: Duration,
    pub(crate) connections: usize,
    pub(crate) separator: Separator,
    pub(crate) creates_schemas: bool,
    pub(crate) max_object_bytes: Option<u64>,
    /// Puts something between the domain and its files.
    pub(crate) wrap: Option<Wrap>,
    /// Puts something between the domain and its database.
    pub(crate) proxied: bool,
    /// Named statements; without them all is sent as a transaction-mode pooler needs it.
    pub(crate) named: bool,
    /// Connections on which reads of many requests travel; there are none without names.
    pub(crate) lanes: usize,
    pub(crate) statement_timeout: Duration,
    pub(crate) server: Option<&'static TestServer>,
    pub(crate) resumable_expiry: Duration,
    /// Changes of objects write events.
    pub(crate) events: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            world: World::Stack,
            grace: Duration::ZERO,
            connections: 10,
            separator: Separator::Slash,
            creates_schemas: true,
            max_object_bytes: None,
            wrap: None,
            proxied: false,
            named: true,
            lanes: 2,
            statement_timeout: Duration::from_secs(30),
            server: None,
            resumable_expiry: Duration::from_secs(3600),
            events: false,
        }
    }
}

pub(crate) struct Rig {
    pub(crate) db: TestDatabase,
    pub(crate) catalog: Catalog,
    pub(crate) storage: Storage,
    settings: Settings,
    pub(crate) blobs: Arc<dyn BlobStore>,
    /// A superuser's connection.
    pub(crate) admin: Client,
    pub(crate) own: OwnSchema,
    pub(crate) proxy: Option<proxy::Proxy>,
    root: TempDir,
}

impl Rig {
    pub(crate) async fn new() -> Self {
        Self::with(Plan::default()).await
    }

    pub(crate) async fn with(plan: Plan) -> Self {
        let server = plan.server.unwrap_or_else(|| TestServer::shared(plan.world));
        let creates =
            rowlock_catalog::schema::StackSettings { storage_admin_creates: plan.creates_schemas };
        let db = server.database_with(creates).await;
        let (user, install_roles) = match plan.world {
            World::Stack => ("supabase_storage_admin", false),
            World::Plain => ("postgres", true),
        };
        let mut client = db.connect(user).await;
        let settings = SchemaSettings { install_roles, ..SchemaSettings::default() };
        let prepared = prepare(&mut client, &settings).await.unwrap();
        let own = match prepared.own_schema.as_str() {
            "storage" => OwnSchema::Storage,
            _ => OwnSchema::Rowlock,
        };
        let proxy = if plan.proxied { Some(proxy::Proxy::start(&db, user).await) } else { None };
        let url = proxy.as_ref().map_or_else(|| db.url(user), |proxy| proxy.url(&db, user));
        let root = TempDir::new().unwrap();
        let files = FileStore::open(FileSettings {
            root: root.path().to_owned(),
            root_bucket: "stub".into(),
            tenant: "ten".into(),
            separator: plan.separator,
        })
        .unwrap();
        let files: Arc<dyn BlobStore> = Arc::new(files);
        let blobs = match plan.wrap {
            Some(wrap) => wrap(files),
            None => files,
        };
        let catalog = Catalog::new(CatalogSettings {
            connect: connect(&url),
            named_statements: plan.named,
            search_path: (!plan.named).then(|| "storage,public,extensions".to_owned()),
            max_connections: plan.connections,
            connection_timeout: Duration::from_secs(20),
            statement_timeout: plan.statement_timeout,
            idle_timeout: Duration::from_secs(60),
            service: Arc::new(Caller {
                role: Role::new("service_role"),
                subject: None,
                claims: SERVICE_CLAIMS.into(),
                token: "service-token".into(),
                is_service: true,
            }),
            own_schema: own,
            events: plan.events,
            lanes: (plan.lanes > 0).then(|| lanes(&url, plan.lanes)),
        })
        .unwrap();
        catalog.refresh_forbidden_roles().await.unwrap();
        let settings = Settings {
            max_object_bytes: plan.max_object_bytes,
            max_single_upload_bytes: None,
            key_rules: KeyRules::Utf8,
            blob_grace: plan.grace,
            multipart_expiry: Duration::from_secs(86_400),
            resumable_expiry: plan.resumable_expiry,
            encryption_key: "secret".into(),
        };
        let storage = Storage::new(catalog.clone(), Arc::clone(&blobs), settings.clone());
        let admin = db.connect(db.superuser()).await;
        Self { db, catalog, storage, settings, blobs, admin, own, proxy, root }
    }

    /// Another server over the same rows and blobs, which shows that it lives and hears the others
    /// as long as its presence is kept.
    pub(crate) async fn server(&self) -> (Storage, Presence) {
        let presence = Presence::hold(listen(&self.db.url("supabase_storage_admin"))).await;
        let presence = presence.unwrap();
        let (catalog, blobs) = (self.catalog.clone(), Arc::clone(&self.blobs));
        let storage =
            Storage::new(catalog, blobs, self.settings.clone()).in_process(presence.process());
        storage.hear(presence.asked());
        (storage, presence)
    }

    /// Runs SQL as a superuser.
    pub(crate) async fn sql(&self, text: &str) {
        self.admin.batch_execute(text).await.unwrap_or_else(|error| panic!("{text}: {error:?}"));
    }

    /// One text, as a superuser sees it.
    pub(crate) async fn text(&self, query: &str) -> String {
        self.texts(query).await.into_iter().next().unwrap_or_default()
    }

    pub(crate) async fn texts(&self, query: &str) -> Vec<String> {
        let rows = self.admin.query(query, &[]).await;
        let rows = rows.unwrap_or_else(|error| panic!("{query}: {error:?}"));
        rows.iter().map(|row| row.get::<_, Option<String>>(0).unwrap_or_default()).collect()
    }

    /// A bucket that everybody may use as row-level security lets them.
    pub(crate) async fn bucket(&self, name: &str) -> BucketName {
        let insert = "INSERT INTO storage.buckets (id, name) VALUES ($1, $1)";
        self.admin.execute(insert, &[&name]).await.unwrap();
        BucketName::existing(name).unwrap()
    }

    /// Lets signed-in and anonymous callers do everything with objects.
    pub(crate) async fn open_policy(&self) {
        self.sql("CREATE POLICY everything ON storage.objects USING (true) WITH CHECK (true)")
            .await;
    }

    pub(crate) async fn put(
        &self,
        ctx: &Context,
        bucket: &BucketName,
        name: &str,
        bytes: &[u8],
    ) -> Result<Uploaded, Error> {
        self.put_if(ctx, bucket, name, bytes, WriteCondition::None).await
    }

    pub(crate) async fn put_if(
        &self,
        ctx: &Context,
        bucket: &BucketName,
        name: &str,
        bytes: &[u8],
        condition: WriteCondition,
    ) -> Result<Uploaded, Error> {
        let new = NewObject { condition, ..new_object(bucket, name, bytes.len()) };
        let upload = self.storage.begin_upload(ctx, new).await?;
        upload.receive(body(bytes), Expected::default()).await
    }

    pub(crate) async fn get(
        &self,
        ctx: &Context,
        bucket: &BucketName,
        name: &str,
    ) -> Result<Vec<u8>, Error> {
        let object = self.storage.find_object(ctx, bucket, &key(name)).await?;
        let body = self.storage.read_blob(&object, 0..object.size).await?;
        Ok(collect(body).await)
    }

    /// All regular files below the root, but what makes an upload's folder.
    pub(crate) fn files(&self) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        walk(self.root.path(), self.root.path(), &mut found);
        found
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// Files of a bucket's blobs, relative to the bucket's folder.
    pub(crate) fn blob_files(&self, bucket: &BucketName) -> BTreeSet<String> {
        let prefix = Path::new("stub/ten").join(bucket.as_str());
        self.files()
            .iter()
            .filter_map(|path| path.strip_prefix(&prefix).ok())
            .map(|path| path.to_str().unwrap().to_owned())
            .collect()
    }

    /// What the rows of a bucket say that there should be as blob files.
    pub(crate) async fn row_files(&self, bucket: &BucketName) -> BTreeSet<String> {
        let query = "SELECT name || coalesce('/' || version, '') FROM storage.objects
                     WHERE bucket_id = $1";
        let rows = self.admin.query(query, &[&bucket.as_str()]).await.unwrap();
        rows.iter().map(|row| row.get::<_, String>(0)).collect()
    }

    pub(crate) fn own_table(&self, table: &str) -> String {
        let schema = if self.own == OwnSchema::Rowlock { "rowlock" } else { "storage" };
        format!("{schema}.rowlock_{table}")
    }

    pub(crate) async fn outbox_rows(&self) -> Vec<String> {
        let table = self.own_table("outbox");
        self.texts(&format!(
            "SELECT name || ':' || coalesce(version, '-') FROM {table} ORDER BY id"
        ))
        .await
    }

    /// Runs the worker until `done` says so.
    pub(crate) async fn work_until<F, Fut>(&self, what: &str, done: F)
    where
        F: Fn() -> Fut,
        Fut: Future<Output = bool>,
    {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let worker = tokio::spawn(self.storage.clone().run_worker(async {
            let _ = stopped.await;
        }));
        let held = eventually(&done).await;
        let _ = stop.send(());
        worker.await.unwrap();
        assert!(held, "the worker did not get there: {what}");
    }

    /// Runs the worker until nothing is left for it to do.
    pub(crate) async fn drain(&self) {
        self.work_until("an empty outbox", || async { self.outbox_rows().await.is_empty() }).await;
    }
}

/// Whether something comes true within half a minute.
pub(crate) async fn eventually<F, Fut>(done: F) -> bool
where
    F: Fn() -> Fut,
    Fut: Future<Output = bool>,
{
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if done().await {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn walk(root: &Path, folder: &Path, found: &mut BTreeSet<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(root, &path, found),
            Ok(_) => {
                found.insert(path.strip_prefix(root).unwrap().to_owned());
            }
            // Gone in between.
            Err(_) => {}
        }
    }
}

fn connector(url: &str, name: &str) -> Connector {
    let session = vec![("search_path".to_owned(), "storage,public,extensions".to_owned())];
    let settings = ConnectSettings {
        application_name: Some(name.into()),
        session,
        ..ConnectSettings::new(url)
    };
    Connector::new(&settings).unwrap()
}

fn lanes(url: &str, count: usize) -> LaneSettings {
    let connector = connector(url, "lane");
    let open = move || -> BoxFuture<'static, _> {
        let connector = connector.clone();
        Box::pin(async move {
            let opened = connector.connect_raw().await;
            opened.map_err(|error| CatalogError::Unavailable(error.to_string()))
        })
    };
    LaneSettings { open: Arc::new(open), count }
}

pub(crate) fn connect(url: &str) -> Connect {
    let connector = connector(url, "rig");
    Arc::new(move || {
        let connector = connector.clone();
        Box::pin(async move {
            let connected = connector.connect().await;
            connected
                .map(|(client, _)| client)
                .map_err(|e| CatalogError::Unavailable(e.to_string()))
        })
    })
}

pub(crate) fn listen(url: &str) -> ConnectListening {
    let connector = connector(url, "presence");
    Arc::new(move || {
        let connector = connector.clone();
        Box::pin(async move {
            let connected = connector.connect_listening().await;
            connected.map_err(|e| CatalogError::Unavailable(e.to_string()))
        })
    })
}

pub(crate) fn context(caller: Caller) -> Context {
    Context {
        caller: Arc::new(caller),
        request: Arc::new(RequestInfo {
            method: "PUT".into(),
            path: "/s3/test".into(),
            headers: r#"{"x-test":"1"}"#.into(),
            id: "request-1".into(),
        }),
        operation: Operation::S3Upload,
    }
}

pub(crate) fn during(ctx: &Context, operation: Operation) -> Context {
    Context { operation, ..ctx.clone() }
}

pub(crate) fn service() -> Context {
    context(Caller {
        role: Role::new("service_role"),
        subject: None,
        claims: SERVICE_CLAIMS.into(),
        token: "service-token".into(),
        is_service: true,
    })
}

/// A caller of any role, as a token of that role would make it.
pub(crate) fn caller(role: &str, subject: Option<&str>) -> Context {
    let claims = match subject {
        Some(subject) => format!(r#"{{"role":"{role}","sub":"{subject}"}}"#),
        None => format!(r#"{{"role":"{role}"}}"#),
    };
    context(Caller {
        role: Role::new(role),
        subject: subject.map(Into::into),
        claims: claims.into(),
        token: "user-token".into(),
        is_service: false,
    })
}

pub(crate) fn user(subject: &str) -> Context {
    caller("authenticated", Some(subject))
}

pub(crate) fn anon() -> Context {
    caller("anon", None)
}

pub(crate) fn key(name: &str) -> ObjectKey {
    ObjectKey::new(name, KeyRules::Utf8).unwrap()
}

pub(crate) fn new_object(bucket: &BucketName, name: &str, length: usize) -> NewObject {
    NewObject {
        bucket: bucket.clone(),
        key: key(name),
        content_type: Some("text/plain".into()),
        cache_control: None,
        user_metadata: UserMetadata::new(),
        extra: RowlockMetadata::default(),
        content_length: Some(length as u64),
        condition: WriteCondition::None,
    }
}

pub(crate) fn body(bytes: &[u8]) -> UploadStream {
    let bytes = Bytes::copy_from_slice(bytes);
    stream::once(async move { Ok(bytes) }).boxed()
}

/// A body of chunks that a test hands out one by one; dropping the sender ends it.
pub(crate) fn slow_body()
-> (tokio::sync::mpsc::UnboundedSender<Result<Bytes, BodyError>>, UploadStream) {
    let (send, receive) = tokio::sync::mpsc::unbounded_channel();
    let chunks = stream::unfold(receive, |mut receive| async move {
        receive.recv().await.map(|chunk| (chunk, receive))
    });
    (send, chunks.boxed())
}

pub(crate) async fn collect(body: BlobBody) -> Vec<u8> {
    match body {
        BlobBody::Bytes(bytes) => bytes.to_vec(),
        BlobBody::Stream(mut chunks) => {
            let mut all = Vec::new();
            while let Some(chunk) = chunks.next().await {
                all.extend_from_slice(&chunk.unwrap());
            }
            all
        }
    }
}

/// The SQLSTATE in an error of the domain, or the error's own name.
pub(crate) fn name_of(error: &Error) -> String {
    match error {
        Error::Catalog(inner) => match inner.state() {
            Some(state) => state.code().to_owned(),
            None => format!("{inner:?}").split(['(', ' ', '{']).next().unwrap().to_owned(),
        },
        other => format!("{other:?}").split(['(', ' ', '{']).next().unwrap().to_owned(),
    }
}
