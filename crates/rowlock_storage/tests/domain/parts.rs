//! What parts bring to their object: checksums, and bytes that a limit counts.

use crate::support::stores::{Hooked, Hooks};
use crate::support::{ALICE, Plan, Rig, Wrap, body, key, new_object, service, user};
use rowlock_digest::{Algorithm, Checksum, Digests};
use rowlock_storage::{
    ChecksumFault, ClaimedChecksums, CompletePart, Completed, Context, CopyMetadata, CopyRequest,
    DEFAULT_CHECKSUM, Error, Expected, LimitOf, ListUploadsQuery, Part, SizeLimit, UploadsEntry,
    WantedChecksum, WriteCondition,
};
use rowlock_types::{BucketName, ChecksumType, ETag, RowlockMetadata, StoredChecksum, UploadId};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

const MIN_PART: usize = 5 << 20;
const NAME: &str = "k";

fn sum(algorithm: Algorithm, bytes: &[u8]) -> Checksum {
    let mut digests = Digests::new([algorithm]);
    digests.update(bytes);
    digests.finish().checksum(algorithm).unwrap()
}

/// An upload of one rig and bucket.
struct Uploading<'a> {
    rig: &'a Rig,
    ctx: Context,
    bucket: BucketName,
    id: UploadId,
}

impl<'a> Uploading<'a> {
    async fn begin(
        rig: &'a Rig,
        ctx: Context,
        bucket: &BucketName,
        wanted: Option<WantedChecksum>,
    ) -> Self {
        let new = new_object(bucket, NAME, 0);
        let id = rig.storage.create_multipart_with(&ctx, new, wanted).await.unwrap();
        Self { rig, ctx, bucket: bucket.clone(), id }
    }

    async fn put(&self, number: u32, bytes: &[u8], claimed: Option<Algorithm>) -> Part {
        self.try_put(number, bytes, Some(bytes.len() as u64), claimed).await.unwrap()
    }

    async fn try_put(
        &self,
        number: u32,
        bytes: &[u8],
        length: Option<u64>,
        claimed: Option<Algorithm>,
    ) -> Result<Part, Error> {
        let storage = &self.rig.storage;
        let (name, id) = (key(NAME), &self.id);
        let part = storage.begin_part(&self.ctx, &self.bucket, &name, id, number, length).await?;
        let checksums = claimed.map(|algorithm| sum(algorithm, bytes)).into_iter().collect();
        part.receive(body(bytes), Expected { checksums, ..Expected::default() }).await
    }

    async fn complete(
        &self,
        parts: &[&Part],
        claims: ClaimedChecksums,
    ) -> Result<Completed, Error> {
        let named = parts.iter();
        let named = named.map(|p| CompletePart { number: p.number, etag: p.etag.to_string() });
        let (name, none) = (key(NAME), WriteCondition::None);
        let storage = &self.rig.storage;
        storage
            .complete_multipart_with(
                &self.ctx,
                &self.bucket,
                &name,
                &self.id,
                named.collect(),
                none,
                claims,
            )
            .await
    }

    async fn stored(&self) -> Option<StoredChecksum> {
        let found = self.rig.storage.find_object(&self.ctx, &self.bucket, &key(NAME)).await;
        found.unwrap().metadata.rowlock.unwrap_or_default().checksum
    }
}

#[tokio::test]
async fn an_upload_without_a_word_gets_the_default_checksum() {
    let rig = Rig::new().await;
    rig.open_policy().await;
    let bucket = rig.bucket("one").await;
    let first = vec![b'a'; MIN_PART];
    let whole = [&first[..], b"rest"].concat();
    let wanted = sum(DEFAULT_CHECKSUM.algorithm, &whole).base64();
    for ctx in [service(), user(ALICE)] {
        // What a client says of a part is verified and answered; the object's stays the default.
        for claimed in [None, Some(Algorithm::Crc32)] {
            let upload = Uploading::begin(&rig, ctx.clone(), &bucket, None).await;
            let one = upload.put(1, &first, claimed).await;
            assert_eq!(
                one.checksum.as_ref().map(Checksum::algorithm),
                claimed.or(Some(Algorithm::Crc64Nvme))
            );
            // Stored again: only the last one counts.
            upload.put(2, b"something else", claimed).await;
            let two = upload.put(2, b"rest", claimed).await;
            let (name, id) = (key(NAME), &upload.id);
            let page = rig.storage.list_parts(&ctx, &bucket, &name, id, 1, 10).await.unwrap();
            assert_eq!(page.checksum, Some(DEFAULT_CHECKSUM));
            assert_eq!(page.parts[0].checksum, Some(sum(Algorithm::Crc64Nvme, b"rest")));
            let done = upload.complete(&[&one, &two], ClaimedChecksums::default()).await.unwrap();
            let stored = upload.stored().await.unwrap();
            assert_eq!(done.checksum.as_ref(), Some(&stored));
            assert_eq!((stored.value.as_str(), stored.kind), (&*wanted, ChecksumType::FullObject));
        }
    }
}

