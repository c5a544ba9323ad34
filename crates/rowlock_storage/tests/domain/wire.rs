//! What each operation costs on the wire, so that round trips can't creep up.

use crate::support::proxy::Travelled;
use crate::support::{ALICE, Plan, Rig, body, during, eventually, key, new_object, service, user};
use rowlock_blobs::BlobBody;
use rowlock_storage::{
    Access, CompletePart, Context, CopyMetadata, CopyRequest, Expected, FolderOrder, FolderRequest,
    ListQuery, ListUploadsQuery, MoveRequest, PageOrder, PageRequest, WriteCondition,
};
use rowlock_types::{BucketName, Operation, UploadId};

type Line<'a> = (&'a str, (u32, u32), (u32, u32));

/// Operation, then trips and statements for the service role and for a caller under row-level
/// security. ARCHITECTURE.md shows this table.
const TABLE: [Line<'_>; 31] = [
    ("health", (1, 4), (1, 4)),
    ("find_object", (1, 1), (1, 1)),
    ("find_object, absent", (2, 5), (2, 5)),
    ("open, REST", (1, 1), (1, 1)),
    ("open, absent", (1, 1), (2, 2)),
    ("read_blob", (0, 0), (0, 0)),
    ("list_objects", (1, 6), (1, 6)),
    ("list_objects, folded", (1, 6), (1, 6)),
    ("list_buckets", (1, 4), (1, 4)),
    ("head_bucket", (1, 4), (1, 4)),
    ("create_bucket", (1, 4), (1, 4)),
    ("delete_bucket", (8, 8), (8, 8)),
    ("begin_upload", (1, 1), (1, 6)),
    ("receive", (1, 6), (1, 6)),
    ("receive, conditional", (1, 5), (1, 5)),
    ("copy_object", (2, 7), (2, 12)),
    ("delete_object", (1, 7), (1, 7)),
    ("delete_objects, 100 keys", (1, 7), (1, 7)),
    ("list_folder", (1, 4), (1, 4)),
    ("list_page", (1, 4), (1, 4)),
    ("readable", (1, 4), (1, 4)),
    ("may_upload", (1, 1), (1, 6)),
    ("move_object", (2, 11), (2, 13)),
    ("remove_object", (1, 5), (1, 5)),
    ("remove_objects, 100 names", (1, 5), (1, 5)),
    ("create_multipart", (2, 5), (2, 10)),
    ("part", (3, 14), (4, 20)),
    ("list_parts", (1, 6), (1, 6)),
    ("list_uploads", (2, 8), (2, 8)),
    ("complete_multipart", (4, 20), (5, 24)),
    ("abort_multipart", (2, 8), (3, 14)),
];

pub(crate) struct Counted<'a> {
    pub(crate) rig: &'a Rig,
    pub(crate) found: Vec<(&'static str, Travelled)>,
}

impl Counted<'_> {
    /// Keeps the cheapest of several runs: the first ones prepare statements.
    pub(crate) async fn count(&mut self, name: &'static str, mut work: impl AsyncFnMut()) {
        let mut best = None;
        for _ in 0..4 {
            self.rig.proxy.as_ref().unwrap().take();
            work().await;
            let cost = self.rig.proxy.as_ref().unwrap().take();
            best = Some(best.map_or(cost, |best: Travelled| best.min(cost)));
        }
        self.found.push((name, best.unwrap()));
    }
}

