//! The list functions against a model: every entry once, in order, at every page size.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{in_stack, installing, lines, prepare_as};
use rowlock_catalog::schema::prepare;
use rowlock_catalog::testing::{plain_database, stack_database};
use tokio_postgres::{Client, NoTls};

/// Names that have made other lists lose, repeat or never end.
const TRICKY: [&str; 26] = [
    "A-upper.txt",
    "DIR/y",
    "_",
    "a b",
    "a!",
    "a/1.txt",
    "a/2.txt",
    "a/b/3.txt",
    "dd//y",
    "dd/x",
    "dir/x",
    "k%",
    "k%1",
    "k_",
    "k_1",
    "m%/x",
    "report",
    "report!",
    "report-1.pdf",
    "report.txt",
    "report/",
    "report/q1",
    "report0",
    "z\u{fc}/\u{e4}",
    "zz",
    "\u{1F600}/x",
];

async fn bucket(names: &[String]) -> Client {
    let database = stack_database().await;
    prepare_as(&database, "supabase_storage_admin", &in_stack()).await.unwrap();
    let client = database.connect("postgres").await;
    client
        .batch_execute(
            "INSERT INTO storage.buckets (id, name) VALUES ('b', 'b'), ('other', 'other');
             INSERT INTO storage.objects (bucket_id, name) VALUES ('other', 'report/x'), ('other', 'a');
             CREATE POLICY readers ON storage.objects FOR SELECT TO authenticated USING (bucket_id = 'b')",
        )
        .await
        .unwrap();
    client
        .execute(
            "INSERT INTO storage.objects (bucket_id, name, metadata, created_at, updated_at)
             SELECT 'b', n, '{}', t, t FROM (
                 -- Several within one millisecond, in another order than the names'.
                 SELECT n, timestamptz '2026-01-01' + (i * 7919 % 1000) * interval '300 microseconds'
                 FROM unnest($1::text[]) WITH ORDINALITY AS u (n, i)
             ) AS rows (n, t)",
            &[&names],
        )
        .await
        .unwrap();
    client.batch_execute("ANALYZE storage.objects; SET search_path = nowhere").await.unwrap();
    client
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&n| n.to_owned()).collect()
}

fn common_prefix<'a>(name: &'a str, prefix: &str, delimiter: &str) -> Option<&'a str> {
    let rest = name.strip_prefix(prefix)?;
    if delimiter.is_empty() {
        return None;
    }
    rest.find(delimiter).map(|at| &name[..prefix.len() + at + delimiter.len()])
}

/// Entries in byte order as (row name, is a folder).
fn model(names: &[String], prefix: &str, delimiter: &str) -> Vec<(String, bool)> {
    let all: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let mut entries = BTreeMap::new();
    for name in all.iter().filter(|n| n.starts_with(prefix)) {
        match common_prefix(name, prefix, delimiter) {
            None => entries.insert((*name).to_owned(), ((*name).to_owned(), false)),
            Some(folder) => {
                let bare = folder.strip_suffix(delimiter).unwrap();
                let ambiguous = bare.ends_with(delimiter) || all.contains(bare);
                let shown = if ambiguous { folder } else { bare };
                entries.insert(folder.to_owned(), (shown.to_owned(), true))
            }
        };
    }
    entries.into_values().collect()
}

/// Pages through a query of ($1 prefix, $2 limit, $3 last name) that gives (name, is a folder).
async fn pages(client: &Client, sql: &str, prefix: &str, limit: i32) -> Vec<(String, bool)> {
    let mut all: Vec<(String, bool)> = Vec::new();
    loop {
        let after = all.last().map(|e| e.0.clone()).unwrap_or_default();
        let rows = client.query(sql, &[&prefix, &limit, &after]).await.unwrap();
        all.extend(rows.iter().map(|r| (r.get(0), r.get(1))));
        if rows.len() < usize::try_from(limit).unwrap() {
            return all;
        }
        assert!(all.len() < 10_000, "the list never ends: {:?}", &all[9_990..]);
    }
}

