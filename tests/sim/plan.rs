//! What a seed decides: the services, their clients (`client_plan.rs`), and what befalls them when.

use std::time::Duration;

use adieu::Signal;
use adieu::http::Limits;
use fastrand::Rng;

use crate::client_plan::{ClientPlan, client};
use crate::engines::{self, Engine};
use crate::life::LifePlan;

/// Everything that happens in one run, except for how reads and writes are split (`net.rs`).
#[derive(Debug)]
pub struct Plan {
    pub seed: u64,
    pub lame_duck: Duration,
    pub grace: Duration,
    /// What each stage reserves of the grace period.
    pub reserves: Vec<Duration>,
    pub services: Vec<ServicePlan>,
    /// The stage of each service; services are in the order of their stages.
    pub stages: Vec<usize>,
    pub clients: Vec<ClientPlan>,
    pub events: Vec<(Duration, Event)>,
    /// What happens at the first instant happens before the run has its first turn.
    pub early: bool,
    pub life: LifePlan,
}

#[derive(Debug)]
pub enum ServicePlan {
    Http {
        engine: Engine,
        max_connections: usize,
        limits: Limits,
        /// For how long its listener waits for handshakes at the end.
        handshakes: Duration,
    },
    Tcp,
    /// Is told, and then takes so long to end.
    Told(Duration),
    Stuck,
    Fails(Duration),
    Panics(Duration),
    Returns(Duration),
    /// Returns at once, but has spawned two tasks of one name. They are told, and take so long to end.
    Spawns([Duration; 2]),
    Restarts(RestartPlan),
}

/// A worker that is started anew when it fails.
#[derive(Debug)]
pub struct RestartPlan {
    /// How long it runs each time before it fails, or panics. After that it works until it is told.
    pub fails: Vec<(Duration, bool)>,
    pub first_pause: Duration,
    pub longest_pause: Duration,
    pub healthy: Duration,
    /// So many failures within so long are too many.
    pub most: (usize, Duration),
}

#[derive(Clone, Copy, Debug)]
pub enum Event {
    Signal(Signal),
    Trigger,
    /// One accept(2) of this service fails with this error.
    Accept(usize, i32),
    /// For so long, every accept(2) of this service fails for want of descriptors.
    Starve(usize, Duration),
}

/// An idle limit that is short.
pub const IDLE: Duration = Duration::from_millis(500);

/// Few different lengths of time, so that things often happen at the same instant.
pub fn moment(rng: &mut Rng) -> Duration {
    const MILLIS: [u64; 12] = [0, 1, 10, 20, 50, 100, 200, 500, 1000, 1500, 2000, 3000];
    Duration::from_millis(MILLIS[rng.usize(..MILLIS.len())])
}

/// Mostly no time at all.
pub fn rest(rng: &mut Rng) -> Duration {
    if one_in(rng, 4) { moment(rng) } else { Duration::ZERO }
}

pub fn one_in(rng: &mut Rng, many: usize) -> bool {
    rng.usize(..many) == 0
}

pub fn several<T>(rng: &mut Rng, most: usize, mut one: impl FnMut(&mut Rng) -> T) -> Vec<T> {
    let count = rng.usize(1..=most);
    (0..count).map(|_| one(rng)).collect()
}

impl Plan {
    pub fn new(seed: u64) -> Plan {
        let rng = &mut Rng::with_seed(seed);
        let mut services = several(rng, 4, service);
        if !services.iter().any(ServicePlan::listens) && !one_in(rng, 4) {
            services.push(http(rng));
        }
        let served: Vec<usize> = (0..services.len()).filter(|&i| services[i].listens()).collect();
        let mut clients = Vec::new();
        let mut events = vec![(moment(rng), cause(rng))];
        if one_in(rng, 4) {
            events.extend(several(rng, 3, |rng| (moment(rng), cause(rng))));
        }
        if !served.is_empty() {
            clients = several(rng, 24, |rng| {
                let service = served[rng.usize(..served.len())];
                client(rng, service, matches!(services[service], ServicePlan::Tcp))
            });
            if one_in(rng, 3) {
                events.extend(several(rng, 3, |rng| (moment(rng), trouble(rng, &served))));
            }
        }
        engines::draw(seed, &mut services, &mut clients);
        let life = LifePlan::draw(seed, &services, &mut events);
        events.sort_by_key(|(at, _)| *at);
        let grace = [0, 0, 1_000, 3_000, 10_000, 10_000][rng.usize(..6)];
        let grace = Duration::from_millis(grace);
        let (stages, reserves) = stages(rng, services.len(), grace);
        let early = one_in(rng, 4);
        let lame_duck = rest(rng);
        Plan { seed, lame_duck, grace, reserves, services, stages, clients, events, early, life }
    }
}

