//! A watch for the reset of a connection whose peer has closed its side.
//!
//! After the end of the stream read(2) tells nothing but the end, whatever comes, and poll(2) for readability is
//! ready at once for ever. So the reset has to be watched for by itself.

use std::future::Future;
use std::pin::Pin;

/// Ready when the connection has been reset. It watches for as long as it is kept.
pub type ResetWatch = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// Watches a socket, if the system can; it costs one descriptor.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn watch_for_reset(socket: impl std::os::fd::AsFd) -> Option<ResetWatch> {
    use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

    // epoll_ctl(2): errors and hang-ups are reported although they are not asked for; nothing else is.
    let errors = epoll::create(CreateFlags::CLOEXEC).ok()?;
    epoll::add(&errors, socket, EventData::new_u64(0), EventFlags::empty()).ok()?;
    let errors = smol::Async::new_nonblocking(errors).ok()?;
    Some(Box::pin(async move {
        if errors.readable().await.is_err() {
            std::future::pending().await
        }
    }))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn watch_for_reset(_socket: impl std::os::fd::AsFd) -> Option<ResetWatch> {
    None
}
