//! What the schedulers have in common.

use std::{error::Error, path::PathBuf, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};

use crate::jobs::{self, Job};

pub(crate) struct Plan {
    pub(crate) uri: String,
    pub(crate) jobs_file: PathBuf,
    pub(crate) jobs: Vec<Job>,
    /// What the jobs append to.
    pub(crate) out: PathBuf,
    /// For how long ticks fall due.
    pub(crate) duration: Duration,
    /// In whole seconds.
    pub(crate) start: DateTime<Utc>,
    end: DateTime<Utc>,
}

impl Plan {
    pub(crate) fn new(
        uri: String,
        jobs_file: PathBuf,
        out: PathBuf,
        start: DateTime<Utc>,
        duration: Duration,
    ) -> Result<Self, Box<dyn Error>> {
        let jobs = jobs::read(&jobs_file)?;
        let end = start.checked_add_signed(TimeDelta::from_std(duration)?).ok_or("that is too long")?;
        Ok(Self { uri, jobs_file, jobs, out, duration, start, end })
    }

    /// The ticks of a job, in seconds since 1970.
    pub(crate) fn ticks(&self, job: &Job) -> impl Iterator<Item = u64> + Send + use<> {
        job.ticks(self.start, self.end)
    }

    pub(crate) fn half_way(&self) -> DateTime<Utc> {
        self.start + (self.end - self.start) / 2
    }

    /// Each job's name and what is due of it.
    pub(crate) fn due(&self) -> Vec<(String, Vec<u64>)> {
        self.jobs.iter().map(|job| (job.name.clone(), self.ticks(job).collect())).collect()
    }
}
