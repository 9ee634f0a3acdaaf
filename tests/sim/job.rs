//! One request as its handler sees it, whatever the engine: found in the plan by its path, done as it says.

use std::rc::Rc;
use std::time::Duration;

use async_channel::Receiver;

use crate::client::id;
use crate::client_plan::{BodyPlan, RequestPlan, Then};
use crate::content::content;
use crate::http2;
use crate::world::{Handled, World};

pub struct Job {
    pub world: Rc<World>,
    client: usize,
    number: usize,
    _alive: Rc<()>,
}

impl Job {
    /// The request with this path; nobody may ask for what is in no plan.
    pub fn begin(world: &Rc<World>, path: &str) -> Option<Job> {
        let path = path.trim_start_matches('/');
        let numbers = path.split_once('/').and_then(|(client, request)| {
            Some((client.parse::<usize>().ok()?, request.parse::<usize>().ok()?))
        });
        let asked = numbers.filter(|(client, number)| {
            let plan = world.plan.clients.get(*client);
            plan.is_some_and(|plan| plan.requests.len() > *number)
        });
        let Some((client, number)) = asked else {
            world.violation(format_args!("a request that nobody sent: {path}"));
            return None;
        };
        world.tell(format_args!("handler {path}: begins"));
        world.seen[client].borrow_mut().requests[number].was_begun = true;
        Some(Job { world: world.clone(), client, number, _alive: world.alive.clone() })
    }

    pub fn plan(&self) -> &RequestPlan {
        &self.world.plan.clients[self.client].requests[self.number]
    }

    pub fn id(&self) -> String {
        id(self.client, self.number)
    }

    fn service(&self) -> usize {
        self.world.plan.clients[self.client].service
    }

    /// What the handler has read is what the client has sent.
    pub fn check_body(&self, body: &[u8]) {
        let (id, plan) = (self.id(), &self.plan().body);
        let expected = match (&self.world.plan.clients[self.client].http2, plan) {
            (Some(http2), plan) => http2::body(http2, &id, plan),
            (None, BodyPlan::None) => Vec::new(),
            (None, BodyPlan::Length(len) | BodyPlan::Chunked(len, _)) => content(&id, *len),
        };
        if body != expected {
            self.world.violation(format_args!("request {id}: the body is not what was sent"));
        }
    }

    /// The handler comes to its end, with a panic if the plan says so.
    pub fn end(&self, draining: bool) {
        let (world, service) = (&self.world, self.service());
        let at = world.tell(format_args!("handler {}: ends", self.id()));
        let handled = Handled { at, leaving: world.says_close(service), draining };
        world.seen[self.client].borrow_mut().requests[self.number].handled = Some(handled);
        if let Then::Panic = self.plan().handling.then {
            let panics = &world.served[service].panics;
            panics.set(panics.get() + 1);
            panic!("simulated panic");
        }
    }

    /// What tasks of this request hold.
    pub fn held(&self) -> impl Sized + use<> {
        (self.world.served[self.service()].busy.clone(), self.world.alive.clone())
    }

    /// A body that comes in parts: what a task has to do for it, and the parts.
    pub fn in_parts<S: AsyncFn(Duration)>(
        &self,
        parts: &[(Duration, usize)],
        sleep: S,
    ) -> (impl Future<Output = ()> + use<S>, Receiver<Vec<u8>>) {
        let whole = content(&self.id(), parts.iter().map(|(_, len)| len).sum());
        let (sender, parts_sent) = async_channel::bounded(1);
        let (parts, held) = (parts.to_vec(), self.held());
        let work = async move {
            let _held = held;
            let mut at = 0;
            for (rest, len) in parts {
                sleep(rest).await;
                if sender.send(whole[at..at + len].to_vec()).await.is_err() {
                    return; // the client has gone
                }
                at += len;
            }
        };
        (work, parts_sent)
    }
}
