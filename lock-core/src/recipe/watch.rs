//! A line as others change it, over the loss of a session and its replacement.

use std::{fmt, future::poll_fn};

use futures_core::stream::BoxStream;

use crate::{
    backend::Line,
    error::{ErrorKind, Result},
    recipe::Entrance,
};

/// Follows one line. A slow reader gets the latest, never a backlog, and never an older revision than before.
pub(crate) struct LineWatch {
    entrance: Entrance,
    changes: Option<BoxStream<'static, Result<Line>>>,
    /// The newest that was told.
    revision: u64,
}

impl LineWatch {
    pub(crate) fn new(entrance: Entrance) -> Self {
        Self { entrance, changes: None, revision: 0 }
    }

    /// The line as it is at first, and then whenever it has changed. Goes on under a new session when the last
    /// is lost. Safe to drop and to call again, also after an error.
    pub(crate) async fn next(&mut self, operation: &'static str) -> Result<Line> {
        loop {
            if self.changes.is_none() {
                match self.entrance.changes(operation).await {
                    Ok(changes) => self.changes = Some(changes),
                    Err(error) if error.kind() == ErrorKind::SessionLost => continue,
                    Err(error) => return Err(error),
                }
            }
            let Some(changes) = &mut self.changes else { continue };
            match poll_fn(|context| changes.as_mut().poll_next(context)).await {
                // A new session must not take us back to what was before.
                Some(Ok(line)) if line.revision < self.revision => {}
                Some(Ok(line)) => {
                    self.revision = line.revision;
                    return Ok(line);
                }
                // A session that was lost is closed afterwards. If nothing else was closed, there is another one.
                Some(Err(error)) if !matches!(error.kind(), ErrorKind::SessionLost | ErrorKind::Closed) => {
                    self.changes = None;
                    return Err(self.entrance.context(operation)(error));
                }
                Some(Err(_)) | None => self.changes = None,
            }
        }
    }
}

impl fmt::Debug for LineWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineWatch")
            .field("entrance", &self.entrance)
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}
