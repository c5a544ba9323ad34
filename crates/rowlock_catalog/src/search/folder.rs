//! One folder's entries by offset, names relative to the folder (`POST /object/list`).
//!
//! By name the order is that of `lower(name)`, files and folders interleaved, and folders that
//! differ only in case are one. By a time folders come first.

use super::ranges::any_case;
use super::{BEHIND_ALL, Direction, SHOWN, SearchEntry};
use crate::catalog::Catalog;
use crate::error::Error;
use crate::scope::Scope;
use crate::session::Param;
use std::sync::LazyLock;
use tokio_postgres::types::Type;

/// Which entries to list.
#[derive(Debug, Clone)]
pub struct FolderRequest<'a> {
    /// The bucket's id.
    pub bucket: &'a str,
    /// The folder with its slash, in any case; empty: the whole bucket.
    pub prefix: &'a str,
    /// How names relative to the folder begin, in any case.
    pub search: &'a str,
    /// By what entries are sorted.
    pub order: FolderOrder,
    /// Whether downwards.
    pub downwards: bool,
    /// At most so many entries.
    pub limit: i64,
    /// After so many entries.
    pub offset: i64,
}

/// By what a folder's entries are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FolderOrder {
    /// Their names.
    Name,
    /// When they were written.
    UpdatedAt,
    /// When they were made.
    CreatedAt,
    /// When they were read, as far as anybody wrote that down.
    LastAccessedAt,
}

impl FolderOrder {
    fn column(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::UpdatedAt => "updated_at",
            Self::CreatedAt => "created_at",
            Self::LastAccessedAt => "last_accessed_at",
        }
    }
}

/// The first entry, then each time the next one, by the index over `lower(name)`. Behind a folder
/// the walk goes on at the first name that is not in it, however many are.
///
/// $1 bucket, $2 role, $3 prefix, $4 prefix and search, $5 limit, $6 offset, $7 behind all names.
fn walk(to: Direction) -> String {
    let (order, next) = (to.order(), to.next());
    // Where the walk ends, and what stands behind a folder, with '/' at its end, on that way.
    let (end, behind) = match to {
        Direction::Up => ("< lower($4) || $7", "0"),
        Direction::Down => (">= lower($4)", "/"),
    };
    format!(
        r#"
        WITH RECURSIVE walk AS (
          (SELECT o.name, o.id, {SHOWN}, strpos(substr(o.name, length($4) + 1), '/') AS at
           FROM storage.objects o
           WHERE o.bucket_id = $1 AND current_user = $2
             AND lower(o.name) COLLATE "C" >= lower($4)
             AND lower(o.name) COLLATE "C" < lower($4) || $7
           ORDER BY lower(o.name) COLLATE "C" {order}, o.name COLLATE "C" {order} LIMIT 1)
          UNION ALL
          SELECT next.* FROM walk, LATERAL (
            SELECT o.name, o.id, {SHOWN}, strpos(substr(o.name, length($4) + 1), '/') AS at
            FROM storage.objects o
            WHERE o.bucket_id = $1 AND current_user = $2
              AND lower(o.name) COLLATE "C" {end}
              AND (lower(o.name) COLLATE "C", o.name COLLATE "C") {next} (
                CASE WHEN walk.at > 0
                  THEN lower(left(walk.name, length($4) + walk.at - 1)) || '{behind}'
                  ELSE lower(walk.name) END,
                CASE WHEN walk.at > 0 THEN '' ELSE walk.name END)
            ORDER BY lower(o.name) COLLATE "C" {order}, o.name COLLATE "C" {order} LIMIT 1) next
        )
        SELECT substr(CASE WHEN at > 0 THEN left(name, length($4) + at - 1) ELSE name END,
                      length($3) + 1) AS name,
          CASE WHEN at = 0 THEN id END AS id,
          CASE WHEN at = 0 THEN metadata END AS metadata,
          CASE WHEN at = 0 THEN updated_at END AS updated_at,
          CASE WHEN at = 0 THEN created_at END AS created_at,
          CASE WHEN at = 0 THEN last_accessed_at END AS last_accessed_at,
          NULL::text AS moment
        FROM walk LIMIT $5 OFFSET $6"#
    )
}

/// One pass over the rows that can be meant: what is left where policies keep the index over
/// `lower(name)` from being used, and for orders by a time. With a prefix the ranges of
/// [`any_case`] bound it; OFFSET 0 keeps the planner from looking through all rows once instead.
/// A page is made of narrow rows, and the rest of it fetched in the end.
///
/// $1 to $6 as before, $7 and $8 the ranges, $9 the column of a time.
fn pass(ranged: bool, folders: &str, order: &str) -> String {
    let (ranges, bounds) = match ranged {
        true => (
            "unnest($7::text[], $8::text[]) AS r (low, high), LATERAL",
            r#"AND x.name COLLATE "C" >= r.low AND x.name COLLATE "C" < r.high"#,
        ),
        false => ("", ""),
    };
    format!(
        r#"
        WITH hits AS MATERIALIZED (
          SELECT o.*, strpos(substr(o.name, length($4) + 1), '/') AS at
          FROM {ranges} (
            SELECT x.name, x.id, lower(x.name) AS lowered,
              CASE $9 WHEN 'updated_at' THEN x.updated_at WHEN 'created_at' THEN x.created_at
                      WHEN 'last_accessed_at' THEN x.last_accessed_at END AS moment
            FROM storage.objects x
            WHERE x.bucket_id = $1 AND current_user = $2 {bounds} OFFSET 0) o
          WHERE starts_with(o.lowered, lower($4))
        ), entries AS (
          SELECT name, id, moment, lowered AS place FROM hits WHERE at = 0
          UNION ALL
          ({folders})
        ), page AS (
          SELECT * FROM entries e ORDER BY {order} LIMIT $5 OFFSET $6
        )
        SELECT substr(e.name, length($3) + 1) AS name, e.id, NULL::text AS moment, {SHOWN}
        FROM page e LEFT JOIN storage.objects o ON o.id = e.id AND current_user = $2
        ORDER BY {order}"#
    )
}

