//! The bookkeeping of schema `storage`: 64 rows that say which state the schema has.

/// One row of `storage.migrations`; its id is its place in [`MIGRATIONS`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Migration {
    /// Column `name`.
    pub(super) name: &'static str,
    /// Column `hash`: SHA-1 in lower-case hex.
    pub(super) hash: &'static str,
}

/// A row as found in a database: id, name, hash.
pub(super) type Found = (i32, String, String);

/// What the rows found say about the database.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Every known row is there.
    Complete {
        /// Ids whose hash is another one than ours.
        differing: Vec<usize>,
        /// Rows that we don't know are there too.
        newer: bool,
    },
    /// The rows end before ours do; the last row found, if any.
    Older(Option<(i32, String)>),
    /// A row is missing between others: the first missing id.
    Gap(usize),
}

/// Judges rows by their ids; names are not compared, as different servers have spelled them
/// differently over time.
pub(super) fn judge(found: &[Found]) -> State {
    let known = MIGRATIONS.len();
    let mut hashes: Vec<Option<&str>> = vec![None; known];
    let mut last: Option<&Found> = None;
    let mut newer = false;
    for row in found {
        match usize::try_from(row.0).ok().filter(|&id| id < known) {
            Some(id) => {
                hashes[id] = Some(&row.2);
                if last.is_none_or(|l| l.0 < row.0) {
                    last = Some(row);
                }
            }
            None => newer |= row.0 > 0,
        }
    }
    if let Some(missing) = hashes.iter().position(Option::is_none) {
        let followed = newer || hashes[missing..].iter().any(Option::is_some);
        return if followed {
            State::Gap(missing)
        } else {
            State::Older(last.map(|l| (l.0, l.1.clone())))
        };
    }
    let differing = (0..known).filter(|&id| hashes[id] != Some(MIGRATIONS[id].hash)).collect();
    State::Complete { differing, newer }
}

/// The file name that messages give for a migration, as operators know it.
pub(super) fn file_name(id: usize) -> String {
    let name = MIGRATIONS.get(id).map_or("", |m| m.name);
    match id {
        0 => format!("0_{name}.sql"),
        10 => format!("00010-{name}.sql"),
        _ => format!("{id:04}-{name}.sql"),
    }
}

