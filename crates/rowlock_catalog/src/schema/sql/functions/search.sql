-- The first list interface: one folder's rows by offset, names relative to the prefix.
--
-- By name: case-insensitive, files and folders interleaved by the bytes of lower(name), folders that
-- differ in case only are one. By a time: prefix and search are LIKE patterns, folders come first.
CREATE FUNCTION storage.search(
    prefix text,
    bucketname text,
    limits integer DEFAULT 100,
    levels integer DEFAULT 1,
    offsets integer DEFAULT 0,
    search text DEFAULT '',
    sortcolumn text DEFAULT 'name',
    sortorder text DEFAULT 'asc'
) RETURNS TABLE (
    name text,
    id uuid,
    updated_at timestamp with time zone,
    created_at timestamp with time zone,
    last_accessed_at timestamp with time zone,
    metadata jsonb
)
LANGUAGE plpgsql STABLE AS $function$
DECLARE
    v_prefix CONSTANT text := coalesce(prefix, '');
    v_whole CONSTANT text := v_prefix || coalesce(search, '');
    v_descending CONSTANT boolean := lower(coalesce(sortorder, 'asc')) = 'desc';
    v_direction CONSTANT text := CASE WHEN v_descending THEN 'DESC' ELSE 'ASC' END;
    v_column CONSTANT text := lower(coalesce(sortcolumn, 'name'));
    v_limit CONSTANT integer := greatest(least(coalesce(limits, 100), 1500), 0);
    v_top CONSTANT text :=
        repeat(chr(CASE getdatabaseencoding() WHEN 'UTF8' THEN 1114111 ELSE 255 END), 256);
    v_query CONSTANT text := format(
        'SELECT o.name, o.id, o.updated_at, o.created_at, o.last_accessed_at, o.metadata
         FROM storage.objects AS o
         WHERE o.bucket_id = $1
             AND lower(o.name) COLLATE "C" >= $2 AND lower(o.name) COLLATE "C" <= $4
             AND (lower(o.name) COLLATE "C" > $2 OR o.name COLLATE "C" >= $3)
             AND (lower(o.name) COLLATE "C" < $4 OR o.name COLLATE "C" < $5)
         ORDER BY lower(o.name) COLLATE "C" %1$s, o.name COLLATE "C" %1$s LIMIT $6',
        v_direction
    );
    -- Where policies filter rows, lower(name) can't bound the index scan and each batch starts over
    -- at the bucket's beginning: growing batches keep the sum of these starts small.
    v_growth CONSTANT integer :=
        CASE WHEN row_security_active('storage.objects') THEN 4 ELSE 1 END;
    v_batch integer := 250;
    v_rows integer;
    v_last_name text;
    v_skip integer := greatest(coalesce(offsets, 0), 0);
    v_left integer := v_limit;
    v_low text COLLATE "C" := lower(v_whole);
    v_low_name text COLLATE "C" := '';
    v_high text COLLATE "C" := lower(v_whole) || v_top;
    v_high_name text COLLATE "C" := '';
    v_row record;
    v_folder text;
    v_last_folder text;
BEGIN
    IF v_column IN ('updated_at', 'created_at', 'last_accessed_at') THEN
        RETURN QUERY EXECUTE format(
            $query$
            WITH members AS (
                SELECT o.*, substr(o.name, $3 + 1) AS relative,
                    -- A slash in the pattern is a slash in the name, whatever else is escaped.
                    CASE WHEN cardinality(o.path_tokens) > $4
                        THEN substr(array_to_string(o.path_tokens[1:$4], '/'), $3 + 1)
                    END AS folder
                FROM storage.objects AS o
                WHERE o.bucket_id = $1 AND o.name ILIKE $2
            ), entries AS (
                SELECT DISTINCT true AS folded, m.folder AS name, NULL::uuid AS id,
                    NULL::timestamptz AS updated_at, NULL::timestamptz AS created_at,
                    NULL::timestamptz AS last_accessed_at, NULL::jsonb AS metadata
                FROM members AS m
                WHERE m.folder IS NOT NULL
                UNION ALL
                SELECT false, m.relative, m.id, m.updated_at, m.created_at,
                    m.last_accessed_at, m.metadata
                FROM members AS m
                WHERE m.folder IS NULL
            )
            SELECT e.name, e.id, e.updated_at, e.created_at, e.last_accessed_at, e.metadata
            FROM entries AS e
            ORDER BY e.folded DESC, e.%1$I %2$s NULLS LAST, e.name COLLATE "C" %2$s
            LIMIT $5 OFFSET $6
            $query$,
            v_column, v_direction
        )
        USING bucketname, v_whole || '%',
            length(regexp_replace(v_prefix, '\\(.)', '\1', 'g')),
            length(v_whole) - length(replace(v_whole, '/', '')) + 1,
            v_limit, v_skip;
        RETURN;
    END IF;

    WHILE v_left > 0 LOOP
        v_rows := 0;
        FOR v_row IN EXECUTE v_query
            USING bucketname, v_low, v_low_name, v_high, v_high_name, v_batch
        LOOP
            v_rows := v_rows + 1;
            v_last_name := v_row.name;
            v_folder := storage.get_common_prefix(v_row.name, v_whole, '/');
            CONTINUE WHEN lower(v_folder) = lower(v_last_folder);
            v_last_folder := v_folder;
            IF v_skip > 0 THEN
                v_skip := v_skip - 1;
                CONTINUE;
            END IF;
            IF v_folder IS NULL THEN
                name := substr(v_row.name, length(v_prefix) + 1);
                id := v_row.id;
                updated_at := v_row.updated_at;
                created_at := v_row.created_at;
                last_accessed_at := v_row.last_accessed_at;
                metadata := v_row.metadata;
            ELSE
                name := substr(left(v_folder, -1), length(v_prefix) + 1);
                id := NULL;
                updated_at := NULL;
                created_at := NULL;
                last_accessed_at := NULL;
                metadata := NULL;
            END IF;
            RETURN NEXT;
            v_left := v_left - 1;
            EXIT WHEN v_left = 0;
        END LOOP;
        EXIT WHEN v_rows < v_batch;
        IF v_descending THEN
            v_high := lower(coalesce(v_last_folder, v_last_name));
            v_high_name := CASE WHEN v_last_folder IS NULL THEN v_last_name ELSE '' END;
        ELSIF v_last_folder IS NULL THEN
            v_low := lower(v_last_name);
            v_low_name := v_last_name || E'\x01';
        ELSE
            v_low := lower(v_last_folder) || v_top;
            v_low_name := '';
        END IF;
        v_batch := least(v_batch * v_growth, 1000000);
    END LOOP;
END
$function$;