async fn measure(rig: &Rig, bucket: &BucketName, ctx: &Context) -> Vec<(&'static str, Travelled)> {
    let storage = &rig.storage;
    for i in 0..100 {
        rig.put(ctx, bucket, &format!("many/{i}"), b"x").await.unwrap();
    }
    let mut counted = Counted { rig, found: Vec::new() };
    counted.count("health", async || storage.healthy().await.unwrap()).await;
    counted
        .count("find_object", async || {
            storage.find_object(ctx, bucket, &key("many/1")).await.unwrap();
        })
        .await;
    counted
        .count("find_object, absent", async || {
            storage.find_object(ctx, bucket, &key("none")).await.unwrap_err();
        })
        .await;
    counted
        .count("open, REST", async || {
            storage.open(ctx, bucket, &key("many/1"), Access::Caller).await.unwrap();
        })
        .await;
    counted
        .count("open, absent", async || {
            storage.open(ctx, bucket, &key("none"), Access::Caller).await.unwrap_err();
        })
        .await;
    let object = storage.find_object(ctx, bucket, &key("many/1")).await.unwrap();
    counted
        .count("read_blob", async || {
            let read = storage.read_blob(&object, 0..object.size).await.unwrap();
            assert!(matches!(read, BlobBody::Bytes(_)));
        })
        .await;
    for (name, delimiter) in [("list_objects", ""), ("list_objects, folded", "/")] {
        let query = ListQuery {
            bucket: bucket.clone(),
            prefix: String::new(),
            delimiter: delimiter.into(),
            after: String::new(),
            max_keys: 1000,
        };
        counted
            .count(name, async || {
                assert!(!storage.list_objects(ctx, &query).await.unwrap().entries.is_empty());
            })
            .await;
    }
    counted
        .count("list_buckets", async || {
            storage.list_buckets(ctx).await.unwrap();
        })
        .await;
    counted
        .count("head_bucket", async || {
            storage.head_bucket(ctx, bucket).await.unwrap();
        })
        .await;
    let mut number = 0;
    let mut name = || {
        number += 1;
        let role = ctx.caller.role.as_str().replace('_', "-");
        BucketName::existing(&format!("{role}-{number}")).unwrap()
    };
    let mut made = Vec::new();
    counted
        .count("create_bucket", async || {
            let bucket = name();
            storage.create_bucket(ctx, &bucket).await.unwrap();
            made.push(bucket);
        })
        .await;
    counted
        .count("delete_bucket", async || {
            storage.delete_bucket(ctx, &made.pop().unwrap()).await.unwrap();
        })
        .await;
    let mut upload = None;
    counted
        .count("begin_upload", async || {
            let begun = storage.begin_upload(ctx, new_object(bucket, "up", 1)).await;
            upload = Some(begun.unwrap());
        })
        .await;
    drop(upload);
    for (name, condition) in
        [("receive", WriteCondition::None), ("receive, conditional", WriteCondition::Absent)]
    {
        let mut waiting = Vec::new();
        for i in 0..4 {
            let new = rowlock_storage::NewObject {
                condition: condition.clone(),
                ..new_object(bucket, &format!("{name}{i}"), 1)
            };
            waiting.push(storage.begin_upload(ctx, new).await.unwrap());
        }
        counted
            .count(name, async || {
                let upload = waiting.pop().unwrap();
                upload.receive(body(b"x"), Expected::default()).await.unwrap();
            })
            .await;
    }
    counted
        .count("copy_object", async || {
            let request = CopyRequest {
                bucket: bucket.clone(),
                key: key("copy"),
                metadata: CopyMetadata::Source,
                condition: WriteCondition::None,
                tags: None,
                checksum: None,
            };
            storage.copy_object(ctx, &object, request).await.unwrap();
        })
        .await;
    counted
        .count("delete_object", async || {
            storage.delete_object(ctx, bucket, &key("copy")).await.unwrap();
        })
        .await;
    let names: Vec<_> = (0..100).map(|i| key(&format!("many/{i}"))).collect();
    counted
        .count("delete_objects, 100 keys", async || {
            storage.delete_objects(ctx, bucket, &names).await.unwrap();
        })
        .await;
    rest(&mut counted, bucket, ctx).await;
    multipart(&mut counted, bucket, ctx).await;
    counted.found
}

