//! Lists of objects in the byte order of their names.
//!
//! Under row-level security the planner uses an index only for leakproof conditions, so every
//! bound here is a plain comparison on `name COLLATE "C"`, never LIKE. Folders are folded by a
//! loose index scan ([`Folding`]).

use crate::catalog::Catalog;
use crate::error::Error;
use crate::objects::ObjectRow;
use crate::scope::Scope;
use crate::search::Direction;
use crate::search::folding::Folding;
use crate::session::Param;
use std::sync::LazyLock;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// How transactions of lists by name begin.
///
/// What the planner takes a policy to admit is a guess. Where it guesses few, it reads all rows of
/// the range and sorts them, again for each step of a walk, instead of following the index until
/// the page is full. The index gives the order for nothing, so nothing else may. And these
/// statements look dearer than they are: compiling them would take longer than running them.
pub(crate) const BEGIN: &str = "BEGIN; SET LOCAL enable_sort = off; SET LOCAL jit = off";

/// Which entries to list.
#[derive(Debug, Clone)]
pub struct ListRequest<'a> {
    /// The bucket's id.
    pub bucket: &'a str,
    /// Only names that begin so.
    pub prefix: &'a str,
    /// Fold names up to and including its first occurrence behind the prefix; empty: never.
    pub delimiter: &'a str,
    /// Only entries after this text; empty: from the start.
    pub after: &'a str,
    /// At most so many entries.
    pub limit: i64,
}

/// One entry.
#[derive(Debug, Clone)]
pub enum Listed {
    /// An object.
    Object(Box<ObjectRow>),
    /// A folded prefix, with its delimiter.
    Prefix(String),
}

/// The smallest text that is greater than every text with this prefix, in byte order; `None`
/// where there is none.
pub fn successor(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        let next = match u32::from(last) + 1 {
            // The surrogates are no characters.
            0xD800 => Some('\u{E000}'),
            code => char::from_u32(code),
        };
        if let Some(next) = next {
            text.push(next);
            return Some(text);
        }
    }
    None
}

/// Where the scan starts: the first name that can be an entry after `after`.
fn start(request: &ListRequest<'_>) -> Option<String> {
    let ListRequest { prefix, delimiter, after, .. } = *request;
    if after.is_empty() || after < prefix {
        // The first text that is not empty: a row without a name could not be told as a marker.
        return Some(if prefix.is_empty() { "\u{1}" } else { prefix }.to_owned());
    }
    if !delimiter.is_empty()
        && let Some(rest) = after.strip_prefix(prefix)
        && rest.find(delimiter).is_some_and(|at| at + delimiter.len() == rest.len())
    {
        // `after` is a folded prefix, the last entry of the page before: skip all of it. A text
        // inside a folder skips only names: what lies behind it in the folder is still folded.
        return successor(after);
    }
    Some(format!("{after}\u{1}"))
}

/// $1 bucket, $2 role, $3 first name, $4 behind the last name, $5 limit.
const FLAT: &str = "\
    SELECT name, version, metadata, user_metadata, owner_id, updated_at, NULL::text AS folded
    FROM storage.objects
    WHERE bucket_id = $1 AND current_user = $2
      AND name COLLATE \"C\" >= $3 AND name COLLATE \"C\" < $4
    ORDER BY name COLLATE \"C\" LIMIT $5";

/// As before, and: $6 length of the prefix, $7 delimiter, $8 what replaces the delimiter at a
/// folder's end to get behind the folder.
static FOLDED: LazyLock<String> = LazyLock::new(|| {
    let folding = Folding {
        columns: &[
            ("version", "text"),
            ("metadata", "jsonb"),
            ("owner_id", "text"),
            ("updated_at", "timestamptz"),
        ],
        to: Direction::Up,
        first: "$3",
        low: "$3",
        high: "$4",
        delimiter: "$7",
        behind: "$8",
    };
    format!(
        "{}
        SELECT name, version, CASE WHEN folded IS NULL THEN metadata END AS metadata,
          NULL::jsonb AS user_metadata, owner_id, updated_at, folded
        FROM walk WHERE name IS NOT NULL LIMIT $5",
        folding.walk()
    )
});

