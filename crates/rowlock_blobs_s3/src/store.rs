use crate::budget::Budget;
use crate::check::Trial;
use crate::failure::Failure;
use crate::layout::Layout;
use crate::part::{PartWriter, Place, Staged};
use crate::settings::{Checksums, Credentials, OpenError, S3Settings};
use crate::streams::Streams;
use crate::transport::Transport;
use crate::writer::Writer;
use crate::{check, copy, delete, list, multipart, read};
use async_trait::async_trait;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials as Key;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::config::retry::{ReconnectMode, RetryConfig};
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_sdk_s3::{Client, Config};
use futures_util::stream::BoxStream;
use rowlock_blobs::{
    BlobAttributes, BlobBody, BlobKey, BlobStore, BlobWriter, Error, Found, JoinedBlob,
    MultipartBlob, PartInfo, StagedPart,
};
use rowlock_types::UploadId;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;

/// The smallest part that services take, other than as the last (S3 user guide, "Multipart
/// upload limits").
pub(crate) const MIN_PART: u64 = 5 << 20;
/// The most parts of an upload (ibid.).
pub(crate) const MAX_PARTS: u64 = 10_000;
/// The largest object that services are known to keep (ibid.).
pub(crate) const MAX_OBJECT: u64 = 5 << 40;
/// How long a service may work at joining or copying before it answers, at most.
const LONG_WORK: Duration = Duration::from_secs(600);
/// The bytes that it joins or copies in a second at least.
const LONG_WORK_RATE: u64 = 8 << 20;

/// Keeps blobs in an S3 service. Cheap to clone.
#[derive(Clone)]
pub struct S3Store(pub(crate) Arc<Inner>);

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("S3Store").field(&self.0.settings).finish()
    }
}

pub(crate) struct Inner {
    pub(crate) client: Client,
    pub(crate) layout: Layout,
    pub(crate) budget: Budget,
    pub(crate) streams: Streams,
    pub(crate) settings: S3Settings,
    /// Found out once: the service takes none of the newer checksums.
    plain: AtomicBool,
    /// Found out once: the service knows no deletions of many keys at once.
    single: AtomicBool,
    /// What has been shown of a key that may not list.
    pub(crate) trial: Mutex<Trial>,
    /// The service's tag of the last parts that were joined was the one foretold.
    foretold: AtomicBool,
}

impl S3Store {
    /// Makes the client. Connects to nothing: whether the service can be used,
    /// [`S3Store::problem`] tells.
    ///
    /// # Errors
    /// When a name does not fit; see [`OpenError`].
    pub async fn open(settings: S3Settings) -> Result<Self, OpenError> {
        let layout = Layout::new(&settings.tenant, settings.separator)?;
        if settings.bucket.is_empty() || settings.bucket.contains('/') {
            return Err(OpenError::Bucket);
        }
        let http = SharedHttpClient::new(Transport::new(settings.max_sockets, settings.limits)?);
        let region = Region::new(settings.region.clone());
        let credentials = credentials(&settings.credentials, &region, &http).await;
        let mut config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(region)
            .http_client(http)
            .credentials_provider(credentials)
            .force_path_style(settings.force_path_style)
            // Attempts are ours (`retry`), and so are the time limits (`transport`).
            // A refusal says nothing against its connection, and hyper drops those that are broken.
            .retry_config(
                RetryConfig::disabled().with_reconnect_mode(ReconnectMode::ReuseAllConnections),
            )
            .timeout_config(
                TimeoutConfig::builder().connect_timeout(settings.limits.connect).build(),
            )
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            // What the client would add by itself needs a trailer, which many services refuse.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(match settings.response_checksums {
                Checksums::WhenSupported => ResponseChecksumValidation::WhenSupported,
                Checksums::WhenRequired => ResponseChecksumValidation::WhenRequired,
            });
        config.set_endpoint_url(settings.endpoint.clone());
        Ok(Self(Arc::new(Inner {
            client: Client::from_conf(config.build()),
            layout,
            budget: Budget::new(settings.buffer_budget, settings.part_size.max(MIN_PART)),
            streams: Streams::new(settings.max_sockets, settings.limits.first_byte),
            plain: AtomicBool::new(settings.request_checksums == Checksums::WhenRequired),
            single: AtomicBool::new(false),
            trial: Mutex::default(),
            foretold: AtomicBool::new(false),
            settings,
        })))
    }

    /// What keeps the store from being used, found out by asking the service; `None` when it can
    /// be used. Takes no longer than eight seconds.
    pub async fn problem(&self) -> Option<crate::Problem> {
        check::problem(&self.0).await
    }
}

