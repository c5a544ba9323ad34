//! A fresh database ends with the documented catalog, in an installation of its own and in the stack.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod common;

use common::{expected_structure, grants, in_stack, installing, lines, prepare_as, structure};
use rowlock_catalog::schema::{Error, Outcome, SchemaSettings, prepare};
use rowlock_catalog::testing::{TestServer, World, plain_database, stack_database};

const ALL_TABLES: [&str; 10] = [
    "buckets",
    "buckets_analytics",
    "buckets_vectors",
    "iceberg_namespaces",
    "iceberg_tables",
    "migrations",
    "objects",
    "s3_multipart_uploads",
    "s3_multipart_uploads_parts",
    "vector_indexes",
];

const FUNCTION_GRANTS: &str = r#"
SELECT format('%s %s', p.proname, (
    SELECT string_agg(coalesce(r.rolname, 'PUBLIC'), ',' ORDER BY r.rolname NULLS FIRST)
    FROM aclexplode(p.proacl) AS a LEFT JOIN pg_roles AS r ON r.oid = a.grantee
    WHERE a.privilege_type = 'EXECUTE'))
FROM pg_proc AS p WHERE p.pronamespace = 'storage'::regnamespace ORDER BY p.proname
"#;

const OWNERS: &str = "
SELECT DISTINCT owner::regrole::text FROM (
    SELECT relowner FROM pg_class WHERE relnamespace = 'storage'::regnamespace
    UNION ALL SELECT proowner FROM pg_proc WHERE pronamespace = 'storage'::regnamespace
    UNION ALL SELECT typowner FROM pg_type WHERE typname = 'buckettype'
) AS all_owners (owner)";

fn but(names: &[&str], rights: &str) -> Vec<String> {
    ALL_TABLES.iter().filter(|t| !names.contains(t)).map(|t| format!("{t}: {rights}")).collect()
}

fn visitor_grants_of_multipart_and_iceberg() -> Vec<String> {
    ["iceberg_namespaces", "iceberg_tables", "s3_multipart_uploads", "s3_multipart_uploads_parts"]
        .iter()
        .map(|t| format!("{t}: SELECT"))
        .collect()
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

#[tokio::test]
async fn an_installation_of_its_own() {
    let server = TestServer::start(World::Plain);
    let database = server.database().await;
    let prepared = prepare_as(&database, "postgres", &installing()).await.unwrap();
    assert_eq!(prepared.outcome, Outcome::Fresh);
    assert_eq!(prepared.own_schema, "rowlock");
    assert_eq!(prepared.warnings, Vec::<String>::new());

    let client = database.connect("postgres").await;
    assert_eq!(structure(&client).await, expected_structure());
    assert_eq!(lines(&client, OWNERS).await, ["postgres"]);

    let restricted = [
        "iceberg_namespaces",
        "iceberg_tables",
        "migrations",
        "s3_multipart_uploads",
        "s3_multipart_uploads_parts",
    ];
    let mut visitor = but(&restricted, "ALL");
    visitor.extend(visitor_grants_of_multipart_and_iceberg());
    for role in ["anon", "authenticated"] {
        assert_eq!(grants(&client, role).await, sorted(visitor.clone()), "{role}");
    }
    assert_eq!(grants(&client, "service_role").await, but(&["migrations"], "ALL"));

    for line in lines(&client, FUNCTION_GRANTS).await {
        assert!(line.ends_with(" PUBLIC,anon,authenticated,postgres,service_role"), "{line}");
    }
    let schema = "SELECT acl FROM (
        SELECT unnest(nspacl)::text AS acl FROM pg_namespace WHERE nspname = 'storage'
        UNION ALL
        SELECT format('%s %s', defaclobjtype, unnest(defaclacl)) FROM pg_default_acl
        WHERE defaclrole = 'postgres'::regrole AND defaclnamespace = 'storage'::regnamespace
    ) AS acls ORDER BY acl COLLATE \"C\"";
    let mut expected = vec![
        "anon=U/postgres".to_owned(),
        "authenticated=U/postgres".to_owned(),
        "postgres=UC/postgres".to_owned(),
        "service_role=U/postgres".to_owned(),
    ];
    for (kind, rights) in [("S", "rwU"), ("f", "X"), ("r", "arwdDxt")] {
        for role in ["anon", "authenticated", "postgres", "service_role"] {
            expected.push(format!("{kind} {role}={rights}/postgres"));
        }
    }
    let found = lines(&client, schema).await;
    let without_maintain: Vec<String> =
        found.iter().map(|l| l.replace("arwdDxtm", "arwdDxt")).collect();
    assert_eq!(without_maintain, sorted(expected));

    let roles = "SELECT format('%s %s%s%s%s', rolname, rolsuper, rolinherit, rolcanlogin,
            rolbypassrls)
        FROM pg_roles WHERE rolname !~ '^pg_' AND rolname <> 'postgres' ORDER BY rolname";
    assert_eq!(
        lines(&client, roles).await,
        ["anon ffff", "authenticated ffff", "authenticator fftf", "service_role ffft"]
    );
    let members = "SELECT roleid::regrole::text FROM pg_auth_members
        WHERE member = 'authenticator'::regrole ORDER BY 1";
    assert_eq!(
        lines(&client, members).await,
        ["anon", "authenticated", "postgres", "service_role"]
    );

    let rows = "SELECT format('%s %s', min(id), max(id)) FROM storage.migrations
        WHERE executed_at IS NOT NULL AND length(hash) = 40 HAVING count(*) = 64";
    assert_eq!(lines(&client, rows).await, ["0 63"]);
    let last = "SELECT name || ' ' || hash FROM storage.migrations WHERE id IN (0, 63) ORDER BY id";
    assert_eq!(
        lines(&client, last).await,
        [
            "create-migrations-table e18db593bcde2aca2a408c4d1100f6abba2195df",
            "fix-search-name-relative-to-prefix c7485e417624f795ce8bb2da21927f48e088904d",
        ]
    );
}

