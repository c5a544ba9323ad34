//! The comparison of rows and files: silent where all is well, exact where it is not.

use crate::resumable::{append, begin};
use crate::support::{Plan, Rig, body, key, new_object, service};
use rowlock_blobs::file::Separator;
use rowlock_blobs::{BlobAttributes, BlobKey};
use rowlock_catalog::testing::World;
use rowlock_storage::{Expected, Finding, ResumableId, ScrubError, ScrubOptions, ScrubSummary};
use rowlock_types::{BucketName, Version};
use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, SystemTime};

const NOW: ScrubOptions = ScrubOptions { min_age: Duration::ZERO, quarantine: false };
const V: &str = "8556a18b-0258-4c57-a46a-3ab841478cbf";

async fn try_scrub(
    rig: &Rig,
    options: ScrubOptions,
) -> Result<(ScrubSummary, Vec<Finding>), ScrubError> {
    let mut findings = Vec::new();
    let summary = rig.storage.scrub(options, &mut |finding| findings.push(finding)).await?;
    Ok((summary, findings))
}

async fn scrub(rig: &Rig) -> (ScrubSummary, Vec<Finding>) {
    try_scrub(rig, NOW).await.unwrap()
}

/// What is found, by kind and place.
fn shown(findings: &[Finding]) -> BTreeSet<String> {
    let show = |finding: &Finding| match finding {
        Finding::Missing { bucket, key, .. } => format!("missing {bucket}/{key}"),
        Finding::WrongSize { bucket, key, expected, found } => {
            format!("size {bucket}/{key} {expected} {found}")
        }
        Finding::Unreferenced { name, moved_to: None, .. } => format!("unreferenced {name}"),
        Finding::Unreferenced { name, moved_to: Some(to), .. } => format!("moved {name} {to}"),
        Finding::OtherLayout { name } => format!("layout {name}"),
        Finding::Upload { name, id, .. } => format!("upload {id} {name}"),
        Finding::Resumable { name, .. } => format!("resumable {name}"),
        Finding::Temporary { name, .. } => format!("temporary {name}"),
        Finding::Odd { name } => format!("odd {name}"),
    };
    let shown: BTreeSet<String> = findings.iter().map(show).collect();
    assert_eq!(shown.len(), findings.len(), "told twice: {findings:?}");
    shown
}

fn set<const N: usize>(texts: [String; N]) -> BTreeSet<String> {
    texts.into()
}

fn file(rig: &Rig, name: &str, bytes: &[u8]) {
    let path = rig.root().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn age(rig: &Rig, name: &str, days: u64) {
    let file = fs::File::open(rig.root().join(name)).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(days * 24 * 3600 + 60)).unwrap();
}

