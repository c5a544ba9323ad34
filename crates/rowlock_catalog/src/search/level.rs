//! A folder's entries in the order of `lower(name)`, for callers whom policies bind.
//!
//! The index over `lower(name)` is closed to them: what is not leakproof may not look at rows
//! before their policies have. The index over names in byte order is open, so the level is cut
//! into groups of names that begin alike but for case, which follow each other in both orders.
//! Groups are read until there are enough entries, each sorted by itself; one that is too large is
//! cut at its next letter. Nothing beneath the level is read but the first row of each folder.
//!
//! Where that would not give what the reference's order is (letters beyond ASCII that decide,
//! folders that differ in case only), there is no answer, and the caller takes the long way.

use super::folder::FolderRequest;
use super::folding::Folding;
use super::ranges::{any_case, variants};
use super::{Direction, SHOWN_COLUMNS, SearchEntry};
use crate::catalog::Catalog;
use crate::error::Error;
use crate::lists::{BEGIN, successor};
use crate::scope::Scope;
use crate::session::Param;
use std::collections::VecDeque;
use std::sync::LazyLock;
use tokio_postgres::types::Type;

/// Entries so far behind are counted by one pass over all rows.
const FAR: i64 = 20_000;

/// More beginnings than this are looked up before they are carried on.
const MANY: usize = 64;

/// More cuts than this are no shorter than the long way.
const CUTS: usize = 40;

/// The entries of groups, one group's after the other.
///
/// $1 bucket, $2 role, $3 and $4 bounds of the groups, $5 limit, $6 length of prefix and search,
/// $7 prefix, $8 prefix and search.
static READ: LazyLock<String> = LazyLock::new(|| {
    let folding = Folding {
        columns: &SHOWN_COLUMNS,
        to: Direction::Up,
        first: "r.low",
        low: "r.low",
        high: "r.high",
        delimiter: "'/'",
        behind: "'0'",
    };
    format!(
        r#"
        SELECT r.nth, coalesce(w.folded, w.name) AS entry, lower(coalesce(w.folded, w.name)) AS place,
          substr(CASE WHEN w.folded IS NULL THEN w.name ELSE left(w.folded, -1) END,
                 length($7) + 1) AS name,
          CASE WHEN w.folded IS NULL THEN w.id END AS id,
          CASE WHEN w.folded IS NULL THEN w.metadata END AS metadata,
          CASE WHEN w.folded IS NULL THEN w.updated_at END AS updated_at,
          CASE WHEN w.folded IS NULL THEN w.created_at END AS created_at,
          CASE WHEN w.folded IS NULL THEN w.last_accessed_at END AS last_accessed_at,
          NULL::text AS moment
        FROM unnest($3::text[], $4::text[]) WITH ORDINALITY AS r (low, high, nth),
          LATERAL ({} SELECT * FROM walk WHERE name IS NOT NULL) w
        WHERE starts_with(lower(w.name), lower($8)) LIMIT $5"#,
        folding.walk()
    )
});

/// The first and the last name of each range.
const ENDS: &str = r#"
    SELECT r.nth, first.name AS first, last.name AS last
    FROM unnest($3::text[], $4::text[]) WITH ORDINALITY AS r (low, high, nth),
    LATERAL (SELECT o.name FROM storage.objects o
             WHERE o.bucket_id = $1 AND current_user = $2
               AND o.name COLLATE "C" >= r.low AND o.name COLLATE "C" < r.high
             ORDER BY o.name COLLATE "C" LIMIT 1) first,
    LATERAL (SELECT o.name FROM storage.objects o
             WHERE o.bucket_id = $1 AND current_user = $2
               AND o.name COLLATE "C" >= r.low AND o.name COLLATE "C" < r.high
             ORDER BY o.name COLLATE "C" DESC LIMIT 1) last"#;

type Range = (String, String);

/// Names that follow each other in the order of `lower(name)`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    kind: Kind,
    ranges: Vec<Range>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// Names that begin with one of these, which are equal but for case.
    Stems(Vec<String>),
    /// Names that are not cut any further.
    Rest,
    /// Letters that might belong to another group: there must be none.
    Strays,
}

