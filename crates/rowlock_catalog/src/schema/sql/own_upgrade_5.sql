-- From version 4 to 5, in the schema named by the setting rowlock.own_schema: events.
DO $do$
DECLARE
    own CONSTANT text := current_setting('rowlock.own_schema');
BEGIN
    EXECUTE format($sql$
        -- What happened to objects, until the receiver of webhooks has taken it.
        CREATE TABLE %1$I.rowlock_events (
            id uuid NOT NULL PRIMARY KEY,
            kind text NOT NULL,
            bucket_id text NOT NULL,
            name text NOT NULL,
            version text,
            metadata jsonb,
            -- Of the request that caused it.
            origin jsonb NOT NULL,
            -- Where a moved object was.
            old_object jsonb,
            created_at timestamp with time zone NOT NULL DEFAULT now(),
            due_at timestamp with time zone NOT NULL DEFAULT now(),
            attempts integer NOT NULL DEFAULT 0,
            last_error text,
            -- When it was given up.
            dead_at timestamp with time zone
        );
        CREATE INDEX rowlock_events_due ON %1$I.rowlock_events (due_at) WHERE dead_at IS NULL;
        CREATE INDEX rowlock_events_dead ON %1$I.rowlock_events (dead_at) WHERE dead_at IS NOT NULL;

        UPDATE %1$I.rowlock_meta SET value = '5' WHERE key = 'schema_version';
    $sql$, own);
END
$do$;
