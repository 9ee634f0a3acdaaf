//! The README shows what is really there.

const README: &str = include_str!("../../README.md");

#[test]
fn the_program_in_the_readme_is_the_example() {
    assert!(README.contains(include_str!("../../examples/hello.rs")));
}

#[test]
fn the_commands_in_the_readme_are_the_two() {
    assert!(README.contains("$ cargo run\n") && README.contains("$ cargo test\n"));
}
