//! What users' policies and SQL rely on: path functions, operations, triggers, plain inserts.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod common;

use common::{in_stack, lines, prepare_as};
use rowlock_catalog::testing::{TestDatabase, stack_database};
use tokio_postgres::error::SqlState;

async fn ready() -> TestDatabase {
    let database = stack_database().await;
    prepare_as(&database, "supabase_storage_admin", &in_stack()).await.unwrap();
    database
}

#[tokio::test]
async fn path_functions() {
    let database = ready().await;
    // As a role with an own search_path, which must not matter.
    let client = database.connect("postgres").await;
    client.batch_execute("SET search_path = nowhere; SET ROLE anon").await.unwrap();
    for (name, folders, file, extension) in [
        ("a/b/c.txt", "{a,b}", "c.txt", "txt"),
        ("x", "{}", "x", "x"),
        ("a/noext", "{a}", "noext", "noext"),
        ("c.tar.gz", "{}", "c.tar.gz", "gz"),
        ("dir.d/plain", "{dir.d}", "plain", "plain"),
        ("a/", "{a}", "", ""),
        ("/a", r#"{""}"#, "a", "a"),
        ("a//b.JPG", r#"{a,""}"#, "b.JPG", "JPG"),
        ("end.", "{}", "end.", ""),
        (".hidden", "{}", ".hidden", "hidden"),
        ("ä/ö.ü", "{ä}", "ö.ü", "ü"),
    ] {
        let row = client
            .query_one(
                "SELECT storage.foldername($1)::text, storage.filename($1), storage.extension($1)",
                &[&name],
            )
            .await
            .unwrap();
        let got: (String, String, String) = (row.get(0), row.get(1), row.get(2));
        assert_eq!(
            (got.0.as_str(), got.1.as_str(), got.2.as_str()),
            (folders, file, extension),
            "{name}"
        );
    }
    let nothing = "SELECT concat_ws(',', (storage.filename('') IS NULL)::text,
        (storage.extension('') IS NULL)::text, (storage.filename(NULL) IS NULL)::text,
        (storage.foldername(NULL) IS NULL)::text)";
    assert_eq!(lines(&client, nothing).await, ["true,true,true,true"]);
    let first = "SELECT (storage.foldername('u1/x.png'))[1]";
    assert_eq!(lines(&client, first).await, ["u1"]);
}

#[tokio::test]
async fn common_prefixes() {
    let database = ready().await;
    let client = database.connect("postgres").await;
    for (key, prefix, delimiter, expected) in [
        ("a/b/c", "", "/", Some("a/")),
        ("a/b/c", "a/", "/", Some("a/b/")),
        ("a/b/c", "a/b/", "/", None),
        ("a/b/c", "a", "/", Some("a/")),
        ("dd//y", "dd/", "/", Some("dd//")),
        ("a--b--c", "", "--", Some("a--")),
        ("a--b--c", "a--", "--", Some("a--b--")),
        ("abc", "", "", None),
        ("ä/ö/ü", "ä/", "/", Some("ä/ö/")),
    ] {
        let row = client
            .query_one("SELECT storage.get_common_prefix($1, $2, $3)", &[&key, &prefix, &delimiter])
            .await
            .unwrap();
        assert_eq!(row.get::<_, Option<&str>>(0), expected, "{key} {prefix} {delimiter}");
    }
}

#[tokio::test]
async fn operations() {
    let database = ready().await;
    let client = database.connect("authenticator").await;
    client.batch_execute("SET search_path = nowhere; SET ROLE authenticated").await.unwrap();
    let unset = "SELECT (storage.operation() IS NULL)::text
        UNION ALL SELECT storage.allow_only_operation('storage.object.list')::text
        UNION ALL SELECT storage.allow_any_operation(ARRAY['storage.object.list'])::text";
    assert_eq!(lines(&client, unset).await, ["true", "false", "false"]);

    for (current, expected, allowed) in [
        ("storage.object.list", "storage.object.list", true),
        ("storage.object.list", "object.list", true),
        ("object.list", "storage.object.list", true),
        ("object.list", "object.list", true),
        ("storage.object.list", "storage.object.upload", false),
        ("storageXobject.list", "object.list", false),
        ("", "", false),
        ("", "storage.", false),
        ("storage.", "storage.", false),
        ("storage.object.list", "", false),
    ] {
        let row = client
            .query_one(
                "WITH now AS MATERIALIZED (SELECT set_config('storage.operation', $1, false) AS op)
                 SELECT op, storage.allow_only_operation($2),
                     storage.allow_any_operation(ARRAY['none', NULL, $2]) FROM now",
                &[&current, &expected],
            )
            .await
            .unwrap();
        assert_eq!((row.get(1), row.get(2)), (allowed, allowed), "{current:?} {expected:?}");
    }
    client.batch_execute("SET storage.operation = 'storage.object.list'").await.unwrap();
    let empty = "SELECT storage.allow_any_operation('{}')::text
        UNION ALL SELECT storage.allow_any_operation(NULL)::text
        UNION ALL SELECT storage.allow_only_operation(NULL)::text
        UNION ALL SELECT storage.operation()";
    assert_eq!(lines(&client, empty).await, ["false", "false", "false", "storage.object.list"]);
}

#[tokio::test]
async fn deleting_takes_the_servers_setting() {
    let database = ready().await;
    let client = database.connect("postgres").await;
    client
        .batch_execute("INSERT INTO storage.buckets (id, name) VALUES ('b', 'b'), ('c', 'c')")
        .await
        .unwrap();
    for role in ["postgres", "service_role"] {
        client.batch_execute(&format!("SET ROLE {role}")).await.unwrap();
        for table in ["buckets", "objects"] {
            // Even where no row matches.
            let refused = client
                .batch_execute(&format!("DELETE FROM storage.{table} WHERE name = 'none'"))
                .await
                .unwrap_err();
            let error = refused.as_db_error().unwrap();
            assert_eq!(error.code(), &SqlState::INSUFFICIENT_PRIVILEGE);
            assert_eq!(
                error.message(),
                "Direct deletion from storage tables is not allowed. Use the Storage API instead."
            );
            assert_eq!(
                error.hint(),
                Some("This prevents accidental data loss from orphaned objects.")
            );
        }
    }
    client
        .batch_execute(
            "BEGIN; SET LOCAL storage.allow_delete_query = 'true';
             DELETE FROM storage.buckets WHERE id = 'b'; COMMIT",
        )
        .await
        .unwrap();
    client
        .batch_execute("SET storage.allow_delete_query = 'no'; DELETE FROM storage.buckets")
        .await
        .unwrap_err();
    client.batch_execute("ROLLBACK; RESET ROLE").await.unwrap();
    assert_eq!(lines(&client, "SELECT id FROM storage.buckets").await, ["c"]);
}

#[tokio::test]
async fn buckets_made_by_sql() {
    let database = ready().await;
    let client = database.connect("postgres").await;
    client
        .batch_execute(
            "INSERT INTO storage.buckets (id, name, public) VALUES ('avatars', 'avatars', true)
             ON CONFLICT (id) DO NOTHING;
             INSERT INTO storage.buckets (id, name, file_size_limit, allowed_mime_types, type)
             VALUES ('b', 'b', 5242880, ARRAY['image/*'], 'STANDARD')",
        )
        .await
        .unwrap();
    let made = "SELECT format('%s %s %s %s %s', id, public, type, versioning_status,
        created_at = updated_at) FROM storage.buckets ORDER BY id";
    assert_eq!(
        lines(&client, made).await,
        ["avatars t STANDARD DISABLED t", "b f STANDARD DISABLED t"]
    );

    let long = "x".repeat(101);
    for statement in [
        format!("INSERT INTO storage.buckets (id, name) VALUES ('x', '{long}')"),
        format!("UPDATE storage.buckets SET name = '{long}' WHERE id = 'b'"),
    ] {
        let refused = client.batch_execute(&statement).await.unwrap_err();
        let error = refused.as_db_error().unwrap();
        assert_eq!(error.code(), &SqlState::RAISE_EXCEPTION);
        assert_eq!(
            error.message(),
            format!("bucket name \"{long}\" is too long (101 characters). Max is 100.")
        );
    }
    for (statement, code) in [
        ("INSERT INTO storage.buckets (id, name) VALUES ('c', 'b')", SqlState::UNIQUE_VIOLATION),
        (
            "UPDATE storage.buckets SET versioning_status = 'ENABLED' WHERE id = 'b'",
            SqlState::CHECK_VIOLATION,
        ),
        (
            "INSERT INTO storage.objects (bucket_id, name) VALUES ('none', 'x')",
            SqlState::FOREIGN_KEY_VIOLATION,
        ),
    ] {
        let refused = client.batch_execute(statement).await.unwrap_err();
        assert_eq!(refused.code(), Some(&code), "{statement}");
    }
}