async fn credentials(
    credentials: &Credentials,
    region: &Region,
    http: &SharedHttpClient,
) -> SharedCredentialsProvider {
    match credentials {
        Credentials::Static { access_key_id, secret_access_key, session_token } => {
            SharedCredentialsProvider::new(Key::new(
                access_key_id,
                secret_access_key,
                session_token.clone(),
                None,
                "settings",
            ))
        }
        Credentials::Ambient => {
            let way = ProviderConfig::default()
                .with_region(Some(region.clone()))
                .with_http_client(http.clone());
            let chain =
                DefaultCredentialsChain::builder().configure(way).region(region.clone()).build();
            SharedCredentialsProvider::new(chain.await)
        }
    }
}

impl Inner {
    /// The size of the pieces that large blobs are sent in.
    pub(crate) fn part_size(&self) -> u64 {
        self.settings.part_size.max(MIN_PART)
    }

    /// The size of the parts of a blob that grows, to `length` bytes where that is known. As long
    /// as it is not, there may be many of them to come. Each has to be in memory as a whole.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub(crate) fn growing_part_size(&self, length: Option<u64>) -> Result<u64, Error> {
        let usual = self.settings.growing_part_size.max(MIN_PART);
        let wanted = match length {
            Some(length) => usual.min(self.part_size()).max(length.div_ceil(MAX_PARTS)),
            None => usual.min(MAX_OBJECT / MAX_PARTS),
        };
        let largest = self.budget.largest().max(MIN_PART);
        let Some(length) = length else { return Ok(wanted.min(largest)) };
        let most = largest.saturating_mul(MAX_PARTS).min(MAX_OBJECT);
        if length <= most {
            return Ok(wanted.min(largest));
        }
        if length <= MAX_OBJECT {
            tracing::warn!(
                length,
                most,
                part = wanted,
                "a resumable upload is refused: ROWLOCK_S3_BUFFER has no room for its parts"
            );
        }
        Err(Error::TooLarge { most })
    }

    pub(crate) fn bucket(&self) -> &str {
        &self.settings.bucket
    }

    /// How long attempts may go on.
    pub(crate) fn patience(&self) -> Duration {
        self.settings.limits.first_byte
    }

    /// How long the service may work at joining or copying so many bytes before it answers.
    pub(crate) fn long_patience(&self, bytes: u64) -> Duration {
        let work = Duration::from_secs(bytes / LONG_WORK_RATE);
        self.patience() + work.min(LONG_WORK)
    }

    /// Whether uploads carry no checksum but `Content-MD5`.
    pub(crate) fn is_plain(&self) -> bool {
        self.plain.load(Ordering::Relaxed)
    }

    /// Whether many keys may be deleted by one request.
    pub(crate) fn takes_batches(&self) -> bool {
        !self.single.load(Ordering::Relaxed)
    }

    pub(crate) fn gives_up_batches(&self) {
        self.single.store(true, Ordering::Relaxed);
    }

    /// Notes whether the tag of parts that were joined was the one that AWS's rule foretells;
    /// returns whether it was the time before.
    pub(crate) fn saw_joined_tag(&self, foretold: bool) -> bool {
        self.foretold.swap(foretold, Ordering::Relaxed)
    }

    /// Whether tags tell which parts an object was joined from. Some services have tags of their
    /// own making, and so has AWS for what it encrypts with a key of its customer's.
    pub(crate) fn foretells_tags(&self) -> bool {
        self.foretold.load(Ordering::Relaxed)
    }

    /// Gives the newer checksums up if that is what the service refused; true when it was. To be
    /// asked about requests that carried one.
    pub(crate) fn gives_up_checksums(&self, failure: &Failure) -> bool {
        if !failure.refuses_checksums() {
            return false;
        }
        if !self.plain.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                code = %failure.code,
                "the store refuses CRC32 checksums: uploads go without from now on"
            );
        }
        true
    }
}

#[async_trait]
impl BlobStore for S3Store {
    fn writer(
        &self,
        blob: &BlobKey,
        attributes: &BlobAttributes,
        length: Option<u64>,
    ) -> Box<dyn BlobWriter> {
        Box::new(Writer::new(Arc::clone(&self.0), blob, attributes.clone(), length))
    }

    fn writes_in_place(&self) -> bool {
        true
    }

    fn has_etags(&self) -> bool {
        true
    }

    async fn read(&self, blob: &BlobKey, size: u64, range: Range<u64>) -> Result<BlobBody, Error> {
        read::read(&self.0, blob, size, range).await
    }

