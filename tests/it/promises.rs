//! The promises of README and docs/ and the rules of the drain: each is shown by tests and benchmarks
//! that exist.

use std::path::Path;

const README: &str = include_str!("../../README.md");
const MORE: &str = include_str!("../../docs/promises.md");
const RULES: &str = include_str!("../../docs/rules.md");

/// A promise and the backticked names behind it.
type Promise = (String, Vec<String>);

/// The sections of `docs/rules.md`, each with the names under its "Shown by".
fn rules() -> Vec<Promise> {
    let rule = |section: &str| {
        let (title, text) = section.split_once('\n').expect("a title");
        let shown_by = text.split_once("\nShown by\n").map_or("", |(_, names)| names);
        let names = shown_by.lines().filter_map(|line| line.strip_prefix("- "));
        (title.to_owned(), names.map(|name| name.trim_matches('`').to_owned()).collect())
    };
    RULES.split("\n## ").skip(1).map(rule).collect()
}

/// The rows of the README's table under "## Promises", and those of the page that has more of them.
fn promises() -> Vec<Promise> {
    let section = README.split("\n## ").find(|section| section.starts_with("Promises"));
    rows(section.expect("a section of promises")).chain(rows(MORE)).collect()
}

fn rows(table: &str) -> impl Iterator<Item = Promise> {
    let rows = table.lines().filter(|line| line.starts_with('|'));
    let promise = |row: &str| {
        let (promise, shown_by) = row.trim_matches('|').split_once('|').expect("two columns");
        let names = shown_by.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (promise.trim().to_owned(), names)
    };
    rows.skip(2).map(promise)
}

/// What is wrong with `file: test`, or `file`, if anything is.
fn fault(name: &str) -> Option<String> {
    let (file, test) =
        name.split_once(": ").map_or((name, None), |(file, test)| (file, Some(test)));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let Ok(text) = std::fs::read_to_string(path) else {
        return Some(format!("there is no {file}"));
    };
    // What comes after each `#[test]`, up to the function's name.
    let mut tests = text.split("#[test]").skip(1).filter_map(|test| test.split("fn ").nth(1));
    let mut declared = |test: &str| tests.any(|found| found.starts_with(&format!("{test}()")));
    match test {
        Some(test) if !declared(test) => Some(format!("{file} has no test {test}")),
        _ => None,
    }
}

#[test]
fn every_promise_is_shown_by_tests_and_benchmarks_that_exist() {
    let promises = promises();
    assert!(promises.len() > 30, "the table was not found: {promises:?}");
    for (promise, names) in promises {
        assert!(!names.is_empty(), "nothing shows that {promise}");
        let faults: Vec<String> = names.iter().filter_map(|name| fault(name)).collect();
        assert!(faults.is_empty(), "{promise}: {faults:?}");
    }
}

#[test]
fn every_rule_is_numbered_and_shown_by_tests_that_exist() {
    let rules = rules();
    assert_eq!(rules.len(), 13);
    for (number, (rule, names)) in (1..).zip(&rules) {
        assert!(rule.starts_with(&format!("{number}. ")), "{rule}");
        // What the last one promises is the table of the engines.
        assert!(number == 13 || !names.is_empty(), "nothing shows that {rule}");
        let faults: Vec<String> = names.iter().filter_map(|name| fault(name)).collect();
        assert!(faults.is_empty(), "{rule}: {faults:?}");
    }
}

#[test]
fn a_test_that_does_not_exist_is_noticed() {
    assert_eq!(fault("tests/it/promises.rs: a_test_that_does_not_exist_is_noticed"), None);
    assert!(fault("tests/it/promises.rs: promises").is_some(), "not a test: it is above them all");
    assert!(fault("tests/it/promises.rs: no_such").is_some());
    assert!(fault("benches/no_such.py").is_some());
}
