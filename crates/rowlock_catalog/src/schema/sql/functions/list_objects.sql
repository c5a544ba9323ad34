-- Lists in the byte order of names, case-sensitive, folded at a delimiter.
--
-- A page goes on after the row whose name is passed back as next_token, whether that row was a file
-- or a folder. A folder's name comes without its delimiter, as callers expect, except where that
-- would make it another row's name: beside an object of that very name, and for an empty segment.
-- Each batch is one ordered index scan; members of a folder beyond the batch are jumped over.
CREATE FUNCTION storage.list_objects_with_delimiter(
    _bucket_id text,
    prefix_param text,
    delimiter_param text,
    max_keys integer DEFAULT 100,
    start_after text DEFAULT '',
    next_token text DEFAULT '',
    sort_order text DEFAULT 'asc'
) RETURNS TABLE (
    name text,
    id uuid,
    metadata jsonb,
    updated_at timestamp with time zone,
    created_at timestamp with time zone,
    last_accessed_at timestamp with time zone
)
LANGUAGE plpgsql STABLE AS $function$
DECLARE
    v_prefix CONSTANT text := coalesce(prefix_param, '');
    v_delimiter CONSTANT text := coalesce(delimiter_param, '');
    v_descending CONSTANT boolean := lower(coalesce(sort_order, 'asc')) = 'desc';
    -- Sorts after everything that can follow a prefix in a key.
    v_top CONSTANT text :=
        repeat(chr(CASE getdatabaseencoding() WHEN 'UTF8' THEN 1114111 ELSE 255 END), 256);
    v_batch CONSTANT integer := 250;
    v_query CONSTANT text := format(
        'SELECT o.name, o.id, o.metadata, o.updated_at, o.created_at, o.last_accessed_at
         FROM storage.objects AS o
         WHERE o.bucket_id = $1 AND o.name COLLATE "C" >= $2 AND o.name COLLATE "C" < $3
         ORDER BY o.name COLLATE "C" %s LIMIT $4',
        CASE WHEN v_descending THEN 'DESC' ELSE 'ASC' END
    );
    v_left integer := greatest(coalesce(max_keys, 100), 0);
    v_low text COLLATE "C" := v_prefix;
    v_high text COLLATE "C" := v_prefix || v_top;
    v_row record;
    v_rows integer;
    v_last_name text;
    v_folder text;
    v_last_folder text;
BEGIN
    IF coalesce(start_after, '') <> '' THEN
        IF v_descending THEN
            v_high := least(v_high, start_after);
        ELSE
            v_low := greatest(v_low, start_after || E'\x01');
        END IF;
    END IF;

    IF coalesce(next_token, '') <> '' THEN
        IF storage.get_common_prefix(next_token, v_prefix, v_delimiter) = next_token THEN
            v_folder := next_token;
        ELSIF v_delimiter <> '' AND NOT EXISTS (
            SELECT FROM storage.objects AS o
            WHERE o.bucket_id = _bucket_id AND o.name = next_token
        ) AND EXISTS (
            SELECT FROM storage.objects AS o
            WHERE o.bucket_id = _bucket_id
                AND o.name COLLATE "C" >= next_token || v_delimiter
                AND o.name COLLATE "C" < next_token || v_delimiter || v_top
        ) THEN
            v_folder := next_token || v_delimiter;
        END IF;
        IF v_descending THEN
            v_high := least(v_high, coalesce(v_folder, next_token));
        ELSE
            v_low := greatest(v_low, coalesce(v_folder || v_top, next_token || E'\x01'));
        END IF;
    END IF;

    WHILE v_left > 0 LOOP
        v_rows := 0;
        FOR v_row IN EXECUTE v_query USING _bucket_id, v_low, v_high, v_batch LOOP
            v_rows := v_rows + 1;
            v_last_name := v_row.name;
            v_folder := storage.get_common_prefix(v_row.name, v_prefix, v_delimiter);
            CONTINUE WHEN v_folder = v_last_folder;
            v_last_folder := v_folder;
            IF v_folder IS NULL THEN
                name := v_row.name;
                id := v_row.id;
                metadata := v_row.metadata;
                updated_at := v_row.updated_at;
                created_at := v_row.created_at;
                last_accessed_at := v_row.last_accessed_at;
            ELSE
                name := left(v_folder, -length(v_delimiter));
                IF right(name, length(v_delimiter)) = v_delimiter OR EXISTS (
                    SELECT FROM storage.objects AS o
                    WHERE o.bucket_id = _bucket_id
                        AND o.name = list_objects_with_delimiter.name
                ) THEN
                    name := v_folder;
                END IF;
                id := NULL;
                metadata := NULL;
                updated_at := NULL;
                created_at := NULL;
                last_accessed_at := NULL;
            END IF;
            RETURN NEXT;
            v_left := v_left - 1;
            EXIT WHEN v_left = 0;
        END LOOP;
        EXIT WHEN v_rows < v_batch;
        IF v_descending THEN
            v_high := coalesce(v_last_folder, v_last_name);
        ELSE
            v_low := coalesce(v_last_folder || v_top, v_last_name || E'\x01');
        END IF;
    END LOOP;
END
$function$;
