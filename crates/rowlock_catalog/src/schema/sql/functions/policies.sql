-- What users' policies call. Their answers are interface, down to NULL and the empty string.

-- All path segments but the last: 'a/b/c.txt' gives {a,b}.
CREATE FUNCTION storage.foldername(name text) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE AS $function$
DECLARE
    segments text[] := string_to_array(name, '/');
BEGIN
    RETURN segments[1:array_length(segments, 1) - 1];
END
$function$;

-- The last path segment; NULL of the empty string.
CREATE FUNCTION storage.filename(name text) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $function$
DECLARE
    segments text[] := string_to_array(name, '/');
BEGIN
    RETURN segments[array_length(segments, 1)];
END
$function$;

-- What follows the last dot of the last segment; without a dot, the whole segment.
CREATE FUNCTION storage.extension(name text) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $function$
DECLARE
    segments text[] := string_to_array(name, '/');
BEGIN
    RETURN split_part(segments[array_length(segments, 1)], '.', -1);
END
$function$;

-- The operation that the server has announced for this transaction.
CREATE FUNCTION storage.operation() RETURNS text
LANGUAGE plpgsql STABLE AS $function$
BEGIN
    RETURN current_setting('storage.operation', true);
END
$function$;

-- Whether the operation is one of these; a leading 'storage.' counts on neither side.
CREATE FUNCTION storage.allow_any_operation(expected_operations text[]) RETURNS boolean
LANGUAGE sql STABLE AS $function$
    SELECT EXISTS (
        SELECT FROM unnest(expected_operations) AS expected (operation)
        WHERE nullif(regexp_replace(expected.operation, '^storage\.', ''), '')
            = nullif(regexp_replace(storage.operation(), '^storage\.', ''), '')
    )
$function$;

CREATE FUNCTION storage.allow_only_operation(expected_operation text) RETURNS boolean
LANGUAGE sql STABLE AS $function$
    SELECT storage.allow_any_operation(ARRAY[expected_operation])
$function$;

-- Tries an insert and undoes it by an error that callers recognise.
CREATE FUNCTION storage.can_insert_object(bucketid text, name text, owner uuid, metadata jsonb)
RETURNS void
LANGUAGE plpgsql VOLATILE AS $function$
BEGIN
    INSERT INTO storage.objects (bucket_id, name, owner, metadata)
    VALUES (
        can_insert_object.bucketid, can_insert_object.name,
        can_insert_object.owner, can_insert_object.metadata
    );
    RAISE EXCEPTION 'ROLLBACK'
        USING ERRCODE = 'PT200', DETAIL = 'rollback successful insert';
END
$function$;

-- Bytes stored per bucket, as far as the caller sees objects.
CREATE FUNCTION storage.get_size_by_bucket() RETURNS TABLE (size bigint, bucket_id text)
LANGUAGE plpgsql STABLE AS $function$
BEGIN
    RETURN QUERY
        SELECT sum((o.metadata ->> 'size')::bigint)::bigint, o.bucket_id
        FROM storage.objects AS o
        GROUP BY o.bucket_id;
END
$function$;

-- The key up to and including the first delimiter after the prefix; NULL where there is none.
CREATE FUNCTION storage.get_common_prefix(p_key text, p_prefix text, p_delimiter text) RETURNS text
LANGUAGE sql IMMUTABLE AS $function$
    SELECT CASE
        WHEN p_delimiter <> '' AND strpos(substr(p_key, length(p_prefix) + 1), p_delimiter) > 0
        THEN left(
            p_key,
            length(p_prefix) + strpos(substr(p_key, length(p_prefix) + 1), p_delimiter)
                + length(p_delimiter) - 1
        )
    END
$function$;
