//! What a run has shown: for people as Markdown, for programs as JSON, and drawn.

mod figures;
mod timeline;

use std::{fmt::Write as _, fs, path::Path};

use self::figures::Figures;
use crate::{
    cli::Arguments,
    judge::{Case, Verdict},
    record::Record,
    truth,
};

/// How many events before and after the first violation are shown.
const AROUND: usize = 40;

/// A run's figures, and the history around what went wrong.
pub(crate) struct Report {
    figures: Figures,
    /// The records around the first violation, one a line.
    around: Vec<String>,
    timeline: Result<String, String>,
    /// The store's own log, one change a line.
    store: String,
}

impl Report {
    pub(crate) fn new(
        arguments: &Arguments,
        version: &str,
        case: &Case<'_>,
        verdict: &Verdict,
        records: &[Record],
    ) -> Self {
        let first = verdict.violations.first();
        let around = first.map_or_else(Vec::new, |first| {
            let at = records.partition_point(|record| record.at < first.at);
            let shown = records.get(at.saturating_sub(AROUND)..records.len().min(at + AROUND));
            shown.into_iter().flatten().filter_map(|record| serde_json::to_string(record).ok()).collect()
        });
        Self {
            figures: Figures::new(arguments, version, case, verdict),
            around,
            timeline: timeline::svg(case, first.map(|violation| violation.at)),
            store: case.truth.map_or_else(String::new, truth::lines),
        }
    }

    /// As Markdown.
    pub(crate) fn text(&self) -> String {
        let mut text = self.figures.to_string();
        if !self.around.is_empty() {
            let _ = writeln!(text, "\n## Around the first violation\n\n```json");
            self.around.iter().for_each(|line| {
                let _ = writeln!(text, "{line}");
            });
            let _ = writeln!(text, "```");
        }
        text
    }

    /// As `report.md`, `report.json` and `timeline.svg`, beside the history (`history.jsonl`) the store's own log
    /// (`store.jsonl`).
    pub(crate) fn write(&self, folder: &Path) -> Result<(), String> {
        let json = serde_json::to_string_pretty(&self.figures).map_err(|error| error.to_string())?;
        let timeline = self.timeline.clone()?;
        let files = [
            ("report.md", self.text()),
            ("report.json", json + "\n"),
            ("timeline.svg", timeline),
            ("store.jsonl", self.store.clone()),
        ];
        for (name, text) in files {
            let file = folder.join(name);
            fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        }
        Ok(())
    }
}