#[tokio::test]
async fn what_was_claimed_of_parts_can_be_claimed_of_the_object() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("one").await;
    let upload = Uploading::begin(&rig, service(), &bucket, None).await;
    let part = upload.put(1, b"bytes", Some(Algorithm::Crc32)).await;
    let whole = sum(Algorithm::Crc32, b"bytes").base64();
    let object = |text: &str| ClaimedChecksums {
        object: Some((Algorithm::Crc32, text.to_owned())),
        ..ClaimedChecksums::default()
    };
    let wrong = upload.complete(&[&part], object("AAAAAA==")).await.unwrap_err();
    assert!(matches!(wrong, Error::BadDigest("CRC32")), "{wrong:?}");
    let done = upload.complete(&[&part], object(&whole)).await.unwrap();
    assert_eq!(done.checksum.unwrap().value, whole);
}

#[tokio::test]
async fn a_composite_checksum_demands_that_of_each_part() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("one").await;
    let algorithm = Algorithm::Sha256;
    let wanted = WantedChecksum { algorithm, kind: ChecksumType::Composite };
    let upload = Uploading::begin(&rig, service(), &bucket, Some(wanted)).await;
    let part = upload.put(1, b"bytes", None).await;
    let missing = upload.complete(&[&part], ClaimedChecksums::default()).await.unwrap_err();
    let fault = ChecksumFault::PartWithout { algorithm, number: 1 };
    assert!(matches!(&missing, Error::Checksum(found) if *found == fault), "{missing:?}");
    let claims = ClaimedChecksums {
        parts: vec![(1, part.checksum.clone().unwrap())],
        ..ClaimedChecksums::default()
    };
    let done = upload.complete(&[&part], claims).await.unwrap();
    assert!(done.checksum.unwrap().value.ends_with("-1"));
}

#[tokio::test]
async fn copied_parts_have_the_default_checksum() {
    let rig = Rig::new().await;
    let (bucket, ctx) = (rig.bucket("one").await, service());
    let bytes = vec![b'c'; MIN_PART];
    let source = Uploading::begin(&rig, ctx.clone(), &bucket, None).await;
    let part = source.put(1, &bytes, None).await;
    source.complete(&[&part], ClaimedChecksums::default()).await.unwrap();
    let object = rig.storage.find_object(&ctx, &bucket, &key(NAME)).await.unwrap();
    for range in [0..object.size, 1..object.size] {
        let upload = Uploading::begin(&rig, ctx.clone(), &bucket, None).await;
        let (name, id) = (key(NAME), &upload.id);
        let from = usize::try_from(range.start).unwrap();
        let copied = rig.storage.copy_part(&ctx, &bucket, &name, id, 1, &object, range).await;
        let copied = copied.unwrap();
        let wanted = sum(Algorithm::Crc64Nvme, &bytes[from..]);
        assert_eq!(copied.checksum.as_ref(), Some(&wanted));
        let done = upload.complete(&[&copied], ClaimedChecksums::default()).await.unwrap();
        assert_eq!(done.checksum.map(|sum| sum.value), Some(wanted.base64()));
    }
}

