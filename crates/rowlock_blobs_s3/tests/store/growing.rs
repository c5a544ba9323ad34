//! Blobs that grow over several requests, on a network that fails and beside others.

use crate::faults::{Bench, bench, bench_before, in_time};
use crate::proxy::{BARE_502, Fault, INTERNAL, SLOW_DOWN};
use crate::servers::garage;
use crate::suite::needs_garage;
use bytes::Bytes;
use futures_util::StreamExt;
use rowlock_blobs::{BlobKey, BlobStore, Error, FoundKind, Grower, GrowingStore, Growth, suite};
use rowlock_blobs_s3::{S3Settings, S3Store};
use std::time::Duration;

const PART: usize = 5 << 20;
const BUCKET: &str = "growing-bucket";

pub(crate) async fn write(grower: &mut dyn Grower, bytes: &Bytes) -> Result<(), Error> {
    for at in (0..bytes.len()).step_by(300_000) {
        grower.write(bytes.slice(at..bytes.len().min(at + 300_000))).await?;
    }
    Ok(())
}

/// One request that adds these bytes.
pub(crate) async fn append(
    store: &S3Store,
    blob: &BlobKey,
    growth: &Growth,
    bytes: &Bytes,
    last: bool,
) -> Result<Growth, Error> {
    let mut grower = store.grow(blob, growth).await?;
    write(&mut *grower, bytes).await?;
    grower.sync(last).await
}

/// The whole life of a blob in requests that end at these places.
async fn upload(
    store: &S3Store,
    blob: &BlobKey,
    bytes: &Bytes,
    ends: &[usize],
) -> Result<(), Error> {
    let length = Some(bytes.len() as u64);
    let first = ends.first().map(|end| *end as u64);
    let mut growth = store.create_growing(blob, &suite::attributes(), length, first).await?;
    let mut at = 0;
    for end in ends {
        let last = *end == bytes.len();
        growth = append(store, blob, &growth, &bytes.slice(at..*end), last).await?;
        assert_eq!(growth.offset, *end as u64);
        at = *end;
    }
    finish(store, blob, &growth, bytes).await
}

pub(crate) async fn finish(
    store: &S3Store,
    blob: &BlobKey,
    growth: &Growth,
    bytes: &Bytes,
) -> Result<(), Error> {
    let grown = store.finish_growing(blob, growth, &suite::attributes()).await?;
    assert_eq!(grown.size, bytes.len() as u64);
    Ok(())
}

/// It has these bytes, and nothing else lies there.
pub(crate) async fn holds(bench: &Bench, blob: &BlobKey, bytes: &Bytes, case: &str) {
    bench.proxy.next([]);
    let size = bytes.len() as u64;
    let read = suite::get(&bench.store, blob, size, 0..size).await;
    assert!(read.unwrap() == *bytes, "other bytes: {case}");
    assert_eq!(leftovers(&bench.store).await, Vec::<String>::new(), "{case}");
    bench.store.delete(std::slice::from_ref(blob)).await.remove(0).unwrap();
}

pub(crate) async fn leftovers(store: &S3Store) -> Vec<String> {
    let list = store.list().map(Result::unwrap);
    let left = list.filter_map(|found| async move {
        matches!(found.kind, FoundKind::Growing { .. } | FoundKind::Upload { .. })
            .then_some(found.name)
    });
    left.collect().await
}

/// What a network, or the service's disk, makes of bytes that are read back.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_back_other_than_it_was_kept_is_read_again_and_never_written_on() {
    let bench = bench(|it| it).await;
    let bytes = suite::pattern(PART + 200_000);
    // Two tails that become a part, one that goes into the last part.
    let ends = [1000, 90_000, PART + 1000, bytes.len()];
    let blob = suite::blob(BUCKET, "flipped");
    bench.proxy.next([]);
    upload(&bench.store, &blob, &bytes, &ends).await.unwrap();
    let seen = bench.proxy.seen();
    holds(&bench, &blob, &bytes, "no fault").await;
    let read_back: Vec<_> =
        (0..seen.len()).filter(|at| seen[*at].ends_with("x-id=GetObject")).collect();
    assert!(read_back.len() >= 3, "{seen:?}");
    for at in read_back {
        let script = |times| {
            let before = std::iter::repeat_n(Fault::None, at);
            bench.proxy.next(before.chain(std::iter::repeat_n(Fault::Flip(500), times)));
        };
        script(3);
        in_time(upload(&bench.store, &blob, &bytes, &ends)).await.unwrap();
        assert!(bench.proxy.is_through());
        holds(&bench, &blob, &bytes, &format!("at {at} of {seen:?}")).await;
        script(100);
        let failed = in_time(upload(&bench.store, &blob, &bytes, &ends)).await;
        assert!(matches!(failed, Err(Error::Unavailable { .. })), "{failed:?} at {at} of {seen:?}");
        bench.proxy.next([]);
        bench.store.remove_growing(&blob, None).await.unwrap();
    }
}

