//! Which engine serves each HTTP service, and which of its clients speak HTTP/2: as far as the features of this
//! build have engines.

use std::time::Duration;

use fastrand::Rng;

use crate::client_plan::ClientPlan;
use crate::http2;
use crate::plan::{ServicePlan, one_in};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    AsyncH1,
    /// Clients of this one speak HTTP/1.1 or HTTP/2.
    #[cfg(feature = "hyper")]
    Hyper,
    /// And clients of this one HTTP/2 alone.
    #[cfg(feature = "grpc")]
    Grpc,
}

/// The engines that take part.
pub const ENGINES: &[Engine] = &[
    Engine::AsyncH1,
    #[cfg(feature = "hyper")]
    Engine::Hyper,
    #[cfg(feature = "grpc")]
    Engine::Grpc,
];

/// Takes a plan in which async-h1 serves everybody, and lets the other engines have their share.
pub fn draw(seed: u64, services: &mut [ServicePlan], clients: &mut [ClientPlan]) {
    if ENGINES.len() == 1 {
        return;
    }
    // Dice of their own, so that the rest of the plan does not depend on them.
    let rng = &mut Rng::with_seed(seed ^ 0x656e_6769);
    for service in services.iter_mut() {
        let ServicePlan::Http { engine, limits, .. } = service else { continue };
        *engine = ENGINES[rng.usize(..ENGINES.len())];
        if *engine != Engine::AsyncH1 && one_in(rng, 3) {
            limits.answer_time = Duration::from_secs(1);
        }
        if engine.is_grpc() {
            limits.body_time = Duration::MAX;
        }
    }
    for client in clients {
        let ServicePlan::Http { engine, .. } = services[client.service] else { continue };
        if engine.is_grpc() || (engine != Engine::AsyncH1 && rng.bool()) {
            http2::draw(rng, client, engine.is_grpc());
        }
    }
}

impl Engine {
    pub fn is_grpc(self) -> bool {
        #[cfg(feature = "grpc")]
        return self == Engine::Grpc;
        #[cfg(not(feature = "grpc"))]
        return false;
    }
}
