//! What happens, as it happens.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::event::{Event, What};

pub(crate) struct Timeline {
    start: DateTime<Utc>,
    crashed: Option<Interruption>,
}

/// The tick whose scheduler crashed, and how long it took until another started it again.
struct Interruption {
    job: String,
    tick: u64,
    at: DateTime<Utc>,
    restarted: Option<(String, Duration)>,
}

impl Timeline {
    pub(crate) fn new(start: DateTime<Utc>) -> Self {
        Self { start, crashed: None }
    }

    pub(crate) fn nobody_crashed(&self) -> bool {
        self.crashed.is_none()
    }

    pub(crate) fn print(&mut self, event: &Event) {
        match &event.what {
            What::Started { token, waited, again } => {
                let again = if *again { ", again" } else { "" };
                let waited = waited.as_secs_f64();
                self.row(event, &format!("starts{again} (token {token}, waited {waited:.2} s)"));
                self.note_restart(event);
            }
            What::Working => {}
            What::Done => self.row(event, "is done"),
            What::Failed(status) => self.row(event, &format!("failed: {status}")),
            What::Lost(why) => self.row(event, &format!("lost its turn: {why}")),
        }
    }

    pub(crate) fn crashed(&mut self, event: &Event) {
        self.row(event, "CRASHES in the middle of this");
        let (job, tick) = (event.job.clone(), event.tick);
        self.crashed = Some(Interruption { job, tick, at: Utc::now(), restarted: None });
    }

    /// Whether somebody crashed, and another one started again what that interrupted.
    pub(crate) fn recovered(&self) -> bool {
        self.crashed.as_ref().is_some_and(|interruption| interruption.restarted.is_some())
    }

    pub(crate) fn print_recovery(&self) {
        let Some(interruption) = &self.crashed else { return };
        let Interruption { job, tick, restarted, .. } = interruption;
        match restarted {
            Some((by, after)) => {
                println!("{job} {tick} was interrupted and started again by {by} after {after:.1?}")
            }
            None => println!("{job} {tick} was interrupted"),
        }
    }

    fn note_restart(&mut self, event: &Event) {
        let Some(interruption) = &mut self.crashed else { return };
        if interruption.restarted.is_none()
            && (&interruption.job, interruption.tick) == (&event.job, event.tick)
        {
            let after = Utc::now().signed_duration_since(interruption.at).to_std().unwrap_or_default();
            interruption.restarted = Some((event.scheduler.clone(), after));
        }
    }

    fn row(&self, event: &Event, text: &str) {
        let seconds = Utc::now().signed_duration_since(self.start).as_seconds_f64();
        println!("{seconds:7.2} s  {:<12} {:<14} {}  {text}", event.scheduler, event.job, event.tick);
    }
}
