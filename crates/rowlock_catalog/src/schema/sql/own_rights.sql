-- Rowlock's own tables, in the schema named by the setting rowlock.own_schema, are nobody's business
-- but the server's: no grant to anyone, whatever default privileges say.
DO $do$
DECLARE
    own CONSTANT text := current_setting('rowlock.own_schema');
    item record;
BEGIN
    FOR item IN
        SELECT c.oid::regclass AS relation, c.relkind, acl.grantee
        FROM pg_class AS c
        LEFT JOIN LATERAL (
            SELECT DISTINCT a.grantee FROM aclexplode(c.relacl) AS a WHERE a.grantee <> c.relowner
        ) AS acl ON true
        WHERE c.relnamespace = to_regnamespace(quote_ident(own))
            AND c.relname LIKE 'rowlock\_%' AND c.relkind IN ('r', 'S')
    LOOP
        IF item.relkind = 'r' THEN
            EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', item.relation);
        END IF;
        CONTINUE WHEN item.grantee IS NULL;
        EXECUTE format(
            'REVOKE ALL ON %s %s FROM %s CASCADE',
            CASE item.relkind WHEN 'r' THEN 'TABLE' ELSE 'SEQUENCE' END,
            item.relation,
            CASE item.grantee WHEN 0 THEN 'PUBLIC' ELSE item.grantee::regrole::text END);
    END LOOP;

    IF own = 'rowlock' THEN
        FOR item IN
            SELECT DISTINCT a.grantee
            FROM pg_namespace AS n, aclexplode(n.nspacl) AS a
            WHERE n.nspname = 'rowlock' AND a.grantee <> n.nspowner
                AND n.nspowner = to_regrole(quote_ident(current_user))
        LOOP
            EXECUTE format(
                'REVOKE ALL ON SCHEMA rowlock FROM %s CASCADE',
                CASE item.grantee WHEN 0 THEN 'PUBLIC' ELSE item.grantee::regrole::text END);
        END LOOP;
    END IF;
END
$do$;
