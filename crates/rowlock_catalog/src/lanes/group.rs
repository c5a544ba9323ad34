//! What a request is on the wire: its messages up to the Sync.

use super::Ask;
use crate::session::Param;
use bytes::BytesMut;
use postgres_protocol::IsNull;
use postgres_protocol::message::frontend;
use std::io;

/// How many statements end in each group: the scope's and the request's own.
pub(super) const STATEMENTS: u32 = 2;

/// Parses the scope's statement, which every group begins with.
pub(super) fn prepare_scope(name: &str, sql: &str, parameters: usize) -> io::Result<BytesMut> {
    let mut out = BytesMut::new();
    let types = std::iter::repeat_n(tokio_postgres::types::Type::TEXT.oid(), parameters);
    frontend::parse(name, sql, types, &mut out)?;
    frontend::sync(&mut out);
    Ok(out)
}

/// How the statement is sent.
pub(super) enum Form<'a> {
    /// It is there under this name.
    Known(&'a str),
    /// It comes along, and stays under this name (none: until the next that has none).
    New(&'a str),
}

/// Scope, statement, Sync. `None` for values that can't be sent.
pub(super) fn group(scope_name: &str, ask: &Ask<'_>, form: &Form<'_>) -> Option<BytesMut> {
    let scope = ask.scope.params();
    let mut out = BytesMut::with_capacity(2048);
    bind(scope_name, &scope, &mut out)?;
    frontend::execute("", 0, &mut out).ok()?;
    let name = match form {
        Form::Known(name) => name,
        Form::New(name) => {
            if !name.is_empty() {
                // An earlier request may have left it there; where there is none, nothing happens.
                frontend::close(b'S', name, &mut out).ok()?;
            }
            let types = ask.params.iter().map(|param| param.1.oid());
            frontend::parse(name, ask.sql, types, &mut out).ok()?;
            frontend::describe(b'S', name, &mut out).ok()?;
            name
        }
    };
    bind(name, ask.params, &mut out)?;
    frontend::execute("", 0, &mut out).ok()?;
    frontend::sync(&mut out);
    Some(out)
}

/// All values travel in their binary form, both ways.
fn bind(statement: &str, params: &[Param<'_>], out: &mut BytesMut) -> Option<()> {
    frontend::bind(
        "",
        statement,
        [1],
        params,
        |(value, kind), out| {
            value.to_sql_checked(kind, out).map(|is_null| match is_null {
                tokio_postgres::types::IsNull::Yes => IsNull::Yes,
                tokio_postgres::types::IsNull::No => IsNull::No,
            })
        },
        [1],
        out,
    )
    .ok()
}