impl Group {
    fn stems(stems: Vec<String>) -> Self {
        let ranges = stems.iter().map(|stem| (stem.clone(), behind(stem))).collect();
        Self { kind: Kind::Stems(stems), ranges }
    }

    /// Whether an entry may stand in this group.
    fn fits(&self, place: &str) -> bool {
        match &self.kind {
            Kind::Stems(stems) => {
                stems.iter().any(|stem| place.starts_with(&stem.to_ascii_lowercase()))
            }
            Kind::Rest => true,
            Kind::Strays => false,
        }
    }
}

fn behind(stem: &str) -> String {
    successor(stem).unwrap_or_else(|| super::BEHIND_ALL.to_owned())
}

/// Cuts names that begin with these at their next letter.
fn cut(stems: &[String], down: bool) -> Vec<Group> {
    let of = |low: &str, high: Option<&str>| -> Vec<Range> {
        let range = |stem: &String| {
            let high = high.map_or_else(|| behind(stem), |high| format!("{stem}{high}"));
            (format!("{stem}{low}"), high)
        };
        stems.iter().map(range).collect()
    };
    let mut groups = vec![Group { kind: Kind::Rest, ranges: of("", Some(" ")) }];
    for letter in (' '..='~').filter(|letter| !letter.is_ascii_uppercase()) {
        let stems = stems.iter().flat_map(|stem| {
            let upper = letter.to_ascii_uppercase();
            let cases = if upper == letter { vec![letter] } else { vec![upper, letter] };
            cases.into_iter().map(move |letter| format!("{stem}{letter}"))
        });
        groups.push(Group::stems(stems.collect()));
    }
    groups.push(Group { kind: Kind::Rest, ranges: of("\u{7f}", None) });
    if down {
        groups.reverse();
    }
    // Some locale's lower() makes an ASCII letter of each of these.
    let mut strays = of("\u{130}", Some("\u{132}"));
    strays.extend(of("\u{212A}", Some("\u{212B}")));
    groups.insert(0, Group { kind: Kind::Strays, ranges: strays });
    groups
}

/// What both names begin with.
fn common<'n>(first: &'n str, last: &str) -> &'n str {
    let equal = first.chars().zip(last.chars()).take_while(|(a, b)| a == b);
    &first[..equal.map(|(letter, _)| letter.len_utf8()).sum()]
}

/// An entry, and where it stands.
struct Placed {
    place: String,
    entry: String,
    shown: SearchEntry,
}

/// A level being listed.
struct Walk<'a> {
    catalog: &'a Catalog,
    scope: &'a Scope<'a>,
    request: &'a FolderRequest<'a>,
    /// Prefix and search.
    whole: &'a str,
    pending: VecDeque<Group>,
    found: Vec<Placed>,
}

impl Catalog {
    /// A folder's entries by name; `None` where they are not found this way.
    pub(super) async fn level(
        &self,
        scope: &Scope<'_>,
        request: &FolderRequest<'_>,
        whole: &str,
    ) -> Result<Option<Vec<SearchEntry>>, Error> {
        let (offset, limit) = (request.offset.max(0), request.limit.max(0));
        let wanted = offset.saturating_add(limit);
        if wanted > FAR {
            return Ok(None);
        }
        let (pending, found) = (VecDeque::new(), Vec::new());
        let mut walk = Walk { catalog: self, scope, request, whole, pending, found };
        let Some(level) = walk.level().await? else { return Ok(None) };
        walk.pending.push_back(level);
        for _ in 0..CUTS {
            if !walk.read(wanted).await? {
                return Ok(None);
            }
            if walk.pending.is_empty() || walk.found.len() as i64 >= wanted {
                let entries = walk.found.into_iter().map(|placed| placed.shown);
                let (offset, limit) = (offset as usize, limit as usize);
                return Ok(Some(entries.skip(offset).take(limit).collect()));
            }
            if !walk.cut_first().await? {
                return Ok(None);
            }
        }
        Ok(None)
    }
}

