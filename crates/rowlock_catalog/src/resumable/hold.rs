//! One writer at a time: taking an upload, recording what came, letting it go.

use super::{ResumableRow, one};
use crate::catalog::{Catalog, OwnSchema, own_sql};
use crate::error::Error;
use crate::presence::{has_lock, lock_key};
use crate::session::Param;
use std::str::FromStr;
use std::time::Duration;
use tokio_postgres::types::{Json, Type};
use uuid::Uuid;

/// What processes of one database hear requests to the holders of uploads on.
pub(crate) const CHANNEL: &str = "rowlock_resumable";

/// A turn of writing to an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldResumable {
    /// The upload's version.
    pub version: Uuid,
    /// The process whose turn it is.
    pub process: Uuid,
    /// Which turn it is.
    pub epoch: i64,
}

/// What somebody wants of an upload's holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// To record what has come so far, and go on.
    Record,
    /// To record what has come so far, and let go.
    Release,
}

/// A wish that was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The upload's [`resumable_tag`].
    pub tag: String,
    /// The wish.
    pub wish: Wish,
}

impl Wish {
    fn word(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Release => "release",
        }
    }
}

impl FromStr for Asked {
    type Err = ();

    fn from_str(payload: &str) -> Result<Self, ()> {
        let (word, tag) = payload.split_once(' ').ok_or(())?;
        let wish = [Wish::Record, Wish::Release].into_iter().find(|wish| wish.word() == word);
        Ok(Self { tag: tag.to_owned(), wish: wish.ok_or(())? })
    }
}

/// What an upload is called where others may listen: who knows its version may go on with it.
#[must_use]
pub fn resumable_tag(version: Uuid) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, version.as_bytes());
    hex::encode(&digest.as_ref()[..16])
}

/// Marks an upload as completed, in the transaction that makes its object's row, behind the lock
/// that this one takes ($1); divides by zero where the turn ($2, $3, $4) is over, or the upload's
/// bucket gone, also where another one has its name.
pub(crate) fn completing(schema: OwnSchema) -> &'static str {
    own_sql!(
        schema,
        "WITH done AS (UPDATE ",
        "resumable r SET completed_at = now(), received = length, growth = NULL, holder = NULL, \
           wanted = false \
         FROM storage.buckets b \
         WHERE r.version = $2 AND r.holder = $3 AND r.epoch = $4 AND r.completed_at IS NULL \
           AND b.id = r.bucket_id AND b.created_at IS NOT DISTINCT FROM r.bucket_created_at \
         RETURNING 1) \
         SELECT set_config('lock_timeout', '5000ms', true), pg_advisory_xact_lock($1)::text, \
           1 / (SELECT count(*) FROM done)",
    )
}

impl HeldResumable {
    fn params(&self) -> Vec<Param<'_>> {
        vec![(&self.version, Type::UUID), (&self.process, Type::UUID), (&self.epoch, Type::INT8)]
    }
}

impl Catalog {
    /// Takes an upload that nobody holds, or that this process holds already: whoever asks has seen
    /// to it that no other request of the process does. `expired` tells which uploads are meant:
    /// those that may go on, or those that are to be given up. `None` when there is nothing to take.
    ///
    /// # Errors
    /// The database's.
    pub async fn take_resumable(
        &self,
        version: Uuid,
        process: Uuid,
        expired: bool,
    ) -> Result<Option<ResumableRow>, Error> {
        let sql = own_sql!(
            self.own_schema(),
            "UPDATE ",
            "resumable r SET holder = $2, epoch = r.epoch + 1, held_at = now(), wanted = false \
             WHERE r.version = $1 AND r.completed_at IS NULL AND (r.expires_at < now()) = $3 \
               AND (r.holder IS NULL OR r.holder = $2) \
             RETURNING r.*, r.expires_at < now() AS expired",
        );
        let params: [Param<'_>; 3] =
            [(&version, Type::UUID), (&process, Type::UUID), (&expired, Type::BOOL)];
        one(&self.as_owner(sql, &params).await?)
    }

    /// Takes an upload from a process that is dead: one that no longer holds its lock, or that never
    /// had one and has recorded nothing for a minute. `None` when it lives, or lets go just now.
    ///
    /// # Errors
    /// The database's.
    pub async fn inherit_resumable(
        &self,
        version: Uuid,
        process: Uuid,
        from: Uuid,
        expired: bool,
    ) -> Result<Option<ResumableRow>, Error> {
        let locked = own_sql!(
            self.own_schema(),
            "UPDATE ",
            "resumable r SET holder = $2, epoch = r.epoch + 1, held_at = now(), wanted = false, \
               inherited = true \
             WHERE r.version = $1 AND r.completed_at IS NULL AND (r.expires_at < now()) = $3 \
               AND r.holder = $4 AND (SELECT pg_try_advisory_xact_lock($5)) \
             RETURNING r.*, r.expires_at < now() AS expired",
        );
        let silent = own_sql!(
            self.own_schema(),
            "UPDATE ",
            "resumable r SET holder = $2, epoch = r.epoch + 1, held_at = now(), wanted = false, \
               inherited = true \
             WHERE r.version = $1 AND r.completed_at IS NULL AND (r.expires_at < now()) = $3 \
               AND r.holder = $4 AND r.held_at < now() - interval '1 minute' \
             RETURNING r.*, r.expires_at < now() AS expired",
        );
        let key = lock_key(from);
        let mut params: Vec<Param<'_>> = vec![
            (&version, Type::UUID),
            (&process, Type::UUID),
            (&expired, Type::BOOL),
            (&from, Type::UUID),
        ];
        let sql = if has_lock(from) {
            params.push((&key, Type::INT8));
            locked
        } else {
            silent
        };
        one(&self.as_owner(sql, &params).await?)
    }