#[tokio::test]
async fn pages_by_name_lose_and_repeat_nothing() {
    let names = owned(&TRICKY);
    let client = bucket(&names).await;
    for order in ["asc", "desc"] {
        for (prefix, delimiter) in [
            ("", "/"),
            ("a", "/"),
            ("a/", "/"),
            ("dd/", "/"),
            ("report", "/"),
            ("report/", "/"),
            ("k%", "/"),
            ("nope", "/"),
            ("", ""),
            ("", "rt"),
            ("", "-"),
            ("dir/", "x"),
            ("z\u{fc}", "/"),
        ] {
            let mut expected = model(&names, prefix, delimiter);
            if order == "desc" {
                expected.reverse();
            }
            let sql = format!(
                "SELECT name, id IS NULL FROM storage.list_objects_with_delimiter(
                     'b', $1, '{delimiter}', $2, '', $3, '{order}')"
            );
            for limit in [1, 2, 3, 7, 1000] {
                let got = pages(&client, &sql, prefix, limit).await;
                assert_eq!(got, expected, "{prefix:?} {delimiter:?} {order} {limit}");
            }
            if delimiter == "/" {
                let sql = format!(
                    "SELECT name, id IS NULL FROM storage.search_v2($1, 'b', $2, 1, $3, '{order}')"
                );
                for limit in [1, 2, 5] {
                    let got = pages(&client, &sql, prefix, limit).await;
                    assert_eq!(got, expected, "v2 {prefix:?} {order} {limit}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_bare_name_goes_on_after_the_file_or_the_folder_of_that_name() {
    let client = bucket(&owned(&["a", "a-1", "f-1", "f/x", "f/y", "f0", "g"])).await;
    let after = "SELECT string_agg(name, ' ') FROM storage.search_v2('', 'b', 10, 1, $1, $2)";
    for (token, order, expected) in [
        ("a", "asc", "a-1 f-1 f f0 g"),
        ("f", "asc", "f0 g"),
        ("f/", "asc", "f0 g"),
        ("f", "desc", "f-1 a-1 a"),
        ("f/", "desc", "f-1 a-1 a"),
        // No entry's name: a place in the order.
        ("f-", "asc", "f-1 f f0 g"),
        ("f/x", "asc", "f f0 g"),
        ("b", "desc", "a-1 a"),
    ] {
        let row = client.query_one(after, &[&token, &order]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), expected, "{token} {order}");
    }
    // start_after is a key, not an entry.
    let started = "SELECT string_agg(name, ' ') FROM
        storage.list_objects_with_delimiter('b', '', '/', 10, 'f')";
    assert_eq!(lines(&client, started).await, ["f-1 f f0 g"]);
}

#[tokio::test]
async fn big_folders_and_long_runs_of_files() {
    let mut names: Vec<String> = (0..600).map(|i| format!("big/{i:04}")).collect();
    names.extend((0..1600).map(|i| format!("file{i:04}")));
    names.extend((0..300).map(|i| format!("many/{i:03}/x")));
    names.extend(owned(&["big", "big-", "file0249", "file0249-x", "file0249.txt", "file0249/x"]));
    names.sort();
    names.dedup();
    let client = bucket(&names).await;
    client.batch_execute("SET ROLE authenticated").await.unwrap();
    for (prefix, order) in [("", "asc"), ("", "desc"), ("many/", "asc"), ("big/", "desc")] {
        let mut expected = model(&names, prefix, "/");
        if order == "desc" {
            expected.reverse();
        }
        let sql = format!(
            "SELECT name, id IS NULL FROM storage.search_v2($1, 'b', $2, 1, $3, '{order}')"
        );
        for limit in [249, 250, 251, 1500] {
            let got = pages(&client, &sql, prefix, limit).await;
            assert_eq!(got, expected, "{prefix} {order} {limit}");
        }
    }
    let capped = "SELECT count(*)::text FROM storage.search_v2('', 'b', 5000, 1, '', 'asc', 'name')
        UNION ALL SELECT count(*)::text FROM storage.search('', 'b', 0)";
    assert_eq!(lines(&client, capped).await, ["1500", "0"]);
}

#[tokio::test]
async fn v2_rows() {
    let client = bucket(&owned(&["a/1.txt", "a/b/3.txt", "c"])).await;
    let rows =
        "SELECT format('%s|%s|%s|%s|%s', key, name, id IS NULL, created_at IS NULL, metadata)
        FROM storage.search_v2(";
    assert_eq!(
        lines(&client, &format!("{rows}'a/', 'b', 10, 2)")).await,
        ["1.txt|a/1.txt|f|f|{}", "b|a/b|t|t|"]
    );
    assert_eq!(lines(&client, &format!("{rows}'', 'b')")).await, ["a|a|t|t|", "c|c|f|f|{}"]);
    assert_eq!(lines(&client, &format!("{rows}'', 'none')")).await, Vec::<String>::new());
    // By time a folder bears its oldest member's.
    let timed = "SELECT format('%s|%s', name, created_at = (
            SELECT min(o.created_at) FROM storage.objects AS o
            WHERE o.bucket_id = 'b' AND o.name LIKE 'a/%') AND updated_at = created_at)
        FROM storage.search_v2('', 'b', 10, 1, '', 'asc', 'created_at') WHERE id IS NULL";
    assert_eq!(lines(&client, timed).await, ["a|t"]);
}

#[tokio::test]
async fn pages_by_time_lose_and_repeat_nothing() {
    let names = owned(&TRICKY);
    let client = bucket(&names).await;
    let mut expected: Vec<String> = model(&names, "", "/").into_iter().map(|e| e.0).collect();
    expected.sort();
    for column in ["created_at", "updated_at"] {
        let mut orders = Vec::new();
        for order in ["asc", "desc"] {
            for limit in [1, 2, 5, 1000] {
                let mut got: Vec<String> = Vec::new();
                let mut after = (String::new(), String::new());
                loop {
                    // The cursor carries milliseconds, as an ISO text.
                    let sql = format!(
                        "SELECT name, to_char({column} AT TIME ZONE 'UTC',
                             'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')
                         FROM storage.search_v2('', 'b', $1, 1, $2, '{order}', '{column}', $3)"
                    );
                    let rows = client.query(&sql, &[&limit, &after.0, &after.1]).await.unwrap();
                    got.extend(rows.iter().map(|r| r.get::<_, String>(0)));
                    match rows.last() {
                        Some(last) => after = (last.get(0), last.get(1)),
                        None => break,
                    }
                    assert!(got.len() < 1000, "the list never ends");
                }
                orders.push(if order == "asc" {
                    got.clone()
                } else {
                    got.iter().rev().cloned().collect()
                });
                got.sort();
                assert_eq!(got, expected, "{column} {order} {limit}");
            }
        }
        assert!(orders.windows(2).all(|w| w[0] == w[1]), "one order at every page size");
    }
}

/// Entries of the first list interface: merged whatever the case, relative to the prefix.
fn model_v1(names: &[String], prefix: &str, search: &str) -> Vec<(String, bool)> {
    let whole = format!("{prefix}{search}").to_lowercase();
    let mut ordered: Vec<(String, &String)> = names
        .iter()
        .map(|n| (n.to_lowercase(), n))
        .filter(|(lower, _)| lower.starts_with(&whole))
        .collect();
    ordered.sort();
    let mut entries: Vec<(String, bool)> = Vec::new();
    let mut last = None;
    for (lower, name) in &ordered {
        let folder = lower[whole.len()..].find('/').map(|at| whole.len() + at);
        match folder {
            None => entries.push((name[prefix.len()..].to_owned(), false)),
            Some(end) if last.as_deref() != Some(&lower[..end]) => {
                entries.push((name[prefix.len()..end].to_owned(), true));
            }
            Some(_) => {}
        }
        last = folder.map(|end| lower[..end].to_owned());
    }
    entries
}

async fn v1(
    client: &Client,
    prefix: &str,
    search: &str,
    limit: i32,
    order: &str,
) -> Vec<(String, bool)> {
    let mut all = Vec::new();
    loop {
        let offset = i32::try_from(all.len()).unwrap();
        let rows = client
            .query(
                "SELECT name, id IS NULL FROM storage.search($1, 'b', $2, 1, $3, $4, 'name', $5)",
                &[&prefix, &limit, &offset, &search, &order],
            )
            .await
            .unwrap();
        all.extend(rows.iter().map(|r| (r.get(0), r.get(1))));
        if rows.len() < usize::try_from(limit).unwrap() {
            return all;
        }
    }
}

#[tokio::test]
async fn v1_by_name() {
    let mut names = owned(&TRICKY);
    names.extend(owned(&["A-UPPER.txt", "Dir/z/w", "REPORT", "Report/Q2", "dir-a"]));
    names.extend((0..700).map(|i| format!("n/{i:04}")));
    names.extend((1..=200).map(|i| format!("s/a{i:03}")));
    names.extend(owned(&["s/a200-x", "s/a200.txt", "s/A200", "s/b"]));
    let client = bucket(&names).await;
    for role in ["service_role", "authenticated"] {
        client.batch_execute(&format!("RESET ROLE; SET ROLE {role}")).await.unwrap();
        for (prefix, search) in [
            ("", ""),
            ("a/", ""),
            ("DIR/", ""),
            ("", "dir"),
            ("", "D"),
            ("a/", "b/"),
            ("s/", "A2"),
            ("report/", ""),
            ("s/", ""),
            ("n/", ""),
            ("", "k%"),
            ("nope/", ""),
        ] {
            let expected = model_v1(&names, prefix, search);
            for limit in [1, 7, 100, 1500] {
                if limit == 1 && expected.len() > 100 {
                    continue;
                }
                let got = v1(&client, prefix, search, limit, "asc").await;
                assert_eq!(got, expected, "{role} {prefix} {search} {limit}");
            }
            // Backwards the other end's spelling names a merged folder: compare without case.
            let lower = |entries: Vec<(String, bool)>| -> Vec<(String, bool)> {
                entries.into_iter().map(|e| (e.0.to_lowercase(), e.1)).collect()
            };
            let mut reversed = lower(expected);
            reversed.reverse();
            let got = v1(&client, prefix, search, 100, "desc").await;
            assert_eq!(lower(got), reversed, "{role} {prefix} {search} desc");
        }
    }
    let rows = "SELECT format('%s|%s|%s', name, id IS NULL, coalesce(metadata::text, '-'))
        FROM storage.search('a/', 'b')";
    assert_eq!(lines(&client, rows).await, ["1.txt|f|{}", "2.txt|f|{}", "b|t|-"]);
    client.batch_execute("RESET ROLE; SET ROLE anon").await.unwrap();
    assert_eq!(lines(&client, rows).await, Vec::<String>::new());
}

#[tokio::test]
async fn v1_by_time() {
    let client =
        bucket(&owned(&["A/1", "a/1", "a/2", "a/sub/x", "a_b/y", "axb/z", "c", "top"])).await;
    let listed = "SELECT string_agg(name || CASE WHEN id IS NULL THEN '/' ELSE '' END, ' ')
        FROM storage.search($1, 'b', 10, 1, $2, $3, 'created_at', $4)";
    let time_of = "SELECT string_agg(name, ' ' ORDER BY created_at) FROM storage.objects
        WHERE bucket_id = 'b' AND name IN ('c', 'top')";
    let files = lines(&client, time_of).await.remove(0);
    let backwards = files.split(' ').rev().collect::<Vec<_>>().join(" ");
    for (prefix, offset, search, order, expected) in [
        // Folders first, not merged across case.
        ("", 0, "", "asc", format!("A/ a/ a_b/ axb/ {files}")),
        ("", 0, "", "desc", format!("axb/ a_b/ a/ A/ {backwards}")),
        ("", 4, "", "asc", files.clone()),
        // Patterns come escaped, and match whatever the case.
        (r"A\_B/", 0, "", "asc", "y".to_owned()),
        ("", 0, "TO", "asc", "top".to_owned()),
        ("", 0, r"a\_", "asc", "a_b/".to_owned()),
    ] {
        let row = client.query_one(listed, &[&prefix, &offset, &search, &order]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), expected, "{prefix} {offset} {search} {order}");
    }
    let other = "SELECT string_agg(name, ' ') FROM storage.search('', 'b', sortcolumn => 'bogus')";
    assert_eq!(lines(&client, other).await, ["A a_b axb c top"]);
}