/// A copy has digests of its own, so that nobody finds out later.
#[tokio::test]
async fn no_copy_has_other_bytes_than_its_source_is_known_to_have() {
    let hooks = Arc::new(Hooks::default());
    let shared = Arc::clone(&hooks);
    let wrap: Wrap = Box::new(|inner| Arc::new(Hooked { inner, hooks: shared }));
    let rig = Rig::with(Plan { wrap: Some(wrap), ..Plan::default() }).await;
    let (bucket, ctx) = (rig.bucket("one").await, service());
    let bytes = vec![b'c'; 100_000];
    rig.put(&ctx, &bucket, NAME, &bytes).await.unwrap();
    let tagged = rig.storage.find_object(&ctx, &bucket, &key(NAME)).await.unwrap();
    let with = |etag: &str, sum: Option<Checksum>| {
        let mut object = tagged.clone();
        object.etag = ETag::new(etag);
        let checksum = sum.map(|sum| StoredChecksum {
            algorithm: sum.algorithm().name().into(),
            value: sum.base64(),
            kind: ChecksumType::FullObject,
        });
        object.metadata.rowlock = Some(RowlockMetadata { checksum, ..Default::default() });
        object
    };
    let foreign = "0123456789abcdef0123456789abcdef";
    let crc = || Some(sum(Algorithm::Crc32, &bytes));
    let cases = [
        (tagged.clone(), true),
        (with(tagged.etag.bare(), crc()), true),
        // A store's own tag that only looks like an MD5: the checksum is the better witness.
        (with(foreign, crc()), true),
        // Of these nothing is known.
        (with("4e8a2b-1f", None), false),
        (with("8f14e45f-ceea-467f-9575-dc2a2a2c7c2f", None), false),
    ];
    let files = rig.files();
    for (source, known) in cases {
        let case = format!("{:?} {:?}", source.etag, source.metadata.rowlock);
        for flips in [true, false] {
            *hooks.flips.lock() = flips;
            let request = CopyRequest {
                bucket: bucket.clone(),
                key: key("copy"),
                metadata: CopyMetadata::Source,
                condition: WriteCondition::None,
                tags: None,
                checksum: Some(Algorithm::Sha256),
            };
            let copied = rig.storage.copy_object(&ctx, &source, request).await;
            let upload = Uploading::begin(&rig, ctx.clone(), &bucket, None).await;
            let whole = 0..source.size;
            let (name, id) = (key(NAME), &upload.id);
            let part = rig.storage.copy_part(&ctx, &bucket, &name, id, 1, &source, whole).await;
            if flips && known {
                for refused in [copied.map(drop), part.map(drop)] {
                    assert!(matches!(refused, Err(Error::StorageUnavailable(_))), "{case}");
                }
                // Earlier uploads' folders go later.
                let of_it = format!("multiparts/{id}");
                let counts = |file: &std::path::PathBuf| {
                    let other = !files.contains(file) && !file.starts_with("multiparts");
                    other || file.starts_with(&of_it) && file.ends_with("part-1")
                };
                let new: Vec<_> = rig.files().into_iter().filter(counts).collect();
                assert_eq!(new, Vec::<std::path::PathBuf>::new(), "{case}");
            } else {
                let copied = copied.unwrap().checksum.unwrap();
                let fits = copied.value == sum(Algorithm::Sha256, &bytes).base64();
                assert_eq!(fits, !flips, "{case}");
                assert_eq!(part.unwrap().etag == tagged.etag, !flips, "{case}");
                rig.storage.delete_object(&ctx, &bucket, &key("copy")).await.unwrap();
                rig.drain().await;
            }
            rig.storage.abort_multipart(&ctx, &bucket, &name, id).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_complete_whose_row_a_trigger_drops_can_be_repeated() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("one").await;
    let upload = Uploading::begin(&rig, service(), &bucket, None).await;
    let part = upload.put(1, b"bytes", None).await;
    rig.sql(
        "CREATE FUNCTION public.drops() RETURNS trigger LANGUAGE plpgsql
         AS 'BEGIN RETURN NULL; END'",
    )
    .await;
    rig.sql(
        "CREATE TRIGGER drops BEFORE INSERT ON storage.objects
         FOR EACH ROW EXECUTE FUNCTION public.drops()",
    )
    .await;
    let refused = upload.complete(&[&part], ClaimedChecksums::default()).await;
    assert!(matches!(refused, Err(Error::Catalog(_))), "{refused:?}");
    rig.sql("DROP TRIGGER drops ON storage.objects").await;
    upload.complete(&[&part], ClaimedChecksums::default()).await.unwrap();
    assert_eq!(rig.get(&service(), &bucket, NAME).await.unwrap(), b"bytes");
}

#[tokio::test]
async fn lists_of_uploads_tell_their_checksums() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("one").await;
    let wanted = WantedChecksum { algorithm: Algorithm::Sha1, kind: ChecksumType::Composite };
    for wanted in [None, Some(wanted)] {
        Uploading::begin(&rig, service(), &bucket, wanted).await;
    }
    let query = ListUploadsQuery {
        bucket,
        prefix: String::new(),
        delimiter: String::new(),
        key_marker: String::new(),
        upload_id_marker: String::new(),
        max_uploads: 10,
    };
    let page = rig.storage.list_uploads(&service(), &query).await.unwrap();
    let told: Vec<_> = page
        .entries
        .iter()
        .map(|entry| match entry {
            UploadsEntry::Upload(upload) => upload.checksum,
            UploadsEntry::Prefix(prefix) => panic!("{prefix}"),
        })
        .collect();
    assert_eq!(told, [DEFAULT_CHECKSUM, wanted]);
}

#[tokio::test]
async fn the_sum_of_the_parts_is_refused_with_the_part_that_passes_the_limit() {
    for (server, own, of) in [(None, Some(10), LimitOf::Bucket), (Some(10), None, LimitOf::Server)]
    {
        let rig = Rig::with(Plan { max_object_bytes: server, ..Plan::default() }).await;
        rig.open_policy().await;
        let bucket = rig.bucket("one").await;
        if let Some(bytes) = own {
            rig.sql(&format!("UPDATE storage.buckets SET file_size_limit = {bytes}")).await;
        }
        for ctx in [service(), user(ALICE)] {
            let upload = Uploading::begin(&rig, ctx, &bucket, None).await;
            upload.put(1, b"123456", None).await;
            let refused = |result: Result<Part, Error>| match result {
                Err(Error::EntityTooLarge { limit, size }) => (limit, size),
                other => panic!("{other:?}"),
            };
            let limit = SizeLimit { bytes: 10, of };
            // Before a byte is read where the length is known, else with the byte that is too many.
            let announced = upload.try_put(2, b"12345", Some(5), None).await;
            assert_eq!(refused(announced), (limit, Some(11)));
            assert_eq!(refused(upload.try_put(2, b"12345", None, None).await), (limit, None));
            let two = upload.put(2, b"1234", None).await;
            // A part may be replaced: what lies under its own number does not count.
            let one = upload.put(1, b"654321", None).await;
            assert_eq!(refused(upload.try_put(3, b"1", Some(1), None).await).1, Some(11));
            assert_eq!((one.size, two.size), (6, 4));
        }
    }
}

/// Two parts that pass together, each unaware of the other, are refused by the Complete.
#[tokio::test]
async fn parts_that_meet_are_summed_up_at_the_end() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("one").await;
    let limit = MIN_PART as u64 + 4;
    rig.sql(&format!("UPDATE storage.buckets SET file_size_limit = {limit}")).await;
    let upload = Uploading::begin(&rig, service(), &bucket, None).await;
    let (storage, ctx, name) = (&rig.storage, service(), key(NAME));
    let begin = |number| storage.begin_part(&ctx, &bucket, &name, &upload.id, number, None);
    let (one, two) = (begin(1).await.unwrap(), begin(2).await.unwrap());
    let first = vec![b'a'; MIN_PART];
    let one = one.receive(body(&first), Expected::default()).await.unwrap();
    let two = two.receive(body(b"12345"), Expected::default()).await.unwrap();
    let refused = upload.complete(&[&one, &two], ClaimedChecksums::default()).await.unwrap_err();
    let Error::EntityTooLarge { limit: named, size } = refused else { panic!("{refused:?}") };
    assert_eq!((named.bytes, size), (limit, Some(limit + 1)));
    upload.complete(&[&one], ClaimedChecksums::default()).await.unwrap();
}

