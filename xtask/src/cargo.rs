//! Calls to cargo.

use std::{
    collections::BTreeSet,
    env,
    ffi::OsString,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn program() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments);
    command
}

/// Runs cargo, and fails when it does.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    eprintln!("+ cargo {}", arguments.join(" "));
    let status = cargo(arguments).status()?;
    if status.success() { Ok(()) } else { Err(format!("cargo {}: {status}", arguments.join(" ")).into()) }
}

/// Runs cargo, and gives what it prints.
pub(crate) fn output(arguments: &[&str]) -> Result<String> {
    eprintln!("+ cargo {}", arguments.join(" "));
    let output = cargo(arguments).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("cargo {}: {}", arguments.join(" "), output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs cargo on what other programs leave of the processors, and gives what it prints; when it fails, as the error.
pub(crate) fn run_aside(arguments: &[&str]) -> std::result::Result<String, String> {
    eprintln!("+ cargo {}", arguments.join(" "));
    let mut command = if cfg!(target_os = "linux") {
        // Who wakes up takes the processor from it at once; a low priority would keep it for some milliseconds.
        let mut idle = Command::new("chrt");
        idle.args(["--idle", "0"]).arg(program()).args(arguments);
        idle
    } else {
        cargo(arguments)
    };
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    let printed =
        [&output.stderr, &output.stdout].map(|text| String::from_utf8_lossy(text).into_owned()).concat();
    if output.status.success() { Ok(printed) } else { Err(format!("{}\n{printed}", output.status)) }
}

/// Compiles every package with each of its features alone, and with none.
pub(crate) fn check_features() -> Result<()> {
    for (package, features) in features()? {
        let check = ["check", "--quiet", "--package", &package, "--no-default-features"];
        run(&check)?;
        for feature in features.iter().filter(|feature| *feature != "default") {
            run(&[&check[..], &["--features", feature]].concat())?;
        }
    }
    Ok(())
}

fn metadata() -> Result<Value> {
    Ok(serde_json::from_str(&output(&["metadata", "--no-deps", "--format-version", "1"])?)?)
}

/// Where cargo puts what it makes.
pub(crate) fn target_directory() -> Result<PathBuf> {
    let metadata = metadata()?;
    let directory = metadata.get("target_directory").and_then(Value::as_str);
    Ok(directory.ok_or("cargo metadata names no target directory")?.into())
}

/// The names of all tests that are programs of their own.
pub(crate) fn test_targets() -> Result<Vec<String>> {
    let metadata = metadata()?;
    let of = |package: &Value| package.get("targets").and_then(Value::as_array).cloned().unwrap_or_default();
    let is_test = |target: &Value| target.pointer("/kind/0").and_then(Value::as_str) == Some("test");
    let name = |target: Value| Some(target.get("name")?.as_str()?.to_owned());
    let targets = packages(&metadata)?.iter().flat_map(of).filter(is_test).filter_map(name);
    Ok(targets.collect::<BTreeSet<_>>().into_iter().collect())
}

fn packages(metadata: &Value) -> Result<&Vec<Value>> {
    let packages = metadata.get("packages").and_then(Value::as_array);
    Ok(packages.ok_or("cargo metadata lists no packages")?)
}

/// The packages of this workspace, with their features.
fn features() -> Result<Vec<(String, Vec<String>)>> {
    let metadata = metadata()?;
    let read = |package: &Value| {
        let name = package.get("name")?.as_str()?.to_owned();
        Some((name, package.get("features")?.as_object()?.keys().cloned().collect()))
    };
    packages(&metadata)?
        .iter()
        .map(|package| read(package).ok_or_else(|| "cargo metadata has another form".into()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_prints_when_it_fails_is_the_error() {
        let failed = run_aside(&["no-such-command"]).unwrap_err();
        assert!(failed.contains("exit status: 101") && failed.contains("no-such-command"), "{failed}");
        assert!(run_aside(&["--version"]).unwrap().starts_with("cargo "));
    }
}
