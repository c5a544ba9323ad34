-- Schema storage, where nobody has made it yet: making it needs CREATE on the database, using it not.
DO $do$
BEGIN
    IF to_regnamespace('storage') IS NULL THEN
        CREATE SCHEMA storage;
    END IF;
END
$do$;
