-- One database of the stack: owner, rights, and the schemas that users' policies expect.
-- Each part is made where it is missing and then left alone.

DO $do$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_database AS d
        WHERE d.datname = current_database() AND d.datdba = to_regrole('postgres')
    ) THEN
        EXECUTE format('ALTER DATABASE %I OWNER TO postgres', current_database());
    END IF;
    EXECUTE format(
        'GRANT ALL ON DATABASE %I TO postgres, dashboard_user', current_database());
    IF current_setting('rowlock.storage_admin_creates')::boolean THEN
        EXECUTE format(
            'GRANT CREATE ON DATABASE %I TO supabase_storage_admin', current_database());
    END IF;

    IF to_regnamespace('extensions') IS NULL THEN
        CREATE SCHEMA extensions AUTHORIZATION postgres;
        GRANT USAGE ON SCHEMA extensions TO anon, authenticated, service_role;
        GRANT ALL ON SCHEMA extensions TO dashboard_user;
    END IF;

    IF to_regnamespace('storage') IS NULL THEN
        CREATE SCHEMA storage AUTHORIZATION supabase_admin;
        GRANT USAGE ON SCHEMA storage TO anon, authenticated, service_role;
        GRANT ALL ON SCHEMA storage TO postgres, dashboard_user, supabase_storage_admin;
        ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA storage
            GRANT ALL ON TABLES TO postgres, anon, authenticated, service_role;
        ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA storage
            GRANT ALL ON FUNCTIONS TO postgres, anon, authenticated, service_role;
        ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA storage
            GRANT ALL ON SEQUENCES TO postgres, anon, authenticated, service_role;
    END IF;

    -- Schema public comes with the database: the mark of our turn is a grant of ours.
    IF NOT EXISTS (
        SELECT FROM pg_namespace AS n, aclexplode(n.nspacl) AS a
        WHERE n.nspname = 'public' AND a.grantee = to_regrole('authenticated')
    ) AND to_regnamespace('public') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA public TO postgres, anon, authenticated, service_role;
        GRANT CREATE ON SCHEMA public TO postgres;
        ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public
            GRANT ALL ON TABLES TO postgres, anon, authenticated, service_role;
        ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public
            GRANT ALL ON FUNCTIONS TO postgres, anon, authenticated, service_role;
        ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public
            GRANT ALL ON SEQUENCES TO postgres, anon, authenticated, service_role;
    END IF;

    IF to_regnamespace('auth') IS NULL THEN
        CREATE SCHEMA auth AUTHORIZATION supabase_admin;
        GRANT USAGE ON SCHEMA auth TO anon, authenticated, service_role;
        GRANT ALL ON SCHEMA auth TO postgres, dashboard_user, supabase_auth_admin;
    END IF;
END
$do$;

-- Users' tables and policies use these two by name.
DO $do$
DECLARE
    extension text;
BEGIN
    FOR extension IN
        SELECT e.name FROM pg_available_extensions AS e
        WHERE e.name IN ('pgcrypto', 'uuid-ossp') AND e.installed_version IS NULL
    LOOP
        EXECUTE format('CREATE EXTENSION IF NOT EXISTS %I WITH SCHEMA extensions', extension);
    END LOOP;
END
$do$;