    /// Whether a process shows that it lives, or may live without showing it.
    ///
    /// # Errors
    /// The database's.
    pub async fn may_live(&self, process: Uuid) -> Result<bool, Error> {
        // Shared, so that two who ask at once do not take each other for the process.
        const SQL: &str = "SELECT NOT pg_try_advisory_xact_lock_shared($1)";
        if !has_lock(process) {
            return Ok(true);
        }
        let key = lock_key(process);
        let rows = self.as_owner(SQL, &[(&key, Type::INT8)]).await?;
        Ok(rows.first().map(|row| row.try_get(0)).transpose()?.unwrap_or(true))
    }

    /// Asks whoever holds an upload for something. A wish for release is also written into the row,
    /// where a holder that hears nothing finds it when it records.
    ///
    /// # Errors
    /// The database's.
    pub async fn ask_for_resumable(&self, version: Uuid, wish: Wish) -> Result<(), Error> {
        const SAY: &str = "SELECT pg_notify($1, $2)::text";
        let release = own_sql!(
            self.own_schema(),
            "WITH held AS (UPDATE ",
            "resumable SET wanted = true WHERE version = $3 AND holder IS NOT NULL RETURNING 1) \
             SELECT pg_notify($1, $2)::text FROM held",
        );
        let payload = format!("{} {}", wish.word(), resumable_tag(version));
        let mut params: Vec<Param<'_>> = vec![(&CHANNEL, Type::TEXT), (&payload, Type::TEXT)];
        let sql = match wish {
            Wish::Record => SAY,
            Wish::Release => {
                params.push((&version, Type::UUID));
                release
            }
        };
        self.as_owner(sql, &params).await.map(drop)
    }

    /// Records how far an upload is, and lets it go if `release` says so. Progress puts the expiry
    /// off. `None` when the turn is over: somebody else has taken the upload.
    ///
    /// # Errors
    /// The database's.
    pub async fn record_resumable(
        &self,
        held: &HeldResumable,
        growth: &serde_json::Value,
        (received, length): (i64, Option<i64>),
        expiry: Duration,
        release: bool,
    ) -> Result<Option<ResumableRow>, Error> {
        let sql = own_sql!(
            self.own_schema(),
            "UPDATE ",
            "resumable r SET growth = $4, received = $5, length = coalesce(r.length, $6), \
               expires_at = CASE WHEN $5 > r.received THEN now() + make_interval(secs => $7) \
                 ELSE r.expires_at END, \
               held_at = now(), wanted = r.wanted AND NOT $8, \
               holder = CASE WHEN $8 THEN NULL ELSE r.holder END \
             WHERE r.version = $1 AND r.holder = $2 AND r.epoch = $3 \
             RETURNING r.*, r.expires_at < now() AS expired",
        );
        let growth = Json(growth);
        let seconds = expiry.as_secs_f64();
        let mut params = held.params();
        params.push((&growth, Type::JSONB));
        params.push((&received, Type::INT8));
        params.push((&length, Type::INT8));
        params.push((&seconds, Type::FLOAT8));
        params.push((&release, Type::BOOL));
        one(&self.as_owner(sql, &params).await?)
    }

    /// Lets an upload go. False when the turn was over already.
    ///
    /// # Errors
    /// The database's; the upload is still held then.
    pub async fn release_resumable(&self, held: &HeldResumable) -> Result<bool, Error> {
        let sql = own_sql!(
            self.own_schema(),
            "UPDATE ",
            "resumable SET holder = NULL, wanted = false \
             WHERE version = $1 AND holder = $2 AND epoch = $3 RETURNING 1",
        );
        Ok(!self.as_owner(sql, &held.params()).await?.is_empty())
    }

    /// Notes that something of an upload may lie beside its object, to be removed before its row
    /// is forgotten. No more than that where the turn is over.
    ///
    /// # Errors
    /// The database's.
    pub async fn mark_resumable(&self, held: &HeldResumable) -> Result<(), Error> {
        let sql = own_sql!(
            self.own_schema(),
            "UPDATE ",
            "resumable SET inherited = true WHERE version = $1 AND holder = $2 AND epoch = $3",
        );
        self.as_owner(sql, &held.params()).await.map(drop)
    }

    /// Ends an upload without an object: its row goes, and the outbox deletes the blob that it may
    /// have become. False when the turn is over.
    ///
    /// # Errors
    /// The database's; nothing is changed then.
    pub async fn end_resumable(&self, held: &HeldResumable) -> Result<bool, Error> {
        let sql = own_sql!(
            self.own_schema(),
            "WITH gone AS (DELETE FROM ",
            "resumable WHERE version = $1 AND holder = $2 AND epoch = $3 AND completed_at IS NULL \
               RETURNING bucket_id, name, version) \
             INSERT INTO ",
            "outbox (kind, bucket_id, name, version) \
             SELECT 'delete_blob', bucket_id, name, version::text FROM gone RETURNING 1",
        );
        Ok(!self.as_owner(sql, &held.params()).await?.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_read_back_and_tell_no_version() {
        let version = Uuid::new_v4();
        let tag = resumable_tag(version);
        assert!(!tag.contains(&version.simple().to_string()[..8]) && tag.len() == 32);
        assert_ne!(tag, resumable_tag(Uuid::new_v4()));
        for wish in [Wish::Record, Wish::Release] {
            let asked = format!("{} {tag}", wish.word()).parse();
            assert_eq!(asked, Ok(Asked { tag: tag.clone(), wish }));
        }
        for bad in ["", "release", "stop it"] {
            assert_eq!(bad.parse::<Asked>(), Err(()), "{bad}");
        }
    }
}
