//! What the features weigh, in crates.

use std::collections::BTreeSet;
use std::process::Command;

use crate::bound;

/// The crates below this one, on this platform.
fn crates(features: &[&str]) -> BTreeSet<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo.args(["tree", "--locked", "--offline", "--edges=normal", "--prefix=none", "--no-dedupe"]);
    let output = bound::output(cargo.args(features)).expect("cargo is running this test");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let tree = String::from_utf8(output.stdout).expect("names are text");
    let crates = tree.lines().map(|line| line.replace(" (proc-macro)", ""));
    crates.filter(|name| !name.is_empty() && !name.starts_with("adieu ")).collect()
}

#[test]
fn each_feature_keeps_to_its_weight() {
    let table: [(&[&str], usize); 4] = [
        (&["--no-default-features"], 36),
        (&[], 112),
        (&["--features=hyper"], 130),
        (&["--features=grpc"], 165),
    ];
    for (features, most) in table {
        let crates = crates(features);
        assert!(crates.len() <= most, "{features:?}: {} of {most}: {crates:#?}", crates.len());
    }
}

#[test]
fn nothing_brings_a_runtime_of_its_own() {
    for feature in ["--features=hyper", "--features=grpc"] {
        for name in crates(&[feature]) {
            let runtime = ["mio ", "hyper-util ", "axum "].iter().find(|it| name.starts_with(*it));
            assert_eq!(runtime, None, "{feature}");
        }
    }
}
