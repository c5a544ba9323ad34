//! Lists against a model, under policies too, and by index.

use crate::support::{ALICE, Rig, anon, service, user};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rowlock_storage::{Context, Error, ListEntry, ListQuery};
use rowlock_types::BucketName;
use std::collections::BTreeSet;

/// Characters around the delimiters, in several lengths of UTF-8, up to the last one.
const LETTERS: [&str; 16] = [
    "a",
    "b",
    "/",
    "/",
    "/",
    ".",
    "0",
    "-",
    " ",
    "%",
    "_",
    "é",
    "/é",
    "\u{D7FF}",
    "\u{E000}",
    "\u{10FFFF}",
];

fn random_names(rng: &mut StdRng, count: usize) -> BTreeSet<String> {
    let mut names: BTreeSet<String> =
        ["a", "a/", "a//b", "a/b", "a-", "a.", "a0", "a/b/c", "/", "//", "b"]
            .map(String::from)
            .into();
    while names.len() < count {
        let length = rng.random_range(1..8);
        names.insert((0..length).map(|_| *LETTERS.choose(rng).unwrap()).collect());
    }
    names
}

async fn insert(rig: &Rig, bucket: &BucketName, names: &BTreeSet<String>) {
    let names: Vec<&String> = names.iter().collect();
    let insert = "INSERT INTO storage.objects (bucket_id, name, owner_id, metadata)
                  SELECT $1, n, CASE WHEN length(n) % 2 = 0 THEN $3 END, '{\"size\": 1}'
                  FROM unnest($2::text[]) n";
    rig.admin.execute(insert, &[&bucket.as_str(), &names, &ALICE]).await.unwrap();
    rig.sql("ANALYZE storage.objects").await;
}

/// All entries behind the query's marker.
fn model(names: &BTreeSet<String>, query: &ListQuery) -> Vec<String> {
    let mut entries: Vec<String> = Vec::new();
    for name in names {
        let Some(rest) = name.strip_prefix(query.prefix.as_str()) else { continue };
        let entry = match rest.find(&query.delimiter) {
            Some(at) if !query.delimiter.is_empty() => {
                &name[..query.prefix.len() + at + query.delimiter.len()]
            }
            _ => name,
        };
        // A marker that is a folder's entry skips the folder; one inside a folder skips names.
        let folded = entry != name;
        let behind = query.after.is_empty()
            || name.as_str() > query.after.as_str() && !(folded && entry == query.after);
        if behind && entries.last().is_none_or(|last| last != entry) {
            entries.push(entry.to_owned());
        }
    }
    entries
}

async fn page(rig: &Rig, ctx: &Context, query: &ListQuery) -> (Vec<String>, bool) {
    let page = rig.storage.list_objects(ctx, query).await.unwrap();
    (page.entries.iter().map(|entry| entry.name().to_owned()).collect(), page.truncated)
}

async fn check(rig: &Rig, ctx: &Context, names: &BTreeSet<String>, mut query: ListQuery) {
    let expected = model(names, &query);
    let (entries, truncated) = page(rig, ctx, &query).await;
    let max = query.max_keys.min(expected.len());
    assert_eq!(entries, expected[..max], "{query:?}");
    assert_eq!(truncated, query.max_keys > 0 && expected.len() > query.max_keys, "{query:?}");
    // Page after page comes to the same.
    let (mut all, mut more) = (entries, truncated);
    let mut pages = 1;
    while more && pages < 40 {
        query.after = all.last().unwrap().clone();
        let (entries, truncated) = page(rig, ctx, &query).await;
        all.extend(entries);
        more = truncated;
        pages += 1;
    }
    assert_eq!(all, expected[..all.len()], "{query:?}");
    assert!(more || all.len() == expected.len().min(all.len().max(max)), "{query:?}");
}

#[tokio::test]
async fn pages_are_the_models_for_every_prefix_delimiter_and_marker() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    let mut rng = StdRng::seed_from_u64(11);
    let names = random_names(&mut rng, 3000);
    insert(&rig, &bucket, &names).await;
    rig.sql("CREATE POLICY own ON storage.objects USING (owner_id = (SELECT auth.uid()::text))")
        .await;
    let own: BTreeSet<String> =
        names.iter().filter(|name| name.chars().count() % 2 == 0).cloned().collect();
    let listed: Vec<&String> = names.iter().collect();

    // Every name of every world.
    for (ctx, names) in [(service(), &names), (user(ALICE), &own), (anon(), &BTreeSet::new())] {
        for delimiter in ["", "/", "é", "a/", "//", "\u{10FFFF}", "\u{D7FF}"] {
            let query = ListQuery {
                bucket: bucket.clone(),
                prefix: String::new(),
                delimiter: delimiter.into(),
                after: String::new(),
                max_keys: 1000,
            };
            check(&rig, &ctx, names, query).await;
        }
    }
    for round in 0..1200 {
        let name: &str = listed.choose(&mut rng).unwrap();
        let cut = |rng: &mut StdRng, name: &str| {
            let ends: Vec<usize> =
                name.char_indices().map(|(at, _)| at).chain([name.len()]).collect();
            name[..*ends.choose(rng).unwrap()].to_owned()
        };
        let prefix = if rng.random_bool(0.4) { String::new() } else { cut(&mut rng, name) };
        let delimiter = ["", "/", "/", "é", "a/", "//", "-", "\u{10FFFF}", "\u{D7FF}", "absent"]
            .choose(&mut rng)
            .unwrap();
        let marker: &str = listed.choose(&mut rng).unwrap();
        let after = match rng.random_range(0..6) {
            0..2 => String::new(),
            2 => cut(&mut rng, name),
            3 => marker.to_owned(),
            4 => cut(&mut rng, marker),
            // Just behind something, or the folder that something lies in.
            _ => match marker.rfind('/') {
                Some(at) => marker[..=at].to_owned(),
                None => format!("{marker} "),
            },
        };
        let max_keys = *[0, 1, 2, 3, 7, 100, 1000].choose(&mut rng).unwrap();
        let query = ListQuery {
            bucket: bucket.clone(),
            prefix,
            delimiter: (*delimiter).into(),
            after,
            max_keys,
        };
        if round % 3 == 0 {
            check(&rig, &user(ALICE), &own, query).await;
        } else {
            check(&rig, &service(), &names, query).await;
        }
    }
}

