use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use rowlock_auth::mint_with;
use serde_json::{Map, Value, json};

use super::CliError;
use crate::config::{Mode, Source, duration, signing};

/// Claims that have an option of their own, or none.
const RESERVED: [&str; 5] = ["role", "sub", "iat", "exp", "url"];

/// What the token says.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The database role the caller gets
    #[arg(long, default_value = "authenticated")]
    role: String,
    /// The user's id: the owner of what is uploaded; a UUID, since auth.uid() reads it as one
    #[arg(long, value_name = "UUID")]
    sub: Option<String>,
    /// A further claim; the value is JSON where it can be read as such, else text
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
    claims: Vec<(String, Value)>,
    /// How long the token is good: 30s, 15m, 1h, 7d
    #[arg(long, default_value = "1h", value_parser = span)]
    expires: Duration,
}

/// `rowlock token`: prints a token that is signed with the configured secret.
pub(crate) fn run(arguments: &Arguments) -> Result<(), CliError> {
    let source = Source::from_process(Path::new("."))?;
    let (secret, algorithm) = signing(&source)?;
    for sentence in source.take_warnings() {
        super::complain(&sentence);
    }
    let Some(secret) = secret else {
        return Err(CliError::Usage(
            match Mode::of(&source) {
                Mode::Alone => "there is no JWT secret yet: run `rowlock init` in this folder",
                Mode::Stack => "there is no JWT secret: set AUTH_JWT_SECRET",
            }
            .into(),
        ));
    };
    if let Some(sentence) = arguments.sub.as_deref().and_then(no_uuid) {
        super::complain(&sentence);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let token = mint_with(algorithm, &secret, &claims(arguments, now));
    super::print(&format!("{token}\n"))
}

/// What to know about a user's id that is none to the database. Such tokens exist (other identity
/// providers give them out), so that this is no refusal.
fn no_uuid(sub: &str) -> Option<String> {
    (!is_uuid(sub)).then(|| {
        format!(
            "the sub {sub:?} is no UUID: under this token every policy that calls auth.uid() fails \
             with \"invalid input syntax for type uuid\"; policies for such users compare owner_id \
             with auth.jwt() ->> 'sub'"
        )
    })
}

/// Whether PostgreSQL reads it as a UUID (its manual, 8.12): 32 hexadecimal digits, hyphens after
/// any group of four, braces around it all or none.
fn is_uuid(text: &str) -> bool {
    let braced = text.strip_prefix('{').and_then(|inner| inner.strip_suffix('}'));
    let mut digits = 0;
    let mut hyphen_before = true;
    for byte in braced.unwrap_or(text).bytes() {
        match byte {
            b'-' if !hyphen_before && digits % 4 == 0 && digits < 32 => hyphen_before = true,
            _ if byte.is_ascii_hexdigit() => {
                digits += 1;
                hyphen_before = false;
            }
            _ => return false,
        }
    }
    digits == 32 && !hyphen_before
}

fn claims(arguments: &Arguments, now: u64) -> Map<String, Value> {
    let mut claims = Map::new();
    claims.insert("role".into(), json!(arguments.role));
    if let Some(sub) = &arguments.sub {
        claims.insert("sub".into(), json!(sub));
    }
    claims.insert("iat".into(), json!(now));
    claims.insert("exp".into(), json!(now.saturating_add(arguments.expires.as_secs())));
    claims.extend(arguments.claims.iter().cloned());
    claims
}

fn claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("a claim is NAME=VALUE")?;
    if name.is_empty() {
        return Err("a claim has a name".into());
    }
    if RESERVED.contains(&name) {
        return Err(match name {
            "url" => "a token with the claim `url` opens no session".into(),
            "exp" => "use --expires".into(),
            "iat" => "`iat` is the time of signing".into(),
            _ => format!("use --{name}"),
        });
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
    Ok((name.to_owned(), value))
}

fn span(text: &str) -> Result<Duration, String> {
    let span = duration::parse(text).ok_or_else(|| duration::GRAMMAR.to_owned())?;
    if span.is_zero() { Err("a token lasts at least a second".into()) } else { Ok(span) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parse(line: &[&str]) -> Result<Arguments, String> {
        let line = std::iter::once("token").chain(line.iter().copied());
        Cli::try_parse_from(line).map(|cli| cli.arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn claims_are_json_where_they_can_be() {
        let arguments = parse(&[
            "--role",
            "editor",
            "--sub",
            "u",
            "--expires",
            "15m",
            "--claim",
            "level=3",
            "--claim",
            "team=a=b",
            "--claim",
            r#"app_metadata={"orgs":["x"]}"#,
            "--claim",
            "empty=",
        ]);
        let claims = claims(&arguments.unwrap(), 1_000);
        assert_eq!(
            Value::Object(claims).to_string(),
            r#"{"role":"editor","sub":"u","iat":1000,"exp":1900,"level":3,"team":"a=b","app_metadata":{"orgs":["x"]},"empty":""}"#
        );
        let short = Value::Object(self::claims(&parse(&[]).unwrap(), 1_000)).to_string();
        assert_eq!(short, r#"{"role":"authenticated","iat":1000,"exp":4600}"#);
    }

    #[test]
    fn a_claim_replaces_no_option() {
        for name in RESERVED {
            let error = parse(&["--claim", &format!("{name}=x")]).unwrap_err();
            assert!(error.contains(&format!("{name}=x")), "{error}");
        }
        for wrong in ["role", "=x"] {
            assert!(parse(&["--claim", wrong]).is_err(), "{wrong}");
        }
        for wrong in ["0", "0s", "1y", "-1h", ""] {
            assert!(parse(&["--expires", wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_user_whom_auth_uid_cannot_read_is_told_of() {
        for good in [
            "317eadce-631a-4429-a0bb-f19a7a517b4a",
            "317EADCE631A4429A0BBF19A7A517B4A",
            "{317eadce-631a4429-a0bbf19a-7a517b4a}",
        ] {
            assert_eq!(no_uuid(good), None, "{good}");
        }
        for odd in [
            "bob",
            "",
            "317eadce-631a-4429-a0bb-f19a7a517b4",
            "317eadce-631a-4429-a0bb-f19a7a517b4a1",
            "317eadce-631a-4429-a0bb-f19a7a517b4g",
            "317eadce-631a-4429-a0bb-f19a7a517b4a-",
            "317eadce--631a-4429-a0bb-f19a7a517b4a",
            "{317eadce-631a-4429-a0bb-f19a7a517b4a",
        ] {
            let told = no_uuid(odd).unwrap();
            assert!(told.contains(&format!("{odd:?}")) && told.contains("auth.uid()"), "{told}");
        }
    }
}
