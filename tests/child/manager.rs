//! Somebody who listens to a service's notifications as systemd does.
#![allow(dead_code)]

use std::os::unix::net::UnixDatagram;

use super::bound;

/// Somebody who listens as systemd does.
pub struct Manager {
    pub socket: UnixDatagram,
    pub path: std::path::PathBuf,
}

impl Manager {
    pub fn new(name: &str) -> Manager {
        let path = std::env::temp_dir().join(format!("adieu-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(bound::PATIENCE)).unwrap();
        Manager { socket, path }
    }

    pub fn hears(&self) -> String {
        let mut message = [0; 4096];
        let len = self.socket.recv(&mut message).expect("a message");
        String::from_utf8(message[..len].to_vec()).unwrap()
    }

    /// Whether it has been told nothing so far.
    pub fn has_heard_nothing(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let nothing = self.socket.recv(&mut [0; 4096]).is_err();
        self.socket.set_nonblocking(false).unwrap();
        nothing
    }

    pub fn hears_of(&self, words: &str) -> String {
        let mut message = String::new();
        bound::until(words, || {
            message = self.hears();
            message.contains(words)
        });
        message
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
