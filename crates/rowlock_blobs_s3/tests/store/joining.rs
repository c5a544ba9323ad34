//! Joining parts twice.

use crate::servers::{garage, moto, open, settings};
use crate::suite::needs_garage;
use rowlock_blobs::{BlobStore, Error, MultipartBlob, PartInfo, suite};
use rowlock_blobs_s3::S3Store;

async fn part(store: &S3Store, upload: &MultipartBlob, byte: u8) -> PartInfo {
    let bytes = bytes::Bytes::from(vec![byte; 1000]);
    let mut writer = store.part_writer(upload, 1, Some(1000));
    writer.write(bytes.clone()).await.unwrap();
    let tag = hex::encode(rowlock_digest::md5(&bytes));
    let etag = writer.stage(&tag).await.unwrap().publish().await.unwrap().unwrap();
    PartInfo { number: 1, etag, size: 1000 }
}

async fn of_two_requests_with_other_parts_one_wins(store: S3Store) {
    for name in ["first", "second"] {
        let blob = suite::blob("join-bucket", name);
        let id = store.create_multipart(&blob, &suite::attributes()).await.unwrap();
        let upload = MultipartBlob { upload_id: id, blob: blob.clone() };
        let lost = part(&store, &upload, 1).await;
        let won = part(&store, &upload, 2).await;
        let join = |part: &PartInfo| {
            let (store, upload, part) = (store.clone(), upload.clone(), part.clone());
            async move { store.complete_multipart(&upload, &[part], &suite::attributes()).await }
        };
        let first = join(&won).await.unwrap();
        // The same request again has the same answer; one with other parts of the same size has not.
        assert_eq!(join(&won).await.unwrap().etag, first.etag);
        let late = join(&lost).await;
        assert!(matches!(late, Err(Error::Unavailable { .. })), "{name}: {late:?}");
        let read = suite::get(&store, &blob, 1000, 0..1000).await.unwrap();
        assert!(read.iter().all(|byte| *byte == 2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_requests_with_other_parts_one_wins_in_garage() {
    let Some(server) = garage() else {
        return needs_garage("of two requests with other parts one wins");
    };
    of_two_requests_with_other_parts_one_wins(open(settings(server.port)).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_requests_with_other_parts_one_wins_in_moto() {
    let server = moto().await;
    of_two_requests_with_other_parts_one_wins(open(settings(server.port)).await).await;
}