#[tokio::test]
async fn objects_keep_their_times_and_path() {
    let database = ready().await;
    let client = database.connect("postgres").await;
    client
        .batch_execute(
            "INSERT INTO storage.buckets (id, name) VALUES ('b', 'b');
             INSERT INTO storage.objects (bucket_id, name, metadata, updated_at)
             VALUES ('b', 'x/y.txt', '{\"size\": 3000000000}', '2020-01-01'),
                 ('b', 'z', '{\"size\": 5}', now()), ('b', 'no-size', NULL, now())",
        )
        .await
        .unwrap();
    let sizes = "SELECT format('%s %s', bucket_id, size) FROM storage.get_size_by_bucket()";
    assert_eq!(lines(&client, sizes).await, ["b 3000000005"]);
    client
        .batch_execute("UPDATE storage.objects SET name = 'q/y.txt' WHERE name = 'x/y.txt'")
        .await
        .unwrap();
    let moved = "SELECT format('%s %s %s', path_tokens, updated_at > '2021-01-01',
        id IS NOT NULL) FROM storage.objects WHERE name = 'q/y.txt'";
    assert_eq!(lines(&client, moved).await, ["{q,y.txt} t t"]);

    let probed = client
        .batch_execute("SELECT storage.can_insert_object('b', 'new', NULL, '{}')")
        .await
        .unwrap_err();
    let error = probed.as_db_error().unwrap();
    assert_eq!(error.code().code(), "PT200");
    assert_eq!((error.message(), error.detail()), ("ROLLBACK", Some("rollback successful insert")));
    let left = "SELECT count(*)::text FROM storage.objects WHERE name = 'new'";
    assert_eq!(lines(&client, left).await, ["0"]);
}
