//! Rows, whoever brought them.

use crate::error::Error;
use bytes::Bytes;
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{DataRowBody, RowDescriptionBody};
use std::ops::Range;
use std::sync::Arc;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};

/// What a row is read through.
pub(crate) trait Columns {
    /// The value of a column.
    ///
    /// # Errors
    /// [`Error::Row`] where there is no such column, or its value is none of the type.
    fn column<'a, T: FromSql<'a>>(&'a self, name: &str) -> Result<T, Error>;
}

impl Columns for Row {
    fn column<'a, T: FromSql<'a>>(&'a self, name: &str) -> Result<T, Error> {
        Ok(self.try_get(name)?)
    }
}

/// A row of a lane, or of the pool.
#[derive(Debug)]
pub(crate) enum FoundRow {
    Lane(LaneRow),
    Pool(Row),
}

impl Columns for FoundRow {
    fn column<'a, T: FromSql<'a>>(&'a self, name: &str) -> Result<T, Error> {
        match self {
            Self::Lane(row) => row.column(name),
            Self::Pool(row) => row.column(name),
        }
    }
}

/// The columns of a statement, as the database described them.
pub(super) type Shape = Arc<[(String, Type)]>;

/// Reads a description; `None` where a column has a type that is not built in.
pub(super) fn shape(description: &RowDescriptionBody) -> Option<Shape> {
    let columns = description
        .fields()
        .map(|field| Ok(Type::from_oid(field.type_oid()).map(|t| (field.name().to_owned(), t))))
        .collect::<Vec<_>>()
        .ok()?;
    columns.into_iter().collect::<Option<Vec<_>>>().map(Into::into)
}

#[derive(Debug)]
pub(crate) struct LaneRow {
    shape: Shape,
    bytes: Bytes,
    ranges: Vec<Option<Range<usize>>>,
}

impl LaneRow {
    /// `None` where the row does not have the shape.
    pub(super) fn new(shape: &Shape, body: &DataRowBody) -> Option<Self> {
        let ranges: Vec<_> = body.ranges().collect().ok()?;
        (ranges.len() == shape.len()).then(|| Self {
            shape: Arc::clone(shape),
            bytes: body.buffer_bytes().clone(),
            ranges,
        })
    }
}

impl Columns for LaneRow {
    fn column<'a, T: FromSql<'a>>(&'a self, name: &str) -> Result<T, Error> {
        let wrong = |what: &str| Error::Row(format!("column {name}: {what}"));
        let at = self.shape.iter().position(|column| column.0 == name);
        let at = at.ok_or_else(|| wrong("there is none"))?;
        let kind = &self.shape[at].1;
        if !T::accepts(kind) {
            return Err(wrong("another type"));
        }
        let value = match &self.ranges[at] {
            Some(range) => Some(self.bytes.get(range.clone()).ok_or_else(|| wrong("cut"))?),
            None => None,
        };
        T::from_sql_nullable(kind, value).map_err(|error| wrong(&error.to_string()))
    }
}
