//! What a data folder remembers of the server that used it: under which names its objects lie.
//!
//! Without these names the files are there and nothing finds them, and the `.env` that says them
//! is a file that people delete.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use super::backend::ObjectSettings;
use super::dotenv;

/// The file in the data folder.
const FILE: &str = "names";
const TENANT: &str = "STORAGE_TENANT_ID";
const BUCKET: &str = "GLOBAL_S3_BUCKET";
const SEPARATOR: &str = "TUS_USE_FILE_VERSION_SEPARATOR";

/// What the folder says; nothing where it says nothing that can be read.
pub(crate) fn read(data_folder: &Path) -> BTreeMap<String, String> {
    let bytes = std::fs::read(data_folder.join(FILE)).unwrap_or_default();
    let mut values = dotenv::parse(&bytes).values;
    values.retain(|name, _| [TENANT, BUCKET, SEPARATOR].contains(&name.as_str()));
    values
}

/// Notes the names, durably, unless the folder says the same already.
///
/// # Errors
/// The folder cannot be written to.
pub(crate) fn write(data_folder: &Path, objects: &ObjectSettings) -> std::io::Result<()> {
    let values = [
        (TENANT, objects.tenant.clone()),
        (BUCKET, objects.bucket.clone()),
        (SEPARATOR, objects.version_separator.to_string()),
    ];
    let values: BTreeMap<_, _> =
        values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    if read(data_folder) == values {
        return Ok(());
    }
    let mut text = "# Where the objects of this folder lie. Written by rowlock at each start that \
                    finds them; what .env or the environment say counts more.\n"
        .to_owned();
    for (name, value) in &values {
        let Some(value) = quoted(value) else { return Ok(()) };
        text.push_str(&format!("{name}={value}\n"));
    }
    let new = data_folder.join(format!("{FILE}.new"));
    let mut file = std::fs::File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, data_folder.join(FILE))?;
    std::fs::File::open(data_folder)?.sync_all()
}

/// A value as a line of such a file, and of a shell, holds it; nothing where none does.
pub(crate) fn quoted(value: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/=+-".contains(&byte);
    if value.bytes().all(plain) {
        Some(value.to_owned())
    } else {
        (!value.contains(['\'', '\n', '\r'])).then(|| format!("'{value}'"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Source};

    fn config(environment: &[(&str, &str)], remembered: &Path) -> Config {
        let secret = ("JWT_SECRET", "a secret of more than thirty-two bytes");
        let source = Source::new(&[&[secret], environment].concat(), &[]);
        let config = Config::from_source(&source.remembering(read(remembered))).unwrap();
        assert_eq!(config.alarms, Vec::<String>::new());
        config
    }

    #[test]
    fn names_are_remembered_where_nothing_else_says_them() {
        let folder = tempfile::tempdir().unwrap();
        let first = config(&[("TENANT_ID", "my tenant"), ("GLOBAL_S3_BUCKET", "b")], folder.path());
        write(folder.path(), &first.objects).unwrap();
        let second = config(&[], folder.path());
        assert_eq!(second.objects.tenant, "my tenant");
        assert_eq!(second.objects.bucket, "b");
        assert!(!second.objects.version_separator);
        // What is set counts, under any of its names.
        let third = config(&[("PROJECT_REF", "p")], folder.path());
        assert_eq!((&*third.objects.tenant, &*third.objects.bucket), ("p", "b"));
        write(folder.path(), &third.objects).unwrap();
        assert_eq!(read(folder.path())["STORAGE_TENANT_ID"], "p");
    }

    #[test]
    fn nothing_else_is_taken_from_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), b"JWT_SECRET=x\nSTORAGE_TENANT_ID=t\n\xff")
            .unwrap();
        assert_eq!(read(folder.path()).into_keys().collect::<Vec<_>>(), ["STORAGE_TENANT_ID"]);
        assert!(read(&folder.path().join("none")).is_empty());
    }
}
