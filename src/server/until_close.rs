//! A stream whose peer can tell whether what it got was whole.

use crate::net::Stream;

/// A stream that is reset if it is dropped while what is sent on it has no other end than the close.
///
/// A FIN tells the peer that all was sent. Where work is cut off, by the deadline, an error or a panic, that
/// would be a lie; so the close is made a reset. Nothing is asked of the system before.
pub(crate) struct UntilClose<S: Stream> {
    /// There until it is taken out.
    stream: Option<S>,
    cut_resets: bool,
}

impl<S: Stream> UntilClose<S> {
    pub(crate) fn new(stream: S) -> UntilClose<S> {
        UntilClose { stream: Some(stream), cut_resets: false }
    }

    /// Sets whether a drop resets the stream. At first it does not.
    pub(crate) fn set_cut_resets(&mut self, resets: bool) {
        self.cut_resets = resets;
    }

    pub(crate) fn get_mut(&mut self) -> &mut S {
        self.stream.as_mut().expect("it is taken out by value only")
    }

    pub(crate) fn into_inner(mut self) -> S {
        self.stream.take().expect("it is taken out once")
    }
}

impl<S: Stream> Drop for UntilClose<S> {
    fn drop(&mut self) {
        if let (Some(stream), true) = (&self.stream, self.cut_resets) {
            stream.reset_on_close();
        }
    }
}