/// Rows made by hand may hold what no key does; lists show what there is, in order.
#[tokio::test]
async fn names_that_are_no_keys_end_no_list() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    let mut names: BTreeSet<String> =
        ["", "a\u{1}", "a\u{1}b", "a\tb", "../x", "a"].map(String::from).into();
    names.insert("x".repeat(1500));
    insert(&rig, &bucket, &names).await;
    // A marker that is empty is none: such a row would begin the list again and again.
    names.remove("");
    rig.sql(
        "UPDATE storage.objects SET metadata = '5', updated_at = 'infinity', user_metadata = '[1]',
           version = '../..' WHERE name = 'a'",
    )
    .await;
    for delimiter in ["", "/"] {
        for max_keys in [1, 2, 1000] {
            let query = ListQuery {
                bucket: bucket.clone(),
                prefix: String::new(),
                delimiter: delimiter.into(),
                after: String::new(),
                max_keys,
            };
            check(&rig, &service(), &names, query).await;
        }
    }
    let query = ListQuery {
        bucket: BucketName::existing("absent").unwrap(),
        prefix: String::new(),
        delimiter: String::new(),
        after: String::new(),
        max_keys: 1,
    };
    let none = rig.storage.list_objects(&service(), &query).await.unwrap_err();
    assert!(matches!(none, Error::NoSuchBucket), "{none:?}");
}

/// Under row-level security only leakproof conditions reach an index; without one a page of a
/// large bucket reads all of it.
#[tokio::test]
async fn lists_under_policies_go_by_index() {
    let rig = Rig::new().await;
    let bucket = rig.bucket("b").await;
    rig.sql(&format!(
        "INSERT INTO storage.buckets (id, name) VALUES ('other', 'other');
         INSERT INTO storage.objects (bucket_id, name, owner_id)
           SELECT b, 'f' || i % 100 || '/g' || i % 7 || '/' || i, '{ALICE}'
           FROM generate_series(1, 20000) i, unnest(ARRAY['b', 'other']) b;
         ANALYZE storage.objects;
         CREATE POLICY own ON storage.objects USING (owner_id = (SELECT auth.uid()::text));"
    ))
    .await;
    // What sequential scans the statements of a pool do shows in the table's statistics.
    let scans = async || {
        rig.sql("SELECT pg_stat_force_next_flush()").await;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        rig.text(
            "SELECT seq_scan::text FROM pg_stat_all_tables
             WHERE schemaname = 'storage' AND relname = 'objects'",
        )
        .await
        .parse::<u64>()
        .unwrap()
    };
    let before = scans().await;
    for ctx in [user(ALICE), service()] {
        for delimiter in ["", "/"] {
            for prefix in ["", "f1", "f17/", "f17/g3/", "none"] {
                // Often enough for the generic plan too.
                for _ in 0..8 {
                    let query = ListQuery {
                        bucket: bucket.clone(),
                        prefix: prefix.into(),
                        delimiter: delimiter.into(),
                        after: String::new(),
                        max_keys: 100,
                    };
                    let page = rig.storage.list_objects(&ctx, &query).await.unwrap();
                    assert_eq!(page.entries.is_empty(), prefix == "none", "{query:?}");
                    if delimiter == "/" && prefix.is_empty() {
                        let folders = page.entries.iter();
                        assert_eq!(
                            folders.filter(|e| matches!(e, ListEntry::Prefix(_))).count(),
                            100
                        );
                    }
                }
            }
        }
    }
    // Statistics of a connection are told when it has been idle, at the latest when it ends.
    rig.catalog.close();
    let closed = crate::support::eventually(|| async {
        rig.text("SELECT count(*)::text FROM pg_stat_activity WHERE application_name = 'rig' AND datname = current_database()").await == "0"
    });
    assert!(closed.await);
    assert_eq!(scans().await, before, "the table was read from end to end");
    // The count does count.
    rig.sql("SELECT count(*) FROM storage.objects WHERE name LIKE '%7'").await;
    assert!(scans().await > before);
}
