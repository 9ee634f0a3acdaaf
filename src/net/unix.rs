//! Unix sockets: a name in the file system, or on Linux an abstract one.
//!
//! A socket file outlives the process that made it. One that is left over, and that nobody listens
//! on, is replaced; one that is ours is removed when its listener is dropped.

use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener as StdListener;
use std::path::{self, Path, PathBuf};
use std::task::{Context, Poll, ready};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use smol::Async;

use super::listener::{BACKLOG, CLOEXEC, Listener, Stream};
use super::peer::Peer;
use super::reset::{self, ResetWatch};
use crate::base::sys;
use crate::error::Error;
use crate::words::LOG;

/// How long the lock on a socket's directory is waited for, and how often it is tried. Another process
/// that binds a socket there holds it for less than a millisecond.
const LOCK_TIME: Duration = Duration::from_secs(1);
const LOCK_STEP: Duration = Duration::from_millis(10);

/// What the address of a Unix socket begins with.
pub(super) const SCHEME: &str = "unix:";

/// A stream as [`UnixListener`] accepts it: non-blocking.
pub type UnixStream = Async<std::os::unix::net::UnixStream>;

impl Stream for UnixStream {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Async::poll_readable(self, cx)
    }

    fn half_close(&self) -> io::Result<()> {
        self.get_ref().shutdown(std::net::Shutdown::Write)
    }

    fn reset_on_close(&self, _resets: bool) {}

    fn unreceived(&self) -> Option<usize> {
        sys::send_queue(self)
    }

    fn watch_for_reset(&self) -> Option<ResetWatch> {
        reset::watch_for_reset(self)
    }
}

/// A bound Unix socket that listens. Dropping it removes its file.
#[derive(Debug)]
pub struct UnixListener {
    listener: Async<StdListener>,
    address: String,
    accepted: u64,
    /// Bound by this process. A socket that was handed over may live on in its owner, so its file stays.
    bound_here: bool,
    /// Nobody can connect any more.
    closing: bool,
    _file: Option<SocketFile>,
}

impl UnixListener {
    fn new(listener: StdListener, name: &str) -> io::Result<UnixListener> {
        let (listener, address) = (Async::new(listener)?, format!("{SCHEME}{name}"));
        Ok(UnixListener {
            listener,
            address,
            accepted: 0,
            bound_here: false,
            closing: false,
            _file: None,
        })
    }

    /// Binds to an address such as `unix:/run/app.sock`, `unix:/run/app.sock,mode=660` or, on Linux
    /// only, `unix:@app` for an abstract name, which needs no file.
    ///
    /// The mode, in octal, are the permissions of the file: users who may write to it may connect.
    /// They hold before the first client can connect. Without a mode they are what the umask leaves.
    ///
    /// A socket file that is there already is replaced if nobody listens on it, decided under a lock
    /// on its directory (flock(2)), so that of two starters one gets the address and the other an
    /// error. Anything else that is there is an error, and so is a lock that another process holds for
    /// longer than a second. The file is removed when the listener is dropped, unless it has been replaced
    /// meanwhile; a killed process leaves its file behind.
    pub fn bind(address: &str) -> Result<UnixListener, Error> {
        let name = address.strip_prefix(SCHEME).unwrap_or(address);
        let name = Name::parse(name).map_err(|source| Error::Address {
            service: None,
            address: address.to_owned(),
            source,
        })?;
        let bound = match &name {
            Name::Abstract(name) => bind_abstract(name),
            Name::File { path, mode } => bind_file(path, *mode),
        };
        bound.map_err(|source| Error::Bind { service: None, address: address.to_owned(), source })
    }
}

/// Takes over a listener that somebody else has bound. Its file stays theirs.
impl TryFrom<StdListener> for UnixListener {
    type Error = io::Error;

    fn try_from(listener: StdListener) -> io::Result<UnixListener> {
        let address = listener.local_addr()?;
        let name = address.as_pathname().map_or("@".into(), Path::to_string_lossy);
        UnixListener::new(listener, &name)
    }
}

/// What stands behind `unix:`.
enum Name<'a> {
    Abstract(&'a str),
    File { path: PathBuf, mode: Option<u32> },
}