/// Of what was kept before there was a CRC32 with it.
#[tokio::test(flavor = "multi_thread")]
async fn tails_without_a_checksum_are_read_back_as_they_are() {
    let bench = bench(|it| it).await;
    let bytes = suite::pattern(90_000);
    let blob = suite::blob(BUCKET, "unsummed");
    bench.proxy.next([]);
    let length = Some(bytes.len() as u64);
    let growth =
        bench.store.create_growing(&blob, &suite::attributes(), length, None).await.unwrap();
    let first = bytes.slice(..50_000);
    let mut growth = append(&bench.store, &blob, &growth, &first, false).await.unwrap();
    let tail = growth.inner["tails"][0].as_object_mut().unwrap();
    assert!(tail.remove("crc32").is_some_and(|sum| sum.is_string()), "{tail:?}");
    let rest = bytes.slice(50_000..);
    let growth = append(&bench.store, &blob, &growth, &rest, true).await.unwrap();
    finish(&bench.store, &blob, &growth, &bytes).await.unwrap();
    holds(&bench, &blob, &bytes, "no checksum").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_may_fail_once() {
    let bench = bench(|it| it).await;
    let bytes = suite::pattern(PART + 200_000);
    // Two tails that become a part, one that goes into the last part.
    let ends = [1000, 90_000, PART + 1000, bytes.len()];
    let blob = suite::blob(BUCKET, "each");
    bench.proxy.next([]);
    upload(&bench.store, &blob, &bytes, &ends).await.unwrap();
    let requests = bench.proxy.seen().len();
    holds(&bench, &blob, &bytes, "no fault").await;
    assert!(requests > 10, "{requests}");
    for at in 0..requests {
        for fault in
            [Fault::Reset, Fault::LoseAnswer, [SLOW_DOWN, INTERNAL, BARE_502][at % 3].clone()]
        {
            let blob = suite::blob(BUCKET, "each");
            bench.proxy.next(std::iter::repeat_n(Fault::None, at).chain([fault.clone()]));
            let uploaded = in_time(upload(&bench.store, &blob, &bytes, &ends)).await;
            let case = format!("{fault:?} at {at} of {:?}", bench.proxy.seen());
            assert!(uploaded.is_ok() && bench.proxy.is_through(), "{uploaded:?} {case}");
            holds(&bench, &blob, &bytes, &case).await;
        }
    }
}

/// After every error something is known to be durable, and from there it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn what_arrived_before_the_store_went_away_is_known() {
    let bench = bench(|it| it).await;
    let bytes = suite::pattern(3 * PART + 200_000);
    let length = Some(bytes.len() as u64);
    // Where it goes away: by then so many bytes were written, of which that many are durable.
    for (written, synced) in [(1000, true), (PART + 1000, false), (2 * PART + 1000, true)] {
        for fault in [Fault::Reset, SLOW_DOWN] {
            let blob = suite::blob(BUCKET, "away");
            bench.proxy.next([]);
            let attributes = suite::attributes();
            let created =
                bench.store.create_growing(&blob, &attributes, length, None).await.unwrap();
            let mut grower = bench.store.grow(&blob, &created).await.unwrap();
            write(&mut *grower, &bytes.slice(..written)).await.unwrap();
            let mut least = grower.checkpoint().await.unwrap();
            if synced {
                least = grower.sync(false).await.unwrap();
                assert_eq!(least.offset, written as u64);
            }
            bench.proxy.always(fault.clone());
            let rest = bytes.slice(written..);
            let failed = in_time(async {
                write(&mut *grower, &rest).await?;
                grower.sync(true).await
            });
            let failed = failed.await;
            assert!(matches!(failed, Err(Error::Unavailable { .. })), "{failed:?}");
            assert!(grower.write(rest.clone()).await.is_err());
            let mut known = least.offset;
            let mut growth = least;
            for _ in 0..2 {
                growth = match in_time(grower.sync(false)).await {
                    Ok(growth) => growth,
                    // One may still find out that the parts under way have failed.
                    Err(_) => in_time(grower.sync(false)).await.unwrap(),
                };
                assert!(growth.offset >= known, "{} after {known}", growth.offset);
                known = growth.offset;
            }
            drop(grower);
            bench.proxy.next([]);
            let at = usize::try_from(known).unwrap();
            let whole = append(&bench.store, &blob, &growth, &bytes.slice(at..), true).await;
            finish(&bench.store, &blob, &whole.unwrap(), &bytes).await.unwrap();
            holds(&bench, &blob, &bytes, &format!("{fault:?} after {written}")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_send_as_much_each_time_need_no_tails() {
    let bench = bench(|it| S3Settings { part_size: 8 << 20, ..it }).await;
    let mib = |mib: usize| mib << 20;
    // How much is sent at a time, and which parts and how many tails that leads to.
    for (request, parts, tails) in [
        (mib(6), [mib(6), mib(6), 100], 0),
        (mib(5), [mib(5), mib(5), 100], 0),
        // Two of them make a part.
        (mib(3), [mib(6), mib(6), 100], 2),
        // All at once: parts as they are set.
        (mib(20), [mib(8), mib(8), 100], 0),
    ] {
        let bytes = suite::pattern(parts.iter().sum());
        let blob = suite::blob(BUCKET, "chunks");
        let ends = (request..bytes.len()).step_by(request).chain([bytes.len()]);
        let ends: Vec<usize> = ends.collect();
        bench.proxy.next([]);
        upload(&bench.store, &blob, &bytes, &ends).await.unwrap();
        let seen = bench.proxy.seen();
        let puts = |what: &str| {
            let put = |line: &&String| line.starts_with("PUT") && line.contains(what);
            seen.iter().filter(put).count()
        };
        assert_eq!(puts("partNumber="), parts.len(), "{request}: {seen:?}");
        assert_eq!(puts("/.rowlock/growing/"), tails, "{request}: {seen:?}");
        holds(&bench, &blob, &bytes, &format!("{request} bytes at a time")).await;
    }
}

/// A process that was taken for dead goes on: what others have noted stays whole.
#[tokio::test(flavor = "multi_thread")]
async fn two_that_grow_at_a_time_do_no_harm() {
    let bench = bench(|it| it).await;
    let bytes = suite::pattern(3 * PART + 50_000);
    let blob = suite::blob(BUCKET, "two");
    let length = Some(bytes.len() as u64);
    let created =
        bench.store.create_growing(&blob, &suite::attributes(), length, None).await.unwrap();
    // Parts are of a size that is set by now.
    let mut growth =
        append(&bench.store, &blob, &created, &bytes.slice(..PART + 1000), false).await.unwrap();
    for end in [PART + 90_000, 2 * PART + 10, 2 * PART + 70_000, bytes.len()] {
        let at = usize::try_from(growth.offset).unwrap();
        let mut other = bench.store.grow(&blob, &growth).await.unwrap();
        write(&mut *other, &bytes.slice(at..bytes.len().min(at + 20_000))).await.unwrap();
        let kept = append(&bench.store, &blob, &growth, &bytes.slice(at..end), false).await;
        write(&mut *other, &bytes.slice(bytes.len().min(at + 20_000)..)).await.unwrap();
        other.sync(false).await.unwrap();
        growth = kept.unwrap();
    }
    finish(&bench.store, &blob, &growth, &bytes).await.unwrap();
    holds(&bench, &blob, &bytes, "two at a time").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tails_that_are_not_needed_go_while_it_grows() {
    let bench = bench(|it| it).await;
    let bytes = suite::pattern(2 * PART);
    let blob = suite::blob(BUCKET, "tails");
    let length = Some(bytes.len() as u64);
    let created = bench.store.create_growing(&blob, &suite::attributes(), length, None).await;
    let mut growth = created.unwrap();
    let mut most = 0;
    for at in (0..bytes.len()).step_by(PART / 4 + 1) {
        let some = bytes.slice(at..bytes.len().min(at + PART / 4 + 1));
        growth = append(&bench.store, &blob, &growth, &some, false).await.unwrap();
        most = most.max(leftovers(&bench.store).await.len() - 1);
    }
    // Those of a part, until it is known that somebody counts on that instead.
    assert!((3..=5).contains(&most), "{most} tails");
    finish(&bench.store, &blob, &growth, &bytes).await.unwrap();
    holds(&bench, &blob, &bytes, "many tails").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tails_that_outlive_the_end_are_told_of() {
    let bench = bench(|it| it).await;
    let bytes = suite::pattern(1000);
    let blob = suite::blob(BUCKET, "outlived");
    let length = Some(2000);
    let created =
        bench.store.create_growing(&blob, &suite::attributes(), length, None).await.unwrap();
    let growth = append(&bench.store, &blob, &created, &bytes, false).await.unwrap();
    // It is whole as it is, for all that this store knows.
    let attributes = suite::attributes();
    let finish = || bench.store.finish_growing(&blob, &growth, &attributes);
    // The tail is read, the part sent, the parts joined: then it goes away.
    let rounds = [Fault::None, Fault::None, Fault::None];
    bench.proxy.next(rounds.into_iter().chain(std::iter::repeat_n(Fault::Reset, 100)));
    let grown = in_time(finish()).await.unwrap();
    assert!(grown.left && grown.size == 1000, "{grown:?} {:?}", bench.proxy.seen());
    bench.proxy.next([]);
    assert_eq!(leftovers(&bench.store).await.len(), 1);
    bench.store.remove_growing(&blob, None).await.unwrap();
    assert!(!finish().await.unwrap().left);
    holds(&bench, &blob, &bytes, "outlived").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_great_many_tails_become_fewer() {
    let bench = bench(|it| it).await;
    let bytes = suite::pattern(330);
    let blob = suite::blob(BUCKET, "crumbs");
    let created =
        bench.store.create_growing(&blob, &suite::attributes(), None, None).await.unwrap();
    let mut grower = bench.store.grow(&blob, &created).await.unwrap();
    let mut growth = created;
    for at in 0..bytes.len() {
        grower.write(bytes.slice(at..=at)).await.unwrap();
        growth = grower.sync(false).await.unwrap();
        assert_eq!(growth.offset, at as u64 + 1);
    }
    let tails = leftovers(&bench.store).await.len() - 1;
    assert!((150..=250).contains(&tails), "{tails}");
    finish(&bench.store, &blob, &growth, &bytes).await.unwrap();
    holds(&bench, &blob, &bytes, "crumbs").await;
}

/// Parts for which there never is room: written by a server that had more.
#[tokio::test(flavor = "multi_thread")]
async fn no_more_tails_are_read_back_than_there_is_memory_for() {
    let bench = bench(|it| S3Settings { buffer_budget: PART + (1 << 20), ..it }).await;
    // Fifty of them are more than a part.
    let bytes = suite::pattern(110_000);
    let blob = suite::blob(BUCKET, "no-room");
    let created =
        bench.store.create_growing(&blob, &suite::attributes(), None, None).await.unwrap();
    let mut growth = created;
    growth.inner["part_size"] = 90_000_000_000_000_u64.into();
    for n in 1..=205 {
        growth = append(&bench.store, &blob, &growth, &bytes, false).await.unwrap();
        assert_eq!(growth.offset, n * bytes.len() as u64);
    }
    let reads = bench.proxy.seen().into_iter().filter(|it| it.starts_with("GET"));
    assert_eq!(reads.collect::<Vec<_>>(), Vec::<String>::new());
    let finished = bench.store.finish_growing(&blob, &growth, &suite::attributes()).await;
    assert!(matches!(finished, Err(Error::Busy { .. })), "{finished:?}");
    bench.store.remove_growing(&blob, Some(&growth)).await.unwrap();
    assert_eq!(leftovers(&bench.store).await, Vec::<String>::new());
}

/// Parts that are larger than a turn, and eight that want all of the room for each.
#[tokio::test(flavor = "multi_thread")]
async fn parts_as_large_as_all_room_never_wait_for_each_other() {
    let bench = bench(|it| S3Settings { buffer_budget: 3 * PART, ..it }).await;
    let bytes = suite::pattern(3 * PART);
    let blobs: Vec<_> = (0..8).map(|n| suite::blob(BUCKET, &format!("large/{n}"))).collect();
    let uploads = blobs.iter().map(async |blob| {
        let attributes = suite::attributes();
        let mut growth = bench.store.create_growing(blob, &attributes, None, None).await?;
        assert_eq!(growth.inner["part_size"], 2 * PART);
        for at in (0..bytes.len()).step_by(PART / 4) {
            let some = bytes.slice(at..bytes.len().min(at + PART / 4));
            growth = append(&bench.store, blob, &growth, &some, false).await?;
        }
        finish(&bench.store, blob, &growth, &bytes).await
    });
    for uploaded in in_time(futures_util::future::join_all(uploads)).await {
        uploaded.unwrap();
    }
    for blob in &blobs {
        holds(&bench, blob, &bytes, "large").await;
    }
}

/// None of them is asked to come back later.
#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_hold_no_more_memory_than_there_is() {
    let bench = bench(|it| S3Settings { buffer_budget: PART + (2 << 20), ..it }).await;
    let bytes = suite::pattern(PART + 1000);
    let blobs: Vec<_> = (0..5).map(|n| suite::blob(BUCKET, &format!("slow/{n}"))).collect();
    bench.proxy.next([]);
    let uploads = blobs.iter().map(async |blob| {
        let attributes = suite::attributes();
        let created = bench.store.create_growing(blob, &attributes, None, None).await?;
        let mut grower = bench.store.grow(blob, &created).await?;
        for at in (0..bytes.len()).step_by(200_000) {
            grower.write(bytes.slice(at..bytes.len().min(at + 200_000))).await?;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let growth = grower.sync(false).await?;
        finish(&bench.store, blob, &growth, &bytes).await
    });
    for uploaded in in_time(futures_util::future::join_all(uploads)).await {
        uploaded.unwrap();
    }
    let tails = bench.proxy.seen().into_iter().filter(|it| it.contains("/.rowlock/growing/"));
    assert!(tails.count() > blobs.len());
    for blob in &blobs {
        holds(&bench, blob, &bytes, "slow").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_held_for_a_while_is_durable_at_a_checkpoint() {
    let bench = bench(|it| it).await;
    let bytes = suite::pattern(300_000);
    let blob = suite::blob(BUCKET, "while");
    let created =
        bench.store.create_growing(&blob, &suite::attributes(), None, None).await.unwrap();
    let mut grower = bench.store.grow(&blob, &created).await.unwrap();
    grower.write(bytes.slice(..200_000)).await.unwrap();
    assert_eq!(grower.checkpoint().await.unwrap(), created, "it has just come");
    tokio::time::sleep(Duration::from_millis(5100)).await;
    assert_eq!(grower.checkpoint().await.unwrap().offset, 200_000);
    grower.write(bytes.slice(200_000..)).await.unwrap();
    let growth = grower.checkpoint().await.unwrap();
    assert_eq!(growth.offset, 200_000);
    drop(grower);
    let growth = append(&bench.store, &blob, &growth, &bytes.slice(200_000..), true).await;
    finish(&bench.store, &blob, &growth.unwrap(), &bytes).await.unwrap();
    holds(&bench, &blob, &bytes, "a while").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_grow_in_little_memory() {
    // Room for two parts, and eight that send three at a time.
    let bench = bench(|it| S3Settings { buffer_budget: 2 * PART, ..it }).await;
    let bytes = suite::pattern(3 * PART + 1000);
    let blobs: Vec<_> = (0..8).map(|n| suite::blob(BUCKET, &format!("room/{n}"))).collect();
    let uploads = blobs
        .iter()
        .map(|blob| upload(&bench.store, blob, &bytes, &[1000, 2 * PART + 1000, 3 * PART + 1000]));
    for uploaded in in_time(futures_util::future::join_all(uploads)).await {
        uploaded.unwrap();
    }
    for blob in &blobs {
        let size = bytes.len() as u64;
        assert!(suite::get(&bench.store, blob, size, 0..size).await.unwrap() == bytes);
    }
    assert_eq!(leftovers(&bench.store).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_the_service_has_ended_is_told() {
    // moto's server answers 500 to a part of no upload.
    let Some(server) = garage() else {
        return needs_garage("an upload that the service has ended is told");
    };
    let bench = bench_before(Some(server), |it| it).await;
    let bytes = suite::pattern(PART + 1000);
    let (blob, length) = (suite::blob(BUCKET, "ended"), Some(bytes.len() as u64));
    let created =
        bench.store.create_growing(&blob, &suite::attributes(), length, None).await.unwrap();
    let growth = append(&bench.store, &blob, &created, &bytes.slice(..1000), false).await.unwrap();
    bench.store.remove_growing(&blob, None).await.unwrap();
    assert_eq!(leftovers(&bench.store).await, Vec::<String>::new());
    let gone = |result: Result<(), Error>| {
        assert!(matches!(result, Err(Error::NotFound | Error::UploadNotFound)), "{result:?}");
    };
    // By its tail; and by its upload, where there is none.
    gone(append(&bench.store, &blob, &growth, &bytes, false).await.map(drop));
    gone(append(&bench.store, &blob, &created, &bytes, true).await.map(drop));
}
