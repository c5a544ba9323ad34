//! What reaches the service when nobody waits for it any more.

use crate::faults::{bench, in_time};
use crate::growing::{append, finish, holds, leftovers, write};
use crate::proxy::{Fault, Late};
use rowlock_blobs::{Error, GrowingStore, suite};
use rowlock_blobs_s3::S3Settings;

const BUCKET: &str = "late-bucket";

/// A part of a turn that never heard of its arrival lands when others have gone on.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_lands_late_does_no_harm() {
    let bench = bench(|it| S3Settings { part_size: 8 << 20, ..it }).await;
    let bytes = suite::pattern(20 << 20);
    let blob = suite::blob(BUCKET, "late");
    let (length, first) = (Some(bytes.len() as u64), 9 << 20);
    let attributes = suite::attributes();
    let created = bench.store.create_growing(&blob, &attributes, length, Some(first as u64)).await;
    let created = created.unwrap();
    let late = Late::default();
    let hang = std::iter::repeat_n(Fault::Hang, 100);
    bench.proxy.next(std::iter::once(Fault::Late(late.clone())).chain(hang));
    let mut grower = bench.store.grow(&blob, &created).await.unwrap();
    write(&mut *grower, &bytes.slice(..first)).await.unwrap();
    let failed = in_time(grower.sync(false)).await;
    assert!(matches!(failed, Err(Error::Unavailable { .. })), "{failed:?}");
    let mut growth = in_time(grower.sync(false)).await.unwrap();
    assert_eq!(growth.offset, 0);
    drop(grower);
    bench.proxy.next([]);
    // Their sizes would make parts of another size.
    for end in [6 << 20, 12 << 20] {
        let at = usize::try_from(growth.offset).unwrap();
        growth = append(&bench.store, &blob, &growth, &bytes.slice(at..end), false).await.unwrap();
    }
    late.land().await;
    let at = usize::try_from(growth.offset).unwrap();
    growth = append(&bench.store, &blob, &growth, &bytes.slice(at..), true).await.unwrap();
    finish(&bench.store, &blob, &growth, &bytes).await.unwrap();
    holds(&bench, &blob, &bytes, "late").await;
}

/// One of which nobody heard lands when the blob is finished.
#[tokio::test(flavor = "multi_thread")]
async fn tails_that_may_land_after_the_end_are_told_of() {
    let bench = bench(|it| it).await;
    let bytes = suite::pattern(2000);
    let blob = suite::blob(BUCKET, "lands");
    let (attributes, length) = (suite::attributes(), Some(bytes.len() as u64));
    let created = bench.store.create_growing(&blob, &attributes, length, None).await.unwrap();
    let late = Late::default();
    bench.proxy.next([Fault::Late(late.clone())]);
    let mut grower = bench.store.grow(&blob, &created).await.unwrap();
    grower.write(bytes.slice(..1000)).await.unwrap();
    let failed = in_time(grower.sync(false)).await;
    assert!(matches!(failed, Err(Error::Unavailable { .. })), "{failed:?}");
    let growth = in_time(grower.sync(false)).await.unwrap();
    assert_eq!(growth.offset, 0);
    drop(grower);
    bench.proxy.next([]);
    let growth = append(&bench.store, &blob, &growth, &bytes, true).await.unwrap();
    let grown = bench.store.finish_growing(&blob, &growth, &attributes).await.unwrap();
    assert!(grown.left && grown.size == 2000, "{grown:?}");
    late.land().await;
    assert_eq!(leftovers(&bench.store).await.len(), 1);
    bench.store.remove_growing(&blob, None).await.unwrap();
    holds(&bench, &blob, &bytes, "lands").await;
}
