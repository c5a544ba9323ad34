//! PostgreSQL: connections, scopes, tables, migrations, own tables, the embedded server.

pub mod connect;
