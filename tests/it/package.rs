//! What the crate's package holds.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{bound, tools};

/// The files that cargo would pack, by their paths in this repository; `None` where it cannot be run.
fn files() -> Option<BTreeSet<String>> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = bound::output(cargo.args(["package", "--list", "--offline", "--allow-dirty"]));
    let Ok(output) = output else {
        tools::skipped("cargo is not there, or not permitted");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let files = String::from_utf8(output.stdout).expect("names are text");
    Some(files.lines().map(str::to_owned).collect())
}

/// The targets of a page's links and pictures, without those that lead elsewhere.
fn links(page: &str) -> impl Iterator<Item = &str> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://") && !target.starts_with('#'))
}

/// The path that a link leads to; `..` is the folder above.
fn joined(folder: &Path, link: &str) -> PathBuf {
    let mut path = folder.to_path_buf();
    for part in link.split('/') {
        match part {
            ".." => assert!(path.pop(), "{link} leads out of the package"),
            part => path.push(part),
        }
    }
    path
}

#[test]
fn whatever_a_packed_page_links_to_is_packed() {
    let Some(files) = files() else { return };
    let mut followed = 0;
    for page in files.iter().filter(|file| file.ends_with(".md")) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
        let text = std::fs::read_to_string(path).expect("cargo found it");
        let folder = Path::new(page).parent().expect("it is a file");
        for link in links(&text) {
            let target = joined(folder, link);
            assert!(files.contains(target.to_str().expect("it is text")), "{page}: {link}");
            followed += 1;
        }
    }
    assert!(followed > 5, "the links were not found");
}

#[test]
fn users_are_not_sent_what_only_this_repository_needs() {
    let Some(files) = files() else { return };
    let needless = |file: &&String| {
        ["tests/", "fuzz/", ".ci/", "deploy/"].iter().any(|folder| file.starts_with(folder))
    };
    assert_eq!(files.iter().find(needless), None);
    for needed in ["src/lib.rs", "examples/hello.rs", "LICENSE-MIT", "README.md", "Cargo.lock"] {
        assert!(files.contains(needed), "{needed}: {files:?}");
    }
}
