//! The in-process store.

use std::{fmt::Write as _, fs, path::Path};

use serde_json::Value;

use super::PAGE;
use crate::{
    cargo::{self, Result},
    page::machine,
};

pub(crate) fn run() -> Result<()> {
    let output = cargo::output(&["bench", "--package", "lock-core", "--bench", "memory"])?;
    print!("{output}");
    let waiter = output
        .lines()
        .find_map(|line| line.strip_prefix("resident bytes per waiter: "))
        .ok_or("the benchmark does not say how much a waiter takes")?;
    let criterion = cargo::target_directory()?.join("criterion");
    let nanos = |group: &str, id: &str| estimate(&criterion.join(group).join(id));
    let waiting = ["2", "16", "256", "10000"];
    let hand_offs: Vec<f64> =
        waiting.iter().map(|tasks| nanos("hand-off/yourturn", tasks)).collect::<Result<_>>()?;
    let (least, most) = hand_offs.iter().fold((f64::MAX, f64::MIN), |(a, b), x| (a.min(*x), b.max(*x)));

    let mut text = format!("{}.\n", machine()?);
    writeln!(
        text,
        "\n| one turn (lock and release), nanoseconds | yourturn | `tokio::sync::Mutex` |\n|---|---|---|"
    )?;
    let row = |what: &str, ours: f64, tokio: f64| format!("| {what} | {ours:.0} | {tokio:.0} |\n");
    text += &row("uncontended", nanos("uncontended", "yourturn")?, nanos("uncontended", "tokio")?);
    for (tasks, ours) in waiting.iter().zip(&hand_offs) {
        text += &row(&format!("handed among {tasks} waiting tasks"), *ours, nanos("hand-off/tokio", tasks)?);
    }
    let beside = nanos("beside 100,000 held locks", "yourturn")?;
    writeln!(text, "| uncontended, beside 100,000 held locks | {beside:.0} | |\n")?;
    writeln!(text, "- Hand-off, slowest to fastest over the number of waiting tasks: {:.2}.", most / least)?;
    writeln!(text, "- Resident memory per waiting task, the task itself included: {waiter} bytes.")?;
    PAGE.write_section("memory", &text)
}

/// The typical time of one turn, in nanoseconds, as criterion estimated it last.
fn estimate(benchmark: &Path) -> Result<f64> {
    let path = benchmark.join("new/estimates.json");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let estimates: Value = serde_json::from_str(&text)?;
    let median = estimates.pointer("/median/point_estimate").and_then(Value::as_f64);
    median.ok_or_else(|| format!("{}: no median", path.display()).into())
}
