#!/usr/bin/env python3
"""Breaks the drain in many ways, one at a time, and sees whether the simulation notices within 2,000 seeds.

    python3 tests/sim/mutants.py              all of them, and writes tests/sim/MUTANTS.md
    python3 tests/sim/mutants.py linger       those whose name contains a word; writes nothing

Works in a copy below target/, for about ten minutes. Exits 1 if a mutant survives, or if its text is not found in the source any more.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
COPY = ROOT / "target" / "mutants" / "copy"
RESULT = Path(__file__).parent / "MUTANTS.md"
SEEDS = 2_000


class Mutant(NamedTuple):
    name: str
    file: str
    edits: list[tuple[str, str]]  # what is there, and what is put in its place


def mutant(name: str, file: str, *texts: str) -> Mutant:
    return Mutant(name, file, list(zip(texts[::2], texts[1::2])))


MUTANTS = [
    mutant(
        "skips the last look before it closes", "http/resting.rs",
        "match self.http.poll_read(&mut self.stream,",
        "if over {\nreturn Poll::Ready(Ok(None));\n}\nmatch self.http.poll_read(&mut self.stream,",
    ),
    mutant(
        "skips the last look at the idle limit", "http/resting.rs",
        "let over = self.connection.draining()",
        "if self.connection.expired() {\nreturn Poll::Ready(Ok(None));\n}\nlet over = self.connection.draining()",
    ),
    mutant(
        "takes one read for all that has arrived", "http/wire.rs",
        "while self.inbox.len() <= LAST_LOOK {", "for _ in 0..1 {",
    ),
    mutant("skips the accept queue", "server.rs", "accepting.empty_the_queue().await?;", ""),
    mutant(
        "listens on in the drain", "server.rs",
        "accepting.empty_the_queue().await?;", "accepting.empty_the_queue().await?;\nstd::mem::forget(accepting);",
    ),
    mutant(
        "counts a connection only when its task runs", "server.rs",
        "let connection = cx.register.enter(cx.clone(), peer);\n        let entry = connection.entry();\n", "",
        "let work = self.protocol.clone().serve(stream, connection);\n", "let protocol = self.protocol.clone();\n",
        "self.cx.spawn(serving(work, cx, entry, place));",
        "self.cx.spawn(async move {\nlet connection = cx.register.enter(cx.clone(), peer);\n"
        "let entry = connection.entry();\n"
        "serving(protocol.serve(stream, connection), cx, entry, place).await;\n});",
    ),
    mutant("accepts beyond the limit", "server.rs", "self.cx.register.room(self.max_connections).await;", ""),
    mutant("does not back off without descriptors", "server.rs", "self.cx.sleep(self.pause).await;", ""),
    mutant(
        "ends connections in flight at once", "server.rs",
        "self.cx.spawn(serving(work, cx, entry, place));",
        "self.cx.spawn(async move {\nlet shutdown = cx.shutdown().clone();\n"
        "shutdown.race(serving(work, cx, entry, place)).await;\n});",
    ),
    mutant("forgets Connection: close", "http/answer.rs", 'response.insert_header(CONNECTION, "close");', ""),
    mutant(
        "keeps alive in the drain", "http/conversation.rs",
        "(!wire.connection.leaving() || next_has_arrived(wire, &upload).await)", "true",
    ),
    mutant(
        "drops what is pipelined", "http/conversation.rs",
        "(!wire.connection.leaving() || next_has_arrived(wire, &upload).await)", "!wire.connection.leaving()",
    ),
    mutant(
        "closes before the answer is flushed", "http/conversation.rs",
        "if wire.inbox.is_empty() || wire.outbox.len() > WRITE || !matches!(next, Next::Request) {",
        "if matches!(next, Next::Request) && (wire.inbox.is_empty() || wire.outbox.len() > WRITE) {",
    ),
    mutant(
        "does not linger", "http/conversation.rs",
        "Next::Close => linger(wire.stream, wire.connection).await?,", "Next::Close => {}",
    ),
    mutant(
        "lingers for long in the drain", "linger.rs",
        "const LINGER_DRAINING: Duration = Duration::from_millis(100);",
        "const LINGER_DRAINING: Duration = Duration::from_millis(150);",
    ),
    mutant(
        "waits for newcomers too long", "newcomer.rs",
        "const FRESH: Duration = Duration::from_millis(20);",
        "const FRESH: Duration = Duration::from_millis(40);",
    ),
    mutant("takes a short write for a whole one", "http/wire.rs", "self.connection.count_sent(amount);\n                        Poll::Ready(Ok(amount))", "let _ = amount;\nPoll::Ready(Ok(self.outbox.len()))"),
    mutant("counts an answer before it is written", "http/wire.rs", "_ => self.answers.push(answer),", "_ => answer.count(&self.connection),"),
    mutant(
        "counts an answer only with those behind it", "http/wire.rs",
        "take_while(|answer| answer.end <= written)", "take_while(|_| written == self.outbox.len())",
    ),
    mutant("forgets to count a panic", "http/handling.rs", "wire.connection.count_panic();", ""),
    mutant(
        "lets go of upgraded connections", "http/upgrade.rs",
        "let Err(_dropped) = closed.recv().await;", "drop(closed);",
    ),
    mutant(
        "does not wake idle connections", "register.rs",
        "limit_due(&entry.due, head_due);\n            }\n            entry.wake();",
        "limit_due(&entry.due, head_due);\n            }",
    ),
    mutant("gives half a head no limit", "register.rs", "if state == State::Head {\n                limit_due", "if false {\nlimit_due"),
    mutant("gives everybody the limit of half a head", "register.rs", "if state == State::Head {\n                limit_due", "if true {\nlimit_due"),
    mutant(
        "mixes up drained and closed idle", "connection.rs",
        "true => counts.drained += 1,\n                false => counts.closed_idle += 1,",
        "false => counts.drained += 1,\n                true => counts.closed_idle += 1,",
    ),
    mutant("does not name who is cut off", "status.rs", "named.extend(self.register.snapshots(room)", "named.extend(self.register.snapshots(0)"),
    mutant(
        "does not name a service that goes on", "status.rs",
        "named.extend(itself.into_iter().take(most.saturating_sub(before)));", "drop(itself);",
    ),
    mutant(
        "computes the deadline twice", "run.rs",
        "self.watch(began, deadline).await;", "self.watch(began, deadline.map(|at| at + self.grace)).await;",
    ),
    mutant("has no deadline", "run.rs", "orderly.or(aborted).or(missed).await", "orderly.or(aborted).or(async {\nlet _: Option<Signal> = missed.await;\npending().await\n}).await"),
    mutant("ignores the second signal", "run.rs", "orderly.or(aborted).or(missed).await", "{\nlet _ = aborted;\norderly.or(missed).await\n}"),
    mutant(
        "tells the services one by one", "run.rs",
        "for slot in self.slots(admin) {\n            slot.register.begin_drain();\n        }", "let _ = admin;",
        "info!(\"shutting down servers, please wait...\");",
        "for slot in self.slots(false) {\nslot.register.begin_drain();\nslot.group.ended().await;\n}",
    ),
    mutant(
        "forgets the lame duck", "run.rs",
        "self.be_a_lame_duck(began, grace).await;", "let _ = grace;",
    ),
    mutant(
        "counts the grace period from the drain on", "run.rs",
        "self.watch(began, deadline).await;",
        "self.watch(began, deadline.map(|at| at + self.lame_duck)).await;",
    ),
    mutant(
        "says nothing of the limit that the drain sets", "register.rs",
        "entry.wake();\n        }\n        self.tell_of_shorter_limit();", "entry.wake();\n        }",
    ),
    mutant("takes a failure for no cause", "run.rs", ".or(trigger).or(failure)", ".or(trigger).or({\nlet _ = failure;\npending()\n})"),
    mutant("leaves tasks behind", "supervisor.rs", "drop(executor);", "std::mem::forget(executor);"),
    mutant(
        "drops bytes of raw TCP that have arrived", "tcp.rs",
        "let over = self.draining();", "let over = self.draining();\nif over {\nreturn Poll::Ready(Ok(0));\n}",
    ),
    mutant("does not wake raw TCP", "tcp.rs", "self.wake_on_news(cx);", ""),
    mutant("does not linger after raw TCP", "tcp.rs", "Box::pin(linger(stream, connection)).await", "drop((stream, connection));\nOk(())"),
    mutant("tells admin services with the others", "run.rs", "self.ended(false).await;\n            }", "}"),
    mutant(
        "gives SIGQUIT the grace period", "run.rs",
        "(Duration::ZERO, Some(Signal::Quit))", "(self.grace, Some(Signal::Quit))",
    ),
    mutant(
        "takes the first signal for a second one", "run.rs",
        "let mut asked = matches!(cause, Cause::Signal(_));", "let mut asked = true;",
    ),
    mutant("goes on when all have finished", "run.rs", ".or(all_finished)", ".or({\nlet _ = all_finished;\npending()\n})"),
    mutant(
        "names another cause", "run.rs",
        "Ok(name) => Cause::Failed(name.to_string()),", "Ok(_) => Cause::Trigger,",
    ),
    mutant("calls a failure a success", "exit.rs", "None if report.services", "None if false && report.services"),
    mutant("calls a missed deadline a success", "exit.rs", "None if !report.stragglers.is_empty()", "None if false"),
    mutant(
        "keeps the limit when it empties the queue", "server.rs",
        "let accepted = poll_fn(|cx| self.listener.poll_accept(cx));\n            let",
        "self.cx.register.room(self.max_connections).await;\n"
        "let accepted = poll_fn(|cx| self.listener.poll_accept(cx));\nlet",
    ),
    mutant(
        "backs off for long in the drain", "server.rs",
        "self.pause = BACK_OFF.0;\n        for", "self.pause = BACK_OFF.1 * 3;\n        for",
    ),
    mutant("stops listening as a lame duck", "server.rs", "accepting.cx.shutdown().clone()", "accepting.cx.status().leaving().clone()"),
    mutant("counts nobody as closed idle", "connection.rs", "false => counts.closed_idle += 1,", "false => counts.drained += 1,"),
    mutant("counts a connection that was served as cut off", "connection.rs", "if register.open.borrow_mut().try_remove(self.key).is_none() {", "if register.draining.get() {"),
    mutant("counts bytes that were not written", "http/wire.rs", "self.connection.count_sent(amount);", "self.connection.count_sent(self.outbox.len() - written);"),
    mutant("counts every status as 2xx", "connection.rs", "counts.answer(status, took)", "counts.answer(200 + status % 100, took)"),
    mutant(
        "leaves a body in the way of the next request", "http/conversation.rs",
        "Some(upload) if keep_alive => upload.finish(wire).await?,", "",
    ),
    mutant("leaves memory behind", "register.rs", "let key = self.open", "std::mem::forget(entry.clone());\nlet key = self.open"),
    mutant("leaves a timer behind", "linger.rs", "cx.sleep(LINGER_DRAINING).await;", "let mut sleep = cx.clock().sleep_until(cx.clock().now() + LINGER_DRAINING);\nif future::poll_once(&mut sleep).await.is_none() {\nstd::mem::forget(sleep);\nstd::future::pending::<()>().await;\n}"),
    mutant("leaves a task behind", "group.rs", "executor.spawn(Counted { task, _alive: self.alive.clone() }).detach();", "std::mem::forget(executor.spawn(Counted { task, _alive: self.alive.clone() }));\nstd::mem::forget(executor);"),
    mutant("is a lame duck for too long", "run.rs", "self.clock.sleep_until(began + period);", "self.clock.sleep_until(began + period * 2);"),
    mutant(
        "waits on when all services have ended", "run.rs",
        "self.drain(true, &self.tell_admin);", "self.clock.sleep_until(began + self.grace / 2).await;\nself.drain(true, &self.tell_admin);",
    ),
    mutant("does not wait for tasks", "group.rs", "executor.spawn(Counted { task, _alive: self.alive.clone() })", "executor.spawn(task)"),
    mutant("calls every end graceful", "report.rs", "self.aborted.is_none() && !failed && self.stragglers.is_empty()", "self.aborted.is_none() && !failed"),
    mutant("does not count whom it accepts in the drain", "register.rs", "self.counts.borrow_mut().accepted += 1;", "self.counts.borrow_mut().accepted += u64::from(!self.draining.get());"),
    mutant("counts who left before the drain as drained", "connection.rs", "if register.draining.get() {\n            register.count", "if true {\nregister.count"),
    mutant("times no request", "counts.rs", "self.latency.observe(took);", "let _ = took;"),
    mutant("does not count what it reads", "http/resting.rs", "connection.count_received(amount);", "let _ = connection;"),
    mutant("never keeps alive", "http/conversation.rs", "let keep_alive = head.keep_alive\n", "let keep_alive = false\n"),
    mutant("goes on behind a close", "http/conversation.rs", "Ok(if keep_alive && ended { Next::Request } else { Next::Close })", "let _ = (keep_alive, ended);\nOk(Next::Request)"),
    mutant("loses a byte of a body", "http/upload.rs", "inbox.drain(..taken);\n        Ok(content)", "inbox.drain(..taken);\nif content.len() > 1 {\ncontent.pop();\n}\nOk(content)"),
    mutant(
        "says 100 Continue twice", "http/upload.rs",
        "wire.outbox.extend_from_slice(CONTINUE);\n            return", "wire.outbox.extend_from_slice(&CONTINUE.repeat(2));\nreturn",
    ),
    mutant("loses what came behind an upgrade", "http/upgrade.rs", "early: inbox.into()", "early: { drop(inbox); VecDeque::new() }"),
    mutant("turns round the bytes of raw TCP", "tcp.rs", "bytes.extend_from_slice(&buffer[..amount]);", "bytes.extend(buffer[..amount].iter().rev());"),
]


def main() -> int:
    wanted = [m for m in MUTANTS if all(word in m.name for word in sys.argv[1:])]
    for m in wanted:
        for old, _ in m.edits:
            if old not in (ROOT / "src" / m.file).read_text():
                print(f"{m.name}: {m.file} has no {old!r} any more")
    copy()
    if verdict := simulate():
        print(f"The simulation fails already: {verdict}")
        return 1
    rows = []
    for m in wanted:
        verdict = try_out(m)
        rows.append((m, verdict))
        print(f"{m.name}: {verdict or 'SURVIVES'}", flush=True)
    caught = sum(bool(verdict) and not verdict.startswith("?") for _, verdict in rows)
    print(f"{caught} passed, {len(rows) - caught} failed")
    if len(sys.argv) == 1:
        RESULT.write_text(table(rows))
    return int(caught < len(rows))


def copy() -> None:
    """Only what has changed since the last time, so that cargo builds no more than it must."""
    files = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in files.splitlines():
        target = COPY / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or target.read_bytes() != (ROOT / name).read_bytes():
            shutil.copyfile(ROOT / name, target)


def try_out(m: Mutant) -> str:
    """How the simulation caught it; "" if it did not; "? ..." if it could not be tried."""
    path = COPY / "src" / m.file
    original = path.read_text()
    text = original
    for old, new in m.edits:
        if old not in text:
            return f"? {m.file} has no {old!r} any more"
        text = text.replace(old, new)
    path.write_text(text)
    try:
        return simulate()
    finally:
        path.write_text(original)


def simulate() -> str:
    cargo = ["cargo", "test", "--quiet", "--test", "sim", "--no-default-features", "--features", "http"]
    target = ["--target-dir", str(COPY.parent)]
    built = subprocess.run([*cargo, *target, "--no-run"], cwd=COPY, capture_output=True, text=True)
    if built.returncode:
        return "? it does not build: " + built.stderr.strip()
    run = [*cargo, *target, "--", "--seeds", str(SEEDS), "--enough", "1"]
    # In a session of its own: what hangs is not cargo, but the simulation that it has started.
    with subprocess.Popen(run, cwd=COPY, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True) as run:
        try:
            told, _ = run.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)
            return "it hangs"
    if run.returncode == 0:
        return ""
    found = re.search(r"^seed (\d+):\n  (.*)", told, re.MULTILINE)
    return f"seed {found[1]}, {found[2]:.100}" if found else "it crashes"


def table(rows: list[tuple[Mutant, str]]) -> str:
    lines = [
        "# Mutants",
        "",
        "Each line breaks the drain in one way, and says what the simulation saw first. Written by `mutants.py`;",
        "seeds run on all cores, so which one comes first may differ by a few.",
        "",
        "| mutant | where | caught by |",
        "|---|---|---|",
    ]
    lines += [f"| {m.name} | `src/{m.file}` | {verdict or '**survives**'} |" for m, verdict in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
