use std::ffi::OsString;
use std::path::PathBuf;

use rowlock_catalog::embedded::EmbeddedSettings as CatalogSettings;

use super::source::Source;
use super::variable::Variable;

pub(crate) const ROWLOCK_DATA: Variable = Variable::new(
    "ROWLOCK_DATA",
    "The folder that holds everything when the server runs alone: the database and the files.",
)
.default("./rowlock-data")
.strict();
const POSTGRES_BIN_DIR: Variable = Variable::new(
    "POSTGRES_BIN_DIR",
    "The folder of PostgreSQL's server programs, where they are in none of the usual places.",
)
.strict();

pub(crate) const VARIABLES: &[&Variable] = &[&ROWLOCK_DATA, &POSTGRES_BIN_DIR];

/// The private PostgreSQL of alone mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EmbeddedSettings {
    /// `ROWLOCK_DATA`.
    pub(crate) data: PathBuf,
    /// `POSTGRES_BIN_DIR`.
    pub(crate) postgres_bin_dir: Option<PathBuf>,
    /// `PATH`, where server programs may be too.
    pub(crate) path: Option<OsString>,
}

impl EmbeddedSettings {
    pub(crate) fn from_source(source: &Source) -> Self {
        Self {
            data: data_folder(source),
            postgres_bin_dir: source.text(&POSTGRES_BIN_DIR).map(PathBuf::from),
            path: source.search_path(),
        }
    }

    /// As the catalog takes them.
    pub(crate) fn catalog(&self) -> CatalogSettings {
        CatalogSettings {
            bin_dir: self.postgres_bin_dir.clone(),
            path: self.path.clone(),
            ..CatalogSettings::new(&self.data)
        }
    }
}

/// The folder of alone mode.
pub(crate) fn data_folder(source: &Source) -> PathBuf {
    PathBuf::from(source.text_or(&ROWLOCK_DATA, "./rowlock-data"))
}
