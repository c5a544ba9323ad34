//! Uploads and parts that somebody else has ended or replaced in the service.

use crate::servers::{garage, open, settings};
use crate::suite::needs_garage;
use bytes::Bytes;
use rowlock_blobs::{BlobStore, Error, MultipartBlob, PartInfo, StagedPart, suite};
use rowlock_blobs_s3::S3Store;

async fn begin(store: &S3Store, name: &str) -> MultipartBlob {
    let blob = suite::blob("vanished", name);
    let upload_id = store.create_multipart(&blob, &suite::attributes()).await.unwrap();
    MultipartBlob { upload_id, blob }
}

async fn stage(
    store: &S3Store,
    upload: &MultipartBlob,
    number: u32,
    bytes: &'static [u8],
) -> Result<Box<dyn StagedPart>, Error> {
    let mut writer = store.part_writer(upload, number, Some(bytes.len() as u64));
    writer.write(Bytes::from_static(bytes)).await?;
    writer.stage(&hex::encode(rowlock_digest::md5(bytes))).await
}

/// As a lifecycle rule of the bucket does, or an abort past the server.
async fn an_upload_that_was_ended_is_told_from_a_missing_blob(store: S3Store) {
    let upload = begin(&store, "ended").await;
    let etag = stage(&store, &upload, 1, b"one").await.unwrap().publish().await.unwrap().unwrap();
    store.remove_multipart(&upload).await.unwrap();
    let late = stage(&store, &upload, 2, b"two").await;
    assert!(matches!(late, Err(Error::UploadNotFound)), "a part: {:?}", late.err());
    let parts = [PartInfo { number: 1, etag, size: 3 }];
    let joined = store.complete_multipart(&upload, &parts, &suite::attributes()).await;
    assert!(matches!(joined, Err(Error::UploadNotFound)), "Complete: {joined:?}");
    let source = suite::blob("vanished", "source");
    let mut writer = store.writer(&source, &suite::attributes(), Some(10_000));
    writer.write(suite::pattern(10_000)).await.unwrap();
    writer.finish().await.unwrap();
    let copied = store.copy_part(&source, 10_000, 0..10_000, &upload, 3).await;
    assert!(matches!(copied, Err(Error::UploadNotFound)), "a copy: {:?}", copied.err());
    store.remove_multipart(&upload).await.unwrap();
}

async fn the_part_that_came_last_is_in_place(store: S3Store) {
    let upload = begin(&store, "replaced").await;
    let mut other = stage(&store, &upload, 1, b"other").await.unwrap();
    let mut first = stage(&store, &upload, 2, b"first").await.unwrap();
    assert!(first.is_in_place().await.unwrap());
    let mut later = stage(&store, &upload, 2, b"later").await.unwrap();
    assert!(!first.is_in_place().await.unwrap());
    assert!(later.is_in_place().await.unwrap() && other.is_in_place().await.unwrap());
    store.remove_multipart(&upload).await.unwrap();
    assert!(matches!(later.is_in_place().await, Err(Error::UploadNotFound)));
}

/// Not in moto's server: it answers 500 to a part of an upload that does not exist, and lists parts
/// in a way that cannot be read.
#[tokio::test(flavor = "multi_thread")]
async fn in_garage() {
    let Some(server) = garage() else { return needs_garage("uploads that vanish") };
    let store = open(settings(server.port)).await;
    an_upload_that_was_ended_is_told_from_a_missing_blob(store.clone()).await;
    the_part_that_came_last_is_in_place(store).await;
}
