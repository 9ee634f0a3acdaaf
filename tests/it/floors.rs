//! The house has floors: no file imports one above it, and there are no circles. `DESIGN.md` lists them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const DESIGN: &str = include_str!("../../DESIGN.md");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The files in the table, each with its place: floor and line.
fn places() -> BTreeMap<String, (usize, usize)> {
    let rows = DESIGN.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let floor: usize = cells.next()?.parse().ok()?;
        Some((floor, cells.next()?.trim_matches('`').to_owned()))
    });
    rows.enumerate().map(|(line, (floor, file))| (file, (floor, line))).collect()
}

/// All files of the library but its root, by their path below `src/`.
fn files(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.strip_prefix(root()).expect("below src").display().to_string();
        match path.is_dir() {
            true if name == "bin" => {}
            true => files(&path, found),
            false if name == "lib.rs" || !name.ends_with(".rs") => {}
            false => found.push(name),
        }
    }
}

/// The code of a file, without comments and unit tests.
fn code(file: &str) -> String {
    let text = fs::read_to_string(root().join(file)).expect("a file");
    let text = text.split("\nmod tests {").next().unwrap_or_default();
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
    text.lines().filter(is_code).collect::<Vec<_>>().join("\n")
}

/// The paths that a file names, from the root: `use` trees are taken apart.
fn paths(file: &str, code: &str) -> Vec<String> {
    let mut folder: Vec<&str> = file.trim_end_matches(".rs").split('/').collect();
    if folder.last() == Some(&"mod") {
        folder.pop();
    }
    let parent = &folder[..folder.len() - 1];
    let mut found = Vec::new();
    for (start, base) in [
        ("crate::", Vec::new()),
        ("super::super::", parent[..parent.len().saturating_sub(1)].to_vec()),
        ("super::", parent.to_vec()),
    ] {
        for (at, _) in code.match_indices(start) {
            let before = &code[..at];
            let is_inner = before.ends_with("super::") || before.ends_with("crate::");
            let is_longer = start == "super::" && code[at..].starts_with("super::super::");
            let is_visibility = before.ends_with("pub(in ");
            if is_inner || is_longer || is_visibility {
                continue;
            }
            expand(&code[at + start.len()..], &base.join("::"), &mut found);
        }
    }
    found
}

/// Takes `a::{b, c::d}` apart.
fn expand(tree: &str, base: &str, found: &mut Vec<String>) {
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let end = tree.find(|c| !is_name(c)).unwrap_or(tree.len());
    let (name, rest) = tree.split_at(end);
    let path = [base, name.trim_end_matches(':')].join("::").trim_matches(':').to_owned();
    let Some(inner) = rest.strip_prefix('{').filter(|_| name.ends_with("::") || name.is_empty())
    else {
        return found.push(path);
    };
    let (mut depth, mut start) = (0, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                let branch = inner[start..at].trim();
                if !branch.is_empty() {
                    expand(branch, &path, found);
                }
                start = at + 1;
                if c == '}' {
                    return;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
}

/// The file that a path leads to: of those in the table the one with the longest path.
fn leads_to(path: &str, places: &BTreeMap<String, (usize, usize)>) -> Option<String> {
    let names: Vec<&str> = path.split("::").collect();
    (1..=names.len()).rev().find_map(|len| {
        let stem = names[..len].join("/");
        [format!("{stem}.rs"), format!("{stem}/mod.rs")]
            .into_iter()
            .find(|file| places.contains_key(file))
    })
}

#[test]
fn every_file_has_a_floor_and_imports_only_what_is_below() {
    let places = places();
    let mut found = Vec::new();
    files(&root(), &mut found);
    let without: Vec<_> = found.iter().filter(|file| !places.contains_key(*file)).collect();
    assert!(without.is_empty(), "DESIGN.md does not list {without:?}");
    let gone: Vec<_> = places.keys().filter(|file| !found.contains(file)).collect();
    assert!(gone.is_empty(), "DESIGN.md lists {gone:?}, which are not there");

    let mut faults = Vec::new();
    for file in &found {
        let (floor, line) = places[file];
        let folder = file.rsplit_once('/').map(|(folder, _)| folder);
        for path in paths(file, &code(file)) {
            let Some(other) = leads_to(&path, &places) else { continue };
            let (other_floor, other_line) = places[&other];
            let together = folder.is_some() && other_floor == floor && other_line < line;
            if other != *file && other_floor >= floor && !together {
                faults.push(format!("{file} imports {other} ({path})"));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn an_import_that_goes_up_is_noticed() {
    let places = places();
    let code = "use super::{answer::{self, Checked}, wire::Wire};\nuse crate::words::LOG;";
    let mut found = paths("http/sending.rs", code);
    found.sort();
    assert_eq!(
        found,
        ["http::answer::Checked", "http::answer::self", "http::wire::Wire", "words::LOG"]
    );
    assert_eq!(leads_to("http::answer::Checked", &places).as_deref(), Some("http/answer.rs"));
    assert_eq!(leads_to("register::Entry", &places).as_deref(), Some("register/mod.rs"));
    let inside =
        paths("http/guard/fields.rs", "use super::head::Head;\nuse super::super::limits::L;");
    assert_eq!(inside, ["http::limits::L", "http::guard::head::Head"]);
    assert_eq!(paths("http/guard/mod.rs", "use super::limits::Limits;"), ["http::limits::Limits"]);
}

#[test]
fn the_reading_path_and_the_root_stay_small() {
    let lines = |file: &str| code(file).lines().count();
    let supervisor = fs::read_dir(root().join("supervisor")).expect("a folder");
    let supervisor = supervisor.map(|entry| entry.expect("an entry").file_name());
    let supervisor: usize =
        supervisor.map(|name| lines(&format!("supervisor/{}", name.display()))).sum();
    let path = ["service.rs", "shutdown.rs", "group.rs", "stage.rs"].map(lines);
    let path = path.iter().sum::<usize>() + supervisor;
    assert!(path <= 650, "the reading path has {path} lines of code");
    assert!(lines("supervisor/run.rs") <= 170);
    let entries = fs::read_dir(root()).expect("a folder").count();
    assert!(entries <= 28, "{entries} files and folders at the root of src/");
}

#[test]
fn fields_are_private_where_a_verb_can_stand() {
    let mut found = Vec::new();
    files(&root(), &mut found);
    let is_field = |line: &&str| {
        let field = line.trim_start().strip_prefix("pub(crate) ");
        field.is_some_and(|field| {
            let name = field.split(':').next().unwrap_or_default();
            name != field && name.chars().all(|c| c.is_lowercase() || c == '_' || c.is_numeric())
        })
    };
    let fields: Vec<String> = found
        .iter()
        .flat_map(|file| {
            let code = code(file);
            code.lines().filter(is_field).map(|line| format!("{file}:{line}")).collect::<Vec<_>>()
        })
        .collect();
    assert!(fields.len() <= 12, "{fields:#?}");
}
