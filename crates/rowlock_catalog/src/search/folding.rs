//! The statement that folds names at a delimiter without reading what it folds.
//!
//! A loose index scan: behind a folder it seeks to the first name that is not in it, however many
//! are. Between folders it reads ever longer runs, since one descent into the index for each
//! object costs more than the object does.

use super::Direction;

/// How many times more rows are read after a run that ended in an object.
const GROWTH: &str = "8";

/// What to walk, and what to take along.
pub(crate) struct Folding<'a> {
    /// Columns of `storage.objects` besides the name, and their types.
    pub(crate) columns: &'a [(&'static str, &'static str)],
    /// Which way.
    pub(crate) to: Direction,
    /// The first name, or for downwards the one behind it, as SQL.
    pub(crate) first: &'a str,
    /// Before it there is nothing, as SQL.
    pub(crate) low: &'a str,
    /// From it on there is nothing, as SQL.
    pub(crate) high: &'a str,
    /// The delimiter, as SQL.
    pub(crate) delimiter: &'a str,
    /// What in the delimiter's place is behind all names with the delimiter, as SQL.
    pub(crate) behind: &'a str,
}

impl Folding<'_> {
    /// `WITH RECURSIVE walk AS (…)`: the columns, and `folded`, which is the prefix with its
    /// delimiter, or NULL for an object. One row without a name comes first.
    ///
    /// $1 bucket, $2 role, $5 how many entries are wanted, $6 length of the prefix in characters. Each round reads `size` rows from `next` on; the last
    /// entry of a round tells where the next one goes on, and nowhere where there were no more rows.
    pub(crate) fn walk(&self) -> String {
        let Self { columns, to, first, low, high, delimiter, behind } = self;
        let each = |of: &str| -> String {
            columns.iter().map(|(name, _)| format!("{of}{name}, ")).collect()
        };
        let (own, taken) = (each("o."), each("e."));
        let nulls: String =
            columns.iter().map(|(name, kind)| format!("NULL::{kind} AS {name}, ")).collect();
        let order = to.order();
        let (bounds, behind_name, behind_folder) = match to {
            Direction::Up => (
                format!(r#"o.name COLLATE "C" >= walk.next AND o.name COLLATE "C" < {high}"#),
                "e.name || chr(1)",
                format!("left(e.folded, -length({delimiter})) || {behind}"),
            ),
            Direction::Down => (
                format!(r#"o.name COLLATE "C" < walk.next AND o.name COLLATE "C" >= {low}"#),
                "e.name",
                "e.folded".to_owned(),
            ),
        };
        format!(
            r#"
        WITH RECURSIVE walk AS (
          SELECT NULL::text AS name, {nulls}NULL::text AS folded,
            {first} AS next, 1::bigint AS size, 0::bigint AS number
          UNION ALL
          SELECT e.name, {taken}e.folded,
            CASE WHEN e.found < walk.size THEN NULL
                 WHEN e.folded IS NULL THEN CASE WHEN e.nth = e.found THEN {behind_name} END
                 WHEN e.folded = e.last THEN {behind_folder} END,
            CASE WHEN e.folded IS NULL
              THEN least(walk.size * {GROWTH}, greatest($5 - walk.number - e.nth, 1)) ELSE 1 END,
            walk.number + e.nth
          FROM walk, LATERAL (
            SELECT f.*, lag(f.folded) OVER run AS before, last_value(f.folded) OVER run AS last,
              row_number() OVER run AS nth, count(*) OVER run AS found
            FROM (
              SELECT r.*,
                CASE WHEN r.at > 0 THEN left(r.name, $6 + r.at - 1) || {delimiter} END AS folded
              FROM (
                SELECT o.name, {own}strpos(substr(o.name, $6 + 1), {delimiter}) AS at
                FROM storage.objects o
                WHERE o.bucket_id = $1 AND current_user = $2 AND {bounds}
                ORDER BY o.name COLLATE "C" {order} LIMIT walk.size) r) f
            WINDOW run AS (ORDER BY f.name COLLATE "C" {order}
              ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
          ) e
          WHERE walk.next IS NOT NULL
            AND (e.folded IS NULL OR e.folded IS DISTINCT FROM e.before)
        )"#
        )
    }
}
