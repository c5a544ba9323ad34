-- Who may touch what; row-level security decides about rows.
DO $do$
DECLARE
    installed CONSTANT boolean := current_setting('rowlock.install_roles')::boolean;
    anon CONSTANT text := current_setting('rowlock.anon_role');
    authenticated CONSTANT text := current_setting('rowlock.authenticated_role');
    service CONSTANT text := current_setting('rowlock.service_role');
    super CONSTANT text := current_setting('rowlock.super_user');
    admin text;
    visitor text;
    item text;
BEGIN
    FOREACH visitor IN ARRAY ARRAY[anon, authenticated] LOOP
        EXECUTE format(
            'REVOKE ALL ON storage.s3_multipart_uploads, storage.s3_multipart_uploads_parts,
                storage.iceberg_namespaces, storage.iceberg_tables FROM %I', visitor);
        EXECUTE format(
            'GRANT SELECT ON storage.s3_multipart_uploads, storage.s3_multipart_uploads_parts,
                storage.iceberg_namespaces, storage.iceberg_tables TO %I', visitor);
    END LOOP;
    EXECUTE format(
        'GRANT ALL ON storage.s3_multipart_uploads, storage.s3_multipart_uploads_parts,
            storage.iceberg_namespaces, storage.iceberg_tables TO %I', service);
    EXECUTE format(
        'GRANT ALL ON storage.buckets, storage.objects, storage.buckets_analytics TO %I, %I, %I',
        anon, authenticated, service);
    EXECUTE format(
        'GRANT SELECT ON storage.buckets_vectors, storage.vector_indexes TO %I, %I, %I',
        anon, authenticated, service);
    FOR admin IN SELECT DISTINCT unnest(ARRAY['postgres', super]) LOOP
        CONTINUE WHEN to_regrole(quote_ident(admin)) IS NULL;
        EXECUTE format(
            'GRANT ALL ON storage.buckets, storage.objects TO %I WITH GRANT OPTION', admin);
    END LOOP;

    IF installed THEN
        EXECUTE format(
            'REVOKE ALL ON storage.migrations FROM %I, %I, %I', anon, authenticated, service);
        EXECUTE format('GRANT ALL ON ALL TABLES IN SCHEMA storage TO %I', super);
        IF super <> current_user THEN
            FOREACH item IN ARRAY ARRAY['objects', 'buckets', 'migrations'] LOOP
                EXECUTE format('ALTER TABLE storage.%I OWNER TO %I', item, super);
            END LOOP;
            FOREACH item IN ARRAY ARRAY['foldername', 'filename', 'extension'] LOOP
                EXECUTE format('ALTER FUNCTION storage.%I(text) OWNER TO %I', item, super);
            END LOOP;
        END IF;
    ELSE
        -- As the database images of the stack have made them; no policy opens the bookkeeping.
        FOREACH item IN ARRAY ARRAY[
            anon, authenticated, service, 'postgres', 'dashboard_user'
        ] LOOP
            CONTINUE WHEN to_regrole(quote_ident(item)) IS NULL;
            EXECUTE format(
                'GRANT EXECUTE ON FUNCTION storage.foldername(text), storage.filename(text),
                    storage.extension(text) TO %I', item);
            CONTINUE WHEN item = 'dashboard_user';
            EXECUTE format('GRANT ALL ON storage.migrations TO %I', item);
        END LOOP;
    END IF;
END
$do$;
