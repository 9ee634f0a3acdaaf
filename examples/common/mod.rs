//! What the examples share: a log that shows what happens, and one way to give addresses.

use std::process::exit;

/// Starts the log, at level info unless `RUST_LOG` says otherwise, and reads the arguments. For
/// each flag and its default it returns the address to listen on.
///
/// `--help` and arguments that make no sense end the program, with exit codes 0 and 2.
pub fn addresses<const N: usize>(flags: [(&str, &str); N]) -> [String; N] {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let mut addresses = flags.map(|(_, default)| default.to_owned());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        // `--listen ADDR` and `--listen=ADDR` are the same.
        let (flag, value) = match argument.split_once('=') {
            Some((flag, value)) => (flag, Some(value.to_owned())),
            None => (argument.as_str(), None),
        };
        if matches!(flag, "-h" | "--help") {
            println!("Options, each with its default:");
            flags.iter().for_each(|(flag, default)| println!("  {flag} ADDR    {default}"));
            println!("An ADDR is 127.0.0.1:8080, [::]:0 or unix:/tmp/app.sock.");
            exit(0);
        }
        let Some(known) = flags.iter().position(|(known, _)| *known == flag) else {
            give_up(&format!("unexpected argument {argument:?}"));
        };
        match value.or_else(|| arguments.next()) {
            Some(address) => addresses[known] = address,
            None => give_up(&format!("{flag} needs an address")),
        }
    }
    addresses
}

fn give_up(why: &str) -> ! {
    eprintln!("error: {why} (see --help)");
    exit(2)
}