#[tokio::test]
async fn multipart_uploads() {
    let client = bucket(&[]).await;
    client
        .batch_execute(
            r"INSERT INTO storage.s3_multipart_uploads
                (id, upload_signature, bucket_id, key, version, created_at)
              SELECT id, '', 'b', key, '1', timestamptz '2026-01-01' + n * interval '1 s'
              FROM (VALUES ('u9', 'a', 1), ('u1', 'a', 2), ('u5', 'a', 2), ('u2', 'a_b/x', 3),
                  ('u3', 'a_b/y', 4), ('u4', 'axb/z', 5), ('u6', 'f/2', 7), ('u7', 'f/1', 8),
                  ('u8', 'Z', 9)) AS u (id, key, n);
              INSERT INTO storage.s3_multipart_uploads (id, upload_signature, bucket_id, key, version)
              VALUES ('o', '', 'other', 'a', '1');
              SET ROLE service_role",
        )
        .await
        .unwrap();
    let listed = "SELECT coalesce(string_agg(key || '=' || id, ' '), '') FROM
        storage.list_multipart_uploads_with_delimiter('b', $1, '/', $2, $3, $4)";
    for (prefix, limit, key, upload, expected) in [
        ("", 100, "", "", "Z=u8 a=u9 a=u1 a=u5 a_b/=u2 axb/=u4 f/=u7"),
        ("", 2, "", "", "Z=u8 a=u9"),
        ("", 2, "a", "u9", "a=u1 a=u5"),
        ("", 2, "a", "u5", "a_b/=u2 axb/=u4"),
        ("", 100, "a", "", "a_b/=u2 axb/=u4 f/=u7"),
        ("", 100, "a_b/", "u2", "axb/=u4 f/=u7"),
        ("f/", 100, "", "", "f/1=u7 f/2=u6"),
        // The prefix comes escaped; its length must not.
        (r"a\_b/", 100, "", "", "a_b/x=u2 a_b/y=u3"),
        (r"a\_", 100, "", "", "a_b/=u2"),
        ("A", 100, "", "", "a=u9 a=u1 a=u5 a_b/=u2 axb/=u4"),
        ("none", 100, "", "", ""),
    ] {
        let row = client.query_one(listed, &[&prefix, &limit, &key, &upload]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), expected, "{prefix} {limit} {key} {upload}");
    }
}

