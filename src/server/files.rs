//! How the files that this process may have open are shared out: each connection of a client, to
//! the database or to an S3 service is one, and so is each blob that is read or written.

use crate::config::{Backend, Config};

/// The most files that stay aside for listeners, the log, name look-ups and whatever is open for a
/// moment.
const OTHER: usize = 1024;
/// Connections to the database that are not of the pool: the mark that this process lives, and
/// those on which the schema is looked at.
const BESIDE_THE_POOL: usize = 4;
/// The most files that a request has open on disk at a time: what it reads and what it writes.
const FILES_OF_A_REQUEST: usize = 2;
/// The most folders that are open at a time, for as long as they are synced: one for each of
/// tokio's blocking threads.
const FOLDERS: usize = 512;

/// Cuts the configuration down to what `limit` files have room for, and says so. Returns how many
/// files blobs may have open; `None` where there is room for whatever clients may ask.
pub(super) fn fit(config: &mut Config, limit: u64) -> Option<usize> {
    let wanted = Wanted {
        connections: config.bind.max_connections,
        database: config.database.max_connections,
        sockets: match &config.objects.backend {
            Backend::File(_) => None,
            Backend::S3(settings) => Some(settings.max_sockets),
        },
    };
    let shares = Shares::of(limit, wanted);
    shares.tell(limit, wanted);
    config.bind.max_connections = shares.connections;
    config.database.max_connections = shares.database;
    if let Backend::S3(settings) = &mut config.objects.backend {
        settings.max_sockets = shares.sockets;
    }
    shares.blobs
}

/// What the configuration asks for.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    connections: usize,
    database: usize,
    /// Requests to the S3 service; `None` where blobs are files.
    sockets: Option<usize>,
}

/// Who may have how many files open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shares {
    /// Clients that are connected at a time.
    connections: usize,
    /// Connections of the database's pool.
    database: usize,
    /// Requests to the S3 service at a time; 0 without one.
    sockets: usize,
    /// Blobs that are read and written; `None` where there is room for all of them.
    blobs: Option<usize>,
}

impl Shares {
    /// A quarter for the database at the most, a third of the rest for the service, two thirds of
    /// what is left then for clients; whatever they leave is for blobs.
    fn of(limit: u64, wanted: Wanted) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let free = limit - OTHER.min(limit / 8);
        let database = wanted.database.min((free / 4).saturating_sub(BESIDE_THE_POOL).max(1));
        let free = free.saturating_sub(database + BESIDE_THE_POOL);
        let Some(sockets) = wanted.sockets else {
            let connections = wanted.connections.min(free / 3 * 2);
            let blobs = free - connections;
            let ample = connections.saturating_mul(FILES_OF_A_REQUEST).saturating_add(FOLDERS);
            let blobs = (blobs < ample).then_some(blobs);
            return Self { connections, database, sockets: 0, blobs };
        };
        let sockets = sockets.min(free / 3);
        // Where connections come free while others are being made, there are a few too many.
        let free = free - sockets - sockets / 4;
        let connections = wanted.connections.min(free);
        Self { connections, database, sockets, blobs: None }
    }

    fn tell(&self, limit: u64, wanted: Wanted) {
        let Self { connections, database, sockets, .. } = *self;
        if connections < wanted.connections {
            tracing::warn!(
                limit,
                connections,
                "the limit of open files (ulimit -n) is low: fewer connections are served at once \
                 than SERVER_MAX_CONNECTIONS says"
            );
        }
        if database < wanted.database {
            tracing::warn!(
                limit,
                database,
                "the limit of open files (ulimit -n) is low: fewer connections to the database are \
                 opened than DATABASE_MAX_CONNECTIONS says"
            );
        }
        if sockets < wanted.sockets.unwrap_or_default() {
            tracing::warn!(
                limit,
                sockets,
                "the limit of open files (ulimit -n) is low: fewer requests to the S3 service are \
                 made at a time than STORAGE_S3_MAX_SOCKETS says"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: Wanted = Wanted { connections: 16_384, database: 20, sockets: None };

    fn of(limit: u64, wanted: Wanted) -> (usize, usize, usize, Option<usize>) {
        let Shares { connections, database, sockets, blobs } = Shares::of(limit, wanted);
        let sum = connections + database + sockets + blobs.unwrap_or_default();
        assert!(sum as u64 <= limit.max(1), "{sum} of {limit}");
        (connections, database, sockets, blobs)
    }

    #[test]
    fn where_there_are_enough_everybody_gets_what_the_configuration_says() {
        let behind = Wanted { sockets: Some(200), ..DEFAULTS };
        for limit in [65_536, 1024 * 1024, u64::MAX] {
            assert_eq!(of(limit, DEFAULTS), (16_384, 20, 0, None), "{limit}");
            assert_eq!(of(limit, behind), (16_384, 20, 200, None), "{limit}");
        }
        let few = Wanted { connections: 10, ..DEFAULTS };
        assert_eq!(of(1024, few), (10, 20, 0, None));
    }

    #[test]
    fn where_there_are_few_all_fits() {
        assert_eq!(of(20_000, DEFAULTS), (12_634, 20, 0, Some(6318)));
        assert_eq!(of(1024, DEFAULTS), (580, 20, 0, Some(292)));
        assert_eq!(of(256, DEFAULTS), (132, 20, 0, Some(68)));
        assert_eq!(of(0, DEFAULTS), (0, 1, 0, Some(0)));
        let behind = Wanted { sockets: Some(200), ..DEFAULTS };
        assert_eq!(of(1024, behind), (622, 20, 200, None));
        assert_eq!(of(256, behind), (118, 20, 66, None));
    }

    #[test]
    fn nobody_takes_what_others_need() {
        let greedy = Wanted { connections: 16_384, database: 5000, sockets: Some(5000) };
        assert_eq!(of(1024, greedy), (392, 220, 224, None));
        assert_eq!(of(u64::MAX, greedy), (16_384, 5000, 5000, None));
    }
}