/// The stage of each service, and what each stage reserves: all together no more than there is.
fn stages(rng: &mut Rng, services: usize, grace: Duration) -> (Vec<usize>, Vec<Duration>) {
    let count = [1, 1, 2, 3][rng.usize(..4)];
    let mut stages: Vec<_> = (0..services).map(|_| rng.usize(..count)).collect();
    stages.sort_unstable();
    let reserve = |rng: &mut Rng| grace * rng.u32(..4) / (4 * count as u32);
    let reserves = (0..count).map(|_| reserve(rng)).collect();
    (stages, reserves)
}

impl Event {
    /// Whether it asks for the end of the run, if SIGHUP does.
    pub fn is_cause(&self) -> bool {
        matches!(self, Event::Signal(_) | Event::Trigger)
    }
}

impl ServicePlan {
    /// Whether clients connect to it.
    pub fn listens(&self) -> bool {
        matches!(self, ServicePlan::Http { .. } | ServicePlan::Tcp)
    }

    pub fn is_on_async_h1(&self) -> bool {
        matches!(self, ServicePlan::Http { engine: Engine::AsyncH1, .. })
    }
}

fn service(rng: &mut Rng) -> ServicePlan {
    match rng.usize(..24) {
        0 => ServicePlan::Stuck,
        1 => ServicePlan::Fails(moment(rng)),
        2 => ServicePlan::Panics(moment(rng)),
        3 => ServicePlan::Returns(moment(rng)),
        4 | 5 => ServicePlan::Told(moment(rng)),
        6 => ServicePlan::Spawns([moment(rng), moment(rng)]),
        7 => ServicePlan::Told(rest(rng)),
        8..12 => ServicePlan::Tcp,
        12 | 13 => ServicePlan::Restarts(restarts(rng)),
        _ => http(rng),
    }
}

fn restarts(rng: &mut Rng) -> RestartPlan {
    RestartPlan {
        fails: several(rng, 6, |rng| (rest(rng), rng.bool())),
        first_pause: [1, 50, 100][rng.usize(..3)] * Duration::from_millis(1),
        longest_pause: [1, 200, 1_000][rng.usize(..3)] * Duration::from_millis(1),
        healthy: [0, 500, 2_000][rng.usize(..3)] * Duration::from_millis(1),
        most: (rng.usize(1..6), [500, 10_000][rng.usize(..2)] * Duration::from_millis(1)),
    }
}

fn http(rng: &mut Rng) -> ServicePlan {
    // Slow clients are judged by the times that they take, not by rates.
    let mut limits = Limits { body_rate: 0, answer_rate: 0, ..Limits::default() };
    if one_in(rng, 4) {
        limits.idle = IDLE;
    }
    if one_in(rng, 6) {
        limits.head_time = Duration::from_secs(1);
    }
    if one_in(rng, 4) {
        limits.body_time = Duration::from_secs(1);
    }
    if one_in(rng, 4) {
        limits.requests = rng.u64(1..4);
    }
    let max_connections = if one_in(rng, 5) { rng.usize(1..4) } else { 1000 };
    let handshakes = Duration::from_millis([0, 1, 500][rng.usize(..3)]);
    ServicePlan::Http { engine: Engine::AsyncH1, max_connections, limits, handshakes }
}

fn cause(rng: &mut Rng) -> Event {
    match rng.usize(..20) {
        0..4 => Event::Trigger,
        4..8 => Event::Signal(Signal::Int),
        8..11 => Event::Signal(Signal::Quit),
        11 => Event::Signal(Signal::Hup),
        _ => Event::Signal(Signal::Term),
    }
}

fn trouble(rng: &mut Rng, served: &[usize]) -> Event {
    let service = served[rng.usize(..served.len())];
    match rng.usize(..12) {
        0 => Event::Accept(service, libc::EBADF),
        1..4 => Event::Accept(service, libc::EMFILE),
        4..6 => Event::Accept(service, libc::ECONNABORTED),
        _ => Event::Starve(service, moment(rng)),
    }
}
