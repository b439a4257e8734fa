//! Pages of `docs/` with sections that commands write.

use std::{fs, process::Command};

use crate::cargo::Result;

/// A page below `docs/`.
#[derive(Clone, Copy)]
pub(crate) struct Page(pub(crate) &'static str);

impl Page {
    pub(crate) const RELIABILITY: Self = Self("reliability.md");

    pub(crate) fn path(self) -> String {
        format!("{}/../docs/{}", env!("CARGO_MANIFEST_DIR"), self.0)
    }

    /// What stands between the section's marks.
    pub(crate) fn section(self, name: &str) -> Result<String> {
        let page = fs::read_to_string(self.path())?;
        let (_, section, _) =
            around(&page, name).ok_or_else(|| format!("{} has no section {name}", self.0))?;
        Ok(section.to_owned())
    }

    /// Replaces what stands between the section's marks.
    pub(crate) fn write_section(self, name: &str, text: &str) -> Result<()> {
        let path = self.path();
        let page = fs::read_to_string(&path)?;
        fs::write(
            &path,
            replaced(&page, name, text).ok_or_else(|| format!("{path} has no section {name}"))?,
        )?;
        eprintln!("wrote {path}");
        Ok(())
    }
}

/// The day, and what is measured on.
pub(crate) fn machine() -> Result<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = field(&cpu, "model name").unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism()?;
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = field(&memory, "MemTotal").and_then(|total| total.strip_suffix(" kB")?.parse::<u64>().ok());
    let memory = kib.map(|kib| format!(" {} GiB,", kib >> 20)).unwrap_or_default();
    let (kernel, rust, date) =
        (run("uname", &["-sr"])?, run("rustc", &["--version"])?, run("date", &["-I"])?);
    Ok(format!("{date}: {model}, {cores} cores,{memory} {kernel}, {rust}"))
}

/// What a file below `/proc` says under this name.
fn field<'a>(file: &'a str, name: &str) -> Option<&'a str> {
    let value = file.lines().find_map(|line| line.strip_prefix(name))?;
    Some(value.trim_start_matches([' ', '\t', ':']))
}

/// What the program prints, without the ends of it that are blank.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program} {}: {}", arguments.join(" "), output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn replaced(page: &str, name: &str, text: &str) -> Option<String> {
    let (before, _, after) = around(page, name)?;
    Some(format!("{before}{text}{after}"))
}

/// The page up to the section, the section, and what follows it.
fn around<'a>(page: &'a str, name: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (begin, finish) = (page.find(&start)? + start.len(), page.find(&end)?);
    Some((page.get(..begin)?, page.get(begin..finish)?, page.get(finish..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_section_is_replaced() {
        let page = "a\n<!-- x -->\nold\n<!-- /x -->\nb\n<!-- y -->\n<!-- /y -->\n";
        let expected = "a\n<!-- x -->\nnew\n<!-- /x -->\nb\n<!-- y -->\n<!-- /y -->\n";
        assert_eq!(replaced(page, "x", "new\n").unwrap(), expected);
        assert_eq!(replaced(page, "z", "new\n"), None);
    }

    #[test]
    fn proc_is_read() {
        assert_eq!(field("a: 1\nmodel name\t: AMD EPYC\n", "model name"), Some("AMD EPYC"));
        assert_eq!(field("a: 1\n", "model name"), None);
    }
}
