// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Reading columns out of a row. A column of another type is a schema that does not fit the kit, not a crash.

use crate::ports::{Row, SqlError, Val};

/// Takes the columns of a row from left to right.
pub(super) struct Columns(std::vec::IntoIter<Val>);

impl Columns {
    pub(super) fn of(row: Row) -> Self {
        Self(row.into_iter())
    }

    pub(super) fn text(&mut self) -> Result<String, SqlError> {
        self.optional_text()?.ok_or(SqlError::Statement)
    }

    pub(super) fn number(&mut self) -> Result<i64, SqlError> {
        self.optional_number()?.ok_or(SqlError::Statement)
    }

    pub(super) fn optional_text(&mut self) -> Result<Option<String>, SqlError> {
        match self.0.next() {
            Some(Val::Text(text)) => Ok(Some(text)),
            Some(Val::Null) => Ok(None),
            Some(Val::I64(_)) | None => Err(SqlError::Statement),
        }
    }

    pub(super) fn optional_number(&mut self) -> Result<Option<i64>, SqlError> {
        match self.0.next() {
            Some(Val::I64(number)) => Ok(Some(number)),
            Some(Val::Null) => Ok(None),
            Some(Val::Text(_)) | None => Err(SqlError::Statement),
        }
    }
}
