//! What recipes write into cells: JSON, for people to read.

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    backend::{Cell, CellVersion},
    error::{Error, ErrorKind, Result},
};

/// The cell's `what`; `None` when nobody has written it.
pub(super) fn read<T: DeserializeOwned>(cell: &Cell, what: &str) -> Result<Option<T>> {
    if cell.version == CellVersion::ABSENT {
        return Ok(None);
    }
    serde_json::from_slice(&cell.bytes).map(Some).map_err(|source| {
        let message = format!("the cell holds no {what} that this version can read");
        Error::new(ErrorKind::Garbled, message).with_source(source)
    })
}

/// The bytes of a `what`, if a cell can hold them.
pub(super) fn write<T: Serialize>(value: &T, what: &str) -> Result<Vec<u8>> {
    let bytes = serde_json::to_vec(value).map_err(|source| {
        Error::new(ErrorKind::Garbled, format!("the {what} could not be written")).with_source(source)
    })?;
    Cell::check_size(&bytes)?;
    Ok(bytes)
}
