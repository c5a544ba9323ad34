-- The roles, memberships and rights of a Supabase database, for one that we run ourselves.
-- Run by a superuser. What exists stays as it is, so that an administrator's changes survive.

DO $do$
DECLARE
    wanted CONSTANT text[][] := ARRAY[
        ['supabase_admin', 'SUPERUSER LOGIN CREATEROLE CREATEDB REPLICATION BYPASSRLS', ''],
        ['postgres', 'LOGIN CREATEROLE CREATEDB REPLICATION BYPASSRLS', ''],
        ['anon', 'NOLOGIN', 'statement_timeout = ''3s'''],
        ['authenticated', 'NOLOGIN', 'statement_timeout = ''8s'''],
        ['service_role', 'NOLOGIN BYPASSRLS', ''],
        ['authenticator', 'LOGIN NOINHERIT',
            'statement_timeout = ''8s''; lock_timeout = ''8s'''],
        ['supabase_auth_admin', 'LOGIN NOINHERIT CREATEROLE', 'search_path = auth'],
        ['supabase_storage_admin', 'LOGIN NOINHERIT CREATEROLE', 'search_path = storage'],
        ['dashboard_user', 'NOLOGIN CREATEROLE CREATEDB REPLICATION', '']
    ];
    memberships CONSTANT text[][] := ARRAY[
        ['anon', 'postgres'],
        ['authenticated', 'postgres'],
        ['service_role', 'postgres'],
        ['supabase_auth_admin', 'postgres'],
        ['supabase_storage_admin', 'postgres'],
        ['pg_read_all_data', 'postgres'],
        ['pg_monitor', 'postgres'],
        ['pg_signal_backend', 'postgres'],
        ['anon', 'authenticator'],
        ['authenticated', 'authenticator'],
        ['service_role', 'authenticator'],
        ['authenticator', 'supabase_storage_admin']
    ];
    pair text[];
    setting text;
    libraries text;
BEGIN
    FOREACH pair SLICE 1 IN ARRAY wanted LOOP
        CONTINUE WHEN to_regrole(pair[1]) IS NOT NULL;
        EXECUTE format('CREATE ROLE %I %s', pair[1], pair[2]);
        FOR setting IN SELECT s FROM regexp_split_to_table(pair[3], '; ') AS s WHERE s <> '' LOOP
            EXECUTE format('ALTER ROLE %I SET %s', pair[1], setting);
        END LOOP;
        IF pair[1] = 'authenticator' THEN
            -- A library that isn't there would keep the role from logging in.
            SELECT c.setting INTO libraries FROM pg_config AS c WHERE c.name = 'PKGLIBDIR';
            IF pg_stat_file(libraries || '/safeupdate.so', true) IS NOT NULL THEN
                ALTER ROLE authenticator SET session_preload_libraries = safeupdate;
            END IF;
        END IF;
    END LOOP;
    FOREACH pair SLICE 1 IN ARRAY memberships LOOP
        CONTINUE WHEN EXISTS (
            SELECT FROM pg_auth_members AS m
            WHERE m.roleid = to_regrole(pair[1]) AND m.member = to_regrole(pair[2])
        );
        EXECUTE format('GRANT %I TO %I', pair[1], pair[2]);
    END LOOP;
END
$do$;
