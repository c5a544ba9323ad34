//! AWS's own chain of credentials reads the process's environment, and knows nothing of `.env`.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::config::{Backend, Config, Source, s3_backend};

/// Where the chain is to be asked and its variables stand in `.env`, goes on as a process that has
/// them in its environment, with the same id: nothing but this process's beginning is lost.
///
/// Returns a sentence for the operator where that fails.
pub(super) fn hand_over(source: &Source, config: &Config) -> Option<String> {
    let Backend::S3(settings) = &config.objects.backend else { return None };
    let missing = source.only_in_file(s3_backend::OF_THE_CHAIN);
    if settings.key.is_some() || missing.is_empty() {
        return None;
    }
    let again = |program: &Path| {
        let mut again = Command::new(program);
        let mut arguments = std::env::args_os();
        if let Some(name) = arguments.next() {
            again.arg0(name);
        }
        again.args(arguments).envs(missing.iter().copied()).exec()
    };
    // The system names a process after what it was started from.
    if let Ok(program) = std::env::current_exe() {
        again(&program);
    }
    // The program may have been replaced or removed since it was started.
    let error = again(Path::new("/proc/self/exe"));
    let names: Vec<_> = missing.iter().map(|(name, _)| *name).collect();
    Some(format!(
        "{} only in .env, where AWS's own chain does not look, and cannot be put into the \
         environment ({error}): set them there",
        names.join(", ")
    ))
}
