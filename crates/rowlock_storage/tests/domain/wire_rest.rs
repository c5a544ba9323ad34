//! What each operation of the REST API costs on the wire: the table in ARCHITECTURE.md is what was
//! counted, or this test fails.

use crate::resumable::new as new_resumable;
use crate::support::proxy::Travelled;
use crate::support::{ALICE, Plan, Rig, body, during, eventually, key, new_object, service, user};
use crate::wire::Counted;
use rowlock_catalog::{BucketChanges, BucketFilter};
use rowlock_storage::{
    Access, Append, Context, CopyMetadata, CopyRequest, Expected, FolderOrder, FolderRequest,
    MoveRequest, NewBucket, NewObject, OwnMetadata, PageOrder, PageRequest, WriteCondition,
};
use rowlock_types::{BucketName, Operation};

/// The service role acts where a signature has decided, whoever signed.
const SIGNED: [&str; 2] = ["upload by a signed URL", "read by a signed URL"];

async fn measure(rig: &Rig, bucket: &BucketName, ctx: &Context) -> Vec<(&'static str, Travelled)> {
    for i in 0..100 {
        rig.put(ctx, bucket, &format!("many/{i}"), b"x").await.unwrap();
    }
    for name in ["one", "moved0", "gone0", "gone1", "gone2", "gone3"] {
        rig.put(ctx, bucket, name, b"x").await.unwrap();
    }
    let mut counted = Counted { rig, found: Vec::new() };
    uploads(&mut counted, bucket, ctx).await;
    resumables(&mut counted, bucket, ctx).await;
    reads(&mut counted, bucket, ctx).await;
    lists(&mut counted, bucket, ctx).await;
    changes(&mut counted, bucket, ctx).await;
    signatures(&mut counted, bucket, ctx).await;
    deletes(&mut counted, bucket, ctx).await;
    buckets(&mut counted, bucket, ctx).await;
    counted.found
}

async fn uploads(counted: &mut Counted<'_>, bucket: &BucketName, ctx: &Context) {
    let storage = &counted.rig.storage;
    let signed = Context { caller: service().caller, ..ctx.clone() };
    for (name, ctx, key, condition) in [
        ("upload of a new object", ctx, "new", WriteCondition::Create),
        ("upload over an object", ctx, "one", WriteCondition::None),
        ("upload by a signed URL", &signed, "signed", WriteCondition::Create),
    ] {
        let mut number = 0;
        counted
            .count(name, async || {
                number += 1;
                let name = if key == "one" { key.to_owned() } else { format!("{key}{number}") };
                let new =
                    NewObject { condition: condition.clone(), ..new_object(bucket, &name, 1) };
                let own = OwnMetadata::default();
                let upload = storage.begin_upload_with(ctx, new, own).await.unwrap();
                upload.store(body(b"x"), Expected::default()).await.unwrap();
            })
            .await;
    }
}

async fn resumables(counted: &mut Counted<'_>, bucket: &BucketName, ctx: &Context) {
    let storage = &counted.rig.storage;
    let asked = |name: String, length| new_resumable(bucket, &name, Some(length));
    let mut ids = Vec::new();
    counted
        .count("resumable upload: begin", async || {
            let asked = asked(format!("resumable{}", ids.len()), 2);
            ids.push(storage.create_resumable(ctx, asked).await.unwrap().id);
        })
        .await;
    counted
        .count("resumable upload: how far it is", async || {
            storage.find_resumable_as(ctx, &ids[0]).await.unwrap();
        })
        .await;
    let mut number = 0;
    for (name, offset) in
        [("resumable upload: the first bytes", 0), ("resumable upload: the last bytes", 1)]
    {
        counted
            .count(name, async || {
                let append = Append { offset, ..Append::default() };
                let id = &ids[number % ids.len()];
                let done = storage.append_resumable(ctx, id, append, body(b"x")).await.unwrap();
                assert_eq!(done.done, offset == 1);
                number += 1;
            })
            .await;
    }
    let long = storage.create_resumable(ctx, asked("resumable".into(), 9)).await.unwrap().id;
    let mut append = Append::default();
    counted
        .count("resumable upload: more bytes", async || {
            let more = storage.append_resumable(ctx, &long, append, body(b"x")).await.unwrap();
            append.offset = more.offset;
        })
        .await;
}