impl Walk<'_> {
    /// Reads pending groups until there is enough; those that were read whole are done with.
    /// False where this way does not lead there.
    async fn read(&mut self, wanted: i64) -> Result<bool, Error> {
        let limit = wanted + wanted / 2 + 100;
        let mut owners = Vec::new();
        let (mut lows, mut highs) = (Vec::new(), Vec::new());
        for (number, group) in self.pending.iter().enumerate() {
            for (low, high) in &group.ranges {
                owners.push(number);
                lows.push(low.as_str());
                highs.push(high.as_str());
            }
        }
        let role = self.scope.caller.role.as_str();
        let length = i32::try_from(self.whole.chars().count()).unwrap_or(i32::MAX);
        let params: [Param<'_>; 8] = [
            (&self.request.bucket, Type::TEXT),
            (&role, Type::TEXT),
            (&lows, Type::TEXT_ARRAY),
            (&highs, Type::TEXT_ARRAY),
            (&limit, Type::INT8),
            (&length, Type::INT4),
            (&self.request.prefix, Type::TEXT),
            (&self.whole, Type::TEXT),
        ];
        let rows = self.catalog.read_one_begun(BEGIN, self.scope, &READ, &params).await?;
        let whole = (rows.len() as i64) < limit;

        let mut groups: Vec<Vec<Placed>> = Vec::new();
        groups.resize_with(self.pending.len(), Vec::new);
        let mut last = 0;
        for row in &rows {
            let nth = usize::try_from(row.try_get::<_, i64>("nth")?).unwrap_or(0);
            let Some(&number) = owners.get(nth.wrapping_sub(1)) else { return Ok(false) };
            let place: String = row.try_get("place")?;
            if number < last || !self.pending[number].fits(&place) {
                return Ok(false);
            }
            last = number;
            let shown = SearchEntry::from_row(row)?;
            groups[number].push(Placed { place, entry: row.try_get("entry")?, shown });
        }
        // The last group may go on behind its last row.
        let complete = if whole { groups.len() } else { last };
        for mut group in groups.drain(..complete) {
            self.pending.pop_front();
            group.sort_unstable_by(|a, b| (&a.place, &a.entry).cmp(&(&b.place, &b.entry)));
            // Which of the two is shown is for their first members to say.
            let twins = |pair: &[Placed]| {
                pair[0].place == pair[1].place && pair.iter().all(|each| each.shown.is_folder())
            };
            if group.windows(2).any(twins) {
                return Ok(false);
            }
            if self.request.downwards {
                group.reverse();
            }
            self.found.append(&mut group);
        }
        Ok(true)
    }

    /// Cuts the first pending group at the first letter in which its names differ.
    async fn cut_first(&mut self) -> Result<bool, Error> {
        let stems = match self.pending.pop_front().map(|group| group.kind) {
            Some(Kind::Stems(stems)) => self.existing(stems).await?,
            Some(Kind::Rest | Kind::Strays) | None => return Ok(false),
        };
        if !stems.is_empty() {
            for group in cut(&stems, self.request.downwards).into_iter().rev() {
                self.pending.push_front(group);
            }
        }
        Ok(true)
    }

    /// The names that begin with prefix and search in any case; `None` where it is not known
    /// which these are.
    async fn level(&self) -> Result<Option<Group>, Error> {
        let (mut stems, _) = any_case(self.whole);
        let length = |stem: &String| stem.chars().count();
        let mut done = stems.first().map_or(0, length);
        let letters: Vec<char> = self.whole.chars().collect();
        if done < letters.len() {
            // What all names share with what was asked for is not guessed at.
            let mut alive = self.alive(stems).await?;
            if let [(stem, first, last)] = alive.as_mut_slice() {
                let rest = common(first, last).strip_prefix(stem.as_str()).unwrap_or("");
                let alike = rest.chars().zip(&letters[done..]);
                let alike = alike.take_while(|(found, asked)| variants(**asked).contains(found));
                stem.push_str(&alike.map(|(found, _)| found).collect::<String>());
            }
            stems = alive.into_iter().map(|alive| alive.0).collect();
            done = stems.first().map_or(letters.len(), length);
        }
        for letter in &letters[done..] {
            if stems.len() > MANY / 4 {
                stems = self.alive(stems).await?.into_iter().map(|alive| alive.0).collect();
            }
            let cases = variants(*letter);
            if cases.is_empty() || stems.len() * cases.len() > MANY {
                return Ok(None);
            }
            stems = stems
                .iter()
                .flat_map(|stem| cases.iter().map(move |letter| format!("{stem}{letter}")))
                .collect();
        }
        Ok(Some(Group::stems(stems)))
    }

    /// Those stems that any name begins with; where it is one, with all that its names share.
    async fn existing(&self, stems: Vec<String>) -> Result<Vec<String>, Error> {
        let mut alive = self.alive(stems).await?;
        if let [(stem, first, last)] = alive.as_mut_slice() {
            // A folder is one entry, however alike its names are.
            let rest = common(first, last).strip_prefix(stem.as_str()).unwrap_or("");
            let shared = rest.split('/').next().unwrap_or("");
            stem.push_str(shared);
        }
        Ok(alive.into_iter().map(|alive| alive.0).collect())
    }

    /// Those stems that any name begins with, with the first and the last of these names.
    async fn alive(&self, stems: Vec<String>) -> Result<Vec<(String, String, String)>, Error> {
        let role = self.scope.caller.role.as_str();
        let highs: Vec<String> = stems.iter().map(|stem| behind(stem)).collect();
        let params: [Param<'_>; 4] = [
            (&self.request.bucket, Type::TEXT),
            (&role, Type::TEXT),
            (&stems, Type::TEXT_ARRAY),
            (&highs, Type::TEXT_ARRAY),
        ];
        let rows = self.catalog.read_one_begun(BEGIN, self.scope, ENDS, &params).await?;
        let mut alive = Vec::with_capacity(rows.len());
        for row in &rows {
            let nth = usize::try_from(row.try_get::<_, i64>("nth")?).unwrap_or(0);
            if let Some(stem) = stems.get(nth.wrapping_sub(1)) {
                alive.push((stem.clone(), row.try_get("first")?, row.try_get("last")?));
            }
        }
        Ok(alive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(stems: &[&str], down: bool) -> Vec<Group> {
        cut(&stems.iter().map(|stem| (*stem).to_owned()).collect::<Vec<_>>(), down)
    }

    /// In how many groups but the strays' a name is, and in which.
    fn holders(groups: &[Group], name: &str) -> Vec<usize> {
        let holds = |(_, group): &(usize, &Group)| {
            group.ranges.iter().any(|(low, high)| name >= low.as_str() && name < high.as_str())
        };
        groups.iter().enumerate().skip(1).filter(holds).map(|(number, _)| number).collect()
    }

    #[test]
    fn every_name_is_in_one_group_and_groups_are_in_order() {
        let found = groups(&["a", "A"], false);
        let names = [
            "a",
            "A",
            "a\u{1}",
            "a!",
            "A!x",
            "aA",
            "Aa",
            "aa",
            "a_",
            "az",
            "AZ",
            "a~",
            "a\u{7f}",
            "a\u{e4}",
            "A\u{10FFFF}",
        ];
        let mut last = 0;
        for name in names {
            let holders = holders(&found, name);
            assert_eq!(holders.len(), 1, "{name:?} {holders:?}");
            if name != "a_" {
                assert!(holders[0] >= last, "{name:?}");
                last = holders[0];
            }
        }
        assert!(holders(&found, "b").is_empty() && holders(&found, "").is_empty());
        let down = groups(&["a", "A"], true);
        assert_eq!(found[0], down[0]);
        assert!(found[1..].iter().eq(down[1..].iter().rev()));
        assert_eq!(found[0].kind, Kind::Strays);
        assert!(!found[0].fits("ai") && found[1].fits("a"));
    }

    #[test]
    fn names_share_whole_letters() {
        assert_eq!(common("img-001", "img-010"), "img-0");
        assert_eq!(common("a\u{e4}", "a\u{e5}"), "a");
        assert_eq!(common("a", "b"), "");
    }
}
