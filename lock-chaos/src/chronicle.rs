//! The history of a run: in memory, and as JSON lines in a file.

use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use yourturn::runtime::{Runtime as _, TokioRuntime};

use crate::record::{Client, Record, What};

/// Everybody's records. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Chronicle {
    kept: Arc<Mutex<Kept>>,
    runtime: TokioRuntime,
}

#[derive(Default)]
struct Kept {
    records: Vec<Record>,
    file: Option<BufWriter<File>>,
}

impl Chronicle {
    /// One that is also written to this file.
    pub(crate) fn new(file: Option<&Path>) -> Result<Self, String> {
        let file = file.map(|path| File::create(path).map(BufWriter::new)).transpose();
        let file = file.map_err(|error| format!("the history: {error}"))?;
        let runtime = TokioRuntime::current().map_err(|error| error.to_string())?;
        Ok(Self { kept: Arc::new(Mutex::new(Kept { records: Vec::new(), file })), runtime })
    }

    pub(crate) fn now(&self) -> Duration {
        self.runtime.now().since_zero()
    }

    pub(crate) async fn sleep(&self, time: Duration) {
        self.runtime.sleep_until(self.runtime.now() + time).await;
    }

    /// What happens to a client, or to the whole, now.
    pub(crate) fn note(&self, client: Option<Client>, what: What) {
        self.add(Record { at: self.now(), client, what });
    }

    pub(crate) fn add(&self, record: Record) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &mut kept.file {
            // The report does not depend on it; a full disk shows when it is finished.
            let _ = serde_json::to_writer(&mut *file, &record).map(|()| file.write_all(b"\n"));
        }
        kept.records.push(record);
    }

    /// All records in the order of time, once nobody adds any.
    pub(crate) fn finish(&self) -> io::Result<Vec<Record>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &mut kept.file {
            file.flush()?;
        }
        let mut records = std::mem::take(&mut kept.records);
        records.sort_by_key(|record| record.at);
        Ok(records)
    }
}