/// Where a part takes its place when it is staged, that order counts, and not the order of records:
/// the part that is there can always be named by a Complete.
#[tokio::test]
async fn of_two_writers_of_a_part_the_store_has_the_last_word() {
    for replaced_before in [false, true] {
        let hooks = Arc::new(Hooks::default());
        *hooks.in_place.lock() = true;
        let shared = Arc::clone(&hooks);
        let wrap: Wrap = Box::new(|inner| Arc::new(Hooked { inner, hooks: shared }));
        let rig = Rig::with(Plan { wrap: Some(wrap), ..Plan::default() }).await;
        let bucket = rig.bucket("one").await;
        let upload = Uploading::begin(&rig, service(), &bucket, None).await;
        if replaced_before {
            upload.put(1, b"before", None).await;
        }
        let (first_staged, staged) = oneshot::channel();
        let (go_on, waiting) = oneshot::channel::<()>();
        let mut once = Some((first_staged, waiting));
        *hooks.staged.lock() = Some(Box::new(move |_| {
            let once = once.take();
            Box::pin(async move {
                if let Some((staged, waiting)) = once {
                    staged.send(()).unwrap();
                    waiting.await.unwrap();
                }
            })
        }));
        let later = async {
            staged.await.unwrap();
            let later = upload.put(1, b"later", None).await;
            go_on.send(()).unwrap();
            later
        };
        let (_, later) = tokio::join!(upload.put(1, b"first", None), later);
        let name = key(NAME);
        let page = rig.storage.list_parts(&service(), &bucket, &name, &upload.id, 0, 10).await;
        let listed: Vec<_> = page.unwrap().parts.into_iter().map(|part| part.etag).collect();
        assert_eq!(listed, std::slice::from_ref(&later.etag));
        // What is joined in files has a version of its own.
        *hooks.in_place.lock() = false;
        let done = upload.complete(&[&later], ClaimedChecksums::default()).await.unwrap();
        assert_eq!(done.size, 5);
    }
}