/// Of the folders that differ in case only, the one of the first member met counts.
fn pass_by_name(ranged: bool, to: Direction) -> String {
    let order = to.order();
    let first = if to == Direction::Up { "min" } else { "max" };
    let folders = format!(
        r#"SELECT DISTINCT ON (lower(f.folder) COLLATE "C")
             left(f.folder, -1), NULL::uuid, NULL::timestamptz, lower(f.folder)
           FROM (SELECT left(name, length($4) + at) AS folder,
                   {first}(lowered COLLATE "C") AS member
                 FROM hits WHERE at > 0 GROUP BY 1) f
           ORDER BY lower(f.folder) COLLATE "C", f.member COLLATE "C" {order},
             f.folder COLLATE "C" {order}"#
    );
    pass(ranged, &folders, &format!(r#"e.place COLLATE "C" {order}, e.name COLLATE "C" {order}"#))
}

fn pass_by_time(ranged: bool, to: Direction) -> String {
    let order = to.order();
    let folders = "SELECT DISTINCT left(name, length($4) + at - 1), NULL::uuid, \
                   NULL::timestamptz, '' FROM hits WHERE at > 0";
    let order = format!(
        r#"(e.id IS NULL) DESC, e.moment {order} NULLS LAST,
           substr(e.name, length($3) + 1) COLLATE "C" {order}"#
    );
    pass(ranged, folders, &order)
}

static WALK_UP: LazyLock<String> = LazyLock::new(|| walk(Direction::Up));
static WALK_DOWN: LazyLock<String> = LazyLock::new(|| walk(Direction::Down));
static WHOLE_BY_NAME_UP: LazyLock<String> = LazyLock::new(|| pass_by_name(false, Direction::Up));
static WHOLE_BY_NAME_DOWN: LazyLock<String> =
    LazyLock::new(|| pass_by_name(false, Direction::Down));
static RANGED_BY_NAME_UP: LazyLock<String> = LazyLock::new(|| pass_by_name(true, Direction::Up));
static RANGED_BY_NAME_DOWN: LazyLock<String> =
    LazyLock::new(|| pass_by_name(true, Direction::Down));
static WHOLE_BY_TIME_UP: LazyLock<String> = LazyLock::new(|| pass_by_time(false, Direction::Up));
static WHOLE_BY_TIME_DOWN: LazyLock<String> =
    LazyLock::new(|| pass_by_time(false, Direction::Down));
static RANGED_BY_TIME_UP: LazyLock<String> = LazyLock::new(|| pass_by_time(true, Direction::Up));
static RANGED_BY_TIME_DOWN: LazyLock<String> =
    LazyLock::new(|| pass_by_time(true, Direction::Down));

impl Catalog {
    /// Lists a folder as the scope's role, in one trip. An unknown bucket has no entries.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_folder(
        &self,
        scope: &Scope<'_>,
        request: &FolderRequest<'_>,
    ) -> Result<Vec<SearchEntry>, Error> {
        let role = scope.caller.role.as_str();
        let whole = format!("{}{}", request.prefix, request.search);
        let (lows, highs) = any_case(&whole);
        let column = request.order.column();
        let by_name = request.order == FolderOrder::Name;
        if by_name
            && !scope.caller.is_service
            && let Some(entries) = self.level(scope, request, &whole).await?
        {
            return Ok(entries);
        }
        let mut params: Vec<Param<'_>> = vec![
            (&request.bucket, Type::TEXT),
            (&role, Type::TEXT),
            (&request.prefix, Type::TEXT),
            (&whole, Type::TEXT),
            (&request.limit, Type::INT8),
            (&request.offset, Type::INT8),
        ];
        // The service role is not bound by policies, so its statements may use any index.
        let sql: &'static str = if by_name && scope.caller.is_service {
            params.push((&BEHIND_ALL, Type::TEXT));
            if request.downwards { &WALK_DOWN } else { &WALK_UP }
        } else {
            params.push((&lows, Type::TEXT_ARRAY));
            params.push((&highs, Type::TEXT_ARRAY));
            params.push((&column, Type::TEXT));
            match (by_name, !whole.is_empty(), request.downwards) {
                (true, false, false) => &WHOLE_BY_NAME_UP,
                (true, false, true) => &WHOLE_BY_NAME_DOWN,
                (true, true, false) => &RANGED_BY_NAME_UP,
                (true, true, true) => &RANGED_BY_NAME_DOWN,
                (false, false, false) => &WHOLE_BY_TIME_UP,
                (false, false, true) => &WHOLE_BY_TIME_DOWN,
                (false, true, false) => &RANGED_BY_TIME_UP,
                (false, true, true) => &RANGED_BY_TIME_DOWN,
            }
        };
        let rows = self.read_one(scope, sql, &params).await?;
        rows.iter().map(SearchEntry::from_row).collect()
    }
}
