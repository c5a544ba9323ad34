-- Rowlock's own tables, in the schema named by the setting rowlock.own_schema.
-- own_upgrade_*.sql and own_rights.sql follow.
DO $do$
DECLARE
    own CONSTANT text := current_setting('rowlock.own_schema');
    reference text := '';
BEGIN
    IF has_table_privilege('storage.s3_multipart_uploads', 'REFERENCES') THEN
        reference := 'REFERENCES storage.s3_multipart_uploads (id) ON DELETE CASCADE';
    END IF;
    IF own = 'rowlock' AND to_regnamespace('rowlock') IS NULL THEN
        CREATE SCHEMA rowlock;
    END IF;

    -- What was decided in a transaction and is done after it: deletions of blobs, aborts of parts.
    EXECUTE format($sql$
        CREATE TABLE %1$I.rowlock_outbox (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            kind text NOT NULL CONSTRAINT rowlock_outbox_kind_check
                CHECK (kind IN ('delete_blob', 'remove_multipart')),
            bucket_id text NOT NULL,
            name text NOT NULL,
            version text,
            payload jsonb,
            due_at timestamp with time zone NOT NULL DEFAULT now(),
            attempts integer NOT NULL DEFAULT 0,
            last_error text,
            created_at timestamp with time zone NOT NULL DEFAULT now()
        );
        CREATE INDEX rowlock_outbox_due ON %1$I.rowlock_outbox (due_at, id);

        -- Writes begun on a store that has no rename; a row goes with the commit of its object.
        CREATE TABLE %1$I.rowlock_pending (
            blob_key text NOT NULL PRIMARY KEY,
            upload_id text,
            process uuid NOT NULL,
            created_at timestamp with time zone NOT NULL DEFAULT now()
        );
        CREATE INDEX rowlock_pending_process ON %1$I.rowlock_pending (process);

        -- One row per part number, with the size that the public parts table leaves at zero.
        CREATE TABLE %1$I.rowlock_parts (
            upload_id text NOT NULL %2$s,
            part_number integer NOT NULL,
            size bigint NOT NULL,
            etag text NOT NULL,
            created_at timestamp with time zone NOT NULL DEFAULT now(),
            PRIMARY KEY (upload_id, part_number)
        );

        -- Uploads already completed, so that a client that asks again gets the same answer.
        CREATE TABLE %1$I.rowlock_completed (
            upload_id text NOT NULL PRIMARY KEY,
            bucket_id text NOT NULL,
            name text NOT NULL,
            etag text NOT NULL,
            version text NOT NULL,
            completed_at timestamp with time zone NOT NULL DEFAULT now()
        );
        CREATE INDEX rowlock_completed_age ON %1$I.rowlock_completed (completed_at);

        CREATE TABLE %1$I.rowlock_meta (
            key text NOT NULL PRIMARY KEY,
            value text NOT NULL
        );
        INSERT INTO %1$I.rowlock_meta (key, value) VALUES ('schema_version', '1');
    $sql$, own, reference);
END
$do$;
