//! What is special about files; what every store does is in [`crate::suite`].

use super::*;
use crate::suite;
use bytes::Bytes;
use futures_util::StreamExt;
use rowlock_types::{BucketName, KeyRules, ObjectKey, Version};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

fn open(root: &Path, separator: Separator) -> FileStore {
    FileStore::open(FileSettings {
        root: root.to_owned(),
        root_bucket: "stub".into(),
        tenant: "ten".into(),
        separator,
    })
    .unwrap()
}

pub(super) fn slash() -> (TempDir, FileStore) {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), Separator::Slash);
    (dir, store)
}

pub(super) fn named(key: &str, version: Option<Version>) -> BlobKey {
    BlobKey {
        bucket: BucketName::existing("b3").unwrap(),
        key: ObjectKey::new(key, KeyRules::Utf8).unwrap(),
        version,
    }
}

async fn put(store: &FileStore, blob: &BlobKey, bytes: &'static [u8]) {
    suite::put(store, blob, &Bytes::from_static(bytes), 1000).await;
}

pub(super) async fn get(store: &FileStore, blob: &BlobKey, size: usize) -> Bytes {
    suite::get(store, blob, size as u64, 0..size as u64).await.unwrap()
}

/// Every file and folder below `root`, but our own folder.
fn tree(root: &Path) -> BTreeSet<String> {
    fn walk(at: &Path, root: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            if path.is_dir() && !path.is_symlink() {
                walk(&path, root, found);
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(root, root, &mut found);
    found
}

fn files(root: &Path) -> Vec<String> {
    tree(root).into_iter().filter(|path| !root.join(path).is_dir()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn does_what_every_store_must() {
    // The second is a memory file system on most machines: other rules for attributes, cached
    // reads and copies.
    for parent in [std::env::temp_dir(), "/dev/shm".into()] {
        let Ok(dir) = TempDir::new_in(parent) else { continue };
        for separator in [Separator::Slash, Separator::DashV] {
            let store = open(dir.path(), separator);
            suite::all(Arc::new(store), "suite", 300_000).await;
            // What the suite has put into quarantine stays there.
            fs::remove_dir_all(dir.path().join("stub/__internal")).unwrap();
            assert_eq!(files(dir.path()), Vec::<String>::new());
            assert!(fs::read_dir(dir.path().join("stub/ten")).unwrap().next().is_none());
            assert!(fs::read_dir(dir.path().join("multiparts")).unwrap().next().is_none());
        }
    }
}

#[tokio::test]
async fn works_without_cached_reads_and_attributes() {
    let (dir, store) = slash();
    store.0.no_cached_reads.store(true, std::sync::atomic::Ordering::Relaxed);
    store.0.no_xattrs.store(true, std::sync::atomic::Ordering::Relaxed);
    suite::all(Arc::new(store), "suite", 300_000).await;
    fs::remove_dir_all(dir.path().join("stub/__internal")).unwrap();
    assert_eq!(files(dir.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_blob_lies_where_the_reference_looks_with_its_attributes() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, store) = slash();
    let version = Version::random();
    put(&store, &named("d//p.txt", Some(version)), b"hello").await;
    let path = dir.path().join(format!("stub/ten/b3/d/p.txt/{version}"));
    assert_eq!(fs::read(&path).unwrap(), b"hello");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    let attribute = |path: &Path, name: &str| {
        let mut value = [0; 64];
        let length = rustix::fs::getxattr(path, name, &mut value)?;
        Ok::<_, Errno>(String::from_utf8(value[..length].to_vec()).unwrap())
    };
    match attribute(&path, "user.supabase.content-type") {
        Ok(value) => {
            assert_eq!(value, "text/plain; charset=utf-8");
            let value = attribute(&path, "user.supabase.cache-control").unwrap();
            assert_eq!(value, "max-age=60");
            // Where a long blob goes the other way to its file.
            let upload = suite::begin(&store, named("m", Some(version))).await;
            let bytes = suite::pattern(700_000);
            let info = suite::put_part(&store, &upload, 1, &bytes).await;
            let part = dir
                .path()
                .join(format!("multiparts/{}/stub/ten/b3/m/{version}/part-1", upload.upload_id));
            assert_eq!(attribute(&part, "user.supabase.etag").unwrap(), info.etag);
        }
        Err(errno) => assert_eq!(errno, Errno::OPNOTSUPP),
    }
    let dashed = open(dir.path(), Separator::DashV);
    put(&dashed, &named("d/q.txt", Some(version)), b"x").await;
    assert!(dir.path().join(format!("stub/ten/b3/d/q.txt-$v-{version}")).is_file());
}

#[tokio::test]
async fn an_upload_has_the_references_metadata() {
    let (dir, store) = slash();
    let version = Version::random();
    let upload = suite::begin(&store, named("m", Some(version))).await;
    let blob = named("m", Some(version));
    let bare = store.create_multipart(&blob, &BlobAttributes::default()).await.unwrap();
    let text = |id: &UploadId| {
        let path = format!("multiparts/{id}/stub/ten/b3/m/{version}/metadata.json");
        fs::read_to_string(dir.path().join(path)).unwrap()
    };
    assert_eq!(
        text(&upload.upload_id),
        r#"{"contentType":"text/plain; charset=utf-8","cacheControl":"max-age=60"}"#
    );
    assert_eq!(text(&bare), r#"{"contentType":"","cacheControl":""}"#);
}

#[tokio::test]
async fn a_key_without_version_is_a_regular_file_or_nothing() {
    let (dir, store) = slash();
    let bucket = dir.path().join("stub/ten/b3");
    fs::create_dir_all(bucket.join("folder/inner")).unwrap();
    fs::write(bucket.join("folder/inner/x"), "keep").unwrap();
    fs::write(bucket.join("plain"), "old").unwrap();
    fs::write(dir.path().join("outside"), "outside").unwrap();
    std::os::unix::fs::symlink(dir.path().join("outside"), bucket.join("link")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        bucket.join("pipe"),
        FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o644),
        0,
    )
    .unwrap();

    assert_eq!(&get(&store, &named("plain", None), 3).await[..], b"old");
    for none in ["folder", "folder/inner", "pipe", "plain/x", "nothing", "/"] {
        let head = store.head(&named(none, None)).await;
        assert!(matches!(head, Err(Error::NotFound)), "{none}: {head:?}");
    }
    let all = ["folder", "folder/inner", "pipe", "link", "plain/x", "nothing", "/", "plain"];
    let before = tree(dir.path());
    for answer in store.delete(&all.map(|key| named(key, None))).await {
        answer.unwrap();
    }
    let mut expected = before;
    expected.remove("stub/ten/b3/plain");
    assert_eq!(tree(dir.path()), expected);
}

#[tokio::test]
async fn a_file_without_version_gives_way_to_a_folder_and_is_still_read() {
    let (dir, store) = slash();
    let bucket = dir.path().join("stub/ten/b3");
    fs::create_dir_all(bucket.join("d")).unwrap();
    fs::write(bucket.join("d/a"), "legacy").unwrap();
    let (same, below) = (suite::blob("b3", "d/a"), suite::blob("b3", "d/a/b/c"));
    put(&store, &below, b"below").await;
    put(&store, &same, b"same").await;
    // Both are where the reference looks for them.
    for blob in [&same, &below] {
        let path = format!("{}/{}", blob.key, blob.version.unwrap());
        assert!(bucket.join(path).is_file());
    }
    for spelling in ["d/a", "d//a", "d/a/"] {
        assert_eq!(&get(&store, &named(spelling, None), 6).await[..], b"legacy", "{spelling}");
    }
    assert_eq!(&get(&store, &same, 4).await[..], b"same");
    assert_eq!(&get(&store, &below, 5).await[..], b"below");
    // Nothing temporary is left, and the version-less blob dies alone.
    assert_eq!(fs::read_dir(dir.path().join("stub/.rowlock/tmp")).unwrap().count(), 0);
    store.delete(&[named("d/a", None)]).await.remove(0).unwrap();
    assert!(matches!(store.head(&named("d/a", None)).await, Err(Error::NotFound)));
    assert_eq!(&get(&store, &same, 4).await[..], b"same");
    assert_eq!(files(dir.path()).len(), 2);
}

#[tokio::test]
async fn nobody_moves_a_versioned_blob_by_a_key_below_it() {
    for separator in [Separator::Slash, Separator::DashV] {
        let dir = TempDir::new().unwrap();
        let store = open(dir.path(), separator);
        let victim = suite::blob("b3", "col");
        put(&store, &victim, b"victim").await;
        let at = store.0.layout.blob(&victim).path().to_owned();
        let key = at.strip_prefix("stub/ten/b3/").unwrap();
        let (evil, deeper) =
            (suite::blob("b3", &format!("{key}/evil")), suite::blob("b3", &format!("{key}/a/b")));
        put(&store, &evil, b"evil!").await;
        put(&store, &deeper, b"deeper").await;
        assert_eq!(&get(&store, &victim, 6).await[..], b"victim");
        assert_eq!(&get(&store, &evil, 5).await[..], b"evil!");
        assert_eq!(&get(&store, &deeper, 6).await[..], b"deeper");
        store
            .copy(&evil, 5, &suite::blob("b3", &format!("{key}/c")), &suite::attributes())
            .await
            .unwrap();
        for answer in store.delete(&[evil.clone(), deeper]).await {
            answer.unwrap();
        }
        assert!(matches!(store.head(&evil).await, Err(Error::NotFound)));
        assert_eq!(&get(&store, &victim, 6).await[..], b"victim");
    }
}

#[tokio::test]
async fn a_deleted_blob_takes_its_siblings_and_empty_folders_along() {
    let (dir, store) = slash();
    let (blob, other) = (suite::blob("b3", "d/e/p.txt"), suite::blob("b3", "d/q.txt"));
    put(&store, &blob, b"1").await;
    put(&store, &other, b"2").await;
    let folder = dir.path().join("stub/ten/b3/d/e/p.txt");
    let version = blob.version.unwrap();
    for sibling in [format!("{version}.json"), format!("{version}.info")] {
        fs::write(folder.join(sibling), "{}").unwrap();
    }
    store.delete(&[blob]).await.remove(0).unwrap();
    assert!(!dir.path().join("stub/ten/b3/d/e").exists());
    assert_eq!(&get(&store, &other, 1).await[..], b"2");
    store.delete(&[other]).await.remove(0).unwrap();
    assert!(!dir.path().join("stub/ten/b3").exists());
    assert!(dir.path().join("stub/ten").is_dir());
}

#[tokio::test]
async fn a_link_is_deleted_and_not_what_it_points_at() {
    let (dir, store) = slash();
    let blob = suite::blob("b3", "linked");
    let target = dir.path().join("elsewhere");
    fs::write(&target, "mine").unwrap();
    let folder = dir.path().join("stub/ten/b3/linked");
    fs::create_dir_all(&folder).unwrap();
    let link = folder.join(blob.version.unwrap().to_string());
    std::os::unix::fs::symlink(&target, &link).unwrap();
    assert_eq!(&get(&store, &blob, 4).await[..], b"mine");
    store.delete(std::slice::from_ref(&blob)).await.remove(0).unwrap();
    assert!(!link.is_symlink());
    assert_eq!(fs::read(&target).unwrap(), b"mine");
    // A folder of a blob's name is nobody's blob.
    fs::create_dir_all(link.join("full")).unwrap();
    store.delete(&[blob]).await.remove(0).unwrap();
    assert!(link.join("full").is_dir());
}

#[tokio::test]
async fn parts_are_joined_as_told_and_only_if_they_are_the_ones_meant() {
    let (dir, store) = slash();
    let upload = suite::begin(&store, suite::blob("b3", "m")).await;
    let one = suite::put_part(&store, &upload, 1, &Bytes::from_static(b"one")).await;
    let two = suite::put_part(&store, &upload, 2, &Bytes::from_static(b"two!")).await;
    let complete = async |parts: &[PartInfo]| {
        store.complete_multipart(&upload, parts, &suite::attributes()).await
    };
    let longer = PartInfo { size: 5, ..two.clone() };
    assert!(matches!(
        complete(&[one.clone(), longer]).await,
        Err(Error::WrongLength { expected: 5, found: 4 })
    ));
    let part = store.0.layout.part(&upload, 1).unwrap();
    if rustix::fs::getxattr(dir.path().join(part.path()), "user.supabase.etag", &mut [0; 64])
        .is_ok()
    {
        let other = PartInfo { etag: "0".repeat(32), ..one.clone() };
        assert!(matches!(complete(&[other]).await, Err(Error::PartNotFound(1))));
        let quoted = PartInfo { etag: format!("\"{}\"", one.etag), ..one.clone() };
        assert_eq!(complete(&[quoted]).await.unwrap().size, 3);
    }
    let joined = complete(&[two.clone(), one.clone()]).await.unwrap();
    assert_eq!(joined.size, 7);
    // Another join of the same upload has a blob of its own: neither replaces the other.
    let other = complete(std::slice::from_ref(&one)).await.unwrap();
    assert_eq!(&get(&store, &upload.whole(&other), 3).await[..], b"one");
    assert_eq!(&get(&store, &upload.whole(&joined), 7).await[..], b"two!one");
    // A part staged and never published leaves the earlier one, and nothing else.
    let mut writer = store.part_writer(&upload, 1, None);
    writer.write(suite::pattern(300_000)).await.unwrap();
    drop(writer.stage("00").await.unwrap());
    assert_eq!(complete(&[one]).await.unwrap().size, 3);
    assert_eq!(fs::read_dir(dir.path().join("stub/.rowlock/tmp")).unwrap().count(), 0);
}

/// One that was put in its place and could not be recorded has no right to the recorded one's tag.
#[tokio::test]
async fn where_no_tag_is_kept_a_part_is_told_by_its_bytes() {
    let (dir, store) = slash();
    store.0.no_xattrs.store(true, std::sync::atomic::Ordering::Relaxed);
    let upload = suite::begin(&store, suite::blob("b3", "m")).await;
    let recorded = suite::put_part(&store, &upload, 1, &Bytes::from(vec![b'a'; 3_000_000])).await;
    let last = suite::put_part(&store, &upload, 2, &Bytes::new()).await;
    let complete = async |first: &PartInfo| {
        let parts = [first.clone(), last.clone()];
        store.complete_multipart(&upload, &parts, &suite::attributes()).await
    };
    complete(&recorded).await.unwrap();
    let replaced = suite::put_part(&store, &upload, 1, &Bytes::from(vec![b'b'; 3_000_000])).await;
    assert_eq!(replaced.size, recorded.size);
    assert!(matches!(complete(&recorded).await, Err(Error::PartNotFound(1))));
    assert_eq!(fs::read_dir(dir.path().join("stub/.rowlock/tmp")).unwrap().count(), 0);
    complete(&PartInfo { etag: format!("\"{}\"", replaced.etag.to_uppercase()), ..replaced })
        .await
        .unwrap();
    // A tag that is no MD5 tells nothing of the bytes.
    complete(&PartInfo { etag: "18c2f-2dc6c0".into(), ..recorded }).await.unwrap();
}

#[tokio::test]
async fn removing_an_upload_takes_its_own_files_alone() {
    let (dir, store) = slash();
    let upload = suite::begin(&store, suite::blob("b3", "m")).await;
    suite::put_part(&store, &upload, 1, &Bytes::from_static(b"one")).await;
    let folder = dir.path().join(store.0.layout.part(&upload, 1).unwrap().folder());
    fs::write(folder.join("strange"), "x").unwrap();
    fs::create_dir(folder.join("part-2")).unwrap();
    store.remove_multipart(&upload).await.unwrap();
    let left: BTreeSet<_> =
        fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, BTreeSet::from(["strange".into(), "part-2".into()]));
    fs::remove_file(folder.join("strange")).unwrap();
    fs::remove_dir(folder.join("part-2")).unwrap();
    store.remove_multipart(&upload).await.unwrap();
    assert_eq!(fs::read_dir(dir.path().join("multiparts")).unwrap().count(), 0);
}

#[tokio::test]
async fn only_old_temporary_files_of_ours_are_swept() {
    let (dir, store) = slash();
    let tmp = dir.path().join("stub/.rowlock/tmp");
    let stale = tmp.join(uuid::Uuid::new_v4().to_string());
    let folder = tmp.join(uuid::Uuid::new_v4().to_string());
    fs::write(&stale, "x").unwrap();
    fs::write(tmp.join("notes"), "x").unwrap();
    fs::create_dir(&folder).unwrap();
    assert_eq!(store.sweep_tmp(Duration::from_secs(86_400)).await.unwrap(), 0);
    // Its age counts in whole seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(store.sweep_tmp(Duration::ZERO).await.unwrap(), 1);
    assert!(!stale.exists() && folder.exists() && tmp.join("notes").exists());
}

#[tokio::test]
async fn a_folder_of_ours_that_someone_removed_comes_back() {
    let (dir, store) = slash();
    fs::remove_dir_all(dir.path().join("stub/.rowlock")).unwrap();
    let blob = suite::blob("b3", "a");
    put(&store, &blob, b"1").await;
    assert_eq!(&get(&store, &blob, 1).await[..], b"1");
}

#[test]
fn a_folder_that_cannot_be_used_is_refused_in_one_sentence() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("file"), "x").unwrap();
    let settings = |root: &str, tenant: &str| FileSettings {
        root: dir.path().join(root),
        root_bucket: "stub".into(),
        tenant: tenant.into(),
        separator: Separator::Slash,
    };
    let refused = FileStore::open(settings("file/below", "ten")).unwrap_err();
    assert!(matches!(refused, OpenError::Root(_)));
    assert!(!refused.to_string().contains("below") && !refused.to_string().contains('\n'));
    fs::create_dir(dir.path().join("odd")).unwrap();
    fs::write(dir.path().join("odd/stub"), "x").unwrap();
    assert!(matches!(FileStore::open(settings("odd", "ten")), Err(OpenError::NotWritable(_))));
    assert!(matches!(FileStore::open(settings("x", ".rowlock")), Err(OpenError::Tenant)));
    assert!(!dir.path().join("x").exists());
    FileStore::open(settings("new/deep/root", "ten")).unwrap();
}

#[tokio::test]
async fn a_file_that_gets_shorter_while_it_is_read_ends_in_an_error() {
    for cached in [true, false] {
        let (dir, store) = slash();
        store.0.no_cached_reads.store(!cached, std::sync::atomic::Ordering::Relaxed);
        let blob = suite::blob("b3", "k");
        suite::put(&store, &blob, &suite::pattern(3 << 20), 512 << 10).await;
        let BlobBody::Stream(mut stream) = store.read(&blob, 3 << 20, 0..3 << 20).await.unwrap()
        else {
            panic!("three megabytes in memory");
        };
        assert!(stream.next().await.unwrap().is_ok());
        let file = fs::File::options()
            .write(true)
            .open(dir.path().join(store.0.layout.blob(&blob).path()))
            .unwrap();
        file.set_len(2 << 20).unwrap();
        let rest: Vec<_> = stream.collect().await;
        let (last, before) = rest.split_last().unwrap();
        assert!(matches!(last, Err(Error::WrongLength { expected: 3_145_728, .. })), "{last:?}");
        assert!(before.iter().all(Result::is_ok));
    }
}

#[tokio::test]
async fn a_range_beyond_the_end_stops_there() {
    let (_dir, store) = slash();
    let blob = suite::blob("b3", "k");
    suite::put(&store, &blob, &suite::pattern(10), 10).await;
    let read = async |range| suite::get(&store, &blob, 10, range).await.unwrap();
    assert_eq!(read(5..99).await, suite::pattern(10).slice(5..));
    assert_eq!(read(50..99).await, Bytes::new());
}
