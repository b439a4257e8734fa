//! Private folders of servers.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use tempfile::TempDir;

const SHARED_MEMORY: &str = "/dev/shm";
/// An etcd member allocates 128 MB for its log before it has written anything.
const ENOUGH: u64 = 2 << 30;
const PREFIX: &str = "yourturn-";
const LOCK: &str = "lock";

/// An empty folder, deleted with what is in it when this is dropped. A test process that is killed leaves its
/// folders behind; the next one that makes a folder deletes those.
///
/// Unless somebody names its place, it is in memory where there is room: servers sync their files, and that
/// is what tests would wait for.
#[derive(Debug)]
pub(super) struct Folder {
    folder: TempDir,
    /// Locked as long as the process lives that made the folder.
    _lock: File,
}

impl Folder {
    pub(super) fn new(root: Option<&Path>) -> io::Result<Self> {
        if let Some(root) = root {
            return Self::below(root);
        }
        let roomy = |path: &str| {
            rustix::fs::statvfs(path).is_ok_and(|fs| fs.f_bavail.saturating_mul(fs.f_frsize) >= ENOUGH)
        };
        if roomy(SHARED_MEMORY)
            && let Ok(folder) = Self::below(Path::new(SHARED_MEMORY))
        {
            return Ok(folder);
        }
        Self::below(&std::env::temp_dir())
    }

    fn below(root: &Path) -> io::Result<Self> {
        sweep(root);
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(root)?;
        // It has its name only once it is locked, so nobody sees it unlocked while its owner lives.
        let unnamed = folder.path().join("unlocked");
        let lock = File::create(&unnamed)?;
        lock.lock()?;
        fs::rename(unnamed, folder.path().join(LOCK))?;
        Ok(Self { folder, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Deletes the folders whose owners are gone.
fn sweep(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let Ok(lock) = File::open(entry.path().join(LOCK)) else { continue };
        if ours && lock.try_lock().is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_without_an_owner_are_swept() {
        let root = tempfile::tempdir().unwrap();
        let kept = Folder::below(root.path()).unwrap();
        let left = Folder::below(root.path()).unwrap().folder.keep();
        let foreign = root.path().join("foreign");
        fs::create_dir(&foreign).unwrap();
        File::create(foreign.join(LOCK)).unwrap();
        sweep(root.path());
        assert!(kept.path().exists() && foreign.exists() && !left.exists());
    }
}
