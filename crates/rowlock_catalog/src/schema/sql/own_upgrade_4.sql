-- From version 3 to 4, in the schema named by the setting rowlock.own_schema: resumable uploads.
DO $do$
DECLARE
    own CONSTANT text := current_setting('rowlock.own_schema');
BEGIN
    EXECUTE format($sql$
        -- Uploads that grow over several requests. A row stays for a while when its object is there.
        CREATE TABLE %1$I.rowlock_resumable (
            version uuid NOT NULL PRIMARY KEY,
            bucket_id text NOT NULL,
            name text NOT NULL,
            -- Tells the bucket from a later one of its name.
            bucket_created_at timestamp with time zone,
            length bigint,
            received bigint NOT NULL DEFAULT 0,
            -- The blob store's own notes of what is durable; none before the first byte.
            growth jsonb,
            upload_metadata text NOT NULL,
            content_type text,
            cache_control text,
            user_metadata jsonb NOT NULL,
            robots text,
            created_at timestamp with time zone NOT NULL DEFAULT now(),
            expires_at timestamp with time zone NOT NULL,
            -- The process that writes to it, and which of its turns that is.
            holder uuid,
            epoch bigint NOT NULL DEFAULT 0,
            held_at timestamp with time zone,
            -- Somebody waits for the holder to let go.
            wanted boolean NOT NULL DEFAULT false,
            -- Something may lie beside its object: it could not be removed, or a holder that was
            -- taken for dead lived and left it.
            inherited boolean NOT NULL DEFAULT false,
            completed_at timestamp with time zone
        );
        CREATE INDEX rowlock_resumable_age ON %1$I.rowlock_resumable (expires_at);

        UPDATE %1$I.rowlock_meta SET value = '4' WHERE key = 'schema_version';
    $sql$, own);
END
$do$;
