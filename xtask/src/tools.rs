//! The programs that the stores' crates and tests need.

use std::{
    env,
    ffi::OsString,
    fmt::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::cargo::Result;

/// A program (or a file that one needs), the variable that can name it, and the Debian package that has it.
#[derive(Debug, PartialEq)]
struct Tool {
    program: &'static str,
    variable: &'static str,
    package: &'static str,
}

/// What protoc imports, in `include` beside its own folder. Debian's protoc only recommends the package.
const TYPES: &str = "google/protobuf/descriptor.proto";

const TOOLS: [Tool; 4] = [
    Tool { program: "etcd", variable: "YOURTURN_ETCD", package: "etcd-server" },
    Tool { program: "etcdctl", variable: "YOURTURN_ETCDCTL", package: "etcd-client" },
    Tool { program: "protoc", variable: "PROTOC", package: "protobuf-compiler" },
    Tool { program: TYPES, variable: "PROTOC_INCLUDE", package: "libprotobuf-dev" },
];

/// Makes sure that they are there: installs what is missing where there is apt-get, and fails elsewhere.
///
/// An etcd that Debian starts as a service listens on port 2379, which no test uses.
pub(crate) fn ensure() -> Result<()> {
    let here = || missing(|variable| env::var_os(variable), on_path);
    if here()?.is_empty() {
        return Ok(());
    }
    if on_path("apt-get").is_some() {
        install(&here()?)?;
    }
    let missing = here()?;
    if missing.is_empty() { Ok(()) } else { Err(complaint(&missing).into()) }
}

/// The tools that no variable names and that are not on `PATH`; an error for a name that leads nowhere.
fn missing(
    variable: impl Fn(&str) -> Option<OsString>,
    on_path: impl Fn(&str) -> Option<PathBuf>,
) -> Result<Vec<&'static Tool>> {
    let mut missing = Vec::new();
    let variable = |name: &str| variable(name).filter(|name| !name.is_empty());
    for tool in &TOOLS {
        match variable(tool.variable) {
            Some(name) if tool.program == TYPES && Path::new(&name).join(TYPES).is_file() => {}
            Some(name) if is_program(Path::new(&name)) => {}
            Some(name) => {
                return Err(format!("{}: there is no program {}", tool.variable, name.display()).into());
            }
            None if on_path(tool.program).is_some() => {}
            // A protoc from elsewhere brings its own.
            None if tool.program == TYPES && variable("PROTOC").is_some() => {}
            None => missing.push(tool),
        }
    }
    Ok(missing)
}

fn complaint(missing: &[&Tool]) -> String {
    let mut text = "missing programs; install them, or name them in variables:".to_owned();
    for Tool { program, variable, package } in missing {
        // Writing into a string does not fail.
        let _ = write!(text, "\n  {program}: set {variable} (Debian's package is {package})");
    }
    text
}

fn on_path(program: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    let folders = env::split_paths(&folders);
    if program == TYPES {
        return folders.map(|folder| folder.join("../include").join(TYPES)).find(|file| file.is_file());
    }
    folders.map(|folder| folder.join(program)).find(|file| is_program(file))
}

#[cfg(unix)]
fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(file: &Path) -> bool {
    file.is_file()
}

fn install(missing: &[&Tool]) -> Result<()> {
    apt_get(&["update"])?;
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(missing.iter().map(|tool| tool.package));
    apt_get(&arguments)
}

/// Runs apt-get as root; what it prints goes to the standard error output.
fn apt_get(arguments: &[&str]) -> Result<()> {
    let user = Command::new("id").arg("-u").output()?.stdout;
    let root = user.trim_ascii() == b"0";
    let words = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet"];
    let mut command = Command::new(if root { "env" } else { "sudo" });
    command.args(words.get(usize::from(root)..).unwrap_or_default()).args(arguments);
    eprintln!("+ apt-get {}", arguments.join(" "));
    let status = command.stdin(Stdio::null()).stdout(std::io::stderr()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("apt-get {}: {status}", arguments.join(" ")).into()),
        Err(error) => Err(format!("{}: {error}", command.get_program().display()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(missing: &[&Tool]) -> Vec<&'static str> {
        missing.iter().map(|tool| tool.program).collect()
    }

    #[test]
    fn what_is_neither_named_nor_on_path_is_missing() {
        let itself = env::current_exe().unwrap();
        let named = |variable: &str| (variable == "PROTOC").then(|| itself.clone().into());
        assert_eq!(names(&missing(named, |_| None).unwrap()), ["etcd", "etcdctl"]);
        let there = |program: &str| (program == "etcd").then(PathBuf::new);
        assert_eq!(names(&missing(|_| None, there).unwrap()), ["etcdctl", "protoc", TYPES]);
        // An empty variable names nothing.
        assert_eq!(names(&missing(|_| Some(OsString::new()), there).unwrap()), ["etcdctl", "protoc", TYPES]);
        assert!(missing(|_| None, |_| Some(PathBuf::new())).unwrap().is_empty());
    }

    #[test]
    fn a_variable_that_names_nothing_is_an_error_even_if_the_program_is_on_path() {
        let named = |variable: &str| (variable == "YOURTURN_ETCD").then(|| "/no/such/etcd".into());
        let error = missing(named, |_| Some(PathBuf::new())).unwrap_err().to_string();
        assert!(error.contains("YOURTURN_ETCD") && error.contains("/no/such/etcd"), "{error}");
        // A folder is no program.
        assert!(missing(|_| Some("/".into()), |_| None).is_err());
    }

    #[test]
    fn the_complaint_says_how_to_name_each_missing_program() {
        let [etcd, _, protoc, _] = &TOOLS;
        let text = complaint(&[etcd, protoc]);
        assert!(text.contains("YOURTURN_ETCD (") && text.contains("PROTOC (") && !text.contains("etcdctl"));
        assert!(text.contains("etcd-server") && text.contains("protobuf-compiler"));
    }
}
