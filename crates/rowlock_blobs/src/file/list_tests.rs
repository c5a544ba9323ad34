//! Listings of folders in which more lies than blobs.

use super::*;
use crate::{Found, FoundKind};
use futures_util::StreamExt;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use tempfile::TempDir;

const V: &str = "8556a18b-0258-4c57-a46a-3ab841478cbf";

fn open(root: &Path, separator: Separator) -> FileStore {
    FileStore::open(FileSettings {
        root: root.to_owned(),
        root_bucket: "stub".into(),
        tenant: "ten".into(),
        separator,
    })
    .unwrap()
}

fn file(root: &Path, name: &str, bytes: &[u8]) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

async fn list(store: &FileStore) -> BTreeMap<String, Found> {
    let found = store.list().map(|found| found.unwrap());
    found.map(|found| (found.name.clone(), found)).collect().await
}

fn blob(bucket: &str, path: &str, resumable: bool) -> FoundKind {
    FoundKind::Blob { bucket: bucket.into(), path: path.into(), resumable }
}

#[tokio::test]
async fn everything_of_the_tenant_is_told_apart() {
    let dir = TempDir::new().unwrap();
    let root = dir.path();
    let store = open(root, Separator::Slash);
    let expected = [
        (format!("stub/ten/b/a/{V}"), blob("b", &format!("a/{V}"), true), 1),
        (format!("stub/ten/b/a/{V}.json"), blob("b", &format!("a/{V}.json"), false), 2),
        (format!("stub/ten/b/a-$v-{V}"), blob("b", &format!("a-$v-{V}"), false), 3),
        ("stub/ten/b/bare".to_owned(), blob("b", "bare", false), 4),
        ("stub/ten/stray".to_owned(), FoundKind::Odd, 5),
        (
            format!("stub/.rowlock/long/ten/{}/{V}", "0".repeat(64)),
            FoundKind::Aside { version: V.into() },
            6,
        ),
        (format!("stub/.rowlock/tmp/{V}"), FoundKind::Temporary, 7),
    ];
    for (name, _, size) in &expected {
        file(root, name, &vec![0; *size]);
    }
    // Uploads: one with two parts, one whose blob lies aside, one without any file.
    let first = format!("multiparts/u1/stub/ten/b/k/{V}");
    file(root, &format!("{first}/metadata.json"), b"{}");
    file(root, &format!("{first}/part-1"), b"12345");
    file(root, &format!("multiparts/u2/stub/.rowlock/long/ten/00/{V}/part-1"), b"1");
    fs::create_dir_all(root.join(format!("multiparts/u3/stub/ten/b/k/{V}"))).unwrap();
    // What is none of ours.
    file(root, &format!("stub/other/b/a/{V}"), b"");
    file(root, &format!("stub2/ten/b/a/{V}"), b"");
    file(root, &format!("stub/__internal/quarantine/ten/b/a/{V}"), b"");
    file(root, &format!("stub/.rowlock/long/other/00/{V}"), b"");
    file(root, &format!("multiparts/u4/stub/other/b/k/{V}/part-1"), b"");
    file(root, "multiparts/stray", b"");
    // What no blob can be.
    std::os::unix::fs::symlink("bare", root.join("stub/ten/b/link")).unwrap();
    std::os::unix::fs::symlink("/tmp", root.join("stub/ten/b/folder-link")).unwrap();
    fs::write(root.join("stub/ten/b").join(OsStr::from_bytes(b"\xff")), b"").unwrap();

    let mut found = list(&store).await;
    for (name, kind, size) in &expected {
        let entry = found.remove(name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!((&entry.kind, entry.size), (kind, *size as u64), "{name}");
        assert!(entry.modified.elapsed().unwrap() < std::time::Duration::from_secs(600), "{name}");
    }
    let upload = found.remove(&first).unwrap();
    let path = format!("k/{V}");
    assert_eq!(upload.kind, FoundKind::Upload { id: "u1".into(), bucket: "b".into(), path });
    assert_eq!(upload.size, 7);
    let aside = found.remove(&format!("multiparts/u2/stub/.rowlock/long/ten/00/{V}")).unwrap();
    let nowhere = FoundKind::Upload { id: "u2".into(), bucket: String::new(), path: String::new() };
    assert_eq!(aside.kind, nowhere);
    let odd: Vec<_> = found.into_iter().map(|(name, found)| (name, found.kind)).collect();
    let names =
        ["stub/ten/b/folder-link", "stub/ten/b/link", "stub/ten/b/\u{fffd}"].map(str::to_owned);
    assert_eq!(odd, names.map(|name| (name, FoundKind::Odd)));
}

#[tokio::test]
async fn only_files_of_the_tenant_go_to_quarantine() {
    let dir = TempDir::new().unwrap();
    let root = dir.path();
    let store = open(root, Separator::Slash);
    for name in ["stub/other/b/a", "stub/ten/stray", "stub/ten/b/x/y", "multiparts/u/x"] {
        file(root, name, b"");
    }
    std::os::unix::fs::symlink("x/y", root.join("stub/ten/b/link")).unwrap();
    for name in [
        "stub/other/b/a",
        "stub/ten/stray",
        "stub/ten/b/x",
        "stub/ten/b/link",
        "stub/ten/b/../b/x/y",
        "stub/ten/b//x/y",
        "/stub/ten/b/x/y",
        "multiparts/u/x",
    ] {
        let refused = store.quarantine(name).await;
        assert!(matches!(refused, Err(Error::NotFound)), "{name}: {refused:?}");
    }
    let moved = store.quarantine("stub/ten/b/x/y").await.unwrap();
    assert_eq!(moved, "stub/__internal/quarantine/ten/b/x/y");
    assert!(root.join(moved).is_file());
    assert!(!root.join("stub/ten/b/x").exists(), "an empty folder stays");
    assert!(root.join("stub/ten/b/link").is_symlink());
    let aside = format!("stub/.rowlock/long/ten/00/{V}");
    file(root, &aside, b"");
    let moved = store.quarantine(&aside).await.unwrap();
    assert_eq!(moved, format!("stub/__internal/quarantine/.rowlock/long/ten/00/{V}"));
    assert!(root.join("stub/.rowlock/long").is_dir());
}

#[tokio::test]
async fn whoever_stops_listening_stops_the_search() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), Separator::Slash);
    for number in 0..3000 {
        file(dir.path(), &format!("stub/ten/b/{number}"), b"");
    }
    let mut listed = store.list();
    assert!(listed.next().await.unwrap().is_ok());
    drop(listed);
    assert_eq!(list(&store).await.len(), 3000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_that_go_meanwhile_are_left_out() {
    let dir = TempDir::new().unwrap();
    let root = dir.path().to_owned();
    let store = open(&root, Separator::Slash);
    file(&root, "stub/ten/b/stays", b"");
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let churn = std::thread::spawn(move || {
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            for number in 0..50 {
                file(&root, &format!("stub/ten/b/{number}/deeper/x"), b"");
            }
            for number in 0..50 {
                fs::remove_dir_all(root.join(format!("stub/ten/b/{number}"))).unwrap();
            }
        }
    });
    for _ in 0..50 {
        assert!(list(&store).await.contains_key("stub/ten/b/stays"));
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    churn.join().unwrap();
}