#[tokio::test]
async fn an_installation_with_renamed_roles_and_another_owner() {
    let server = TestServer::start(World::Plain);
    let database = server.database().await;
    let settings = SchemaSettings {
        anon_role: "Visitor".to_owned(),
        authenticated_role: "member".to_owned(),
        service_role: "the service".to_owned(),
        super_user: "keeper".to_owned(),
        ..installing()
    };
    let prepared = prepare_as(&database, "postgres", &settings).await.unwrap();
    assert_eq!(prepared.warnings, Vec::<String>::new());
    let client = database.connect("postgres").await;
    assert_eq!(structure(&client).await, expected_structure());
    let owned = "SELECT owned FROM (
        SELECT relname::text AS owned FROM pg_class WHERE relowner = 'keeper'::regrole
            AND relkind = 'r'
        UNION ALL SELECT proname::text FROM pg_proc WHERE proowner = 'keeper'::regrole
        ) AS names ORDER BY owned";
    assert_eq!(
        lines(&client, owned).await,
        ["buckets", "extension", "filename", "foldername", "migrations", "objects"]
    );
    assert_eq!(grants(&client, "\"the service\"").await, but(&["migrations"], "ALL"));
    let keeper = "SELECT unnest(rolconfig) FROM pg_roles WHERE rolname = 'keeper'
        AND rolcanlogin AND rolcreaterole AND NOT rolinherit AND NOT rolsuper";
    assert_eq!(lines(&client, keeper).await, ["search_path=storage"]);
}

#[tokio::test]
async fn the_stack() {
    let database = stack_database().await;
    let prepared = prepare_as(&database, "supabase_storage_admin", &in_stack()).await.unwrap();
    assert_eq!(prepared.outcome, Outcome::Fresh);
    assert_eq!(prepared.own_schema, "storage");
    assert_eq!(prepared.warnings.len(), 1, "{:?}", prepared.warnings);
    let grant =
        format!("GRANT CREATE ON DATABASE \"{}\" TO \"supabase_storage_admin\"", database.name());
    assert!(prepared.warnings[0].contains(&grant), "{:?}", prepared.warnings);

    let client = database.connect("supabase_admin").await;
    assert_eq!(structure(&client).await, expected_structure());
    assert_eq!(lines(&client, OWNERS).await, ["supabase_storage_admin"]);

    let multipart = visitor_grants_of_multipart_and_iceberg();
    let whole = ["buckets", "buckets_analytics", "migrations", "objects"];
    let mut visitor: Vec<String> = whole.iter().map(|t| format!("{t}: ALL")).collect();
    let vectors = ["buckets_vectors: SELECT".to_owned(), "vector_indexes: SELECT".to_owned()];
    visitor.extend(vectors.clone());
    let mut service = visitor.clone();
    visitor.extend(multipart.clone());
    service.extend(multipart.iter().map(|l| l.replace("SELECT", "ALL")));
    for role in ["anon", "authenticated"] {
        assert_eq!(grants(&client, role).await, sorted(visitor.clone()), "{role}");
    }
    assert_eq!(grants(&client, "service_role").await, sorted(service));
    assert_eq!(
        grants(&client, "postgres").await,
        ["buckets: ALL*", "migrations: ALL", "objects: ALL*"]
    );

    for line in lines(&client, FUNCTION_GRANTS).await {
        let (name, grantees) = line.split_once(' ').unwrap();
        let explicit = ["extension", "filename", "foldername"].contains(&name);
        let expected = if explicit {
            "PUBLIC,anon,authenticated,dashboard_user,postgres,service_role,supabase_storage_admin"
        } else {
            ""
        };
        assert_eq!(grantees, expected, "{name}");
    }
    let schema = "SELECT unnest(nspacl)::text FROM pg_namespace WHERE nspname = 'storage'
        ORDER BY 1";
    assert_eq!(
        sorted(lines(&client, schema).await),
        [
            "anon=U/supabase_admin",
            "authenticated=U/supabase_admin",
            "dashboard_user=UC/supabase_admin",
            "postgres=UC/supabase_admin",
            "service_role=U/supabase_admin",
            "supabase_admin=UC/supabase_admin",
            "supabase_storage_admin=UC/supabase_admin",
        ]
    );
}

