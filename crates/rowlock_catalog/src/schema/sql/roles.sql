-- Roles of an installation that brings its own. Existing ones keep their attributes.
-- Roles belong to the whole cluster, where another database's server may be making them just now.
DO $do$
DECLARE
    anon CONSTANT text := current_setting('rowlock.anon_role');
    authenticated CONSTANT text := current_setting('rowlock.authenticated_role');
    service CONSTANT text := current_setting('rowlock.service_role');
    super CONSTANT text := current_setting('rowlock.super_user');
    wanted CONSTANT text[][] := ARRAY[
        [anon, 'NOLOGIN NOINHERIT'],
        [authenticated, 'NOLOGIN NOINHERIT'],
        [service, 'NOLOGIN NOINHERIT BYPASSRLS'],
        ['authenticator', 'LOGIN NOINHERIT'],
        [super, 'LOGIN NOINHERIT CREATEROLE NOREPLICATION']
    ];
    role text[];
    granted text;
BEGIN
    FOREACH role SLICE 1 IN ARRAY wanted LOOP
        CONTINUE WHEN to_regrole(quote_ident(role[1])) IS NOT NULL;
        BEGIN
            EXECUTE format('CREATE ROLE %I %s', role[1], role[2]);
            IF role[1] = super AND super <> 'postgres' THEN
                EXECUTE format('ALTER ROLE %I SET search_path = storage', super);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
    FOREACH granted IN ARRAY ARRAY[anon, authenticated, service, 'postgres'] LOOP
        CONTINUE WHEN to_regrole(quote_ident(granted)) IS NULL OR EXISTS (
            SELECT FROM pg_auth_members AS m
            WHERE m.roleid = to_regrole(quote_ident(granted))
                AND m.member = to_regrole('authenticator')
        );
        EXECUTE format('GRANT %I TO authenticator', granted);
    END LOOP;
END
$do$;

-- What every later object of the schema gets, and the schema itself.
DO $do$
DECLARE
    super CONSTANT text := current_setting('rowlock.super_user');
    grantee text;
BEGIN
    FOREACH grantee IN ARRAY ARRAY[
        'postgres',
        current_setting('rowlock.anon_role'),
        current_setting('rowlock.authenticated_role'),
        current_setting('rowlock.service_role')
    ] LOOP
        CONTINUE WHEN to_regrole(quote_ident(grantee)) IS NULL;
        EXECUTE format('GRANT USAGE ON SCHEMA storage TO %I', grantee);
        EXECUTE format(
            'ALTER DEFAULT PRIVILEGES IN SCHEMA storage GRANT ALL ON TABLES TO %I', grantee);
        EXECUTE format(
            'ALTER DEFAULT PRIVILEGES IN SCHEMA storage GRANT ALL ON FUNCTIONS TO %I', grantee);
        EXECUTE format(
            'ALTER DEFAULT PRIVILEGES IN SCHEMA storage GRANT ALL ON SEQUENCES TO %I', grantee);
    END LOOP;
    EXECUTE format('GRANT ALL ON SCHEMA storage TO %I', super);
END
$do$;
