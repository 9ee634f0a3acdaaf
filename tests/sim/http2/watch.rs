//! What holds of connections over HTTP/2 whenever nothing more happens at an instant; and the health of gRPC's
//! services, as a client that watches it is told.

use std::future::{pending, poll_fn};
use std::time::Duration;

use adieu::hyper::h2;
use adieu::hyper::h2::client::SendRequest;
use adieu::hyper::hyper::Request;
use adieu::hyper::hyper::body::Bytes;

use super::{Plan, message};
use crate::client_plan::ClientPlan;
use crate::net::look as look_at;
use crate::watch::{FRESH, HEAD_GRACE, LINGER, SWEEP};
use crate::world::{Seen, World};

/// A client of a stage that was told to stop at this time.
pub fn look(
    world: &World,
    told: Duration,
    number: usize,
    plan: &ClientPlan,
    http2: &Plan,
    seen: &Seen,
) {
    let now = world.now();
    let ends = world.served[plan.service].ends.borrow();
    let Some(end) = seen.peer.and_then(|peer| ends.get(peer - 1)) else { return };
    let end = look_at(end);
    // A slow client may not have let the server write what it should have.
    let is_slow = !plan.reads.1.is_zero() || http2.keeps.is_none();
    if end.dropped || end.half_closed || is_slow {
        return;
    }
    let wire = &end.http2;
    let since = end.accepted_at.max(told);
    let late = |at: Duration| now > at.max(since) + HEAD_GRACE + SWEEP + LINGER[1];
    let Some(began) = wire.began() else {
        if now > end.accepted_at + FRESH {
            world.violation(format_args!("client {number} says nothing, and is not closed"));
        }
        return;
    };
    match wire.is_http2() {
        false if late(began) => {
            world.violation(format_args!("client {number} has not sent a preface, and stays"));
        }
        true if wire.goodbyes.is_empty() => {
            world.violation(format_args!("client {number} is not told to go away"));
        }
        true if !wire.is_in_flight() && late(wire.rested) => {
            world.violation(format_args!("client {number} has nothing in flight, and stays"));
        }
        _ => {}
    }
}

/// How the health is told, as `ServingStatus` of grpc.health.v1 numbers it.
const SERVING: u8 = 1;
const NOT_SERVING: u8 = 2;

/// Watches for as long as the connection lives, if the plan says so.
pub async fn health(world: &World, number: usize, http2: &Plan, requests: SendRequest<Bytes>) {
    // If it fails the connection has ended, or the judge finds out why.
    if http2.watches && watch_health(world, number, requests).await.is_ok() {
        world.tell(format_args!("client {number}: is told no more of the health"));
        world.seen[number].borrow_mut().http2.watch_ended = true;
    }
    pending().await
}

async fn watch_health(
    world: &World,
    number: usize,
    mut requests: SendRequest<Bytes>,
) -> Result<(), h2::Error> {
    poll_fn(|cx| requests.poll_ready(cx)).await?;
    let request = Request::post("http://sim/grpc.health.v1.Health/Watch")
        .header("content-type", "application/grpc")
        .body(())
        .expect("it is well-formed");
    let (answer, mut upload) = requests.send_request(request, false)?;
    drop(requests);
    // The service of no name: all of them.
    upload.send_data(message(&[]).into(), true)?;
    let mut answer = answer.await?.into_body();
    let mut told = Vec::new();
    while let Some(data) = poll_fn(|cx| answer.poll_data(cx)).await {
        let data = data?;
        told.extend_from_slice(&data);
        answer.flow_control().release_capacity(data.len())?;
        // A HealthCheckResponse is two bytes, of which the second is the status.
        while told.len() >= message(&[0; 2]).len() {
            let status = told.drain(..7).next_back().unwrap_or_default();
            world.tell(format_args!("client {number}: is told the health: {status}"));
            world.seen[number].borrow_mut().http2.health.push(status);
        }
    }
    let trailers = poll_fn(|cx| answer.poll_trailers(cx)).await?;
    match trailers.is_some_and(|trailers| trailers.get("grpc-status").is_some_and(|it| it == "0")) {
        true => Ok(()),
        false => Err(h2::Reason::INTERNAL_ERROR.into()),
    }
}

/// Who watches the health and reads at once was told whether the run is ready.
pub fn look_at_health(world: &World, number: usize, http2: &Plan, seen: &Seen) {
    let is_prompt = http2.is_prompt(&world.plan.clients[number]);
    let Some(told) = seen.http2.health.last().filter(|_| is_prompt) else { return };
    if seen.half_closed || seen.vanished || seen.left {
        return;
    }
    let is_ready = world.status.borrow().as_ref().is_some_and(|status| status.is_ready());
    let expected = if is_ready { SERVING } else { NOT_SERVING };
    if *told != expected && seen.ended.is_none() {
        world.violation(format_args!("client {number}: is told the health {told}, not {expected}"));
    }
}
