-- What a policy asks about the caller. Servers hand the token's claims over in settings: all of them
-- as JSON in request.jwt.claims, some also alone in request.jwt.claim.NAME, empty when absent.

CREATE FUNCTION auth.jwt() RETURNS jsonb
LANGUAGE sql STABLE AS $function$
    SELECT coalesce(
        nullif(current_setting('request.jwt.claim', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')
    )::jsonb
$function$;

CREATE FUNCTION auth.uid() RETURNS uuid
LANGUAGE sql STABLE AS $function$
    SELECT nullif(coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
    ), '')::uuid
$function$;

CREATE FUNCTION auth.role() RETURNS text
LANGUAGE sql STABLE AS $function$
    SELECT coalesce(
        nullif(current_setting('request.jwt.claim.role', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'
    )
$function$;

CREATE FUNCTION auth.email() RETURNS text
LANGUAGE sql STABLE AS $function$
    SELECT coalesce(
        nullif(current_setting('request.jwt.claim.email', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email'
    )
$function$;

ALTER FUNCTION auth.jwt() OWNER TO supabase_auth_admin;
ALTER FUNCTION auth.uid() OWNER TO supabase_auth_admin;
ALTER FUNCTION auth.role() OWNER TO supabase_auth_admin;
ALTER FUNCTION auth.email() OWNER TO supabase_auth_admin;