async fn reads(counted: &mut Counted<'_>, bucket: &BucketName, ctx: &Context) {
    let storage = &counted.rig.storage;
    let public = BucketName::existing(&format!("{bucket}-public")).unwrap();
    let signed = Context { caller: service().caller, ..ctx.clone() };
    for (name, ctx, bucket, access) in [
        ("read, HEAD, info", ctx, bucket, Access::Caller),
        ("read of a public bucket", ctx, &public, Access::Anyone),
        ("read by a signed URL", &signed, bucket, Access::Caller),
    ] {
        counted
            .count(name, async || {
                let opened = storage.open(ctx, bucket, &key("one"), access).await.unwrap();
                storage.read_blob(&opened.object, 0..1).await.unwrap();
            })
            .await;
    }
}

async fn lists(counted: &mut Counted<'_>, bucket: &BucketName, ctx: &Context) {
    let storage = &counted.rig.storage;
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
        .count("list", async || {
            assert!(!storage.list_folder(ctx, &folder).await.unwrap().is_empty());
        })
        .await;
    for (name, folded) in [("list-v2", false), ("list-v2 with folders", true)] {
        let page = PageRequest {
            bucket: bucket.as_str(),
            prefix: "",
            folded,
            order: PageOrder::Name,
            downwards: false,
            after: "",
            after_moment: None,
            limit: 100,
        };
        counted
            .count(name, async || {
                assert!(!storage.list_page(ctx, &page).await.unwrap().is_empty());
            })
            .await;
    }
}