/// Greater than every name, and than the rest of every name: these are at most 1,024 bytes of
/// UTF-8, and this is one character more than that of the last there is.
static BEHIND_ALL: LazyLock<String> = LazyLock::new(|| "\u{10FFFF}".repeat(257));

impl Catalog {
    /// Lists entries as the scope's role, and whether the bucket exists (as the service role
    /// sees it), in one trip. `None` when it does not.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_objects(
        &self,
        scope: &Scope<'_>,
        request: &ListRequest<'_>,
    ) -> Result<Option<Vec<Listed>>, Error> {
        const BUCKET: &str = "SELECT 1 FROM storage.buckets WHERE id = $1 AND current_user = $2";
        let service = self.as_service(scope);
        let service_role = service.caller.role.as_str();
        let look: [Param<'_>; 2] = [(&request.bucket, Type::TEXT), (&service_role, Type::TEXT)];

        let role = scope.caller.role.as_str();
        let from = start(request);
        // Nothing can come after it: an empty range.
        let from = from.as_deref().unwrap_or(&BEHIND_ALL);
        let until = successor(request.prefix);
        let until = until.as_deref().unwrap_or(&BEHIND_ALL);
        let prefix_length = i32::try_from(request.prefix.chars().count()).unwrap_or(i32::MAX);
        let behind = successor(request.delimiter);
        let behind = behind.as_deref().unwrap_or(&BEHIND_ALL);
        let mut params: Vec<Param<'_>> = vec![
            (&request.bucket, Type::TEXT),
            (&role, Type::TEXT),
            (&from, Type::TEXT),
            (&until, Type::TEXT),
            (&request.limit, Type::INT8),
        ];
        let sql: &str = if request.delimiter.is_empty() {
            FLAT
        } else {
            params.push((&prefix_length, Type::INT4));
            params.push((&request.delimiter, Type::TEXT));
            params.push((&behind, Type::TEXT));
            &FOLDED
        };
        let (bucket, rows) =
            self.two_scopes_begun(BEGIN, (&service, BUCKET, &look), (scope, sql, &params)).await?;
        let rows = rows?;
        if bucket.is_empty() {
            return Ok(None);
        }
        rows.iter().map(entry).collect::<Result<_, _>>().map(Some)
    }
}

fn entry(row: &Row) -> Result<Listed, Error> {
    Ok(match row.try_get::<_, Option<String>>("folded")? {
        Some(prefix) => Listed::Prefix(prefix),
        None => Listed::Object(Box::new(ObjectRow::from_row(row)?)),
    })
}

#[cfg(test)]
mod tests {
    use super::{ListRequest, start, successor};

    #[test]
    fn successors_are_just_behind() {
        assert_eq!(successor("a/").as_deref(), Some("a0"));
        assert_eq!(successor("").as_deref(), None);
        assert_eq!(successor("a\u{10FFFF}").as_deref(), Some("b"));
        assert_eq!(successor("\u{D7FF}").as_deref(), Some("\u{E000}"));
    }

    #[test]
    fn lists_start_behind_the_last_entry() {
        let at = |prefix, delimiter, after| {
            start(&ListRequest { bucket: "b", prefix, delimiter, after, limit: 1 })
        };
        assert_eq!(at("", "", "").as_deref(), Some("\u{1}"));
        assert_eq!(at("k/", "", "").as_deref(), Some("k/"));
        assert_eq!(at("k/", "", "a").as_deref(), Some("k/"));
        assert_eq!(at("", "", "k").as_deref(), Some("k\u{1}"));
        // A folder's entry continues behind the folder, a name inside it behind that name.
        assert_eq!(at("", "/", "k/").as_deref(), Some("k0"));
        assert_eq!(at("", "/", "k/x/y").as_deref(), Some("k/x/y\u{1}"));
        assert_eq!(at("k/", "/", "k/x/").as_deref(), Some("k/x0"));
    }
}
