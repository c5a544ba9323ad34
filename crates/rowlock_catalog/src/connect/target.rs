//! Reading a database URL.
//!
//! The driver's own reader stops at the first parameter it does not know and at an `@` in a
//! password; URLs in the wild carry both (`?pgbouncer=true`), and worked until now.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{
    ChannelBinding, LoadBalanceHosts, SslNegotiation, TargetSessionAttrs,
};

use super::ConnectError;

/// How a connection is secured: the values of `sslmode`.
///
/// <https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Never TLS.
    Disable,
    /// TLS where the server offers it; verified only where certificates to trust are given.
    Prefer,
    /// TLS always; verified as `verify-ca` where certificates to trust are given.
    Require,
    /// TLS always, and no verification even where certificates to trust are given.
    NoVerify,
    /// The certificate must lead to a trusted one.
    VerifyCa,
    /// As `verify-ca`, and the certificate must be for this host name or address.
    VerifyFull,
}

/// What a database URL says.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) config: Config,
    pub(super) tls: Option<TlsMode>,
    /// `sslrootcert`: a file's path, or `system`.
    pub(super) root_cert: Option<String>,
    /// Names of parameters that mean nothing here.
    pub(super) ignored: Vec<String>,
}

pub(super) fn parse(url: &str) -> Result<Target, ConnectError> {
    let rest = url
        .trim()
        .strip_prefix("postgres://")
        .or_else(|| url.trim().strip_prefix("postgresql://"))
        .ok_or_else(|| wrong("it must begin with postgres:// or postgresql://"))?;
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, Some(query)),
        None => (rest, None),
    };
    let (authority, database) = match rest.split_once('/') {
        Some((authority, database)) => (authority, Some(database)),
        None => (rest, None),
    };
    // An unencoded `@` belongs to the password: no host name contains one.
    let (credentials, hosts) = match authority.rsplit_once('@') {
        Some((credentials, hosts)) => (Some(credentials), hosts),
        None => (None, authority),
    };

    let mut target =
        Target { config: Config::new(), tls: None, root_cert: None, ignored: Vec::new() };
    if let Some(credentials) = credentials {
        let (user, password) = match credentials.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (credentials, None),
        };
        if !user.is_empty() {
            target.config.user(decode(user)?);
        }
        if let Some(password) = password {
            target.config.password(percent_decode_str(password).collect::<Vec<u8>>());
        }
    }
    for host in hosts.split(',').filter(|host| !host.is_empty()) {
        add_host(&mut target.config, host)?;
    }
    if let Some(database) = database.filter(|database| !database.is_empty()) {
        target.config.dbname(decode(database)?);
    }
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        parameter(&mut target, &decode(name)?, &decode(value)?)?;
    }
    if target.config.get_hosts().is_empty() && target.config.get_hostaddrs().is_empty() {
        return Err(wrong("it names no host"));
    }
    Ok(target)
}

/// A URL without its password, and the password: for programs that are started with a URL among
/// their arguments, where every user of the machine can read it. The password is looked for where
/// a URL has it by rule, before the host; a parameter `password` stays.
#[must_use]
pub fn split_password(url: &str) -> (String, Option<OsString>) {
    let whole = || (url.to_owned(), None);
    let Some((scheme, rest)) = url.split_once("://") else { return whole() };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at(end);
    let Some((credentials, hosts)) = authority.rsplit_once('@') else { return whole() };
    let Some((user, password)) = credentials.split_once(':') else { return whole() };
    let password = percent_decode_str(password).collect::<Vec<u8>>();
    (format!("{scheme}://{user}@{hosts}{after}"), Some(OsString::from_vec(password)))
}

