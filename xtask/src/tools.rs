//! What the stores' crates and tests need.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::cargo::Result;

/// What one needs, the variable that can name it, and the Debian package that has it.
#[derive(Debug, PartialEq)]
struct Tool {
    name: &'static str,
    kind: Kind,
    variable: &'static str,
    package: &'static str,
}

/// Where a tool is looked for, and what its variable names.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// On `PATH`; the program.
    Program,
    /// What protoc imports, in `include` beside its own folder; the folder in which it is. A protoc that a
    /// variable names brings its own.
    Include,
    /// In a folder of its own; a class path.
    Jar { folder: &'static str },
    /// In a folder of its own; the Python that has it.
    Module { folder: &'static str },
}

const TOOLS: [Tool; 9] = [
    Tool { name: "etcd", kind: Kind::Program, variable: "YOURTURN_ETCD", package: "etcd-server" },
    Tool { name: "etcdctl", kind: Kind::Program, variable: "YOURTURN_ETCDCTL", package: "etcd-client" },
    Tool { name: "protoc", kind: Kind::Program, variable: PROTOC, package: "protobuf-compiler" },
    // Debian's protoc only recommends the package.
    Tool {
        name: "google/protobuf/descriptor.proto",
        kind: Kind::Include,
        variable: "PROTOC_INCLUDE",
        package: "libprotobuf-dev",
    },
    Tool { name: "java", kind: Kind::Program, variable: "YOURTURN_JAVA", package: "default-jre-headless" },
    Tool { name: "javac", kind: Kind::Program, variable: "YOURTURN_JAVAC", package: "default-jdk-headless" },
    // Without the package's scripts, which want a JRE that shows windows.
    Tool {
        name: "zookeeper.jar",
        kind: Kind::Jar { folder: "/usr/share/java" },
        variable: "YOURTURN_ZOOKEEPER_CLASSPATH",
        package: "libzookeeper-java",
    },
    Tool {
        name: "curator-recipes.jar",
        kind: Kind::Jar { folder: "/usr/share/java" },
        variable: "YOURTURN_CURATOR_CLASSPATH",
        package: "libcurator-recipes-java",
    },
    Tool {
        name: "kazoo",
        kind: Kind::Module { folder: "/usr/lib/python3/dist-packages" },
        variable: "YOURTURN_PYTHON",
        package: "python3-kazoo",
    },
];

const PROTOC: &str = "PROTOC";

/// Makes sure that they are there: installs what is missing where there is apt-get, and fails elsewhere.
///
/// An etcd that Debian starts as a service listens on port 2379, which no test uses. The package of ZooKeeper
/// starts none.
pub(crate) fn ensure() -> Result<()> {
    let here = || missing(|variable| env::var_os(variable), Tool::is_installed);
    if here()?.is_empty() {
        return Ok(());
    }
    if on_path("apt-get", is_program) {
        install(&here()?)?;
    }
    let missing = here()?;
    if missing.is_empty() { Ok(()) } else { Err(complaint(&missing).into()) }
}

/// What this variable names, else this.
pub(crate) fn named_or(variable: &str, otherwise: &str) -> String {
    env::var(variable).ok().filter(|named| !named.is_empty()).unwrap_or_else(|| otherwise.to_owned())
}

/// The tools that no variable names and that are not installed; an error for a name that leads nowhere.
fn missing(
    variable: impl Fn(&str) -> Option<OsString>,
    is_installed: impl Fn(&Tool) -> bool,
) -> Result<Vec<&'static Tool>> {
    let mut missing = Vec::new();
    let variable = |name: &str| variable(name).filter(|name| !name.is_empty());
    for tool in &TOOLS {
        match variable(tool.variable) {
            Some(named) => tool.check(&named)?,
            None if tool.kind == Kind::Include && variable(PROTOC).is_some() => {}
            None if is_installed(tool) => {}
            None => missing.push(tool),
        }
    }
    Ok(missing)
}

impl Tool {
    fn is_installed(&self) -> bool {
        match self.kind {
            Kind::Program => on_path(self.name, is_program),
            Kind::Include => on_path(&format!("../include/{}", self.name), Path::is_file),
            Kind::Jar { folder } => Path::new(folder).join(self.name).is_file(),
            Kind::Module { folder } => Path::new(folder).join(self.name).is_dir(),
        }
    }