async fn changes(counted: &mut Counted<'_>, bucket: &BucketName, ctx: &Context) {
    let storage = &counted.rig.storage;
    for (name, condition) in [
        ("copy to a new object", WriteCondition::Create),
        ("copy over an object", WriteCondition::None),
    ] {
        let mut number = 0;
        counted
            .count(name, async || {
                number += 1;
                let source = storage.find_source(ctx, bucket, "one").await.unwrap();
                let request = CopyRequest {
                    bucket: bucket.clone(),
                    key: key(&format!("copy{number}")),
                    metadata: CopyMetadata::Source,
                    condition: condition.clone(),
                    tags: None,
                    checksum: None,
                };
                let own = OwnMetadata::default();
                let row = storage.copy_to_row(ctx, &source.object, request, own).await.unwrap();
                assert_eq!(row.name, format!("copy{number}"));
            })
            .await;
    }
    let mut place = 0;
    counted
        .count("move", async || {
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
}

async fn signatures(counted: &mut Counted<'_>, bucket: &BucketName, ctx: &Context) {
    let storage = &counted.rig.storage;
    let many: Vec<String> = (0..100).map(|i| format!("many/{i}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (name, names) in [("sign a URL", &["one"][..]), ("sign 100 URLs", &many)] {
        counted
            .count(name, async || {
                assert_eq!(storage.readable(ctx, bucket, names).await.unwrap().len(), names.len());
            })
            .await;
    }
    counted
        .count("sign an upload", async || {
            storage.may_upload(ctx, bucket, &key("another"), false).await.unwrap();
        })
        .await;
}

async fn deletes(counted: &mut Counted<'_>, bucket: &BucketName, ctx: &Context) {
    let storage = &counted.rig.storage;
    let mut next = 0;
    counted
        .count("delete an object", async || {
            storage.remove_object(ctx, bucket, &format!("gone{next}")).await.unwrap();
            next += 1;
        })
        .await;
    let names: Vec<String> = (0..100).map(|i| format!("many/{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    counted
        .count("delete 100 objects", async || {
            storage.remove_objects(ctx, bucket, &names).await.unwrap();
        })
        .await;
}

async fn buckets(counted: &mut Counted<'_>, bucket: &BucketName, ctx: &Context) {
    let storage = &counted.rig.storage;
    let mut number = 0;
    let mut made = Vec::new();
    counted
        .count("create a bucket", async || {
            number += 1;
            let id = BucketName::existing(&format!("{bucket}-{number}")).unwrap();
            let new = NewBucket {
                id: id.clone(),
                name: id.clone(),
                public: false,
                file_size_limit: None,
                allowed_mime_types: None,
            };
            storage.create_bucket_with(ctx, &new).await.unwrap();
            made.push(id);
        })
        .await;
    counted
        .count("list buckets", async || {
            let filter = BucketFilter::default();
            assert!(!storage.list_bucket_details(ctx, &filter).await.unwrap().is_empty());
        })
        .await;
    counted
        .count("read a bucket", async || {
            storage.bucket_details(ctx, bucket).await.unwrap();
        })
        .await;
    counted
        .count("change a bucket", async || {
            let changes = BucketChanges { public: Some(false), ..BucketChanges::default() };
            storage.change_bucket(ctx, &made[0], &changes).await.unwrap();
        })
        .await;
    for full in &made {
        counted.rig.put(ctx, full, "one", b"x").await.unwrap();
    }
    let mut full = made.iter();
    counted
        .count("empty a bucket of less than 500 objects", async || {
            storage.empty_bucket(ctx, full.next().unwrap()).await.unwrap();
        })
        .await;
    counted
        .count("delete a bucket", async || {
            storage.delete_bucket(ctx, &made.pop().unwrap()).await.unwrap();
        })
        .await;
}

#[tokio::test]
async fn rest_operations_cost_what_is_documented() {
    let rig = Rig::with(Plan { proxied: true, connections: 1, lanes: 1, ..Plan::default() }).await;
    rig.open_policy().await;
    rig.sql("CREATE POLICY everything ON storage.buckets USING (true) WITH CHECK (true)").await;
    for bucket in ["one-public", "two-public"] {
        let bucket = rig.bucket(bucket).await;
        rig.put(&service(), &bucket, "one", b"x").await.unwrap();
    }
    rig.sql("UPDATE storage.buckets SET public = true").await;
    let (one, two) = (rig.bucket("one").await, rig.bucket("two").await);
    let alice = during(&user(ALICE), Operation::ObjectUpload);
    // Lanes are opened beside the first reads.
    let on_a_lane = || async {
        rig.proxy.as_ref().unwrap().take();
        rig.storage.open(&alice, &one, &key("none"), Access::Anyone).await.unwrap_err();
        rig.proxy.as_ref().unwrap().take().statements == 1
    };
    assert!(eventually(on_a_lane).await);
    let service = measure(&rig, &one, &service()).await;
    let caller = measure(&rig, &two, &alice).await;
    let mut table = String::from(
        "| operation | service role | caller under row-level security |\n|---|---|---|\n",
    );
    for ((name, s), (_, c)) in service.iter().zip(&caller) {
        let same = SIGNED.contains(name) || s.trips == c.trips && s.statements == c.statements;
        if SIGNED.contains(name) {
            assert_eq!((s.trips, s.statements), (c.trips, c.statements), "{name}");
        }
        let caller = if same { "the same".to_owned() } else { said(c) };
        table.push_str(&format!("| {name} | {} | {caller} |\n", said(s)));
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../ARCHITECTURE.md");
    let documented = std::fs::read_to_string(path).unwrap();
    assert!(documented.contains(&table), "ARCHITECTURE.md lacks this table:\n{table}");
}

/// Trips and statements.
fn said(cost: &Travelled) -> String {
    format!("{}/{}", cost.trips, cost.statements)
}