fn add_host(config: &mut Config, text: &str) -> Result<(), ConnectError> {
    let (host, port) = if let Some(bracketed) = text.strip_prefix('[') {
        let (host, after) = bracketed
            .split_once(']')
            .ok_or_else(|| wrong("a bracketed address has no closing bracket"))?;
        (host, after.strip_prefix(':'))
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let port = port.filter(|port| !port.is_empty()).unwrap_or("5432");
    // Not quoted in the message: where this fails, it is mostly a piece of the password.
    let port = port.parse::<u16>().map_err(|_| {
        wrong("the port is no number (in a password, / ? # must be written as %2F %3F %23)")
    })?;
    set_host(config, &decode(host)?);
    config.port(port);
    Ok(())
}

fn set_host(config: &mut Config, host: &str) {
    if host.starts_with('/') {
        config.host_path(Path::new(host));
    } else {
        config.host(host);
    }
}

fn parameter(target: &mut Target, name: &str, value: &str) -> Result<(), ConnectError> {
    let config = &mut target.config;
    match name {
        "sslmode" => target.tls = Some(tls_mode(value)?),
        // The spelling of JavaScript drivers.
        "ssl" if target.tls.is_none() => {
            target.tls = Some(match value {
                "0" | "false" => TlsMode::Disable,
                "no-verify" => TlsMode::NoVerify,
                _ => TlsMode::Require,
            });
        }
        "ssl" => {}
        "sslrootcert" => target.root_cert = Some(value.to_owned()).filter(|v| !v.is_empty()),
        "sslnegotiation" => {
            config.ssl_negotiation(match value {
                "direct" => SslNegotiation::Direct,
                "postgres" => SslNegotiation::Postgres,
                _ => return Err(not_one_of(name, "postgres, direct")),
            });
        }
        "user" => {
            config.user(value);
        }
        "password" => {
            config.password(value);
        }
        "dbname" => {
            config.dbname(value);
        }
        "host" => {
            for host in value.split(',').filter(|host| !host.is_empty()) {
                set_host(config, host);
            }
        }
        "hostaddr" => {
            for address in value.split(',') {
                config.hostaddr(address.parse().map_err(|_| not_one_of(name, "an IP address"))?);
            }
        }
        "port" => {
            for port in value.split(',').filter(|port| !port.is_empty()) {
                config.port(port.parse().map_err(|_| not_one_of(name, "a number"))?);
            }
        }
        "options" => {
            config.options(value);
        }
        "application_name" => {
            config.application_name(value);
        }
        "channel_binding" => {
            config.channel_binding(match value {
                "disable" => ChannelBinding::Disable,
                "prefer" => ChannelBinding::Prefer,
                "require" => ChannelBinding::Require,
                _ => return Err(not_one_of(name, "disable, prefer, require")),
            });
        }
        "target_session_attrs" => {
            config.target_session_attrs(match value {
                "any" => TargetSessionAttrs::Any,
                "read-write" | "primary" => TargetSessionAttrs::ReadWrite,
                "read-only" | "standby" => TargetSessionAttrs::ReadOnly,
                _ => return Err(not_one_of(name, "any, read-write, read-only")),
            });
        }
        "load_balance_hosts" => {
            config.load_balance_hosts(match value {
                "disable" => LoadBalanceHosts::Disable,
                "random" => LoadBalanceHosts::Random,
                _ => return Err(not_one_of(name, "disable, random")),
            });
        }
        _ => target.ignored.push(name.to_owned()),
    }
    Ok(())
}

fn tls_mode(value: &str) -> Result<TlsMode, ConnectError> {
    Ok(match value {
        "disable" => TlsMode::Disable,
        // `allow` tries without TLS first; what it accepts is the same.
        "prefer" | "allow" => TlsMode::Prefer,
        "require" => TlsMode::Require,
        "no-verify" => TlsMode::NoVerify,
        "verify-ca" => TlsMode::VerifyCa,
        "verify-full" => TlsMode::VerifyFull,
        _ => {
            return Err(not_one_of(
                "sslmode",
                "disable, allow, prefer, require, no-verify, verify-ca, verify-full",
            ));
        }
    })
}

/// The `options` of the first packet: the URL's own, then ours as `-c name=value`.
pub(super) fn options(existing: Option<&str>, session: &[(String, String)]) -> String {
    let mut text = existing.unwrap_or_default().to_owned();
    for (name, value) in session {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str("-c ");
        text.push_str(name);
        text.push('=');
        for character in value.chars() {
            // The server splits at white space; a backslash keeps the next character.
            if character.is_whitespace() || character == '\\' {
                text.push('\\');
            }
            text.push(character);
        }
    }
    text
}

fn decode(text: &str) -> Result<String, ConnectError> {
    percent_decode_str(text)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| wrong("a percent-encoded part is not UTF-8"))
}

