//! Where answers go: standard output, or a file that is there whole or not at all.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// A file under a temporary name beside its own. Dropped before [`OutputFile::keep`], it leaves nothing behind; a
/// killed process leaves the temporary file.
pub struct OutputFile {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
}

impl OutputFile {
    /// Starts a file that replaces the one of this name, if there is one. What is there and no file (a folder, a
    /// device) is refused.
    pub fn create(path: &Path) -> io::Result<Self> {
        // A link stays a link: the file that it names is replaced.
        let path = match fs::canonicalize(path) {
            Ok(path) if !path.is_file() => return Err(io::Error::other("it is there already and no file")),
            Ok(path) => path,
            Err(_) => path.to_path_buf(),
        };
        let name = path.file_name().ok_or_else(|| io::Error::other("it has no file name"))?;
        let temporary = path.with_file_name(format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id()));
        Ok(Self { file: File::create(&temporary)?, temporary, path })
    }

    /// What to write to.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Gives the file its name, once its content is on the disk.
    pub fn keep(self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.temporary, &self.path)
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        // After `keep` there is no such file any more, and a failure changes nothing for the caller.
        let _ = fs::remove_file(&self.temporary);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Writing under the final name at once would leave half a file where the old one was.
    #[test]
    fn a_file_that_is_not_kept_leaves_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answer.csv");
        for (content, is_kept, expected) in [("one", true, "one"), ("two", false, "one"), ("three", true, "three")] {
            let mut output = OutputFile::create(&path).unwrap();
            output.file().write_all(content.as_bytes()).unwrap();
            if is_kept {
                output.keep().unwrap()
            } else {
                drop(output)
            }
            assert_eq!(fs::read_to_string(&path).unwrap(), expected);
            assert_eq!(names(folder.path()), ["answer.csv"]);
        }
    }

    #[test]
    fn folders_are_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        assert!(OutputFile::create(folder.path()).is_err());
        assert!(OutputFile::create(&folder.path().join("missing/answer.csv")).is_err());
    }
}
