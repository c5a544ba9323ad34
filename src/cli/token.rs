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
    /// The user's id: the owner of what is uploaded
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
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let token = mint_with(algorithm, &secret, &claims(arguments, now));
    super::print(&format!("{token}\n"))
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
}
