-- Lists with '/' for the second list interface: by name, or by a time with the name as tie-break.

-- One page by a timestamp. Rows are ordered by exactly what a cursor can carry, milliseconds and the
-- name, so that no page repeats or skips a row. Folders bear their oldest member's time.
CREATE FUNCTION storage.search_by_timestamp(
    p_prefix text,
    p_bucket_id text,
    p_limit integer,
    p_level integer,
    p_start_after text,
    p_sort_order text,
    p_sort_column text,
    p_sort_column_after text
) RETURNS TABLE (
    key text,
    name text,
    id uuid,
    updated_at timestamp with time zone,
    created_at timestamp with time zone,
    last_accessed_at timestamp with time zone,
    metadata jsonb
)
LANGUAGE plpgsql STABLE AS $function$
DECLARE
    v_prefix CONSTANT text := coalesce(p_prefix, '');
    v_top CONSTANT text :=
        repeat(chr(CASE getdatabaseencoding() WHEN 'UTF8' THEN 1114111 ELSE 255 END), 256);
    v_descending CONSTANT boolean := lower(coalesce(p_sort_order, 'asc')) = 'desc';
    v_column CONSTANT text := CASE lower(p_sort_column)
        WHEN 'updated_at' THEN 'updated_at'
        WHEN 'last_accessed_at' THEN 'last_accessed_at'
        ELSE 'created_at' END;
    v_after CONSTANT timestamp with time zone := nullif(p_sort_column_after, '');
BEGIN
    RETURN QUERY EXECUTE format(
        $query$
        WITH members AS (
            SELECT o.name, o.id, o.updated_at, o.created_at, o.last_accessed_at, o.metadata,
                storage.get_common_prefix(o.name, $1, '/') AS folder
            FROM storage.objects AS o
            WHERE o.bucket_id = $2
                AND o.name COLLATE "C" >= $1 AND o.name COLLATE "C" < $1 || $3
        ), folders AS (
            SELECT m.folder, min(m.created_at) AS oldest
            FROM members AS m
            WHERE m.folder IS NOT NULL
            GROUP BY m.folder
        ), entries AS (
            SELECT m.name, m.id, m.updated_at, m.created_at, m.last_accessed_at, m.metadata,
                m.%1$I AS moment
            FROM members AS m
            WHERE m.folder IS NULL
            UNION ALL
            -- A name that another row bears keeps its slash: see list_objects_with_delimiter.
            SELECT CASE WHEN left(f.folder, -1) LIKE '%%/'
                    OR EXISTS (SELECT FROM members AS m WHERE m.name = left(f.folder, -1))
                THEN f.folder ELSE left(f.folder, -1) END,
                NULL, f.oldest, f.oldest, NULL, NULL, f.oldest
            FROM folders AS f
        ), keyed AS (
            SELECT e.*, date_trunc('milliseconds', coalesce(e.moment, '-infinity')) AS at
            FROM entries AS e
        )
        SELECT split_part(k.name, '/', greatest(coalesce($4, 1), 1)),
            k.name, k.id, k.updated_at, k.created_at, k.last_accessed_at, k.metadata
        FROM keyed AS k
        WHERE CASE
            WHEN $6 IS NULL THEN $5 = '' OR k.name COLLATE "C" > $5
            ELSE (k.at, k.name COLLATE "C") %3$s (date_trunc('milliseconds', $6), $5)
        END
        ORDER BY k.at %2$s, k.name COLLATE "C" %2$s
        LIMIT $7
        $query$,
        v_column,
        CASE WHEN v_descending THEN 'DESC' ELSE 'ASC' END,
        CASE WHEN v_descending THEN '<' ELSE '>' END
    )
    USING v_prefix, p_bucket_id, v_top, p_level, coalesce(p_start_after, ''), v_after,
        greatest(coalesce(p_limit, 100), 0);
END
$function$;

-- start_after is the name of the last row seen; with a timestamp, sort_column_after its time.
CREATE FUNCTION storage.search_v2(
    prefix text,
    bucket_name text,
    limits integer DEFAULT 100,
    levels integer DEFAULT 1,
    start_after text DEFAULT '',
    sort_order text DEFAULT 'asc',
    sort_column text DEFAULT 'name',
    sort_column_after text DEFAULT ''
) RETURNS TABLE (
    key text,
    name text,
    id uuid,
    updated_at timestamp with time zone,
    created_at timestamp with time zone,
    last_accessed_at timestamp with time zone,
    metadata jsonb
)
LANGUAGE plpgsql STABLE AS $function$
DECLARE
    v_limit CONSTANT integer := least(coalesce(limits, 100), 1500);
BEGIN
    IF lower(sort_column) IN ('updated_at', 'created_at', 'last_accessed_at') THEN
        RETURN QUERY
            SELECT * FROM storage.search_by_timestamp(
                prefix, bucket_name, v_limit, levels, start_after,
                sort_order, sort_column, sort_column_after
            );
    ELSE
        RETURN QUERY
            SELECT split_part(l.name, '/', greatest(coalesce(levels, 1), 1)),
                l.name, l.id, l.updated_at, l.created_at, l.last_accessed_at, l.metadata
            FROM storage.list_objects_with_delimiter(
                bucket_name, prefix, '/', v_limit, '', start_after, sort_order
            ) WITH ORDINALITY AS l
            ORDER BY l.ordinality;
    END IF;
END
$function$;
