//! Runs benchmarks and writes their figures, with the machine that they come from, into
//! `docs/performance.md`.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use serde_json::Value;

use crate::cargo::{self, Result};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/performance.md");

/// The in-process store.
pub(crate) fn memory() -> Result<()> {
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

    let mut text = machine()?;
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
    write_section("memory", &text)
}

/// The typical time of one turn, in nanoseconds, as criterion estimated it last.
fn estimate(benchmark: &Path) -> Result<f64> {
    let path = benchmark.join("new/estimates.json");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let estimates: Value = serde_json::from_str(&text)?;
    let median = estimates.pointer("/median/point_estimate").and_then(Value::as_f64);
    median.ok_or_else(|| format!("{}: no median", path.display()).into())
}

/// What the figures were measured on.
fn machine() -> Result<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let model = model.trim_start_matches([' ', '\t', ':']);
    let cores = std::thread::available_parallelism()?;
    let (kernel, rust, date) = (run("uname", "-sr")?, run("rustc", "--version")?, run("date", "-I")?);
    Ok(format!("{date}: {model}, {cores} cores, {kernel}, {rust}.\n"))
}

fn run(program: &str, argument: &str) -> Result<String> {
    let output = Command::new(program).arg(argument).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Replaces what stands between the section's marks.
fn write_section(name: &str, text: &str) -> Result<()> {
    let page = fs::read_to_string(PAGE)?;
    let (start, end) = (format!("<!-- {name} -->"), format!("<!-- /{name} -->"));
    let (before, rest) = page.split_once(&start).ok_or_else(|| format!("{PAGE} has no {start}"))?;
    let (_, after) = rest.split_once(&end).ok_or_else(|| format!("{PAGE} has no {end}"))?;
    fs::write(PAGE, format!("{before}{start}\n{text}{end}{after}"))?;
    eprintln!("wrote {PAGE}");
    Ok(())
}
