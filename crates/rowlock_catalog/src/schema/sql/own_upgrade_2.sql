-- From version 1 to 2, in the schema named by the setting rowlock.own_schema: S3 checksums of parts,
-- tags of buckets.
DO $do$
DECLARE
    own CONSTANT text := current_setting('rowlock.own_schema');
    reference text := '';
BEGIN
    IF has_table_privilege('storage.buckets', 'REFERENCES') THEN
        reference := 'REFERENCES storage.buckets (id) ON DELETE CASCADE';
    END IF;
    EXECUTE format($sql$
        -- Algorithm and base64 value, separated by a colon.
        ALTER TABLE %1$I.rowlock_parts ADD COLUMN checksum text;

        CREATE TABLE %1$I.rowlock_bucket_tags (
            bucket_id text NOT NULL PRIMARY KEY %2$s,
            tags jsonb NOT NULL
        );

        UPDATE %1$I.rowlock_meta SET value = '2' WHERE key = 'schema_version';
    $sql$, own, reference);
END
$do$;