#[tokio::test]
async fn roles_must_exist_where_none_are_installed() {
    let server = TestServer::start(World::Plain);
    let database = server.database().await;
    let refused = prepare_as(&database, "postgres", &in_stack()).await.unwrap_err();
    assert!(matches!(&refused, Error::MissingRole(r) if r == "anon"), "{refused}");
    let client = database.connect("postgres").await;
    let left = "SELECT nspname::text FROM pg_namespace WHERE nspname IN ('storage', 'rowlock')";
    assert_eq!(lines(&client, left).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_failure_half_way_leaves_nothing() {
    let database = stack_database().await;
    let admin = database.connect("supabase_admin").await;
    // The last function to be made is in the way already.
    admin
        .batch_execute(
            "CREATE FUNCTION storage.protect_delete() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        )
        .await
        .unwrap();
    let refused = prepare_as(&database, "supabase_storage_admin", &in_stack()).await.unwrap_err();
    assert!(refused.to_string().contains("protect_delete"), "{refused}");
    let left = "SELECT relname::text FROM pg_class WHERE relnamespace = 'storage'::regnamespace";
    assert_eq!(lines(&admin, left).await, Vec::<String>::new());
}

#[tokio::test]
async fn many_servers_start_at_once() {
    for (world, user, settings) in [
        (World::Plain, "postgres", installing()),
        (World::Stack, "supabase_storage_admin", in_stack()),
    ] {
        let server = TestServer::start(world);
        let database = server.database().await;
        let starts = (0..8).map(|_| {
            let (database, settings) = (database.clone(), settings.clone());
            tokio::spawn(async move { prepare_as(&database, user, &settings).await.unwrap() })
        });
        let mut outcomes = Vec::new();
        for start in starts.collect::<Vec<_>>() {
            outcomes.push(start.await.unwrap().outcome);
        }
        let fresh = outcomes.iter().filter(|&&o| o == Outcome::Fresh).count();
        let adopted = outcomes.iter().filter(|&&o| o == Outcome::Adopted).count();
        assert_eq!((fresh, adopted), (1, 7));
        let client = database.connect(database.superuser()).await;
        assert_eq!(structure(&client).await, expected_structure());
    }
}

#[tokio::test]
async fn a_start_waits_for_a_server_that_migrates() {
    let database = stack_database().await;
    let other = database.connect("supabase_admin").await;
    other.batch_execute("SELECT pg_advisory_lock(-8525285245963000605)").await.unwrap();
    let start = tokio::spawn({
        let database = database.clone();
        async move { prepare_as(&database, "supabase_storage_admin", &in_stack()).await }
    });
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    assert!(!start.is_finished());
    let made = "SELECT relname::text FROM pg_class WHERE relnamespace = 'storage'::regnamespace";
    assert_eq!(lines(&other, made).await, Vec::<String>::new());
    other.batch_execute("SELECT pg_advisory_unlock(-8525285245963000605)").await.unwrap();
    assert_eq!(start.await.unwrap().unwrap().outcome, Outcome::Fresh);
    // And gives the lock back, though its session may live on.
    let mut client = database.connect("supabase_storage_admin").await;
    prepare(&mut client, &in_stack()).await.unwrap();
    let free = "SELECT pg_try_advisory_lock(-8525285245963000605)::text";
    assert_eq!(lines(&other, free).await, ["true"]);
}

#[tokio::test]
async fn stopping_early_is_refused_on_a_fresh_database() {
    let database = plain_database().await;
    let frozen = |name: &str| SchemaSettings { freeze_at: Some(name.to_owned()), ..installing() };
    let refused = prepare_as(&database, "postgres", &frozen("custom-metadata")).await.unwrap_err();
    assert!(matches!(&refused, Error::Frozen(n) if n == "custom-metadata"), "{refused}");
    let refused = prepare_as(&database, "postgres", &frozen("no-such")).await.unwrap_err();
    assert!(matches!(&refused, Error::UnknownMigration(n) if n == "no-such"), "{refused}");
    let last = frozen("fix-search-name-relative-to-prefix");
    let prepared = prepare_as(&database, "postgres", &last).await.unwrap();
    assert_eq!(prepared.outcome, Outcome::Fresh);
    let prepared = prepare_as(&database, "postgres", &frozen("custom-metadata")).await.unwrap();
    assert_eq!(prepared.outcome, Outcome::Adopted);
}
