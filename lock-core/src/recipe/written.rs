//! What recipes write into cells: JSON, for people to read.

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    backend::{Cell, CellVersion},
    error::{Error, ErrorKind, Result},
};

/// What the cell says; `None` when nobody has written it.
pub(super) fn read<T: DeserializeOwned>(cell: &Cell) -> Result<Option<T>> {
    if cell.version == CellVersion::ABSENT {
        return Ok(None);
    }
    serde_json::from_slice(&cell.bytes).map(Some).map_err(|source| {
        let message = "the cell holds nothing that this version can read";
        Error::new(ErrorKind::Garbled, message).with_source(source)
    })
}

/// The bytes that say `value`, if a cell can hold them.
pub(super) fn write<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let bytes = serde_json::to_vec(value).map_err(|source| {
        Error::new(ErrorKind::Garbled, "what belongs into the cell could not be written").with_source(source)
    })?;
    Cell::check_size(&bytes)?;
    Ok(bytes)
}
