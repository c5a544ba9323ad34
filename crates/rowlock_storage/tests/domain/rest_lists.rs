//! The lists of the REST API against a model, and against the functions of the schema: every entry
//! once, in order, at every page size, for roles that policies bind and for the service role.

use crate::support::{ALICE, Rig, service, user};
use rowlock_catalog::{FolderOrder, FolderRequest, PageOrder, PageRequest, SearchEntry};
use rowlock_storage::Context;
use std::collections::BTreeSet;

/// Names that have made other lists lose, repeat or never end.
const NAMES: [&str; 30] = [
    "A-upper.txt",
    "DIR/y",
    "_",
    "a b",
    "a!",
    "a/1.txt",
    "a/2.txt",
    "a/b/3.txt",
    "A/4.txt",
    "dd//y",
    "dd/x",
    "dir/x",
    "k%",
    "k%1",
    "k_",
    "k_1",
    "m%/x",
    "readme",
    "README",
    "report",
    "report!",
    "report-1.pdf",
    "report.txt",
    "report/",
    "report/q1",
    "report0",
    "z\u{fc}/\u{e4}",
    "zz",
    "Z\u{dc}/B",
    "\u{1F600}/x",
];

const PREFIXES: [&str; 12] =
    ["", "a", "a/", "A/", "dd/", "dir", "DIR/", "report", "report/", "k", "z\u{fc}/", "none/"];

async fn filled() -> Rig {
    let rig = Rig::new().await;
    rig.bucket("b").await;
    rig.bucket("other").await;
    rig.sql(
        "CREATE POLICY readers ON storage.objects FOR SELECT TO authenticated
         USING (bucket_id = 'b' AND name <> 'hidden' AND name NOT LIKE 'secret/%');
         INSERT INTO storage.objects (bucket_id, name)
         VALUES ('other', 'a'), ('other', 'report/x'), ('b', 'hidden'), ('b', 'secret/x')",
    )
    .await;
    rig.admin
        .execute(
            "INSERT INTO storage.objects (bucket_id, name, metadata, created_at, updated_at)
             SELECT 'b', n, '{\"size\": 1, \"rowlock\": {\"tags\": {}}}', t, t FROM (
               -- Several within one millisecond, in another order than the names'.
               SELECT n, timestamptz '2026-01-01' + (i * 7919 % 10) * interval '300 microseconds'
               FROM unnest($1::text[]) WITH ORDINALITY AS u (n, i)
             ) AS rows (n, t)",
            &[&NAMES.as_slice()],
        )
        .await
        .unwrap();
    rig
}

fn folder<'a>(prefix: &'a str, order: FolderOrder, downwards: bool) -> FolderRequest<'a> {
    FolderRequest { bucket: "b", prefix, search: "", order, downwards, limit: 1500, offset: 0 }
}

fn page<'a>(prefix: &'a str, folded: bool, order: PageOrder, downwards: bool) -> PageRequest<'a> {
    PageRequest {
        bucket: "b",
        prefix,
        folded,
        order,
        downwards,
        after: "",
        after_moment: None,
        limit: 1000,
    }
}

fn names(entries: &[SearchEntry]) -> Vec<String> {
    entries
        .iter()
        .map(|e| format!("{}{}", e.name, if e.is_folder() { " dir" } else { "" }))
        .collect()
}

/// A whole list in pages of `size`; fails when it does not end.
async fn paged(rig: &Rig, ctx: &Context, request: &PageRequest<'_>, size: i64) -> Vec<String> {
    let mut found = Vec::new();
    let (mut after, mut moment) = (String::new(), None::<String>);
    for _ in 0..=NAMES.len() {
        let request = PageRequest {
            after: &after,
            after_moment: moment.as_deref(),
            limit: size + 1,
            ..request.clone()
        };
        let mut entries = rig.storage.list_page(ctx, &request).await.unwrap();
        let more = entries.len() as i64 > size;
        entries.truncate(size as usize);
        found.extend(names(&entries));
        match entries.last() {
            Some(last) if more => (after, moment) = (last.name.clone(), last.moment.clone()),
            _ => return found,
        }
    }
    panic!("a list without end: {request:?}");
}

/// What a page by name has to hold.
fn model(prefix: &str, folded: bool) -> Vec<String> {
    let entries: BTreeSet<String> = NAMES
        .iter()
        .filter(|name| name.starts_with(prefix))
        .map(|name| match name[prefix.len()..].find('/') {
            Some(at) if folded => format!("{} dir", &name[..=prefix.len() + at]),
            _ => (*name).to_owned(),
        })
        .collect();
    entries.into_iter().collect()
}

