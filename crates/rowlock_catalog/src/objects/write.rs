//! The statements that write an object's row at the end of an upload.

use super::full::full_columns;

macro_rules! insert {
    ($($rest:expr),+) => {
        concat!(
            "INSERT INTO storage.objects AS o
               (bucket_id, name, owner, owner_id, version, metadata, user_metadata)
             SELECT $1, $2, $3, $4, $5, $6, $7 WHERE current_user = $8 ",
            $($rest),+
        )
    };
}

macro_rules! replacing {
    ($($rest:expr),+) => {
        concat!(
            "ON CONFLICT (name, bucket_id) DO UPDATE SET
               version = EXCLUDED.version, metadata = EXCLUDED.metadata,
               user_metadata = EXCLUDED.user_metadata,
               owner = COALESCE(EXCLUDED.owner, o.owner),
               owner_id = COALESCE(EXCLUDED.owner_id, o.owner_id) ",
            $($rest),+
        )
    };
}

/// $9 / $10 state the row that the permit found; a different one, also one that comes up while
/// this runs, makes the statement write nothing, and the slow way asks the policies again.
macro_rules! replacing_expected {
    ($($rest:expr),+) => {
        insert!(
            "AND ($9::uuid IS NULL OR EXISTS (
               SELECT 1 FROM storage.objects x
               WHERE x.bucket_id = $1 AND x.name = $2 AND x.id = $9)) ",
            replacing!("WHERE o.id = $9 AND o.xmin::text = $10 ", $($rest),+)
        )
    };
}

pub(super) const UPSERT_EXPECTED: &str = replacing_expected!("RETURNING o.id");
pub(super) const UPSERT: &str = insert!(replacing!("RETURNING o.id"));
pub(super) const INSERT: &str = insert!("RETURNING id");

/// The same, for those who want the row.
pub(super) const UPSERT_EXPECTED_ROW: &str = replacing_expected!("RETURNING ", full_columns!());
pub(super) const UPSERT_ROW: &str = insert!(replacing!("RETURNING ", full_columns!()));
pub(super) const INSERT_ROW: &str = insert!("RETURNING ", full_columns!());
