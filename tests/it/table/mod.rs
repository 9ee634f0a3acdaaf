//! The table of `docs/operating.md`: what becomes of each kind of client, on each engine, in each phase. Each
//! cell is seen here, and the page must say what was seen.

mod clients;
mod servers;

use std::fmt::Write;
use std::time::Duration;

use adieu::Signal;
use adieu::testing::Rig;

use clients::{Client, Speaks};
use servers::{Engine, Log};

const PAGE: &str = include_str!("../../../docs/operating.md");

const SECOND: Duration = Duration::from_secs(1);

/// When a client is looked at.
#[derive(Clone, Copy, PartialEq)]
enum When {
    Before,
    LameDuck,
    Drain,
    Deadline,
}

impl When {
    const ALL: [When; 4] = [When::Before, When::LameDuck, When::Drain, When::Deadline];

    fn words(self) -> &'static str {
        match self {
            When::Before => "before",
            When::LameDuck => "lame duck",
            When::Drain => "drain",
            When::Deadline => "deadline",
        }
    }

    /// Grace period, lame duck, and how long is looked.
    fn times(self) -> [Duration; 3] {
        match self {
            When::Before => [10 * SECOND, Duration::ZERO, 100 * SECOND],
            When::LameDuck => [100 * SECOND, 60 * SECOND, 59 * SECOND],
            When::Drain => [60 * SECOND, Duration::ZERO, 60 * SECOND],
            When::Deadline => [SECOND, Duration::ZERO, 2 * SECOND],
        }
    }
}

/// What a client does: what it sends before the phase begins, and in each second of it.
struct Row {
    who: &'static str,
    prepare: fn(&mut Client, &Rig),
    goes_on: fn(&mut Client, usize),
    /// Whether there are such clients of this engine.
    exists: fn(Engine) -> bool,
    /// Whether the phase begins in the very turn in which the client acts.
    at_once: bool,
}

impl Default for Row {
    fn default() -> Row {
        Row { who: "", prepare: |_, _| {}, goes_on: |_, _| {}, exists: |_| true, at_once: false }
    }
}

fn rows() -> Vec<Row> {
    vec![
        Row { who: "new, silent", ..Row::default() },
        Row {
            who: "in the accept queue, with a request",
            prepare: |client, _| client.ask("/"),
            at_once: true,
            ..Row::default()
        },
        Row {
            who: "idle, asks again after 1 s",
            prepare: |client, rig| {
                client.ask("/");
                client.settle(rig);
            },
            goes_on: |client, second| {
                if second == 1 && client.is_open() {
                    client.ask("/");
                }
            },
            ..Row::default()
        },
        Row {
            who: "idle, silent",
            prepare: |client, rig| {
                client.ask("/");
                client.settle(rig);
            },
            ..Row::default()
        },
        Row {
            who: "half a head, or half a preface",
            prepare: |client, _| client.half_a_head(),
            exists: |engine| engine != Engine::Tcp,
            ..Row::default()
        },
        Row {
            who: "a request whose handler takes 5 s",
            prepare: |client, _| client.ask("/slow"),
            ..Row::default()
        },
        Row {
            who: "a request whose handler never ends",
            prepare: |client, _| client.ask("/never"),
            ..Row::default()
        },
        Row {
            who: "half a body, the rest after 1 s",
            prepare: |client, _| client.upload(b"12345"),
            goes_on: |client, second| {
                if second == 1 {
                    client.more(b"67890", true);
                }
            },
            exists: |engine| engine != Engine::Tcp,
            ..Row::default()
        },
        Row {
            who: "half a body, then nothing",
            prepare: |client, _| client.upload(b"12345"),
            exists: |engine| engine != Engine::Tcp,
            ..Row::default()
        },
        Row {
            who: "a body that drips, a byte each second",
            prepare: |client, _| client.upload(b"1"),
            goes_on: |client, _| client.more(b"x", false),
            exists: |engine| engine != Engine::Tcp,
            ..Row::default()
        },
        Row {
            who: "takes its answer slowly, 10 KB each second",
            prepare: |client, _| client.ask_slowly("/big"),
            goes_on: |client, _| client.take(10_000),
            ..Row::default()
        },
        Row {
            who: "takes nothing of its answer",
            prepare: |client, _| client.ask_slowly("/big"),
            ..Row::default()
        },
        Row {
            who: "has closed its side, waits for 5 s",
            prepare: |client, rig| {
                client.ask("/slow");
                client.settle(rig);
                client.half_close();
            },
            ..Row::default()
        },
        Row {
            who: "is gone (reset), its handler never ends",
            prepare: |client, rig| {
                client.ask("/never");
                client.settle(rig);
                client.vanish();
            },
            ..Row::default()
        },
        Row {
            who: "upgraded, its handler watches the shutdown",
            prepare: |client, _| client.upgrade(),
            exists: |engine| matches!(engine, Engine::Http | Engine::Hyper1 | Engine::Tcp),
            ..Row::default()
        },
        Row {
            who: "receives `text/event-stream`",
            prepare: |client, _| client.ask("/events"),
            exists: |engine| !matches!(engine, Engine::Tcp | Engine::Grpc),
            ..Row::default()
        },
        Row {
            who: "receives any other stream",
            prepare: |client, _| client.ask("/stream"),
            ..Row::default()
        },
        Row {
            who: "has three requests under way, 1 s each",
            prepare: |client, _| client.ask_for_three("/second"),
            exists: |engine| engine != Engine::Tcp,
            ..Row::default()
        },
    ]
}

