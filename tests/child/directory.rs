//! A directory of a test's own.
#![allow(dead_code)]

use std::fs;
use std::path::PathBuf;

/// A directory that is removed at the end. Its name has this process's id in it, so that the suite
/// can run twice at once.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("adieu-{}-{name}", std::process::id()));
        fs::create_dir(&path).expect("nobody else has it");
        Directory(path)
    }

    pub fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("it is UTF-8").to_owned()
    }

    /// A Unix socket in it: its path and its address.
    pub fn socket(&self) -> (PathBuf, String) {
        let path = self.0.join("app.sock");
        let address = format!("unix:{}", path.display());
        (path, address)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
