//! What is to run when.

use std::{error::Error, path::Path, str::FromStr};

use chrono::{DateTime, Utc};
use cron::Schedule;
use serde::{Deserialize, Deserializer, de::Error as _};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Job {
    pub(crate) name: String,
    #[serde(deserialize_with = "schedule")]
    schedule: Schedule,
    pub(crate) command: String,
}

impl Job {
    /// The ticks that fall due from `start` until before `end`, in seconds since 1970.
    pub(crate) fn ticks(
        &self,
        start: DateTime<Utc>,
        end: DateTime<Utc>,
    ) -> impl Iterator<Item = u64> + Send + use<> {
        let before = start - chrono::TimeDelta::milliseconds(1);
        let due = self.schedule.after_owned(before).take_while(move |tick| *tick < end);
        due.filter_map(|tick| u64::try_from(tick.timestamp()).ok())
    }
}

fn schedule<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Schedule, D::Error> {
    let expression = String::deserialize(deserializer)?;
    Schedule::from_str(&expression).map_err(|error| D::Error::custom(format!("{expression:?}: {error}")))
}

pub(crate) fn read(path: &Path) -> Result<Vec<Job>, Box<dyn Error>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        job: Vec<Job>,
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let file: File = toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(file.job)
}