async fn row(rig: &Rig, name: &str, version: Option<&str>, size: Option<u64>) {
    let metadata = size.map(|size| format!(r#"{{"size":{size}}}"#));
    let insert = "INSERT INTO storage.objects (bucket_id, name, version, metadata)
                  VALUES ('b', $1, $2, $3::text::jsonb)";
    rig.admin.execute(insert, &[&name, &version, &metadata]).await.unwrap();
}

/// A write that was killed between the rename and the commit.
async fn kill_before_commit(rig: &Rig, bucket: &BucketName, name: &str) -> String {
    let blob = BlobKey { bucket: bucket.clone(), key: key(name), version: Some(Version::random()) };
    let mut writer = rig.blobs.writer(&blob, &BlobAttributes::default(), None);
    writer.write("lost".into()).await.unwrap();
    writer.finish().await.unwrap();
    let names = rig.blobs.names(&blob);
    names.into_iter().find(|name| rig.root().join(name).exists()).unwrap()
}

/// Objects of every shape that a path can have.
async fn fill(rig: &Rig) -> BucketName {
    let bucket = rig.bucket("b").await;
    for name in [
        "plain.txt",
        "plain.txt/below",
        "a//slashes///b",
        "/lead",
        "tail/",
        "/",
        "folder/.emptyFolderPlaceholder",
        "ünï/日本",
        &format!("looks/like/{V}"),
        &format!("state/{V}.json"),
        &format!("long/{}", "s".repeat(300)),
        &format!("{}/y", "t".repeat(300)),
    ] {
        rig.put(&service(), &bucket, name, name.as_bytes()).await.unwrap();
    }
    // As the reference left them, or as they were made by hand.
    row(rig, "null", None, Some(4)).await;
    row(rig, "hand//made", Some(""), None).await;
    file(rig, "stub/ten/b/null", b"1234");
    file(rig, "stub/ten/b/hand/made", b"x");
    bucket
}

#[tokio::test]
async fn a_healthy_store_is_silent_under_either_separator() {
    for separator in [Separator::Slash, Separator::DashV] {
        for (world, named) in [(World::Stack, true), (World::Plain, false)] {
            let plan = Plan {
                separator,
                world,
                named,
                grace: Duration::from_secs(3600),
                ..Plan::default()
            };
            let rig = Rig::with(plan).await;
            let bucket = fill(&rig).await;
            // A version-less file that was moved out of another object's way.
            row(&rig, "way", None, Some(1)).await;
            file(&rig, "stub/ten/b/way", b"w");
            rig.put(&service(), &bucket, "way/further", b"1").await.unwrap();
            // Replaced and deleted: their blobs wait.
            rig.put(&service(), &bucket, "plain.txt", b"again").await.unwrap();
            rig.put(&service(), &bucket, "gone/x//y", b"gone").await.unwrap();
            rig.storage.delete_object(&service(), &bucket, &key("gone/x//y")).await.unwrap();
            // An upload that goes on.
            let upload = new_object(&bucket, "up", 0);
            let id = rig.storage.create_multipart(&service(), upload).await.unwrap();
            let part = rig.storage.begin_part(&service(), &bucket, &key("up"), &id, 1, None).await;
            part.unwrap().receive(body(b"part"), Expected::default()).await.unwrap();

            let (summary, findings) = scrub(&rig).await;
            assert_eq!(shown(&findings), BTreeSet::new(), "{separator:?} {world:?}");
            assert!(summary.is_clean() && !summary.has_damage(), "{summary:?}");
            let rows = rig.text("SELECT count(*)::text FROM storage.objects").await;
            assert_eq!(summary.rows.to_string(), rows);
            assert_eq!((summary.waiting, summary.under_way), (2, 0), "{summary:?}");
            assert_eq!(summary.blobs, summary.rows + 2, "{summary:?}");
        }
    }
}

#[tokio::test]
async fn what_a_kill_leaves_is_found_and_nothing_else() {
    let rig = Rig::new().await;
    let bucket = fill(&rig).await;
    let left = kill_before_commit(&rig, &bucket, "plain.txt").await;
    let aside = kill_before_commit(&rig, &bucket, &"z".repeat(300)).await;
    assert!(aside.contains(".rowlock/long"), "{aside}");

    let (summary, findings) = scrub(&rig).await;
    let expected = set([format!("unreferenced {left}"), format!("unreferenced {aside}")]);
    assert_eq!(shown(&findings), expected);
    assert_eq!((summary.unreferenced, summary.unreferenced_bytes), (2, 8));
    assert!(!summary.has_damage() && !summary.is_clean());

    // So new, either may still get its row.
    let patient = ScrubOptions { min_age: Duration::from_secs(600), ..NOW };
    let (summary, findings) = try_scrub(&rig, patient).await.unwrap();
    assert_eq!((findings, summary.under_way), (Vec::new(), 2));
}

#[tokio::test]
async fn every_kind_of_damage_has_its_name() {
    let rig = &Rig::new().await;
    let bucket = fill(rig).await;
    for name in ["lost", "cut"] {
        rig.put(&service(), &bucket, name, b"12345").await.unwrap();
    }
    let path = async |name: &str| {
        let version = format!("SELECT version FROM storage.objects WHERE name = '{name}'");
        format!("stub/ten/b/{name}/{}", rig.text(&version).await)
    };
    let (lost, cut) = (path("lost").await, path("cut").await);
    fs::remove_file(rig.root().join(lost)).unwrap();
    file(rig, &cut, b"123");
    // Rows that can name no blob.
    row(rig, "bad version", Some("../../etc"), None).await;
    row(rig, "dots/../up", Some(V), None).await;
    // Two rows for one blob: the one without a version has none.
    let real = path("plain.txt").await;
    let stolen = real.strip_prefix("stub/ten/b/").unwrap().to_owned();
    row(rig, &stolen, None, None).await;
    // A blob where the other separator puts it.
    row(rig, "other", Some(V), None).await;
    file(rig, &format!("stub/ten/b/other-$v-{V}"), b"1");
    // Left over.
    file(rig, &format!("multiparts/u-1/stub/ten/b/k/{V}/part-1"), b"123");
    file(rig, &format!("stub/ten/b/tus/{V}"), b"123");
    file(rig, &format!("stub/ten/b/tus/{V}.info"), b"{}");
    file(rig, "stub/ten/no-such-bucket/x", b"1");
    file(rig, "stub/ten/stray", b"1");
    let old = "stub/.rowlock/tmp/67e55044-10b1-426f-9247-bb680e5fe0c8";
    file(rig, old, b"1");
    age(rig, old, 3);

    let (summary, findings) = scrub(rig).await;
    let expected = set([
        "missing b/lost".to_owned(),
        "size b/cut 5 3".to_owned(),
        "missing b/bad version".to_owned(),
        "missing b/dots/../up".to_owned(),
        format!("missing b/{stolen}"),
        "missing b/other".to_owned(),
        format!("layout stub/ten/b/other-$v-{V}"),
        format!("upload u-1 multiparts/u-1/stub/ten/b/k/{V}"),
        format!("resumable stub/ten/b/tus/{V}"),
        format!("resumable stub/ten/b/tus/{V}.info"),
        "unreferenced stub/ten/no-such-bucket/x".to_owned(),
        "odd stub/ten/stray".to_owned(),
        format!("temporary {old}"),
    ]);
    assert_eq!(shown(&findings), expected);
    assert!(summary.has_damage());
    assert_eq!((summary.missing, summary.wrong_size, summary.uploads), (5, 1, 1));
}

#[tokio::test]
async fn quarantine_takes_what_is_old_and_proved_and_the_rest_stays() {
    let rig = Rig::new().await;
    let bucket = fill(&rig).await;
    let before = rig.files();
    let old = kill_before_commit(&rig, &bucket, "plain.txt").await;
    let aside = kill_before_commit(&rig, &bucket, &"z".repeat(300)).await;
    let new = kill_before_commit(&rig, &bucket, "new").await;
    let versionless = "stub/ten/b/deep/er/versionless".to_owned();
    file(&rig, &versionless, b"1");
    file(&rig, &format!("stub/ten/b/tus/{V}"), b"123");
    file(&rig, &format!("stub/ten/b/tus/{V}.json"), b"{}");
    for name in [&old, &aside, &versionless, &format!("stub/ten/b/tus/{V}")] {
        age(&rig, name, 2);
    }
    let quarantine = ScrubOptions { quarantine: true, ..NOW };
    let (summary, findings) = try_scrub(&rig, quarantine).await.unwrap();
    let kept =
        |name: &str| format!("stub/__internal/quarantine/{}", name.strip_prefix("stub/").unwrap());
    let moved = |name: &str| format!("moved {name} {}", kept(name));
    let expected = set([
        moved(&old),
        moved(&aside),
        moved(&versionless),
        format!("unreferenced {new}"),
        format!("resumable stub/ten/b/tus/{V}"),
        format!("resumable stub/ten/b/tus/{V}.json"),
    ]);
    assert_eq!(shown(&findings), expected);
    assert_eq!(summary.quarantined, 3);
    assert_eq!(fs::read(rig.root().join(kept(&old))).unwrap(), b"lost");
    assert!(!rig.root().join("stub/ten/b/deep").exists());

    // Nothing of an object was touched, and a second run finds the rest alone.
    let after = rig.files();
    assert!(before.is_subset(&after));
    assert_eq!(after.len(), before.len() + 6);
    let (summary, findings) = try_scrub(&rig, quarantine).await.unwrap();
    assert_eq!((summary.quarantined, findings.len()), (0, 3));
    assert_eq!(rig.get(&service(), &bucket, "plain.txt").await.unwrap(), b"plain.txt");
}

#[tokio::test]
async fn what_an_upload_is_about_to_commit_stays_however_old_it_looks() {
    let rig = Rig::new().await;
    let bucket = fill(&rig).await;
    for name in ["plain.txt".to_owned(), "z".repeat(300)] {
        let blob = kill_before_commit(&rig, &bucket, &name).await;
        age(&rig, &blob, 2);
        let version = blob.rsplit('/').next().unwrap();
        let insert = "INSERT INTO storage.s3_multipart_uploads
                        (id, upload_signature, bucket_id, key, version)
                      VALUES ($1, '', 'b', $2, $1)";
        rig.admin.execute(insert, &[&version, &name]).await.unwrap();
    }
    let before = rig.files();
    let quarantine = ScrubOptions { quarantine: true, ..NOW };
    let (summary, findings) = try_scrub(&rig, quarantine).await.unwrap();
    assert_eq!((shown(&findings), summary.under_way), (BTreeSet::new(), 2));
    assert_eq!(rig.files(), before);

    rig.admin.execute("DELETE FROM storage.s3_multipart_uploads", &[]).await.unwrap();
    let (summary, _) = try_scrub(&rig, quarantine).await.unwrap();
    assert_eq!((summary.quarantined, summary.under_way), (2, 0));
}

#[tokio::test]
async fn what_a_client_may_go_on_with_stays_however_old_it_is() {
    let rig = Rig::new().await;
    let bucket = fill(&rig).await;
    // Half of one; and two that were finished by a process that died before the commit.
    let mut left = Vec::new();
    for (name, finished) in [("half", false), ("whole", true), (&"z".repeat(300), true)] {
        let id = begin(&rig, &bucket, name, 10).await;
        append(&rig, &service(), &id, 0, b"12345").await.unwrap();
        let ResumableId { bucket, key, version } = id;
        let blob = BlobKey { bucket, key, version: Some(version) };
        let mut place = format!("stub/.rowlock/growing/ten/{version}");
        if finished {
            let table = rig.own_table("resumable");
            let growth = format!("SELECT growth::text FROM {table} WHERE version = '{version}'");
            let growth = serde_json::from_str(&rig.text(&growth).await).unwrap();
            let attributes = BlobAttributes::default();
            rig.blobs.finish_growing(&blob, &growth, &attributes).await.unwrap();
            let names = rig.blobs.names(&blob);
            place = names.into_iter().find(|name| rig.root().join(name).exists()).unwrap();
        }
        age(&rig, &place, 2);
        left.push(place);
    }
    let before = rig.files();
    let quarantine = ScrubOptions { quarantine: true, ..NOW };
    let (summary, findings) = try_scrub(&rig, quarantine).await.unwrap();
    assert_eq!((shown(&findings), summary.under_way), (BTreeSet::new(), 3));
    assert_eq!(rig.files(), before);

    // A database that is older than the files.
    rig.sql(&format!("DELETE FROM {}", rig.own_table("resumable"))).await;
    let patient = ScrubOptions { min_age: Duration::from_secs(3 * 24 * 3600), ..quarantine };
    let (summary, findings) = try_scrub(&rig, patient).await.unwrap();
    assert_eq!((shown(&findings), summary.under_way), (BTreeSet::new(), 3));
    let (summary, findings) = try_scrub(&rig, quarantine).await.unwrap();
    assert_eq!((summary.quarantined, summary.under_way), (2, 0));
    assert!(shown(&findings).contains(&format!("resumable {}", left[0])), "{findings:?}");
    assert!(rig.root().join(&left[0]).exists() && !rig.root().join(&left[1]).exists());
}

#[tokio::test]
async fn nothing_moves_where_database_and_store_do_not_belong_together() {
    let rig = Rig::new().await;
    let quarantine = ScrubOptions { quarantine: true, ..NOW };
    let bucket = rig.bucket("b").await;
    let left = kill_before_commit(&rig, &bucket, "left").await;
    age(&rig, &left, 2);
    let refused = try_scrub(&rig, quarantine).await.unwrap_err();
    assert!(matches!(refused, ScrubError::Unfit { looked_at: 0, missing: 0 }), "{refused}");
    row(&rig, "nowhere", Some(V), None).await;
    let refused = try_scrub(&rig, quarantine).await.unwrap_err();
    assert!(matches!(refused, ScrubError::Unfit { looked_at: 1, missing: 1 }), "{refused}");
    assert!(rig.root().join(left).exists());
    // Looking is always allowed.
    assert_eq!(scrub(&rig).await.1.len(), 2);
}

#[tokio::test]
async fn a_user_who_does_not_see_all_rows_judges_none() {
    let rig = Rig::new().await;
    let bucket = fill(&rig).await;
    kill_before_commit(&rig, &bucket, "left").await;
    rig.sql("ALTER TABLE storage.objects FORCE ROW LEVEL SECURITY").await;
    let refused = try_scrub(&rig, NOW).await.unwrap_err();
    assert!(matches!(refused, ScrubError::Blind), "{refused}");
}

#[tokio::test]
async fn more_than_a_page_and_more_than_a_batch() {
    let rig = Rig::new().await;
    rig.bucket("b").await;
    rig.sql(&format!(
        "INSERT INTO storage.objects (bucket_id, name, version, metadata)
         SELECT 'b', 'n/' || n, '{V}', '{{\"size\":1}}' FROM generate_series(1, 2500) AS n"
    ))
    .await;
    for number in 1..=2500 {
        if number != 1700 {
            file(&rig, &format!("stub/ten/b/n/{number}/{V}"), b"1");
        }
    }
    file(&rig, &format!("stub/ten/b/n/2501/{V}"), b"1");
    let (summary, findings) = scrub(&rig).await;
    let expected =
        set(["missing b/n/1700".to_owned(), format!("unreferenced stub/ten/b/n/2501/{V}")]);
    assert_eq!(shown(&findings), expected);
    assert_eq!((summary.rows, summary.blobs, summary.bytes), (2500, 2500, 2500));
}