/// The rows of a complete schema, by id.
#[rustfmt::skip]
pub(super) const MIGRATIONS: [Migration; 64] = [
    Migration { name: "create-migrations-table", hash: "e18db593bcde2aca2a408c4d1100f6abba2195df" },
    Migration { name: "initialmigration", hash: "6ab16121fbaa08bbd11b712d05f358f9b555d777" },
    Migration { name: "storage-schema", hash: "f6a1fa2c93cbcd16d4e487b362e45fca157a8dbd" },
    Migration { name: "pathtoken-column", hash: "2cb1b0004b817b29d5b0a971af16bafeede4b70d" },
    Migration { name: "add-migrations-rls", hash: "427c5b63fe1c5937495d9c635c263ee7a5905058" },
    Migration { name: "add-size-functions", hash: "79e081a1455b63666c1294a440f8ad4b1e6a7f84" },
    Migration { name: "change-column-name-in-get-size", hash: "ded78e2f1b5d7e616117897e6443a925965b30d2" },
    Migration { name: "add-rls-to-buckets", hash: "e7e7f86adbc51049f341dfe8d30256c1abca17aa" },
    Migration { name: "add-public-to-buckets", hash: "fd670db39ed65f9d08b01db09d6202503ca2bab3" },
    Migration { name: "fix-search-function", hash: "af597a1b590c70519b464a4ab3be54490712796b" },
    Migration { name: "search-files-search-function", hash: "b595f05e92f7e91211af1bbfe9c6a13bb3391e16" },
    Migration { name: "add-trigger-to-auto-update-updated_at-column", hash: "7425bdb14366d1739fa8a18c83100636d74dcaa2" },
    Migration { name: "add-automatic-avif-detection-flag", hash: "8e92e1266eb29518b6a4c5313ab8f29dd0d08df9" },
    Migration { name: "add-bucket-custom-limits", hash: "cce962054138135cd9a8c4bcd531598684b25e7d" },
    Migration { name: "use-bytes-for-max-size", hash: "941c41b346f9802b411f06f30e972ad4744dad27" },
    Migration { name: "add-can-insert-object-function", hash: "934146bc38ead475f4ef4b555c524ee5d66799e5" },
    Migration { name: "add-version", hash: "76debf38d3fd07dcfc747ca49096457d95b1221b" },
    Migration { name: "drop-owner-foreign-key", hash: "f1cbb288f1b7a4c1eb8c38504b80ae2a0153d101" },
    Migration { name: "add_owner_id_column_deprecate_owner", hash: "e7a511b379110b08e2f214be852c35414749fe66" },
    Migration { name: "alter-default-value-objects-id", hash: "02e5e22a78626187e00d173dc45f58fa66a4f043" },
    Migration { name: "list-objects-with-delimiter", hash: "cd694ae708e51ba82bf012bba00caf4f3b6393b7" },
    Migration { name: "s3-multipart-uploads", hash: "8c804d4a566c40cd1e4cc5b3725a664a9303657f" },
    Migration { name: "s3-multipart-uploads-big-ints", hash: "9737dc258d2397953c9953d9b86920b8be0cdb73" },
    Migration { name: "optimize-search-function", hash: "9d7e604cddc4b56a5422dc68c9313f4a1b6f132c" },
    Migration { name: "operation-function", hash: "8312e37c2bf9e76bbe841aa5fda889206d2bf8aa" },
    Migration { name: "custom-metadata", hash: "d974c6057c3db1c1f847afa0e291e6165693b990" },
    Migration { name: "objects-prefixes", hash: "215cabcb7f78121892a5a2037a09fedf9a1ae322" },
    Migration { name: "search-v2", hash: "859ba38092ac96eb3964d83bf53ccc0b141663a6" },
    Migration { name: "object-bucket-name-sorting", hash: "c73a2b5b5d4041e39705814fd3a1b95502d38ce4" },
    Migration { name: "create-prefixes", hash: "ad2c1207f76703d11a9f9007f821620017a66c21" },
    Migration { name: "update-object-levels", hash: "2be814ff05c8252fdfdc7cfb4b7f5c7e17f0bed6" },
    Migration { name: "objects-level-index", hash: "b40367c14c3440ec75f19bbce2d71e914ddd3da0" },
    Migration { name: "backward-compatible-index-on-objects", hash: "e0c37182b0f7aee3efd823298fb3c76f1042c0f7" },
    Migration { name: "backward-compatible-index-on-prefixes", hash: "b480e99ed951e0900f033ec4eb34b5bdcb4e3d49" },
    Migration { name: "optimize-search-function-v1", hash: "ca80a3dc7bfef894df17108785ce29a7fc8ee456" },
    Migration { name: "add-insert-trigger-prefixes", hash: "458fe0ffd07ec53f5e3ce9df51bfdf4861929ccc" },
    Migration { name: "optimise-existing-functions", hash: "6ae5fca6af5c55abe95369cd4f93985d1814ca8f" },
    Migration { name: "add-bucket-name-length-trigger", hash: "3944135b4e3e8b22d6d4cbb568fe3b0b51df15c1" },
    Migration { name: "iceberg-catalog-flag-on-buckets", hash: "02716b81ceec9705aed84aa1501657095b32e5c5" },
    Migration { name: "add-search-v2-sort-support", hash: "6706c5f2928846abee18461279799ad12b279b78" },
    Migration { name: "fix-prefix-race-conditions-optimized", hash: "7ad69982ae2d372b21f48fc4829ae9752c518f6b" },
    Migration { name: "add-object-level-update-trigger", hash: "07fcf1a22165849b7a029deed059ffcde08d1ae0" },
    Migration { name: "rollback-prefix-triggers", hash: "771479077764adc09e2ea2043eb627503c034cd4" },
    Migration { name: "fix-object-level", hash: "84b35d6caca9d937478ad8a797491f38b8c2979f" },
    Migration { name: "vector-bucket-type", hash: "99c20c0ffd52bb1ff1f32fb992f3b351e3ef8fb3" },
    Migration { name: "vector-buckets", hash: "049e27196d77a7cb76497a85afae669d8b230953" },
    Migration { name: "buckets-objects-grants", hash: "fedeb96d60fefd8e02ab3ded9fbde05632f84aed" },
    Migration { name: "iceberg-table-metadata", hash: "649df56855c24d8b36dd4cc1aeb8251aa9ad42c2" },
    Migration { name: "iceberg-catalog-ids", hash: "e0e8b460c609b9999ccd0df9ad14294613eed939" },
    Migration { name: "buckets-objects-grants-postgres", hash: "072b1195d0d5a2f888af6b2302a1938dd94b8b3d" },
    Migration { name: "search-v2-optimised", hash: "6323ac4f850aa14e7387eb32102869578b5bd478" },
    Migration { name: "index-backward-compatible-search", hash: "2ee395d433f76e38bcd3856debaf6e0e5b674011" },
    Migration { name: "drop-not-used-indexes-and-functions", hash: "5cc44c8696749ac11dd0dc37f2a3802075f3a171" },
    Migration { name: "drop-index-lower-name", hash: "d0cb18777d9e2a98ebe0bc5cc7a42e57ebe41854" },
    Migration { name: "drop-index-object-level", hash: "6289e048b1472da17c31a7eba1ded625a6457e67" },
    Migration { name: "prevent-direct-deletes", hash: "262a4798d5e0f2e7c8970232e03ce8be695d5819" },
    Migration { name: "fix-optimized-search-function", hash: "b823ed1e418101032fa01374edc9a436e54e3ed4" },
    Migration { name: "s3-multipart-uploads-metadata", hash: "f127886e00d1b374fadbc7c6b31e09336aad5287" },
    Migration { name: "operation-ergonomics", hash: "00ca5d483b3fe0d522133d9002ccc5df98365120" },
    Migration { name: "drop-unused-functions", hash: "38456f13e39691c2bbb4b5151d0d1cdbabd4a8c4" },
    Migration { name: "optimize-existing-functions-again", hash: "db35e1c91a9201e59f4fef8d972c2f277d68b157" },
    Migration { name: "mark-filename-immutable", hash: "fe0096517ae9d60aaec1d110172ba9036dc66bb7" },
    Migration { name: "object-versioning-core", hash: "0b855f00ff3be0bfca91efee02a9858912491a9a" },
    Migration { name: "fix-search-name-relative-to-prefix", hash: "c7485e417624f795ce8bb2da21927f48e088904d" },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(ids: impl IntoIterator<Item = i32>) -> Vec<Found> {
        ids.into_iter()
            .map(|id| {
                let known = usize::try_from(id).ok().and_then(|i| MIGRATIONS.get(i));
                (
                    id,
                    known.map_or("later", |m| m.name).to_owned(),
                    known.map_or("", |m| m.hash).to_owned(),
                )
            })
            .collect()
    }

    #[test]
    fn complete_states_may_be_newer_and_may_differ_in_hashes() {
        assert_eq!(judge(&rows(0..64)), State::Complete { differing: vec![], newer: false });
        assert_eq!(judge(&rows(0..66)), State::Complete { differing: vec![], newer: true });
        let mut other = rows(0..64);
        other[7].2 = "0".repeat(40);
        assert_eq!(judge(&other), State::Complete { differing: vec![7], newer: false });
    }

    #[test]
    fn older_states_name_the_last_row() {
        assert_eq!(judge(&[]), State::Older(None));
        assert_eq!(judge(&rows(0..3)), State::Older(Some((2, "storage-schema".to_owned()))));
    }

    #[test]
    fn gaps_are_told_from_older_states() {
        assert_eq!(judge(&rows((0..64).filter(|&id| id != 40))), State::Gap(40));
        assert_eq!(judge(&rows((0..63).chain([64]))), State::Gap(63));
        assert_eq!(judge(&rows(1..64)), State::Gap(0));
    }

    #[test]
    fn file_names_keep_the_historic_spelling() {
        assert_eq!(file_name(0), "0_create-migrations-table.sql");
        assert_eq!(file_name(2), "0002-storage-schema.sql");
        assert_eq!(file_name(10), "00010-search-files-search-function.sql");
        assert_eq!(file_name(63), "0063-fix-search-name-relative-to-prefix.sql");
    }
}