impl Name<'_> {
    fn parse(name: &str) -> io::Result<Name<'_>> {
        let invalid = |problem| io::Error::new(io::ErrorKind::InvalidInput, problem);
        if let Some(name) = name.strip_prefix('@') {
            return match name.is_empty() {
                true => Err(invalid("the abstract name is empty")),
                false => Ok(Name::Abstract(name)),
            };
        }
        let (path, mode) = match name.rsplit_once(",mode=") {
            Some((path, mode)) => match u32::from_str_radix(mode, 8) {
                Ok(mode) if mode <= 0o777 => (path, Some(mode)),
                _ => return Err(invalid("the mode is not an octal number up to 777")),
            },
            None => (name, None),
        };
        // Absolute, so that it still is the same file if the process changes its directory.
        Ok(Name::File { path: path::absolute(path)?, mode })
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn bind_abstract(name: &str) -> io::Result<UnixListener> {
    let socket = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, CLOEXEC, None)?;
    net::bind(&socket, &SocketAddrUnix::new_abstract_name(name.as_bytes())?)?;
    net::listen(&socket, BACKLOG)?;
    Ok(UnixListener { bound_here: true, ..UnixListener::new(socket.into(), &format!("@{name}"))? })
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn bind_abstract(_name: &str) -> io::Result<UnixListener> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "only Linux has abstract names"))
}

fn bind_file(path: &Path, mode: Option<u32>) -> io::Result<UnixListener> {
    // A socket that is bound but does not listen yet looks like a stale one. So one process at a time
    // may bind here. The lock ends with the directory's descriptor.
    let _lock = lock(path.parent().unwrap_or(Path::new("/")))?;
    let name = SocketAddrUnix::new(path)?;
    let socket = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, CLOEXEC, None)?;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    match net::bind(&socket, &name) {
        Err(Errno::ADDRINUSE) if is_stale(path, &name)? => {
            fs::remove_file(path)?;
            net::bind(&socket, &name)?;
        }
        bound => bound?,
    }
    let file = SocketFile::at(path)?;
    if let Some(mode) = mode {
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    net::listen(&socket, BACKLOG)?;
    let listener = UnixListener::new(socket.into(), &path.to_string_lossy())?;
    Ok(UnixListener { bound_here: true, _file: Some(file), ..listener })
}

/// Locks a directory: flock(2). Any user who may open it can hold the lock for as long as they like, so
/// it is not waited for without end. (Nor is the other end of a named pipe, should one be there instead.)
fn lock(directory: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(directory, flags, Mode::empty())?);
    let give_up = Instant::now() + LOCK_TIME;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if Instant::now() < give_up => thread::sleep(LOCK_STEP),
            Err(Errno::WOULDBLOCK) => {
                let directory = directory.display();
                return Err(io::Error::new(
                    io::ErrorKind::WouldBlock,
                    format!("another process holds a lock (flock) on {directory}"),
                ));
            }
            locked => return Ok(locked.map(|()| file)?),
        }
    }
}

/// Whether it is a stream socket that nobody listens on.
fn is_stale(path: &Path, name: &SocketAddrUnix) -> io::Result<bool> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Ok(false);
    }
    let probe = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, CLOEXEC, None)?;
    // A full accept queue would keep the probe waiting.
    rustix::io::ioctl_fionbio(&probe, true)?;
    Ok(net::connect(&probe, name) == Err(Errno::CONNREFUSED))
}

/// A file of ours, removed on drop.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<SocketFile> {
        Ok(SocketFile { path: path.to_owned(), identity: identity(&fs::symlink_metadata(path)?) })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| identity(&metadata) == self.identity);
        if !is_ours {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path) {
            log::warn!(target: LOG, error:%; "cannot remove {}: {error}", self.path.display());
        }
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(UnixStream, Peer)>> {
        loop {
            match accept(self.listener.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.listener.poll_readable(cx))?;
                }
                // The queue of a listener that was shut down is empty.
                Err(error) if self.closing && error.kind() == io::ErrorKind::InvalidInput => {
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Err(error)),
                Ok(stream) => {
                    self.accepted += 1;
                    return Poll::Ready(Ok((stream, Peer::Unix(self.accepted))));
                }
            }
        }
    }

    fn address(&self) -> String {
        self.address.clone()
    }

    // On Linux whoever connects from here on is refused, and the queue can still be accepted; on other
    // systems shutdown(2) of a listener is an error, and changes nothing.
    fn refuse_newcomers(&mut self) -> Duration {
        if self.bound_here {
            self.closing = net::shutdown(&self.listener, net::Shutdown::Read).is_ok();
        }
        Duration::ZERO
    }
}

// SO_PEERCRED could tell which process the client is. But for a client in another pid namespace, as
// between containers, it tells pid 0, which rustix's non-zero type must not hold.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn accept(listener: &StdListener) -> io::Result<UnixStream> {
    let stream = net::accept_with(listener, CLOEXEC | SocketFlags::NONBLOCK)?;
    Async::new_nonblocking(stream.into())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn accept(listener: &StdListener) -> io::Result<UnixStream> {
    let (stream, _unnamed) = listener.accept()?;
    Async::new(stream)
}