    /// An error when it is not where its variable says.
    fn check(&self, named: &OsStr) -> Result<()> {
        let absent = match self.kind {
            Kind::Program | Kind::Module { .. } => {
                Some(PathBuf::from(named)).filter(|file| !is_program(file))
            }
            Kind::Include => Some(Path::new(named).join(self.name)).filter(|file| !file.is_file()),
            Kind::Jar { .. } => env::split_paths(named).find(|entry| !is_on_class_path(entry)),
        };
        let Some(absent) = absent else { return Ok(()) };
        let what = if matches!(self.kind, Kind::Program | Kind::Module { .. }) { "program " } else { "" };
        Err(format!("{}: there is no {what}{}", self.variable, absent.display()).into())
    }
}

/// Whether this entry of a class path leads somewhere: a jar, a folder, or `folder/*` for all jars in it.
fn is_on_class_path(entry: &Path) -> bool {
    match entry.parent().filter(|_| entry.ends_with("*")) {
        Some(folder) => folder.is_dir(),
        None => entry.exists(),
    }
}

fn complaint(missing: &[&Tool]) -> String {
    let mut text = "missing programs; install them, or name them in variables:".to_owned();
    for Tool { name, variable, package, .. } in missing {
        // Writing into a string does not fail.
        let _ = write!(text, "\n  {name}: set {variable} (Debian's package is {package})");
    }
    text
}

/// Whether a folder of `PATH` has such a file of this name.
fn on_path(name: &str, is_it: impl Fn(&Path) -> bool) -> bool {
    let folders = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&folders).any(|folder| is_it(&folder.join(name)))
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

    const TYPES: &str = "google/protobuf/descriptor.proto";

    fn names(missing: &[&Tool]) -> Vec<&'static str> {
        missing.iter().map(|tool| tool.name).collect()
    }

    fn named(tool: &str, value: impl Into<OsString>) -> Result<Vec<&'static Tool>> {
        let tool = TOOLS.iter().find(|it| it.name == tool).unwrap();
        let value = value.into();
        missing(|variable| (variable == tool.variable).then(|| value.clone()), |_| false)
    }

    #[test]
    fn what_is_neither_named_nor_installed_is_missing() {
        let itself = env::current_exe().unwrap();
        let others = ["etcd", "etcdctl", "java", "javac", "zookeeper.jar", "curator-recipes.jar", "kazoo"];
        assert_eq!(names(&named("protoc", itself).unwrap()), others);
        let installed = |tool: &Tool| tool.name == "etcd" || tool.name.ends_with(".jar");
        let others = ["etcdctl", "protoc", TYPES, "java", "javac", "kazoo"];
        assert_eq!(names(&missing(|_| None, installed).unwrap()), others);
        // An empty variable names nothing.
        assert_eq!(names(&missing(|_| Some(OsString::new()), installed).unwrap()), others);
        assert!(missing(|_| None, |_| true).unwrap().is_empty());
    }

    #[test]
    fn a_variable_that_names_nothing_is_an_error_even_if_the_program_is_installed() {
        let etcd = |variable: &str| (variable == "YOURTURN_ETCD").then(|| "/no/such/etcd".into());
        let error = missing(etcd, |_| true).unwrap_err().to_string();
        assert!(error.contains("YOURTURN_ETCD") && error.contains("program /no/such/etcd"), "{error}");
        // A folder is no program.
        assert!(named("etcd", "/").is_err());
        let error = named(TYPES, "/no/such/include").unwrap_err().to_string();
        assert!(error.contains("PROTOC_INCLUDE") && error.contains(TYPES), "{error}");
    }

    #[test]
    fn each_entry_of_a_class_path_must_be_there() {
        let itself = env::current_exe().unwrap();
        let folder = itself.parent().unwrap();
        let entries = [folder.join("*"), itself.clone(), folder.to_owned()];
        let missing = named("zookeeper.jar", env::join_paths(&entries).unwrap()).unwrap();
        assert!(!names(&missing).contains(&"zookeeper.jar"));
        for absent in [folder.join("no-such/*"), folder.join("no-such.jar")] {
            let path = env::join_paths([&itself, &absent]).unwrap();
            let error = named("zookeeper.jar", path).unwrap_err().to_string();
            assert!(error.contains("YOURTURN_ZOOKEEPER_CLASSPATH"), "{error}");
            assert!(error.ends_with(&absent.display().to_string()), "{error}");
        }
    }

    #[test]
    fn the_complaint_says_how_to_name_each_missing_program() {
        let [etcd, _, protoc, _, _, _, zookeeper, ..] = &TOOLS;
        let text = complaint(&[etcd, protoc, zookeeper]);
        assert!(text.contains("YOURTURN_ETCD (") && text.contains("PROTOC (") && !text.contains("etcdctl"));
        assert!(text.contains("etcd-server") && text.contains("protobuf-compiler"));
        assert!(text.contains("YOURTURN_ZOOKEEPER_CLASSPATH (") && text.contains("libzookeeper-java"));
    }
}
