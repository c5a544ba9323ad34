//! Pages of a bucket by cursor, flat or folded at `/` (`POST /object/list-v2`).
//!
//! By name in byte order, or by a time in milliseconds (what a cursor can carry) and then by name.
//! A cursor names the last entry of the page before; a folder's ends in `/`. Cursors of the
//! reference name folders without it: such a name is a folder's where there is no object of that
//! name, but such a folder.

use super::folding::Folding;
use super::{BEHIND_ALL, Direction, SHOWN, SHOWN_COLUMNS, SearchEntry};
use crate::catalog::Catalog;
use crate::error::Error;
use crate::lists::{self, successor};
use crate::scope::Scope;
use crate::session::Param;
use std::sync::LazyLock;
use tokio_postgres::types::Type;

/// Which entries to list.
#[derive(Debug, Clone)]
pub struct PageRequest<'a> {
    /// The bucket's id.
    pub bucket: &'a str,
    /// Only names that begin so.
    pub prefix: &'a str,
    /// Whether names are folded at the first `/` after the prefix.
    pub folded: bool,
    /// By what entries are sorted.
    pub order: PageOrder,
    /// Whether downwards.
    pub downwards: bool,
    /// The name of the last entry of the page before; empty: from the start.
    pub after: &'a str,
    /// The time of that entry, for orders by a time: RFC 3339, or `-infinity`.
    pub after_moment: Option<&'a str>,
    /// At most so many entries.
    pub limit: i64,
}

/// By what a page's entries are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageOrder {
    /// Their names.
    Name,
    /// When they were written.
    UpdatedAt,
    /// When they were made.
    CreatedAt,
}