    async fn head(&self, blob: &BlobKey) -> Result<u64, Error> {
        let found = read::head(&self.0, &self.0.layout.key(blob)).await;
        found.map(|found| found.size).map_err(|failure| failure.error("looking at a blob"))
    }

    async fn copy(
        &self,
        from: &BlobKey,
        size: u64,
        to: &BlobKey,
        attributes: &BlobAttributes,
    ) -> Result<Option<String>, Error> {
        copy::whole(&self.0, from, size, to, attributes).await.map(Some)
    }

    async fn delete(&self, blobs: &[BlobKey]) -> Vec<Result<(), Error>> {
        delete::delete(&self.0, blobs).await
    }

    async fn create_multipart(
        &self,
        blob: &BlobKey,
        attributes: &BlobAttributes,
    ) -> Result<UploadId, Error> {
        let key = self.0.layout.key(blob);
        let id = multipart::create(&self.0, &key, attributes).await?;
        UploadId::parse(&id).map_err(|_| Error::Io {
            doing: "beginning an upload",
            source: std::io::Error::other("odd id"),
        })
    }

    fn part_writer(
        &self,
        upload: &MultipartBlob,
        number: u32,
        length: Option<u64>,
    ) -> Box<dyn BlobWriter> {
        Box::new(PartWriter::new(Arc::clone(&self.0), upload, number, length))
    }

    async fn copy_part(
        &self,
        from: &BlobKey,
        size: u64,
        range: Range<u64>,
        upload: &MultipartBlob,
        number: u32,
    ) -> Result<Option<Box<dyn StagedPart>>, Error> {
        let smallest = if range == (0..size) { copy::SMALLEST } else { copy::SMALLEST_RANGED };
        if range.is_empty() || size <= smallest {
            return Ok(None);
        }
        let key = self.0.layout.key(&upload.blob);
        let from = self.0.layout.key(from);
        let id = upload.upload_id.as_str();
        let range = (range, size);
        let etag = copy::part(&self.0, &from, range, &key, id, number).await?;
        let (store, id) = (Arc::clone(&self.0), id.to_owned());
        let sent =
            Some(Place { store, key, id, number: i32::try_from(number).unwrap_or(i32::MAX) });
        Ok(Some(Box::new(Staged { etag, sent })))
    }

    async fn complete_multipart(
        &self,
        upload: &MultipartBlob,
        parts: &[PartInfo],
        attributes: &BlobAttributes,
    ) -> Result<JoinedBlob, Error> {
        let key = self.0.layout.key(&upload.blob);
        let id = upload.upload_id.as_str();
        let parts: Vec<multipart::Sent> = parts.iter().map(Into::into).collect();
        let joined = multipart::complete(&self.0, &key, id, &parts, attributes).await?;
        // The upload's own version: of two Completes the service lets one win.
        Ok(JoinedBlob { version: None, size: joined.size, etag: Some(joined.etag) })
    }

    async fn remove_multipart(&self, upload: &MultipartBlob) -> Result<(), Error> {
        let key = self.0.layout.key(&upload.blob);
        multipart::abort(&self.0, &key, upload.upload_id.as_str()).await
    }

    async fn remove_unfinished(&self, blob: &BlobKey) -> Result<(), Error> {
        multipart::abort_all(&self.0, &self.0.layout.key(blob), None).await
    }