#[tokio::test]
async fn pages_hold_every_entry_once_at_every_size() {
    let rig = filled().await;
    let reader = user(ALICE);
    for prefix in PREFIXES {
        for folded in [false, true] {
            let mut wanted = model(prefix, folded);
            for downwards in [false, true] {
                for order in [PageOrder::Name, PageOrder::CreatedAt, PageOrder::UpdatedAt] {
                    let request = page(prefix, folded, order, downwards);
                    let whole = paged(&rig, &reader, &request, 1000).await;
                    if order == PageOrder::Name {
                        assert_eq!(whole, wanted, "{request:?}");
                    } else {
                        let sorted: BTreeSet<_> = whole.iter().cloned().collect();
                        assert_eq!(sorted, wanted.iter().cloned().collect(), "{request:?}");
                        assert_eq!(whole.len(), wanted.len(), "{request:?}");
                    }
                    for size in [1, 2, 3, 7] {
                        let got = paged(&rig, &reader, &request, size).await;
                        assert_eq!(got, whole, "{size} {request:?}");
                    }
                }
                wanted.reverse();
            }
        }
    }
}

#[tokio::test]
async fn cursors_of_the_reference_name_folders_without_a_slash() {
    let rig = filled().await;
    let reader = user(ALICE);
    let next = async |after, downwards| {
        let request = PageRequest { after, limit: 1, ..page("", true, PageOrder::Name, downwards) };
        names(&rig.storage.list_page(&reader, &request).await.unwrap()).concat()
    };
    // No object is called so: the folder was the last entry.
    assert_eq!(next("dd", false).await, "dir/ dir");
    assert_eq!(next("a", true).await, "a!");
    // An object is: nothing may be lost behind it.
    assert_eq!(next("report", false).await, "report!");
    assert_eq!(next("report/", false).await, "report0");
    // Neither is there any more.
    assert_eq!(next("b", false).await, "dd/ dir");
}

#[tokio::test]
async fn rows_hidden_by_policies_are_in_no_list() {
    let rig = filled().await;
    let flat = page("", false, PageOrder::Name, false);
    let by_name = folder("", FolderOrder::Name, false);
    for (ctx, hidden) in [(service(), true), (user(ALICE), false)] {
        let found = names(&rig.storage.list_page(&ctx, &flat).await.unwrap());
        assert_eq!(found.contains(&"hidden".to_owned()), hidden);
        let found = names(&rig.storage.list_folder(&ctx, &by_name).await.unwrap());
        assert_eq!(found.contains(&"hidden".to_owned()), hidden);
        assert_eq!(found.contains(&"secret dir".to_owned()), hidden);
    }
    let nobody = crate::support::anon();
    assert!(rig.storage.list_page(&nobody, &flat).await.unwrap().is_empty());
    assert!(rig.storage.list_folder(&nobody, &by_name).await.unwrap().is_empty());
    let unknown = FolderRequest { bucket: "unknown", ..by_name };
    assert!(rig.storage.list_folder(&service(), &unknown).await.unwrap().is_empty());
}

