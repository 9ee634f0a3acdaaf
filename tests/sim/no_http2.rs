//! In the place of `http2/` in a build without an engine for it.

use std::rc::Rc;
use std::time::Duration;

use adieu::testing::MemoryStream;
use fastrand::Rng;

use crate::client_plan::{BodyPlan, ClientPlan};
use crate::judge::Case;
use crate::net::End;
use crate::world::World;

/// There is no such client.
#[derive(Debug)]
pub enum Plan {}

#[derive(Debug, Default)]
pub struct Seen;

impl Seen {
    pub fn is_answered(&self, _number: usize) -> Option<bool> {
        None
    }
}

#[derive(Debug, Default)]
pub struct Wire;

impl Wire {
    pub fn note_read(&mut self, _: &[u8], _: Duration) {}

    pub fn note_written(&mut self, _: &[u8], _: Duration) {}

    pub fn answered(&self) -> usize {
        0
    }

    pub fn asked(&self) -> bool {
        false
    }

    pub fn is_part(&self) -> bool {
        false
    }
}

pub fn draw(_: &mut Rng, _: &mut ClientPlan, _is_grpc: bool) {}

pub async fn live(_: &Rc<World>, _number: usize, plan: &Plan, _: MemoryStream) {
    match *plan {}
}

pub fn judge(_: &Case<'_>, plan: &Plan, _: &End, _named: bool) -> Result<(), String> {
    match *plan {}
}

pub fn look(_: &World, _: Duration, _: usize, _: &ClientPlan, plan: &Plan, _: &crate::world::Seen) {
    match *plan {}
}

pub fn body(plan: &Plan, _: &str, _: &BodyPlan) -> Vec<u8> {
    match *plan {}
}

pub fn look_at_health(_: &World, _number: usize, plan: &Plan, _: &crate::world::Seen) {
    match *plan {}
}
