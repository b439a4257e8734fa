//! Calls to cargo.

use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
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

/// The packages of this workspace, with their features.
fn features() -> Result<Vec<(String, Vec<String>)>> {
    let metadata = metadata()?;
    let packages =
        metadata.get("packages").and_then(Value::as_array).ok_or("cargo metadata lists no packages")?;
    let read = |package: &Value| {
        let name = package.get("name")?.as_str()?.to_owned();
        Some((name, package.get("features")?.as_object()?.keys().cloned().collect()))
    };
    packages
        .iter()
        .map(|package| read(package).ok_or_else(|| "cargo metadata has another form".into()))
        .collect()
}
