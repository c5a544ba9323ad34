//! The stack's roles and schemas, as set up in a PostgreSQL of our own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod common;

use common::{in_stack, lines, prepare_as};
use rowlock_catalog::schema::{Error, StackSettings, bootstrap_stack};
use rowlock_catalog::testing::{TestServer, World, plain_database, stack_database};

const ROLES: &str = "
    SELECT format('%s %s%s%s%s%s%s%s %s', rolname,
        CASE WHEN rolsuper THEN 'S' ELSE '-' END, CASE WHEN rolinherit THEN 'I' ELSE '-' END,
        CASE WHEN rolcreaterole THEN 'R' ELSE '-' END, CASE WHEN rolcreatedb THEN 'D' ELSE '-' END,
        CASE WHEN rolcanlogin THEN 'L' ELSE '-' END, CASE WHEN rolreplication THEN 'P' ELSE '-' END,
        CASE WHEN rolbypassrls THEN 'B' ELSE '-' END,
        (SELECT string_agg(m.roleid::regrole::text, ',' ORDER BY m.roleid::regrole::text COLLATE \"C\")
            FROM pg_auth_members AS m WHERE m.member = r.oid))
    FROM pg_roles AS r WHERE rolname !~ '^pg_' ORDER BY rolname";

#[tokio::test]
async fn roles_memberships_and_rights() {
    let server = TestServer::start(World::Stack);
    let database = server.database_with(StackSettings { storage_admin_creates: true }).await;
    let mut admin = database.connect("supabase_admin").await;
    let expected = [
        "anon -I----- ",
        "authenticated -I----- ",
        "authenticator ----L-- anon,authenticated,service_role",
        "dashboard_user -IRD-P- ",
        "postgres -IRDLPB anon,authenticated,pg_monitor,pg_read_all_data,pg_signal_backend,\
         service_role,supabase_auth_admin,supabase_storage_admin",
        "service_role -I----B ",
        "supabase_admin SIRDLPB ",
        "supabase_auth_admin --R-L-- ",
        "supabase_storage_admin --R-L-- authenticator",
    ];
    assert_eq!(lines(&admin, ROLES).await, expected);
    let settings = "SELECT rolname || ' ' || unnest(rolconfig) FROM pg_roles ORDER BY 1";
    let found = lines(&admin, settings).await;
    for line in [
        "anon statement_timeout=3s",
        "authenticated statement_timeout=8s",
        "authenticator lock_timeout=8s",
        "authenticator statement_timeout=8s",
        "supabase_storage_admin search_path=storage",
    ] {
        assert!(found.iter().any(|f| f == line), "{line} in {found:?}");
    }
    let acl = "SELECT unnest(datacl)::text FROM pg_database WHERE datname = current_database()";
    assert_eq!(
        lines(&admin, acl).await,
        [
            "=Tc/postgres",
            "postgres=CTc/postgres",
            "dashboard_user=CTc/postgres",
            "supabase_storage_admin=C/postgres"
        ]
    );
    let owner = "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'storage'";
    assert_eq!(lines(&admin, owner).await, ["supabase_admin"]);
    let default = "SELECT count(*)::text FROM pg_default_acl
        WHERE defaclrole = 'postgres'::regrole AND defaclnamespace = 'storage'::regnamespace";
    assert_eq!(lines(&admin, default).await, ["3"]);

    // Once more changes nothing, not even what an administrator has changed since.
    admin
        .batch_execute(
            "ALTER ROLE anon SET statement_timeout = '1min';
             REVOKE USAGE ON SCHEMA storage FROM anon;
             CREATE OR REPLACE FUNCTION auth.email() RETURNS text LANGUAGE sql AS 'SELECT ''x''';
             ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public REVOKE ALL ON TABLES FROM anon",
        )
        .await
        .unwrap();
    bootstrap_stack(&mut admin, StackSettings::default()).await.unwrap();
    assert_eq!(lines(&admin, ROLES).await, expected);
    let kept = "SELECT has_schema_privilege('anon', 'storage', 'USAGE')::text
        UNION ALL SELECT auth.email()
        UNION ALL SELECT unnest(rolconfig) FROM pg_roles WHERE rolname = 'anon'
        UNION ALL SELECT (defaclacl::text LIKE '%anon%')::text FROM pg_default_acl
            WHERE defaclnamespace = 'public'::regnamespace AND defaclobjtype = 'r'";
    assert_eq!(lines(&admin, kept).await, ["false", "x", "statement_timeout=1min", "false"]);
}

#[tokio::test]
async fn roles_may_log_in_and_become_what_they_must() {
    let database = stack_database().await;
    prepare_as(&database, "supabase_storage_admin", &in_stack()).await.unwrap();
    for user in ["authenticator", "supabase_storage_admin", "postgres"] {
        let client = database.connect(user).await;
        for role in ["anon", "authenticated", "service_role"] {
            client.batch_execute(&format!("SET ROLE {role}; RESET ROLE")).await.unwrap();
        }
    }
    // Users administer policies as postgres, who is no superuser.
    database
        .connect("postgres")
        .await
        .batch_execute(
            "CREATE POLICY p ON storage.objects FOR SELECT USING (owner_id = auth.uid()::text);
             CREATE TABLE public.notes (id int);
             SET ROLE anon;
             SELECT FROM public.notes",
        )
        .await
        .unwrap();
}

#[tokio::test]
async fn claims_reach_policies_both_ways() {
    let database = stack_database().await;
    let client = database.connect("authenticator").await;
    let asked = "SELECT concat_ws('|', coalesce(auth.uid()::text, '-'), coalesce(auth.role(), '-'),
        coalesce(auth.email(), '-'), coalesce(auth.jwt() ->> 'aud', '-'))";
    let id = "0cd9a9a1-7f2c-4f3e-9a53-0d1f7a6f7e10";
    client.batch_execute("SET ROLE authenticated").await.unwrap();
    assert_eq!(lines(&client, asked).await, ["-|-|-|-"]);
    let claims = format!(r#"{{"sub":"{id}","role":"authenticated","email":"a@b.c","aud":"x"}}"#);
    client.batch_execute(&format!("SET request.jwt.claims = '{claims}'")).await.unwrap();
    assert_eq!(lines(&client, asked).await, [format!("{id}|authenticated|a@b.c|x")]);
    client
        .batch_execute(&format!(
            "SET request.jwt.claims = ''; SET request.jwt.claim.sub = '{id}';
             SET request.jwt.claim.role = 'anon'; SET request.jwt.claim.email = 'd@e.f'"
        ))
        .await
        .unwrap();
    assert_eq!(lines(&client, asked).await, [format!("{id}|anon|d@e.f|-")]);
    client
        .batch_execute(r#"SET request.jwt.claim.sub = ''; SET request.jwt.claims = '{"sub":""}'"#)
        .await
        .unwrap();
    assert_eq!(lines(&client, "SELECT (auth.uid() IS NULL)::text").await, ["true"]);
}

#[tokio::test]
async fn a_superuser_named_postgres_is_refused() {
    let database = plain_database().await;
    let mut client = database.connect("postgres").await;
    let refused = bootstrap_stack(&mut client, StackSettings::default()).await.unwrap_err();
    assert!(matches!(refused, Error::BootstrapUser), "{refused}");
}