#[tokio::test]
async fn a_database_without_an_encoding_lists_too() {
    let database = plain_database().await;
    let admin = database.connect("postgres").await;
    let name = format!("{}_ascii", database.name());
    admin
        .batch_execute(&format!(
            "CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII'
             LC_COLLATE 'C' LC_CTYPE 'C'"
        ))
        .await
        .unwrap();
    let mut config = database.config("postgres");
    let (mut client, connection) = config.dbname(&name).connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    prepare(&mut client, &installing()).await.unwrap();
    client
        .batch_execute(
            "INSERT INTO storage.buckets (id, name) VALUES ('b', 'b');
             INSERT INTO storage.objects (bucket_id, name)
             VALUES ('b', 'ä'), ('b', 'ä/x'), ('b', 'ä/y'), ('b', 'ö')",
        )
        .await
        .unwrap();
    let listed = "SELECT string_agg(name, ' ') FROM storage.search_v2('', 'b', 10, 1, 'ä')
        UNION ALL SELECT string_agg(name, ' ') FROM storage.search_v2('', 'b', 10, 1, 'ä/')
        UNION ALL SELECT string_agg(name, ' ') FROM storage.search('ä/', 'b')";
    assert_eq!(lines(&client, listed).await, ["ä/ ö", "ö", "x y"]);
}