async fn rest(counted: &mut Counted<'_>, bucket: &BucketName, ctx: &Context) {
    let storage = &counted.rig.storage;
    for i in 0..4 {
        counted.rig.put(ctx, bucket, &format!("gone{i}"), b"x").await.unwrap();
    }
    counted.rig.put(ctx, bucket, "moved0", b"x").await.unwrap();
    let folder = FolderRequest {
        bucket: bucket.as_str(),
        prefix: "",
        search: "",
        order: FolderOrder::Name,
        downwards: false,
        limit: 100,
        offset: 0,
    };
    counted
        .count("list_folder", async || {
            assert!(!storage.list_folder(ctx, &folder).await.unwrap().is_empty());
        })
        .await;
    let page = PageRequest {
        bucket: bucket.as_str(),
        prefix: "",
        folded: true,
        order: PageOrder::CreatedAt,
        downwards: false,
        after: "",
        after_moment: None,
        limit: 100,
    };
    counted
        .count("list_page", async || {
            assert!(!storage.list_page(ctx, &page).await.unwrap().is_empty());
        })
        .await;
    counted
        .count("readable", async || {
            let names = ["gone0", "nope"];
            assert_eq!(storage.readable(ctx, bucket, &names).await.unwrap().len(), 1);
        })
        .await;
    counted
        .count("may_upload", async || {
            storage.may_upload(ctx, bucket, &key("new"), false).await.unwrap();
        })
        .await;
    let mut place = 0;
    counted
        .count("move_object", async || {
            let request = MoveRequest {
                bucket: bucket.clone(),
                name: format!("moved{place}"),
                to_bucket: bucket.clone(),
                to_key: key(&format!("moved{}", place + 1)),
            };
            place += 1;
            storage.move_object(ctx, request).await.unwrap();
        })
        .await;
    let mut next = 0;
    counted
        .count("remove_object", async || {
            storage.remove_object(ctx, bucket, &format!("gone{next}")).await.unwrap();
            next += 1;
        })
        .await;
    let names: Vec<String> = (0..100).map(|i| format!("many/{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    counted
        .count("remove_objects, 100 names", async || {
            storage.remove_objects(ctx, bucket, &names).await.unwrap();
        })
        .await;
}

async fn multipart(counted: &mut Counted<'_>, bucket: &BucketName, ctx: &Context) {
    let storage = &counted.rig.storage;
    let mut uploads: Vec<UploadId> = Vec::new();
    counted
        .count("create_multipart", async || {
            let made = storage.create_multipart(ctx, new_object(bucket, "multi", 1)).await;
            uploads.push(made.unwrap());
        })
        .await;
    let mut etag = String::new();
    let mut next = uploads.iter();
    counted
        .count("part", async || {
            let id = next.next().unwrap();
            let part = storage.begin_part(ctx, bucket, &key("multi"), id, 1, Some(1)).await;
            let part = part.unwrap().receive(body(b"x"), Expected::default()).await.unwrap();
            etag = part.etag.to_string();
        })
        .await;
    counted
        .count("list_parts", async || {
            let name = key("multi");
            storage.list_parts(ctx, bucket, &name, &uploads[0], 0, 10).await.unwrap();
        })
        .await;
    counted
        .count("list_uploads", async || {
            let query = ListUploadsQuery {
                bucket: bucket.clone(),
                prefix: String::new(),
                delimiter: String::new(),
                key_marker: String::new(),
                upload_id_marker: String::new(),
                max_uploads: 1000,
            };
            assert_eq!(storage.list_uploads(ctx, &query).await.unwrap().entries.len(), 4);
        })
        .await;
    let mut next = uploads.iter();
    counted
        .count("complete_multipart", async || {
            let (id, parts) =
                (next.next().unwrap(), vec![CompletePart { number: 1, etag: etag.clone() }]);
            let name = key("multi");
            let done =
                storage.complete_multipart(ctx, bucket, &name, id, parts, WriteCondition::None);
            done.await.unwrap();
        })
        .await;
    let mut left = Vec::new();
    for _ in 0..4 {
        left.push(storage.create_multipart(ctx, new_object(bucket, "left", 1)).await.unwrap());
    }
    counted
        .count("abort_multipart", async || {
            let id = left.pop().unwrap();
            storage.abort_multipart(ctx, bucket, &key("left"), &id).await.unwrap();
        })
        .await;
}

#[tokio::test]
async fn round_trips_and_statements_are_the_documented_ones() {
    let rig = Rig::with(Plan { proxied: true, connections: 1, lanes: 1, ..Plan::default() }).await;
    rig.open_policy().await;
    rig.sql("CREATE POLICY everything ON storage.buckets USING (true) WITH CHECK (true)").await;
    let alice = during(&user(ALICE), Operation::S3ObjectGet);
    let one = rig.bucket("one").await;
    // Lanes are opened beside the first reads.
    let on_a_lane = || async {
        rig.proxy.as_ref().unwrap().take();
        rig.storage.find_object(&alice, &one, &key("none")).await.unwrap_err();
        rig.proxy.as_ref().unwrap().take().statements == 5
    };
    assert!(eventually(on_a_lane).await);
    let service = measure(&rig, &one, &service()).await;
    let caller = measure(&rig, &rig.bucket("two").await, &alice).await;
    let found: Vec<_> = service
        .iter()
        .zip(&caller)
        .map(|(s, c)| (s.0, (s.1.trips, s.1.statements), (c.1.trips, c.1.statements)))
        .collect();
    let lines = |rows: &[Line<'_>]| {
        rows.iter().map(|row| format!("{row:?},")).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(lines(&found), lines(&TABLE), "\n{}", lines(&found));
}
