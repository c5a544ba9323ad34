//! Whether the objects of the database lie where the configuration says.
//!
//! A tenant or bucket that was lost or changed hides every object, and the server looks healthy
//! while it answers that nothing exists. So a few objects are looked for at the start.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rowlock_storage::{Fit, Storage};
use tokio::sync::Mutex;

use crate::config::{Backend, Config, ObjectSettings};

/// How many objects are looked for.
const OBJECTS: u16 = 8;
/// How long a look may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long what a look has shown counts, while it does not fit.
const COUNTS: Duration = Duration::from_secs(30);

/// What was seen last.
#[derive(Debug)]
enum Seen {
    /// Nothing yet.
    Nothing,
    /// Every object that was looked for is where it should be; this is not asked again.
    Fits,
    /// What was found of it, since when that is known, and the sentence about it.
    Problem(Instant, Fit, String),
}

/// Looks for a few objects until they are found.
#[derive(Clone)]
pub(super) struct FitCheck {
    storage: Storage,
    objects: Arc<ObjectSettings>,
    seen: Arc<Mutex<Seen>>,
}

impl FitCheck {
    pub(super) fn new(storage: Storage, config: &Config) -> Self {
        let objects = Arc::new(config.objects.clone());
        Self { storage, objects, seen: Arc::new(Mutex::new(Seen::Nothing)) }
    }

    /// Whether the last look has found everything (or there is nothing).
    pub(super) async fn fits(&self) -> bool {
        matches!(*self.seen.lock().await, Seen::Fits)
    }

    /// What does not fit, in one sentence that names the variables to look at. Where a look fails,
    /// what was seen before still counts.
    pub(super) async fn problem(&self) -> Option<String> {
        let mut seen = self.seen.lock().await;
        match &*seen {
            Seen::Fits => return None,
            Seen::Problem(at, _, problem) if at.elapsed() < COUNTS => return Some(problem.clone()),
            Seen::Nothing | Seen::Problem(..) => {}
        }
        if let Ok(Ok(fit)) = tokio::time::timeout(PATIENCE, self.storage.fit(OBJECTS)).await {
            *seen = match sentence(&fit, &self.objects) {
                Some(problem) => Seen::Problem(Instant::now(), fit, problem),
                None => Seen::Fits,
            };
        }
        match &*seen {
            Seen::Problem(_, _, problem) => Some(problem.clone()),
            Seen::Nothing | Seen::Fits => None,
        }
    }

    /// The problem, where not one object was found: the server is of no use then. A single row
    /// without its bytes is not worth that, since whoever may insert rows can write one.
    pub(super) async fn misplaced(&self) -> Option<String> {
        let problem = self.problem().await?;
        match &*self.seen.lock().await {
            Seen::Problem(_, fit, _) if fit.missing < fit.looked_at => None,
            _ => Some(problem),
        }
    }
}

fn sentence(fit: &Fit, objects: &ObjectSettings) -> Option<String> {
    let Fit { looked_at, missing } = *fit;
    if missing == 0 {
        return None;
    }
    let names = &objects.names;
    let place = format!("{}/{}", objects.bucket, objects.tenant);
    let (kind, more) = match &objects.backend {
        Backend::File(_) => ("folder", format!(", {}", names.folder)),
        Backend::S3(_) => ("prefix", String::new()),
    };
    let (tenant, bucket) = (names.tenant, names.bucket);
    Some(if missing == looked_at {
        format!(
            "{tenant}, {bucket}: the database has objects, and none of the {looked_at} that were \
             looked for is in the {kind} {place} that these variables name; give them (and \
             TUS_USE_FILE_VERSION_SEPARATOR{more}) the values with which the objects were \
             written, or every object seems to be lost"
        )
    } else {
        format!(
            "{tenant}, {bucket}: {missing} of {looked_at} objects that were looked for are not in \
             the {kind} {place} that these variables name; `rowlock scrub` lists all that are \
             missing"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;

    #[test]
    fn the_sentence_names_the_variables_as_they_were_set() {
        let secret = ("JWT_SECRET", "a secret of more than thirty-two bytes");
        let objects = |more: &[(&str, &str)]| {
            let source = Source::new(&[&[secret], more].concat(), &[]);
            Config::from_source(&source).unwrap().objects
        };
        let fit = |looked_at, missing| Fit { looked_at, missing };
        let alone = objects(&[]);
        assert_eq!(sentence(&fit(8, 0), &alone), None);
        assert_eq!(sentence(&fit(0, 0), &alone), None);
        let all = sentence(&fit(8, 8), &alone).unwrap();
        assert!(all.starts_with("STORAGE_TENANT_ID, GLOBAL_S3_BUCKET: "), "{all}");
        assert!(all.contains("stub/storage-single-tenant") && all.contains("ROWLOCK_DATA"));
        let some = sentence(&fit(8, 3), &alone).unwrap();
        assert!(some.contains("3 of 8") && some.contains("rowlock scrub"), "{some}");
        let set = objects(&[("PROJECT_REF", "p"), ("STORAGE_S3_BUCKET", "b")]);
        let set = sentence(&fit(1, 1), &set).unwrap();
        assert!(set.starts_with("PROJECT_REF, STORAGE_S3_BUCKET: "), "{set}");
        assert!(set.contains("b/p") && !set.contains('\n'), "{set}");
    }
}
