//! The file of `--timeline`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

/// A file that a picture will be written to when the run is over.
pub struct Picture {
    path: PathBuf,
    file: File,
}

impl Picture {
    /// Creates the file or empties it, so that a mistake is found before anything is served, and
    /// so that an older picture is not taken for one of this run.
    pub fn begin(path: PathBuf) -> Result<Picture, String> {
        let cannot = |why: &dyn std::fmt::Display| {
            format!("--timeline: cannot write {}: {why}", path.display())
        };
        // Opening or writing a named pipe could take for ever.
        if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(cannot(&"it is there and is not a regular file"));
        }
        let file = File::create(&path).map_err(|error| cannot(&error))?;
        Ok(Picture { path, file })
    }

    pub fn finish(mut self, svg: &str) -> io::Result<()> {
        self.file.write_all(svg.as_bytes()).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot write {}: {error}", self.path.display()))
        })
    }
}