#[tokio::test]
async fn folders_are_listed_as_the_schemas_function_does() {
    let rig = filled().await;
    rig.sql("SET storage.allow_delete_query = 'true'; DELETE FROM storage.objects WHERE name IN ('hidden', 'secret/x')").await;
    let columns = [
        (FolderOrder::Name, "name"),
        (FolderOrder::CreatedAt, "created_at"),
        (FolderOrder::UpdatedAt, "updated_at"),
    ];
    for prefix in ["", "a/", "A/", "dd/", "DIR/", "report/", "z\u{fc}/", "none/"] {
        for search in ["", "R", "k", "\u{1F600}", "re"] {
            for (order, column) in columns {
                for downwards in [false, true] {
                    for (limit, offset) in [(1500, 0), (3, 0), (3, 4), (1, 100)] {
                        let whole = format!("{prefix}{search}");
                        let levels = whole.matches('/').count() as i32 + 1;
                        let rows = rig
                            .admin
                            .query(
                                "SELECT name || CASE WHEN id IS NULL THEN ' dir' ELSE '' END
                                 FROM storage.search($1, 'b', $2, $3, $4, $5, $6, $7)",
                                &[
                                    &prefix,
                                    &(limit as i32),
                                    &levels,
                                    &(offset as i32),
                                    &search,
                                    &column,
                                    &if downwards { "desc" } else { "asc" },
                                ],
                            )
                            .await
                            .unwrap();
                        let wanted: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
                        let request = FolderRequest {
                            search,
                            limit,
                            offset,
                            ..folder(prefix, order, downwards)
                        };
                        for ctx in [service(), user(ALICE)] {
                            let found = rig.storage.list_folder(&ctx, &request).await.unwrap();
                            assert_eq!(names(&found), wanted, "{:?} {request:?}", ctx.caller.role);
                        }
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn entries_show_rows_but_what_is_our_own() {
    let rig = filled().await;
    rig.sql(
        "UPDATE storage.objects SET metadata = '[1]' WHERE name = 'zz';
         UPDATE storage.objects SET last_accessed_at = 'infinity', created_at = NULL
         WHERE name = 'report0'",
    )
    .await;
    let found = rig.storage.list_folder(&user(ALICE), &folder("", FolderOrder::Name, false)).await;
    let found = found.unwrap();
    let of = |name: &str| found.iter().find(|entry| entry.name == name).unwrap();
    assert_eq!(of("report").metadata, Some(serde_json::json!({"size": 1})));
    assert_eq!(of("zz").metadata, Some(serde_json::json!([1])));
    assert_eq!((of("report0").last_accessed_at, of("report0").created_at), (None, None));
    assert!(of("report0").updated_at.is_some());
    assert!(of("a").is_folder() && of("a").metadata.is_none() && of("a").updated_at.is_none());
    // The list by time goes on behind a row without one.
    let request = page("", false, PageOrder::CreatedAt, false);
    assert_eq!(paged(&rig, &user(ALICE), &request, 1).await.len(), NAMES.len());
}

/// Names of large levels: few and many that begin alike, in one case and in both, folders between
/// objects, letters beyond ASCII, and letters that some lower() makes ASCII letters of.
fn large() -> Vec<String> {
    let mut names = BTreeSet::new();
    for i in 0..700 {
        let n = i * 7919 % 10_007;
        names.insert(format!("plain/img-{n:05}.jpg"));
        names.insert(format!("plain/{n:x}/a"));
        names.insert(format!("plain/{n:x}/b"));
        names.insert(format!("cases/{}{n:05}", ["IMG", "img", "Img", "iMG"][i % 4]));
        names.insert(format!("cases/{}", ["Twin", "twin"][i % 2].repeat(1 + i / 100)));
        names.insert(format!("umlauts/{}{n}", ["u", "U", "\u{fc}", "\u{dc}", "v"][i % 5]));
        names.insert(format!("kelvin/{}{n}", ["j", "k", "K", "l"][i % 4]));
        names.insert(format!("twins/{}{}/{n}", ["Folder", "folder"][i % 2], i % 150));
        names.insert(format!("folder with many/{n}/x"));
    }
    names.insert("kelvin/\u{212A}7".to_owned());
    names.extend(["cases/".to_owned(), "plain/img-".to_owned(), "plain".to_owned()]);
    names.into_iter().collect()
}

/// Callers whom policies bind get there another way than the service role.
#[tokio::test]
async fn large_levels_are_the_same_for_all_who_see_the_same() {
    let rig = Rig::new().await;
    rig.bucket("b").await;
    rig.bucket("seen").await;
    let names = large();
    rig.sql(&format!(
        "CREATE POLICY own ON storage.objects FOR SELECT TO authenticated
         USING (owner_id = (SELECT auth.uid()::text) AND '{ALICE}' = auth.uid()::text)"
    ))
    .await;
    let insert = "INSERT INTO storage.objects (bucket_id, name, owner_id)
                  SELECT $1, n, $2 FROM unnest($3::text[]) n";
    let hidden: Vec<String> = names.iter().map(|name| format!("{name}-")).collect();
    for (bucket, owner, names) in
        [("b", Some(ALICE), &names), ("b", None, &hidden), ("seen", None, &names)]
    {
        rig.admin.execute(insert, &[&bucket, &owner, names]).await.unwrap();
    }
    for prefix in ["", "plain/", "PLAIN/", "cases/", "umlauts/", "kelvin/", "twins/", "none/"] {
        for search in ["", "i", "img", "IMG-0", "t", "k", "\u{dc}"] {
            for downwards in [false, true] {
                for (limit, offset) in [(1500, 0), (100, 0), (7, 0), (10, 333), (5, 20_001)] {
                    let theirs = FolderRequest {
                        search,
                        limit,
                        offset,
                        ..folder(prefix, FolderOrder::Name, downwards)
                    };
                    let ours = FolderRequest { bucket: "seen", ..theirs.clone() };
                    let found = rig.storage.list_folder(&user(ALICE), &theirs).await.unwrap();
                    let wanted = rig.storage.list_folder(&service(), &ours).await.unwrap();
                    assert_eq!(self::names(&found), self::names(&wanted), "{theirs:?}");
                }
            }
        }
    }
}