fn wrong(reason: &str) -> ConnectError {
    ConnectError::Url(reason.to_owned())
}

fn not_one_of(name: &str, allowed: &str) -> ConnectError {
    ConnectError::Url(format!("{name} must be {allowed}"))
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::Host;

    use super::*;

    fn read(url: &str) -> Target {
        parse(url).unwrap()
    }

    #[test]
    fn reads_every_part() {
        let target = read("postgresql://us%20er:p%40ss@db.example:6543/my%2Fdb?sslmode=verify-ca");
        assert_eq!(target.config.get_user(), Some("us er"));
        assert_eq!(target.config.get_password(), Some(b"p@ss".as_slice()));
        assert_eq!(target.config.get_hosts(), [Host::Tcp("db.example".into())]);
        assert_eq!(target.config.get_ports(), [6543]);
        assert_eq!(target.config.get_dbname(), Some("my/db"));
        assert_eq!(target.tls, Some(TlsMode::VerifyCa));
    }

    #[test]
    fn a_bare_at_sign_belongs_to_the_password() {
        let target = read("postgres://u:p@ss:w@db/x?application_name=a@b");
        assert_eq!(target.config.get_password(), Some(b"p@ss:w".as_slice()));
        assert_eq!(target.config.get_hosts(), [Host::Tcp("db".into())]);
        assert_eq!(target.config.get_application_name(), Some("a@b"));
    }

    #[test]
    fn reads_sockets_addresses_and_several_hosts() {
        let socket = [Host::Unix("/run/pg".into())];
        assert_eq!(read("postgres://u@/d?host=/run/pg").config.get_hosts(), socket);
        assert_eq!(read("postgres://u@/d?host=%2Frun%2Fpg").config.get_hosts(), socket);
        assert_eq!(read("postgres://u@%2Frun%2Fpg/d").config.get_hosts(), socket);
        let target = read("postgres://[::1]:7000,b/d");
        assert_eq!(target.config.get_hosts(), [Host::Tcp("::1".into()), Host::Tcp("b".into())]);
        assert_eq!(target.config.get_ports(), [7000, 5432]);
    }

    #[test]
    fn keeps_unknown_parameters_from_stopping_the_start() {
        let target = read("postgres://h/d?pgbouncer=true&connection_limit=1&ssl=true");
        assert_eq!(target.ignored, ["pgbouncer", "connection_limit"]);
        assert_eq!(target.tls, Some(TlsMode::Require));
        assert_eq!(read("postgres://h/d?ssl=true&sslmode=disable").tls, Some(TlsMode::Disable));
    }

    #[test]
    fn errors_quote_no_secret() {
        for url in [
            "mysql://u:hunter2@h/d",
            "postgres://u:hun/ter2@h/d",
            "postgres://u:hunter2@h:port/d",
            "postgres://u:hunter2@h/d?sslmode=hunter2",
            "postgres://u:hunter2@[::1/d",
            "postgres://u:hunter2@/d",
            "postgres://u%ff:hunter2@h/d",
        ] {
            let error = parse(url).unwrap_err().to_string();
            assert!(!error.contains("ter2") && !error.contains("hun"), "{url}: {error}");
        }
    }

    #[test]
    fn a_password_can_be_taken_out() {
        assert_eq!(
            split_password("postgres://u:p%40@s@h:1/d?sslmode=require"),
            ("postgres://u@h:1/d?sslmode=require".to_owned(), Some("p@@s".into()))
        );
        for url in ["postgres://u@h/d", "postgres://h/d?options=a:b@c", "host=h"] {
            assert_eq!(split_password(url), (url.to_owned(), None));
        }
    }

    #[test]
    fn session_settings_survive_spaces() {
        let session = [("search_path".to_owned(), "storage, pub\\lic".to_owned())];
        assert_eq!(
            options(Some("-c jit=off"), &session),
            "-c jit=off -c search_path=storage,\\ pub\\\\lic"
        );
    }
}
