use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rand::TryRng;
use rowlock_auth::mint;
use serde_json::json;

use super::CliError;
use crate::config::{
    ANON_KEY, AUTH_JWT_SECRET, BindSettings, ConfigError, Mode, S3_PROTOCOL_ACCESS_KEY_ID,
    S3_PROTOCOL_ACCESS_KEY_SECRET, SERVICE_KEY, STORAGE_S3_BUCKET, Source, TENANT, Variable,
    embedded, remembered,
};

/// What has to be set to run alone, with the names that the file gives them.
const NEEDED: [(&Variable, &str); 5] = [
    (&AUTH_JWT_SECRET, "JWT_SECRET"),
    (&ANON_KEY, "ANON_KEY"),
    (&SERVICE_KEY, "SERVICE_ROLE_KEY"),
    (&S3_PROTOCOL_ACCESS_KEY_ID, "S3_PROTOCOL_ACCESS_KEY_ID"),
    (&S3_PROTOCOL_ACCESS_KEY_SECRET, "S3_PROTOCOL_ACCESS_KEY_SECRET"),
];
/// How long the role keys last.
const KEY_SECONDS: u64 = 10 * 365 * 24 * 3600;

/// `rowlock init`.
pub(crate) fn run() -> Result<(), CliError> {
    let folder = Path::new(".");
    let source = Source::from_process(folder)?;
    let older = older_data(&source, folder);
    let made = ensure(&source, folder)?;
    for sentence in source.take_warnings() {
        super::complain(&sentence);
    }
    if let Some(sentence) = older.filter(|_| made) {
        super::complain(&sentence);
    }
    super::print(if made {
        "Wrote .env with new keys. Keep it: tokens and files depend on it.\n"
    } else {
        "The keys are all there already; nothing was written.\n"
    })
}

/// Makes the keys where there are none: writes `.env` in that folder. Returns whether it did.
///
/// # Errors
/// Some keys are there and others are missing (then nothing is written), or the file can't be
/// written.
pub(crate) fn ensure(source: &Source, folder: &Path) -> Result<bool, CliError> {
    let path = folder.join(".env");
    let missing: Vec<_> =
        NEEDED.iter().filter(|(key, _)| !source.has(key)).map(|(_, name)| *name).collect();
    if missing.is_empty() {
        return Ok(false);
    }
    // A dangling link counts as a file: what it stands for may be mounted later.
    if path.symlink_metadata().is_ok() {
        return Err(ConfigError::Incomplete { path, names: missing }.into());
    }
    if missing.len() < NEEDED.len() {
        return Err(ConfigError::Refused(format!(
            "the environment has some of the keys but lacks {}; set all of them or none (nothing was written)",
            missing.join(", ")
        ))
        .into());
    }
    write(folder, &path, &contents(source)?)?;
    Ok(true)
}

/// What to say after new keys were made, where there is older data.
pub(crate) fn older_data(source: &Source, folder: &Path) -> Option<String> {
    let data = embedded::data_folder(source);
    let used = |name: &str| folder.join(&data).join(name).exists();
    (used("postgres") || used("postgres-elsewhere") || used("files")).then(|| {
        format!(
            "new keys were made in .env for the older data in {}: tokens and S3 keys from before \
             are refused now; if you have the former .env, put it back and start again",
            data.display()
        )
    })
}