/// What a cursor's name is.
#[derive(Debug, PartialEq, Eq)]
enum After<'a> {
    /// The start.
    Nothing,
    /// An object, or a name inside a folder.
    Name(&'a str),
    /// A folder, here without its slash.
    Folder(&'a str),
    /// An object, or a folder as the reference writes it.
    Either(&'a str),
}

impl<'a> After<'a> {
    fn of(request: &PageRequest<'a>) -> Self {
        let name = request.after;
        if name.is_empty() {
            return Self::Nothing;
        }
        let Some(rest) = name.strip_prefix(request.prefix) else { return Self::Name(name) };
        match rest.find('/') {
            _ if !request.folded || rest.is_empty() => Self::Name(name),
            None => Self::Either(name),
            Some(at) if at + 1 == rest.len() => Self::Folder(&name[..name.len() - 1]),
            Some(_) => Self::Name(name),
        }
    }
}

/// A time as a cursor carries it.
const MOMENT: &str = "CASE WHEN isfinite(e.at_time) \
    THEN to_char(e.at_time AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') \
    ELSE e.at_time::text END AS moment";

/// $1 bucket, $2 role, $3 first name, $4 behind the last name, $5 limit.
fn flat_by_name(to: Direction) -> String {
    let order = to.order();
    format!(
        r#"
        SELECT o.name, o.id, NULL::text AS moment, {SHOWN}
        FROM storage.objects o
        WHERE o.bucket_id = $1 AND current_user = $2
          AND o.name COLLATE "C" >= $3 AND o.name COLLATE "C" < $4
        ORDER BY o.name COLLATE "C" {order} LIMIT $5"#
    )
}

/// As before, and: $6 length of the prefix, $7 the first name, or the one behind the last, if the
/// cursor means a folder, $8 that folder without slash.
fn folded_by_name(to: Direction) -> String {
    let bound = |own: &str| {
        format!(
            r#"CASE WHEN $7::text IS NULL
                 OR EXISTS (SELECT FROM storage.objects x
                            WHERE x.bucket_id = $1 AND x.name = $8 AND current_user = $2)
                 OR NOT EXISTS (SELECT FROM storage.objects x
                                WHERE x.bucket_id = $1 AND current_user = $2
                                  AND x.name COLLATE "C" >= $8::text || '/'
                                  AND x.name COLLATE "C" < $8::text || '0')
               THEN {own} ELSE $7 END"#
        )
    };
    let first = match to {
        Direction::Up => bound("$3"),
        Direction::Down => bound("$4"),
    };
    let folding = Folding {
        columns: &SHOWN_COLUMNS,
        to,
        first: &first,
        low: "$3",
        high: "$4",
        delimiter: "'/'",
        behind: "'0'",
    };
    format!(
        r#"{}
        SELECT coalesce(folded, name) AS name,
          CASE WHEN folded IS NULL THEN id END AS id,
          CASE WHEN folded IS NULL THEN metadata END AS metadata,
          CASE WHEN folded IS NULL THEN updated_at END AS updated_at,
          CASE WHEN folded IS NULL THEN created_at END AS created_at,
          CASE WHEN folded IS NULL THEN last_accessed_at END AS last_accessed_at,
          NULL::text AS moment
        FROM walk WHERE name IS NOT NULL LIMIT $5"#,
        folding.walk()
    )
}

/// $1 to $6 as before, $7 the column, $8 whether to fold, $9 time of the last entry, $10 its name
/// without a folder's slash, $11 1 where it is a folder, 0 where it is an object.
///
/// A folder's time is its oldest member's, whatever the column.
fn by_time(to: Direction) -> String {
    let (order, next) = (to.order(), to.next());
    let sorted = format!(r#"e.at_time {order}, e.name COLLATE "C" {order}, e.kind {order}"#);
    format!(
        r#"
        WITH members AS MATERIALIZED (
          SELECT o.name, o.id, o.created_at,
            CASE $7 WHEN 'updated_at' THEN o.updated_at ELSE o.created_at END AS moment,
            CASE WHEN $8 THEN strpos(substr(o.name, $6 + 1), '/') ELSE 0 END AS at
          FROM storage.objects o
          WHERE o.bucket_id = $1 AND current_user = $2
            AND o.name COLLATE "C" >= $3 AND o.name COLLATE "C" < $4
        ), entries AS (
          SELECT m.name, 0 AS kind, m.id,
            date_trunc('milliseconds', coalesce(m.moment, '-infinity')) AS at_time
          FROM members m WHERE m.at = 0
          UNION ALL
          SELECT left(m.name, $6 + m.at - 1), 1, NULL,
            date_trunc('milliseconds', coalesce(min(m.created_at), '-infinity'))
          FROM members m WHERE m.at > 0 GROUP BY 1
        ), page AS (
          SELECT * FROM entries e
          WHERE $9::text IS NULL
            OR (e.at_time, e.name COLLATE "C", e.kind) {next} ($9::text::timestamptz, $10,
              coalesce($11::int4, CASE WHEN EXISTS (
                SELECT FROM members m WHERE m.at = 0 AND m.name = $10) THEN 0 ELSE 1 END))
          ORDER BY {sorted} LIMIT $5
        )
        SELECT CASE WHEN e.kind = 1 THEN e.name || '/' ELSE e.name END AS name, e.id, {MOMENT},
          o.metadata, o.last_accessed_at,
          CASE WHEN e.kind = 1 THEN e.at_time ELSE o.updated_at END AS updated_at,
          CASE WHEN e.kind = 1 THEN e.at_time ELSE o.created_at END AS created_at
        FROM page e LEFT JOIN storage.objects o ON o.id = e.id AND current_user = $2
        ORDER BY {sorted}"#
    )
}

static FLAT_UP: LazyLock<String> = LazyLock::new(|| flat_by_name(Direction::Up));
static FLAT_DOWN: LazyLock<String> = LazyLock::new(|| flat_by_name(Direction::Down));
static FOLDED_UP: LazyLock<String> = LazyLock::new(|| folded_by_name(Direction::Up));
static FOLDED_DOWN: LazyLock<String> = LazyLock::new(|| folded_by_name(Direction::Down));
static TIME_UP: LazyLock<String> = LazyLock::new(|| by_time(Direction::Up));
static TIME_DOWN: LazyLock<String> = LazyLock::new(|| by_time(Direction::Down));

/// The names of a page by name: `low` included, `high` not, and what takes the place of the one
/// that the cursor moves, should the cursor mean a folder.
#[derive(Debug, PartialEq, Eq)]
struct Bounds<'a> {
    low: String,
    high: String,
    as_folder: Option<String>,
    folder: Option<&'a str>,
}

impl<'a> Bounds<'a> {
    fn of(request: &PageRequest<'a>, after: &After<'a>) -> Self {
        let low = request.prefix.to_owned();
        let high = successor(request.prefix).unwrap_or_else(|| BEHIND_ALL.to_owned());
        // The name itself is greater than no name behind it and not less than any before it.
        let moved = |name: &str| match request.downwards {
            false => low.clone().max(name.to_owned()),
            true => high.clone().min(name.to_owned()),
        };
        let behind = |name: &str| match request.downwards {
            false => moved(&format!("{name}\u{1}")),
            true => moved(name),
        };
        let behind_folder = |name: &str| match request.downwards {
            false => moved(&format!("{name}0")),
            true => moved(&format!("{name}/")),
        };
        let (bound, as_folder, folder) = match *after {
            After::Nothing => (None, None, None),
            After::Name(name) => (Some(behind(name)), None, None),
            After::Folder(name) => (Some(behind_folder(name)), None, None),
            After::Either(name) => (Some(behind(name)), Some(behind_folder(name)), Some(name)),
        };
        let (low, high) = match (bound, request.downwards) {
            (None, _) => (low, high),
            (Some(bound), false) => (bound, high),
            (Some(bound), true) => (low, bound),
        };
        Self { low, high, as_folder, folder }
    }
}

impl Catalog {
    /// Lists a page as the scope's role, in one trip. An unknown bucket has no entries. Names of
    /// folders end in `/`.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_page(
        &self,
        scope: &Scope<'_>,
        request: &PageRequest<'_>,
    ) -> Result<Vec<SearchEntry>, Error> {
        let role = scope.caller.role.as_str();
        let after = After::of(request);
        let by_name = request.order == PageOrder::Name;
        let bounds = match by_name {
            true => Bounds::of(request, &after),
            false => Bounds::of(request, &After::Nothing),
        };
        let Bounds { low, high, as_folder, folder } = &bounds;
        let prefix_length = i32::try_from(request.prefix.chars().count()).unwrap_or(i32::MAX);
        let column =
            if request.order == PageOrder::UpdatedAt { "updated_at" } else { "created_at" };
        let (after_name, kind) = match after {
            After::Nothing => ("", Some(0)),
            After::Name(name) => (name, Some(0)),
            After::Folder(name) => (name, Some(1)),
            After::Either(name) => (name, None::<i32>),
        };
        let mut params: Vec<Param<'_>> = vec![
            (&request.bucket, Type::TEXT),
            (&role, Type::TEXT),
            (low, Type::TEXT),
            (high, Type::TEXT),
            (&request.limit, Type::INT8),
        ];
        let sql: &'static str = match (by_name, request.folded, request.downwards) {
            (true, false, false) => &FLAT_UP,
            (true, false, true) => &FLAT_DOWN,
            (true, true, down) => {
                params.push((&prefix_length, Type::INT4));
                params.push((as_folder, Type::TEXT));
                params.push((folder, Type::TEXT));
                if down { &FOLDED_DOWN } else { &FOLDED_UP }
            }
            (false, _, down) => {
                params.push((&prefix_length, Type::INT4));
                params.push((&column, Type::TEXT));
                params.push((&request.folded, Type::BOOL));
                params.push((&request.after_moment, Type::TEXT));
                params.push((&after_name, Type::TEXT));
                params.push((&kind, Type::INT4));
                if down { &TIME_DOWN } else { &TIME_UP }
            }
        };
        let begin = if by_name { lists::BEGIN } else { "BEGIN; SET LOCAL jit = off" };
        let rows = self.read_one_begun(begin, scope, sql, &params).await?;
        rows.iter().map(SearchEntry::from_row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request<'a>(prefix: &'a str, after: &'a str, downwards: bool) -> PageRequest<'a> {
        PageRequest {
            bucket: "b",
            prefix,
            folded: true,
            order: PageOrder::Name,
            downwards,
            after,
            after_moment: None,
            limit: 1,
        }
    }

    #[test]
    fn cursors_name_objects_and_folders() {
        let of = |prefix, after| After::of(&request(prefix, after, false));
        assert_eq!(of("", ""), After::Nothing);
        assert_eq!(of("", "a/"), After::Folder("a"));
        assert_eq!(of("", "a"), After::Either("a"));
        assert_eq!(of("", "a/b"), After::Name("a/b"));
        // The object that bears the prefix itself.
        assert_eq!(of("a/", "a/"), After::Name("a/"));
        assert_eq!(of("a/", "a//"), After::Folder("a/"));
        assert_eq!(of("a/", "b"), After::Name("b"));
        let flat = PageRequest { folded: false, ..request("", "a/", false) };
        assert_eq!(After::of(&flat), After::Name("a/"));
    }

    #[test]
    fn pages_go_on_behind_the_last_entry_and_stay_inside_the_prefix() {
        let of = |prefix, after, downwards| {
            let request = request(prefix, after, downwards);
            let bounds = Bounds::of(&request, &After::of(&request));
            (bounds.low, bounds.high, bounds.as_folder)
        };
        let text = str::to_owned;
        assert_eq!(of("a/", "", false), (text("a/"), text("a0"), None));
        assert_eq!(of("a/", "a/b/", false), (text("a/b0"), text("a0"), None));
        assert_eq!(of("a/", "a/b/", true), (text("a/"), text("a/b/"), None));
        assert_eq!(of("a/", "a/b", false), (text("a/b\u{1}"), text("a0"), Some(text("a/b0"))));
        assert_eq!(of("a/", "a/b", true), (text("a/"), text("a/b"), Some(text("a/b/"))));
        assert_eq!(of("b", "a", false), (text("b"), text("c"), None));
        assert_eq!(of("b", "d", true), (text("b"), text("c"), None));
    }
}
