//! What the features weigh, in crates.

use std::collections::BTreeSet;
use std::process::Command;

use crate::{bound, tools};

/// The crates below this one, on this platform; `None` where cargo cannot be run.
fn crates(features: &[&str]) -> Option<BTreeSet<String>> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo.args(["tree", "--locked", "--offline", "--edges=normal", "--prefix=none", "--no-dedupe"]);
    let Ok(output) = bound::output(cargo.args(features)) else {
        tools::skipped("cargo is not there, or not permitted");
        return None;
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let tree = String::from_utf8(output.stdout).expect("names are text");
    let crates = tree.lines().map(|line| line.replace(" (proc-macro)", ""));
    Some(crates.filter(|name| !name.is_empty() && !name.starts_with("adieu ")).collect())
}

/// The README's table of features: name, crates alone, crates with the defaults.
fn table() -> Vec<(&'static str, &'static str, &'static str)> {
    let section =
        include_str!("../../README.md").split("\n## ").find(|s| s.starts_with("Features"));
    let rows = section.expect("a section of features").lines().filter(|line| line.starts_with('|'));
    let row = |row: &'static str| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [_, name, _what, _default, alone, with_defaults, _] = cells[..] else {
            panic!("not five columns: {row}")
        };
        (name.trim_matches('`'), alone, with_defaults)
    };
    rows.skip(2).map(row).collect()
}

#[test]
fn each_feature_weighs_what_the_readme_says() {
    let table = table();
    assert!(table.len() > 5, "the table was not found: {table:?}");
    for (name, alone, with_defaults) in table {
        let features = if name == "(none)" { "" } else { name };
        for (base, told) in [(&["--no-default-features"][..], alone), (&[], with_defaults)] {
            if told.is_empty() {
                continue;
            }
            let arguments = [base, &["--features", features]].concat();
            let Some(crates) = crates(&arguments) else { return };
            assert_eq!(crates.len().to_string(), told, "{arguments:?}: {crates:#?}");
        }
    }
}

#[test]
fn nothing_brings_a_runtime_of_its_own() {
    for feature in ["--features=hyper", "--features=grpc"] {
        let Some(crates) = crates(&[feature]) else { return };
        for name in crates {
            let runtime = ["mio ", "hyper-util ", "axum "].iter().find(|it| name.starts_with(*it));
            assert_eq!(runtime, None, "{feature}");
        }
    }
}