fn write(folder: &Path, path: &Path, text: &str) -> Result<(), CliError> {
    let failed = |source| CliError::Write { path: path.to_owned(), source };
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(CliError::Usage(
                ".env was made by somebody else just now; nothing was written".into(),
            ));
        }
        Err(error) => return Err(failed(error)),
    };
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // Half a file would only be in the way of the next try; it is ours, so it may go.
        let _ = std::fs::remove_file(path);
        return Err(failed(error));
    }
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// The file. Every value needs no quoting in a shell and means the same to every reader of such
/// files.
fn contents(source: &Source) -> Result<String, CliError> {
    // Where objects lie already, they are to be found again.
    let name = |variable| {
        let named = source.text(variable).and_then(|name| remembered::quoted(&name));
        named.unwrap_or_else(|| "stub".to_owned())
    };
    let (tenant, bucket) = (name(&TENANT), name(&STORAGE_S3_BUCKET));
    let secret = random_hex::<32>()?;
    let access_key = random_hex::<16>()?;
    let secret_key = random_hex::<32>()?;
    let anon = role_key(&secret, "anon");
    let service = role_key(&secret, "service_role");
    let bind = BindSettings::from_source(source, Mode::of(source));
    // Which port the system will choose can't be known.
    let urls = if bind.port == 0 {
        String::new()
    } else {
        let url = bind.local_url(bind.port);
        format!("SUPABASE_PUBLIC_URL={url}\nAPI_EXTERNAL_URL={url}\n")
    };
    Ok(format!(
        "# Made by `rowlock init`. Keep it secret, and keep it: tokens and files depend on it.\n\
         JWT_SECRET={secret}\n\
         ANON_KEY={anon}\n\
         SERVICE_ROLE_KEY={service}\n\
         S3_PROTOCOL_ACCESS_KEY_ID={access_key}\n\
         S3_PROTOCOL_ACCESS_KEY_SECRET={secret_key}\n\
         REGION=stub\n\
         STORAGE_TENANT_ID={tenant}\n\
         GLOBAL_S3_BUCKET={bucket}\n\
         {urls}"
    ))
}

fn random_hex<const BYTES: usize>() -> Result<String, CliError> {
    let mut bytes = [0; BYTES];
    rand::rngs::SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(|error| CliError::Usage(format!("the system gives no random numbers: {error}")))?;
    Ok(hex::encode(bytes))
}