/// One after the other, the last one counts, and the store is not asked.
#[tokio::test]
async fn a_part_that_is_sent_anew_replaces_the_one_before() {
    let hooks = Arc::new(Hooks::default());
    *hooks.in_place.lock() = true;
    let shared = Arc::clone(&hooks);
    let wrap: Wrap = Box::new(|inner| Arc::new(Hooked { inner, hooks: shared }));
    let rig = Rig::with(Plan { wrap: Some(wrap), ..Plan::default() }).await;
    let bucket = rig.bucket("one").await;
    let upload = Uploading::begin(&rig, service(), &bucket, None).await;
    for bytes in ["one", "two!", "three"] {
        let part = upload.put(1, bytes.as_bytes(), None).await;
        // Whatever the store would say: nobody else has recorded the part meanwhile.
        hooks.parts.lock().clear();
        let name = key(NAME);
        let page = rig.storage.list_parts(&service(), &bucket, &name, &upload.id, 0, 10).await;
        let listed: Vec<_> = page.unwrap().parts.into_iter().map(|part| part.etag).collect();
        assert_eq!(listed, [part.etag]);
    }
}

/// However long the store takes to say which part it has, the database's connections are free; and
/// who is recorded meanwhile is not replaced by what the store said before.
#[tokio::test]
async fn while_the_store_is_asked_for_a_part_the_database_waits_for_nothing() {
    let hooks = Arc::new(Hooks::default());
    *hooks.in_place.lock() = true;
    let shared = Arc::clone(&hooks);
    let wrap: Wrap = Box::new(|inner| Arc::new(Hooked { inner, hooks: shared }));
    let plan = Plan { wrap: Some(wrap), connections: 2, ..Plan::default() };
    let rig = Rig::with(plan).await;
    let bucket = rig.bucket("one").await;
    let (storage, ctx, name) = (&rig.storage, service(), key(NAME));
    let upload = Uploading::begin(&rig, ctx.clone(), &bucket, None).await;
    let (asks, mut asked) = mpsc::unbounded_channel();
    let (go_on, held) = watch::channel(false);
    *hooks.looked.lock() = Some(Box::new(move |_| {
        asks.send(()).unwrap();
        let mut held = held.clone();
        Box::pin(async move {
            held.wait_for(|go_on| *go_on).await.unwrap();
        })
    }));
    // A first attempt at each part goes on when the second one is done.
    let mut attempts = Vec::new();
    for number in 1..=4 {
        let id = &upload.id;
        attempts.push(storage.begin_part(&ctx, &bucket, &name, id, number, None).await.unwrap());
        upload.put(number, b"second attempt", None).await;
    }
    let attempts: Vec<_> = attempts
        .into_iter()
        .map(|part| tokio::spawn(part.receive(body(b"first attempt"), Expected::default())))
        .collect();
    let others = async {
        for _ in &attempts {
            asked.recv().await.unwrap();
        }
        upload.put(1, b"third attempt", None).await
    };
    let third = tokio::time::timeout(Duration::from_secs(20), others).await.expect("all go on");
    go_on.send(true).unwrap();
    let mut wanted = Vec::new();
    for attempt in attempts {
        wanted.push(attempt.await.unwrap().unwrap().etag);
    }
    wanted[0] = third.etag;
    let page = storage.list_parts(&ctx, &bucket, &name, &upload.id, 0, 10).await.unwrap();
    let listed: Vec<_> = page.parts.into_iter().map(|part| part.etag).collect();
    assert_eq!(listed, wanted);
}