    fn list(&self) -> BoxStream<'static, Result<Found, Error>> {
        list::list(Arc::clone(&self.0))
    }

    fn names(&self, blob: &BlobKey) -> Vec<String> {
        vec![self.0.layout.key(blob)]
    }

    async fn exists(&self, name: &str) -> Result<bool, Error> {
        list::exists(&self.0, name).await
    }

    async fn quarantine(&self, name: &str) -> Result<String, Error> {
        list::quarantine(&self.0, name).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Separator};
    use aws_sdk_s3::presigning::PresigningConfig;
    use rowlock_blobs::GrowingStore;

    fn settings(endpoint: Option<&str>, force_path_style: bool) -> S3Settings {
        S3Settings {
            bucket: "my-bucket".into(),
            tenant: "ten".into(),
            separator: Separator::Slash,
            region: "eu-central-1".into(),
            endpoint: endpoint.map(str::to_owned),
            force_path_style,
            credentials: Credentials::Static {
                access_key_id: "AKIA".into(),
                secret_access_key: "hush".into(),
                session_token: None,
            },
            request_checksums: Checksums::WhenSupported,
            response_checksums: Checksums::WhenRequired,
            part_size: 16 << 20,
            growing_part_size: 50 << 20,
            queue_size: 2,
            buffer_budget: 64 << 20,
            max_sockets: 200,
            limits: Limits::default(),
            copy_limit: 5 << 30,
        }
    }

    /// Where a request for a key would go.
    async fn url(settings: S3Settings) -> String {
        let store = S3Store::open(settings).await.unwrap();
        let request = store.0.client.get_object().bucket(store.0.bucket()).key("ten/b/a b//+ü");
        let minute = PresigningConfig::expires_in(Duration::from_secs(60)).unwrap();
        let signed = request.presigned(minute).await.unwrap();
        signed.uri().split('?').next().unwrap().to_owned()
    }

    #[tokio::test]
    async fn addresses_follow_from_region_endpoint_and_style() {
        let key = "ten/b/a%20b//%2B%C3%BC";
        let aws = format!("https://my-bucket.s3.eu-central-1.amazonaws.com/{key}");
        assert_eq!(url(settings(None, false)).await, aws);
        let own = format!("http://minio:9000/my-bucket/{key}");
        assert_eq!(url(settings(Some("http://minio:9000"), true)).await, own);
        let by_host = format!("https://my-bucket.s3.example.com/{key}");
        assert_eq!(url(settings(Some("https://s3.example.com"), false)).await, by_host);
    }

    #[tokio::test]
    async fn parts_of_what_grows_are_as_few_as_they_have_to_be() {
        let with = |part_size, growing_part_size| async move {
            let settings = S3Settings { part_size, growing_part_size, ..settings(None, false) };
            S3Store::open(settings).await.unwrap()
        };
        const MIB: u64 = 1 << 20;
        let usual = with(16 * MIB, 50 * MIB).await;
        let small = with(64 * MIB, 1).await;
        for (length, size, size_small) in [
            // No more than there is room for: 64 MiB but one part.
            (None, 48 * MIB, MIN_PART),
            (Some(0), 16 * MIB, MIN_PART),
            (Some(160_000 * MIB), 16 * MIB, 16 * MIB),
            (Some(160_000 * MIB + 1), 16 * MIB + 1, 16 * MIB + 1),
            (Some(480_000 * MIB), 48 * MIB, 48 * MIB),
        ] {
            assert_eq!(usual.0.growing_part_size(length).unwrap(), size, "{length:?}");
            assert_eq!(small.0.growing_part_size(length).unwrap(), size_small, "{length:?}");
        }
    }

    #[tokio::test]
    async fn what_grows_is_no_longer_than_its_parts_have_room_for() {
        let with = async |buffer_budget| {
            S3Store::open(S3Settings { buffer_budget, ..settings(None, false) }).await.unwrap()
        };
        for (buffer, longest) in [
            (16 << 20, 160_000 << 20),
            (64 << 20, 480_000 << 20),
            // The longest object there is, however much room (S3 user guide: 5 TiB).
            (2 << 30, 5 << 40),
        ] {
            let store = with(buffer).await;
            store.check_growing(longest).unwrap();
            for length in [longest + 1, 9 * 10_u64.pow(17), u64::MAX] {
                let refused = store.check_growing(length);
                assert!(
                    matches!(refused, Err(Error::TooLarge { most }) if most == longest),
                    "{length} with {buffer}: {refused:?}"
                );
            }
        }
        let size = with(2 << 30).await.0.growing_part_size(Some(5 << 40)).unwrap();
        assert_eq!(size, 549_755_814);
    }

    /// What the connections here give it nothing for, and say so at every refusal that passes.
    #[tokio::test]
    async fn connections_outlive_refusals() {
        let store = S3Store::open(settings(None, false)).await.unwrap();
        let retries = store.0.client.config().retry_config().unwrap();
        assert_eq!(retries.reconnect_mode(), ReconnectMode::ReuseAllConnections);
        assert!(!retries.has_retry());
    }

    #[tokio::test]
    async fn names_that_do_not_fit_open_nothing_and_no_secret_is_shown() {
        for (bucket, tenant) in [("", "ten"), ("a/b", "ten"), ("b", ".rowlock"), ("b", "")] {
            let odd = S3Settings {
                bucket: bucket.into(),
                tenant: tenant.into(),
                ..settings(None, false)
            };
            assert!(S3Store::open(odd).await.is_err(), "{bucket:?} {tenant:?}");
        }
        let shown = format!("{:?}", S3Store::open(settings(None, false)).await.unwrap());
        assert!(shown.contains("eu-central-1") && !shown.contains("hush"), "{shown}");
    }
}
