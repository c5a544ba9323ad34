-- Running multipart uploads by key, then by start; keys with the delimiter after the prefix fold to
-- one row that ends in it. The prefix comes LIKE-escaped and matches whatever the case.
--
-- With an upload token the page goes on after that upload of the key next_key_token; with a key token
-- alone, after the key, which may be a folded one.
CREATE FUNCTION storage.list_multipart_uploads_with_delimiter(
    bucket_id text,
    prefix_param text,
    delimiter_param text,
    max_keys integer DEFAULT 100,
    next_key_token text DEFAULT '',
    next_upload_token text DEFAULT ''
) RETURNS TABLE (key text, id text, created_at timestamp with time zone)
LANGUAGE plpgsql VOLATILE AS $function$
#variable_conflict use_column
DECLARE
    v_bucket CONSTANT text := list_multipart_uploads_with_delimiter.bucket_id;
    v_pattern CONSTANT text := coalesce(prefix_param, '') || '%';
    v_prefix CONSTANT text := regexp_replace(coalesce(prefix_param, ''), '\\(.)', '\1', 'g');
    v_delimiter CONSTANT text := coalesce(delimiter_param, '');
    v_key CONSTANT text := coalesce(next_key_token, '');
    v_upload CONSTANT text := coalesce(next_upload_token, '');
    v_started timestamp with time zone;
BEGIN
    SELECT u.created_at INTO v_started
    FROM storage.s3_multipart_uploads AS u
    WHERE u.bucket_id = v_bucket AND u.id = v_upload;

    RETURN QUERY
        WITH members AS (
            SELECT u.key, u.id, u.created_at,
                storage.get_common_prefix(u.key, v_prefix, v_delimiter) COLLATE "C" AS folder
            FROM storage.s3_multipart_uploads AS u
            WHERE u.bucket_id = v_bucket AND u.key ILIKE v_pattern
        ), entries AS (
            SELECT DISTINCT ON (m.folder) m.folder AS key, m.id, m.created_at, true AS folded
            FROM members AS m
            WHERE m.folder IS NOT NULL
            ORDER BY m.folder, m.key, m.created_at, m.id
        ), listed AS (
            SELECT * FROM entries
            UNION ALL
            SELECT m.key, m.id, m.created_at, false FROM members AS m WHERE m.folder IS NULL
        )
        SELECT l.key, l.id, l.created_at
        FROM listed AS l
        WHERE v_key = ''
            OR l.key > v_key
            OR (
                NOT l.folded AND l.key = v_key AND v_upload <> ''
                AND (v_started IS NULL OR (l.created_at, l.id) > (v_started, v_upload))
            )
        ORDER BY l.key, l.created_at, l.id
        LIMIT greatest(coalesce(max_keys, 100), 0);
END
$function$;
