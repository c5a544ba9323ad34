//! What the schema's tests share: catalogs as text, and short cuts.
#![allow(dead_code, reason = "each test binary uses a part")]

use rowlock_catalog::schema::{Error, Prepared, SchemaSettings, prepare};
use rowlock_catalog::testing::TestDatabase;
use tokio_postgres::Client;

/// The structure of schema storage in the words of `expected/catalog.txt`, sorted.
const STRUCTURE: &str = r#"
SELECT line FROM (
    SELECT format('column %s.%s | %s | %s | %s | %s | %s', c.relname,
        row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum), a.attname,
        format_type(a.atttypid, a.atttypmod),
        coalesce((SELECT l.collname FROM pg_collation AS l
            WHERE l.oid = a.attcollation AND l.collname <> 'default'), '-'),
        CASE WHEN a.attnotnull THEN 'not null' ELSE '-' END,
        CASE WHEN a.attgenerated = 's'
            THEN format('generated always as (%s) stored', pg_get_expr(d.adbin, d.adrelid, true))
            ELSE coalesce(pg_get_expr(d.adbin, d.adrelid, true), '-') END) AS line
    FROM pg_class AS c
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'storage'::regnamespace AND c.relkind = 'r'
        AND c.relname NOT LIKE 'rowlock\_%'
    UNION ALL
    SELECT format('index %s | "%s" %s%s', t.relname, i.relname,
        CASE WHEN x.indisprimary THEN 'PRIMARY KEY, '
            WHEN k.contype = 'u' THEN 'UNIQUE CONSTRAINT, '
            WHEN x.indisunique THEN 'UNIQUE, ' ELSE '' END,
        split_part(pg_get_indexdef(x.indexrelid, 0, true), ' USING ', 2))
    FROM pg_index AS x
    JOIN pg_class AS t ON t.oid = x.indrelid
    JOIN pg_class AS i ON i.oid = x.indexrelid
    LEFT JOIN pg_constraint AS k ON k.conindid = x.indexrelid AND k.contype = 'u'
    WHERE t.relnamespace = 'storage'::regnamespace AND t.relname NOT LIKE 'rowlock\_%'
        AND t.relkind = 'r'
    UNION ALL
    SELECT format('constraint %s | "%s" %s', t.relname, k.conname, pg_get_constraintdef(k.oid, true))
    FROM pg_constraint AS k JOIN pg_class AS t ON t.oid = k.conrelid
    WHERE t.relnamespace = 'storage'::regnamespace AND k.contype IN ('c', 'f')
        AND t.relname NOT LIKE 'rowlock\_%'
    UNION ALL
    SELECT format('trigger %s | %s', t.relname,
        substr(pg_get_triggerdef(g.oid, true), length('CREATE TRIGGER ') + 1))
    FROM pg_trigger AS g JOIN pg_class AS t ON t.oid = g.tgrelid
    WHERE t.relnamespace = 'storage'::regnamespace AND NOT g.tgisinternal
    UNION ALL
    SELECT format('function %s(%s) | %s | %s | %s | %s%s', p.proname,
        pg_get_function_arguments(p.oid), pg_get_function_result(p.oid), l.lanname,
        CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END,
        CASE WHEN p.prosecdef THEN 'definer' ELSE 'invoker' END,
        -- None has settings, is strict, or claims to be safe in parallel plans.
        CASE WHEN p.proconfig IS NOT NULL OR p.proisstrict OR p.proparallel <> 'u'
            THEN ' with attributes' ELSE '' END)
    FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang
    WHERE p.pronamespace = 'storage'::regnamespace
    UNION ALL
    SELECT format('rls %s | %s | %s', relname, relrowsecurity, relforcerowsecurity)
    FROM pg_class
    WHERE relnamespace = 'storage'::regnamespace AND relkind = 'r' AND relname NOT LIKE 'rowlock\_%'
    UNION ALL
    SELECT format('type %s | %s', t.typname, string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder))
    FROM pg_type AS t JOIN pg_enum AS e ON e.enumtypid = t.oid
    WHERE t.typnamespace = 'storage'::regnamespace
    GROUP BY t.typname
) AS lines
ORDER BY line COLLATE "C"
"#;

