//! The figures that are kept in the repository, and what is drawn from them.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use super::{figures::Section, page, plan::Environment, plot, store::Store};
use crate::{bench::PAGE, cargo::Result};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/performance");

fn file(store: &Store, extension: &str) -> PathBuf {
    Path::new(FOLDER).join(store.name).with_extension(extension)
}

/// None when nothing was measured yet.
pub(super) fn read(store: &Store) -> Result<Vec<Section>> {
    let file = file(store, "json");
    match fs::read_to_string(&file) {
        Ok(text) => Ok(serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(format!("{}: {error}", file.display()).into()),
    }
}

/// Puts this environment's figures in the place of older ones, and writes everything anew.
pub(super) fn keep(store: &Store, section: Section) -> Result<()> {
    let mut sections = read(store)?;
    sections.retain(|older| older.environment != section.environment);
    sections.push(section);
    sections.sort_by_key(|section| Environment::ALL.iter().position(|it| *it == section.environment));
    fs::create_dir_all(FOLDER)?;
    fs::write(file(store, "json"), serde_json::to_string_pretty(&sections)? + "\n")?;
    write(store, &sections)
}

/// Writes the page, and the plot if there is something to plot.
pub(super) fn write(store: &Store, sections: &[Section]) -> Result<()> {
    if !sections.is_empty() {
        fs::write(file(store, "svg"), plot::svg(store, sections)?)?;
    }
    PAGE.write_section(store.name, &page::page(store, sections))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{etcd::ETCD, zookeeper::ZOOKEEPER},
        *,
    };

    #[test]
    fn page_and_plot_are_those_of_the_figures() {
        let document = fs::read_to_string(PAGE.path()).unwrap();
        for store in [&ETCD, &ZOOKEEPER] {
            let sections = read(store).unwrap();
            let name = store.name;
            let section = format!("<!-- {name} -->\n{}<!-- /{name} -->", page::page(store, &sections));
            assert!(document.contains(&section), "cargo xtask bench {name} --redraw would change the page");
            if !sections.is_empty() {
                let svg = fs::read_to_string(file(store, "svg")).unwrap();
                assert!(svg == plot::svg(store, &sections).unwrap(), "and the plot of {name}");
            }
        }
    }
}