/// A role's JWT, good for ten years.
fn role_key(secret: &str, role: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let claims = [
        ("role", json!(role)),
        ("iss", json!("rowlock")),
        ("iat", json!(now)),
        ("exp", json!(now + KEY_SECONDS)),
    ];
    mint(secret, &claims.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use super::*;
    use crate::config::Config;

    fn made() -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        assert!(ensure(&Source::new(&[], &[]), folder.path()).unwrap());
        let text = std::fs::read_to_string(folder.path().join(".env")).unwrap();
        (folder, text)
    }

    fn pairs(text: &str) -> BTreeMap<&str, &str> {
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|l| l.split_once('='))
            .collect()
    }

    #[test]
    fn writes_the_keys_for_the_owner_only() {
        let (folder, text) = made();
        let mode = folder.path().join(".env").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let pairs = pairs(&text);
        let names: Vec<_> = pairs.keys().copied().collect();
        assert_eq!(
            names,
            [
                "ANON_KEY",
                "API_EXTERNAL_URL",
                "GLOBAL_S3_BUCKET",
                "JWT_SECRET",
                "REGION",
                "S3_PROTOCOL_ACCESS_KEY_ID",
                "S3_PROTOCOL_ACCESS_KEY_SECRET",
                "SERVICE_ROLE_KEY",
                "STORAGE_TENANT_ID",
                "SUPABASE_PUBLIC_URL"
            ]
        );
        let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(pairs["JWT_SECRET"].len() >= 40);
        assert_eq!(pairs["S3_PROTOCOL_ACCESS_KEY_ID"].len(), 32);
        assert_eq!(pairs["S3_PROTOCOL_ACCESS_KEY_SECRET"].len(), 64);
        assert!(is_hex(pairs["S3_PROTOCOL_ACCESS_KEY_ID"]));
        assert!(is_hex(pairs["S3_PROTOCOL_ACCESS_KEY_SECRET"]));
        for (name, value) in &pairs {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/=+-".contains(&byte);
            assert!(!value.is_empty() && value.bytes().all(plain), "{name}");
        }
    }

    #[test]
    fn it_names_the_port_on_which_the_server_will_listen() {
        for (environment, url) in [
            (vec![], Some("http://localhost:8000")),
            (vec![("SERVER_PORT", "9123")], Some("http://localhost:9123")),
            (vec![("PORT", "9124")], Some("http://localhost:9124")),
            (vec![("PORT", "9124"), ("SERVER_HOST", "192.0.2.7")], Some("http://192.0.2.7:9124")),
            (vec![("SERVER_PORT", "70000")], Some("http://localhost:8000")),
            (vec![("DATABASE_URL", "postgres://u@h/d")], Some("http://localhost:5000")),
            (vec![("SERVER_PORT", "0")], None),
        ] {
            let text = contents(&Source::new(&environment, &[])).unwrap();
            let pairs = pairs(&text);
            assert_eq!(pairs.get("SUPABASE_PUBLIC_URL").copied(), url, "{environment:?}");
            assert_eq!(pairs.get("API_EXTERNAL_URL").copied(), url, "{environment:?}");
        }
    }

    #[test]
    fn two_files_share_no_secret() {
        let (first, second) = (made().1, made().1);
        let (first, second) = (pairs(&first), pairs(&second));
        for (_, name) in NEEDED {
            assert_ne!(first[name], second[name], "{name}");
        }
    }

    #[test]
    fn the_file_starts_a_server_alone() {
        let (folder, text) = made();
        let pairs: Vec<_> = pairs(&text).into_iter().collect();
        let source = Source::new(&[], &pairs);
        assert!(!ensure(&source, folder.path()).unwrap());
        let config = Config::from_source(&source).unwrap();
        assert_eq!(source.take_warnings(), Vec::<String>::new());
        assert_eq!(config.mode, Mode::Alone);
        assert_eq!(config.objects.tenant, "stub");
        let auth = rowlock_auth::Authenticator::new(config.auth).unwrap();
        assert_eq!(auth.warnings(), Vec::<String>::new());
        let service = auth.session(&auth.service_caller().token).unwrap();
        assert!(service.caller.is_service);
        let left = service.expires_at.unwrap()
            - auth.session(auth.anon_key().unwrap()).unwrap().expires_at.unwrap();
        assert!(left.abs() <= 1);
    }

    #[test]
    fn a_shell_reads_what_we_read() {
        let (folder, text) = made();
        let script = "set -a && . ./.env && env";
        let output = Command::new("sh")
            .args(["-c", script])
            .env_clear()
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(output.status.success());
        let output = String::from_utf8(output.stdout).unwrap();
        let shell = self::pairs(&output);
        let read = crate::config::dotenv::parse(text.as_bytes());
        assert_eq!(read.warnings, Vec::<String>::new());
        assert_eq!(read.values.len(), 10);
        for (name, value) in &read.values {
            assert_eq!(shell.get(name.as_str()), Some(&value.as_str()), "{name}");
        }
    }

    #[test]
    fn an_existing_file_is_never_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        std::fs::write(&path, "JWT_SECRET=x\n").unwrap();
        let error = ensure(&Source::new(&[], &[("JWT_SECRET", "x")]), folder.path()).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("ANON_KEY, SERVICE_ROLE_KEY, S3_PROTOCOL_ACCESS_KEY_ID"), "{error}");
        assert!(!error.contains("JWT_SECRET"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "JWT_SECRET=x\n");
        assert!(write(folder.path(), &path, "new").is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "JWT_SECRET=x\n");
    }

    #[test]
    fn new_keys_for_older_data_are_told_and_its_names_stay() {
        let folder = tempfile::tempdir().unwrap();
        let source = Source::new(&[], &[]);
        assert_eq!(older_data(&source, folder.path()), None);
        std::fs::create_dir_all(folder.path().join("rowlock-data/postgres")).unwrap();
        let told = older_data(&source, folder.path()).unwrap();
        assert!(told.contains("rowlock-data") && told.contains("former .env"), "{told}");

        let names = [("STORAGE_TENANT_ID", "my tenant"), ("GLOBAL_S3_BUCKET", "b")];
        let names = names.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let source = Source::new(&[], &[]).remembering(names.into());
        assert!(ensure(&source, folder.path()).unwrap());
        let text = std::fs::read(folder.path().join(".env")).unwrap();
        let read = crate::config::dotenv::parse(&text);
        assert_eq!(read.values["STORAGE_TENANT_ID"], "my tenant");
        assert_eq!(read.values["GLOBAL_S3_BUCKET"], "b");
    }

    #[test]
    fn half_a_set_in_the_environment_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let source = Source::new(&[("AUTH_JWT_SECRET", "x"), ("ANON_KEY", "y")], &[]);
        let error = ensure(&source, folder.path()).unwrap_err().to_string();
        assert!(error.contains("SERVICE_ROLE_KEY"), "{error}");
        assert!(!folder.path().join(".env").exists());
    }
}
