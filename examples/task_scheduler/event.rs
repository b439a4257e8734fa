//! What a scheduler tells, as a line of JSON.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) scheduler: String,
    pub(crate) job: String,
    pub(crate) tick: u64,
    pub(crate) what: What,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum What {
    Started {
        token: u64,
        waited: Duration,
        /// Whether somebody else had started it before.
        again: bool,
    },
    /// It has written something, so it is in the middle of its work.
    Working,
    Done,
    Failed(String),
    Lost(String),
}