/// What becomes of one client, in a few words.
fn cell(row: &Row, engine: Engine, when: When) -> String {
    if !(row.exists)(engine) {
        return "–".to_owned();
    }
    let log = Log::default();
    let [grace, lame_duck, look] = when.times();
    let rig = Rig::serve_with(|supervisor, listener| {
        let supervisor = supervisor.grace(grace).lame_duck(lame_duck);
        servers::serve(engine, supervisor, listener, log.clone())
    });
    let speaks = match engine {
        Engine::Http | Engine::Hyper1 => Speaks::Http1,
        Engine::Hyper2 => Speaks::Http2,
        Engine::Grpc => Speaks::Grpc,
        Engine::Tcp => Speaks::Bytes,
    };
    let mut client = Client::new(speaks, &rig.network);
    if !row.at_once {
        client.greet(&rig);
    }
    (row.prepare)(&mut client, &rig);
    if !row.at_once {
        client.settle(&rig);
    }
    client.begin();
    let goes_on = matches!(when, When::Before | When::LameDuck);
    if when != When::Before {
        rig.signal(Signal::Term);
    }
    client.look(&rig, Duration::ZERO);
    let mut passed = Duration::ZERO;
    while passed < look {
        if passed.as_millis() % 1000 == 0 && !passed.is_zero() && !client.has_vanished() {
            (row.goes_on)(&mut client, passed.as_secs() as usize);
        }
        rig.pass(SECOND / 10);
        passed += SECOND / 10;
        client.look(&rig, passed);
        if rig.is_over() {
            log.over(passed);
        }
        if goes_on && client.has_its_answers() {
            break;
        }
    }
    match client.has_vanished() {
        true => log.words(goes_on),
        false => client.words(goes_on),
    }
}

fn table() -> String {
    let mut table = String::from(
        "| client | when | `Http` | `Hyper`, HTTP/1.1 | `Hyper`, HTTP/2 | `Grpc` | `Tcp` |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for row in rows() {
        for (number, when) in When::ALL.into_iter().enumerate() {
            let who = if number == 0 { row.who } else { "" };
            let cells = Engine::ALL.map(|engine| cell(&row, engine, when));
            writeln!(table, "| {who} | {} | {} |", when.words(), cells.join(" | "))
                .expect("text takes all");
        }
    }
    table
}

#[test]
fn each_kind_of_client_sees_what_the_page_on_operating_says() {
    let table = table();
    for line in table.lines() {
        assert!(
            PAGE.contains(line),
            "the page does not say\n{line}\nbut this is what is so:\n{table}"
        );
    }
}
