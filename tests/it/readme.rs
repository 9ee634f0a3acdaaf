//! The README shows what is really there, and all pages can be read in a terminal and in a diff.

const README: &str = include_str!("../../README.md");

/// The pages for users, each with its name.
const PAGES: [(&str, &str); 6] = [
    ("README.md", README),
    ("DESIGN.md", include_str!("../../DESIGN.md")),
    ("docs/operating.md", include_str!("../../docs/operating.md")),
    ("docs/promises.md", include_str!("../../docs/promises.md")),
    ("docs/rules.md", include_str!("../../docs/rules.md")),
    ("docs/testing.md", include_str!("../../docs/testing.md")),
];

#[test]
fn the_program_in_the_readme_is_the_example() {
    assert!(README.contains(include_str!("../../examples/hello.rs")));
}

#[test]
fn the_commands_in_the_readme_are_the_two() {
    assert!(README.contains("$ cargo run\n") && README.contains("$ cargo test\n"));
}

#[test]
fn the_readme_is_short() {
    assert!(README.lines().count() <= 170, "{} lines", README.lines().count());
}

#[test]
fn prose_is_wrapped_at_120() {
    for (name, page) in PAGES {
        // Rows of tables cannot be wrapped, and what a program has said is shown as it was said.
        let is_prose = |line: &&str| !line.starts_with('|') && !line.starts_with("    ");
        let long = page.lines().filter(is_prose).find(|line| line.chars().count() > 120);
        assert_eq!(long, None, "{name}");
    }
}
