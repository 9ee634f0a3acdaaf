//! The services: servers on every engine, and services of other kinds.

use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use adieu::http::Http;
use adieu::testing::MemoryListener;
use adieu::{BoxError, Clock, Connection, Context, Server, Service, Shutdown, Tcp};
use fastrand::Rng;

use crate::engines::Engine;
use crate::life::accompany;
use crate::net::{UnkindListener, UnkindStream};
#[cfg(feature = "grpc")]
use crate::on_grpc;
use crate::on_http::handle;
#[cfg(feature = "hyper")]
use crate::on_hyper;
use crate::plan::ServicePlan;
use crate::talk::talk;
use crate::world::World;
use crate::{restarts, watch};

/// One service of the plan.
pub struct Simulated {
    pub world: Rc<World>,
    pub number: usize,
    pub listener: MemoryListener,
}

impl Service for Simulated {
    async fn serve(self, cx: Context) -> Result<(), BoxError> {
        let (world, number) = (self.world.clone(), self.number);
        accompany(&world, number, &cx, self.work(cx.clone())).await
    }
}

impl Simulated {
    async fn work(self, cx: Context) -> Result<(), BoxError> {
        let Simulated { world, number, listener } = self;
        let shutdown = cx.shutdown().clone();
        world.status.borrow_mut().get_or_insert(cx.status().clone());
        let plan = &world.plan.services[number];
        let stage = world.plan.stages[number];
        world.stops[stage].borrow_mut().get_or_insert(shutdown.clone());
        let _alive = world.alive.clone();
        let told = |world: &World| world.served[number].told.set(Some(world.now()));
        match plan {
            ServicePlan::Http { engine, max_connections, limits, handshakes } => {
                let listener = unkind(&world, number, listener, shutdown, *handshakes);
                let (limits, most) = (limits.clone(), *max_connections);
                let handler = world.clone();
                let served = match engine {
                    Engine::AsyncH1 => {
                        let http = Http::new(move |request, exchange| {
                            handle(handler.clone(), request, exchange)
                        });
                        let server = Server::new(listener, http.limits(limits));
                        server.max_connections(most).serve(cx).await
                    }
                    #[cfg(feature = "hyper")]
                    Engine::Hyper => {
                        let hyper = on_hyper::service(handler, cx.clone(), limits);
                        Server::new(listener, hyper).max_connections(most).serve(cx).await
                    }
                    #[cfg(feature = "grpc")]
                    Engine::Grpc => {
                        let grpc = on_grpc::service(handler, cx.clone(), limits);
                        Server::new(listener, grpc).max_connections(most).serve(cx).await
                    }
                };
                world.served[number].returned.set(true);
                return served;
            }
            ServicePlan::Tcp => {
                let listener = unkind(&world, number, listener, shutdown, Duration::ZERO);
                let handler = world.clone();
                let tcp =
                    Tcp::new(async move |stream: &mut UnkindStream, connection: &Connection| {
                        talk(&handler, number, stream, connection).await
                    });
                let served = Server::new(listener, tcp).serve(cx).await;
                world.served[number].returned.set(true);
                return served;
            }
            ServicePlan::Told(takes) => {
                shutdown.begun().await;
                told(&world);
                if let Some(earlier) = stage.checked_sub(1) {
                    let over = watch::until(&world, earlier).is_some_and(|at| world.now() >= at);
                    if !over && !world.aborted.get() && !watch::have_ended(&world, earlier) {
                        world.violation(format_args!("{number}: is told too early"));
                    }
                }
                cx.sleep(*takes).await;
            }
            ServicePlan::Stuck => pending().await,
            ServicePlan::Fails(after) => {
                cx.sleep(*after).await;
                return Err("simulated failure".into());
            }
            ServicePlan::Panics(after) => {
                cx.sleep(*after).await;
                panic!("simulated panic");
            }
            ServicePlan::Returns(after) => cx.sleep(*after).await,
            ServicePlan::Spawns(takes) => {
                for takes in *takes {
                    let (world, shutdown) = (world.clone(), shutdown.clone());
                    // Without the context: that it was spawned must be enough.
                    cx.spawn_named("told", async move {
                        let _alive = world.alive.clone();
                        shutdown.begun().await;
                        let served = &world.served[number];
                        served.told.set(Some(world.now()));
                        world.clock.sleep_until(world.clock.now() + takes).await;
                        served.done.set(served.done.get() + 1);
                    });
                }
            }
            ServicePlan::Restarts(_) => {
                let ended = restarts::serve(world.clone(), number, cx).await;
                world.served[number].returned.set(true);
                return ended;
            }
        }
        Ok(())
    }
}

fn unkind(
    world: &Rc<World>,
    service: usize,
    inner: MemoryListener,
    shutdown: Shutdown,
    handshakes: Duration,
) -> UnkindListener {
    let rng = Rng::with_seed(world.plan.seed ^ service as u64);
    UnkindListener { inner, world: world.clone(), service, shutdown, handshakes, rng }
}
