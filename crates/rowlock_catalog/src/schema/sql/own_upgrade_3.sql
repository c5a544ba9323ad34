-- From version 2 to 3, in the schema named by the setting rowlock.own_schema: buckets to be emptied.
DO $do$
DECLARE
    own CONSTANT text := current_setting('rowlock.own_schema');
BEGIN
    EXECUTE format($sql$
        ALTER TABLE %1$I.rowlock_outbox
            DROP CONSTRAINT rowlock_outbox_kind_check,
            ADD CONSTRAINT rowlock_outbox_kind_check
                CHECK (kind IN ('delete_blob', 'remove_multipart', 'empty_bucket'));

        UPDATE %1$I.rowlock_meta SET value = '3' WHERE key = 'schema_version';
    $sql$, own);
END
$do$;