/// Everything an adoption must leave alone: owners, rights, bodies, policies, roles, rows.
const STATE: &str = r#"
SELECT line FROM (
    SELECT format('relation %s.%s %s %s %s rls=%s/%s options=%s',
        n.nspname, c.relname, c.relkind, c.relowner::regrole, c.relacl, c.relrowsecurity,
        c.relforcerowsecurity, c.reloptions) AS line
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('storage', 'public', 'auth', 'extensions')
    UNION ALL
    SELECT format('function %s %s %s %s',
        p.oid::regprocedure, p.proowner::regrole, p.proacl, md5(pg_get_functiondef(p.oid)))
    FROM pg_proc AS p WHERE p.pronamespace IN ('storage'::regnamespace, 'public'::regnamespace)
        AND p.prokind = 'f'
    UNION ALL
    SELECT format('policy %s', p) FROM pg_policies AS p
    UNION ALL
    SELECT format('schema %s %s %s', nspname, nspowner::regrole, nspacl) FROM pg_namespace
    WHERE nspname NOT LIKE 'pg\_%'
    UNION ALL
    SELECT format('default %s %s %s %s',
        defaclrole::regrole, defaclnamespace::regnamespace, defaclobjtype, defaclacl)
    FROM pg_default_acl
    UNION ALL
    SELECT format('database %s %s', datdba::regrole, datacl) FROM pg_database
    WHERE datname = current_database()
    UNION ALL
    SELECT format('row %s', m) FROM storage.migrations AS m
    UNION ALL
    SELECT format('bucket %s', b) FROM storage.buckets AS b
    UNION ALL
    SELECT format('comment %s %s', objoid::regclass, description) FROM pg_description
    WHERE classoid = 'pg_class'::regclass AND objoid >= 16384
) AS lines
ORDER BY line COLLATE "C"
"#;

/// Settings of an installation that brings its roles.
pub(crate) fn installing() -> SchemaSettings {
    SchemaSettings { install_roles: true, ..SchemaSettings::default() }
}

/// Settings of a server in the stack.
pub(crate) fn in_stack() -> SchemaSettings {
    SchemaSettings::default()
}

/// Prepares over a connection of its own.
pub(crate) async fn prepare_as(
    database: &TestDatabase,
    user: &str,
    settings: &SchemaSettings,
) -> Result<Prepared, Error> {
    let mut client = database.connect(user).await;
    // Unqualified names in our SQL must not depend on this.
    client.batch_execute("SET search_path = nowhere").await.unwrap();
    prepare(&mut client, settings).await
}

pub(crate) async fn lines(client: &Client, query: &str) -> Vec<String> {
    client.query(query, &[]).await.unwrap().iter().map(|r| r.get(0)).collect()
}

pub(crate) async fn structure(client: &Client) -> Vec<String> {
    client.batch_execute("SET search_path = public").await.unwrap();
    lines(client, STRUCTURE).await
}

pub(crate) async fn state(client: &Client) -> Vec<String> {
    let mut all = lines(client, STATE).await;
    all.extend(structure(client).await);
    all
}

/// The documented structure, sorted.
pub(crate) fn expected_structure() -> Vec<String> {
    let mut expected: Vec<String> =
        include_str!("../expected/catalog.txt").lines().map(str::to_owned).collect();
    expected.sort();
    expected
}

/// `table: privileges` of one grantee, a star after those with grant option; an owner's own
/// rights and MAINTAIN, which PostgreSQL 17 has added to ALL, left out.
pub(crate) async fn grants(client: &Client, grantee: &str) -> Vec<String> {
    client
        .query(
            "SELECT c.relname || ': ' || CASE
                 WHEN count(*) = 7 AND bool_and(a.is_grantable) THEN 'ALL*'
                 WHEN count(*) = 7 AND NOT bool_or(a.is_grantable) THEN 'ALL'
                 ELSE string_agg(a.privilege_type || CASE WHEN a.is_grantable THEN '*' ELSE '' END,
                     ',' ORDER BY a.privilege_type) END
             FROM pg_class AS c, aclexplode(c.relacl) AS a
             WHERE c.relnamespace = 'storage'::regnamespace AND c.relkind = 'r'
                 AND c.relname NOT LIKE 'rowlock\\_%' AND a.privilege_type <> 'MAINTAIN'
                 AND a.grantee = to_regrole($1) AND a.grantee <> c.relowner
             GROUP BY c.relname
             ORDER BY c.relname COLLATE \"C\"",
            &[&grantee],
        )
        .await
        .unwrap()
        .iter()
        .map(|r| r.get(0))
        .collect()
}
