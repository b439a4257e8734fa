//! Names that lie in a store as they are, because other programs use the same ones.

use std::collections::BTreeMap;

use crate::{
    error::{Error, ErrorKind, Result},
    name::LineId,
};

/// The lines that one session is in, where names are [`Raw`](crate::Names::Raw): two that would be in each
/// other's way are not let in together.
#[derive(Clone, Debug, Default)]
pub struct RawNames(BTreeMap<String, LineId>);

impl RawNames {
    /// The session comes into this line.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`] when it is in another that has the same name, or whose name lies inside
    /// this one's, or around it.
    pub fn enter(&mut self, line: &LineId) -> Result<()> {
        let name = folder(line);
        let around = name.match_indices('/').filter_map(|(at, _)| self.0.get(name.get(..=at)?));
        let inside = self.0.range(name.clone()..).next();
        let inside = inside.filter(|(other, _)| other.starts_with(&name)).map(|(_, other)| other);
        if let Some(other) = around.chain(inside).find(|other| *other != line) {
            let message = format!(
                "this session is in line for {other}, and in this layout the two would be in each other's way"
            );
            return Err(Error::new(ErrorKind::InvalidName, message));
        }
        self.0.insert(name, line.clone());
        Ok(())
    }

    /// The session has left this line.
    pub fn leave(&mut self, line: &LineId) {
        let name = folder(line);
        if self.0.get(&name) == Some(line) {
            self.0.remove(&name);
        }
    }
}

/// As it is told whether one name lies inside another.
fn folder(line: &LineId) -> String {
    format!("{}/", line.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Kind;

    fn line(kind: Kind, name: &str) -> LineId {
        LineId::new(kind, name.parse().unwrap())
    }

    #[test]
    fn what_nests_or_is_of_another_kind_is_refused_until_the_other_has_left() {
        let (held, mut names) = (line(Kind::Mutex, "a/b"), RawNames::default());
        names.enter(&held).unwrap();
        names.enter(&held).unwrap();
        for beside in ["a/bc", "a/c", "b/a", "a b", "ab"] {
            names.enter(&line(Kind::Mutex, beside)).unwrap();
        }
        let clashes = [line(Kind::Mutex, "a"), line(Kind::Mutex, "a/b/c"), line(Kind::Task, "a/b")];
        for clash in &clashes {
            assert_eq!(names.enter(clash).unwrap_err().kind(), ErrorKind::InvalidName, "{clash}");
            names.leave(clash);
        }
        names.leave(&held);
        names.enter(&clashes[1]).unwrap();
        names.leave(&clashes[1]);
        names.enter(&clashes[2]).unwrap();
    }
}
