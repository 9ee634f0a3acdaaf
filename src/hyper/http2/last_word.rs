//! What is said at the deadline to clients that wait for an answer: as much as the socket takes at once.

use ::h2::Reason;
use ::hyper::header::HeaderValue;

use super::in_flight::InFlight;
use crate::hyper::answer;
use crate::web::DateLine;

/// Says that a request will not be answered any more. If part of its answer was sent, nothing is added to it, but
/// for gRPC: there the end of a stream of messages says how it ended.
///
/// A request is refused as not processed, which is safe to retry (RFC 9113, 8.7), if no handler was called, or if
/// it can be repeated by its method (RFC 9110, 9.2.2). Others get 503.
pub(super) fn say(request: &InFlight, date: &DateLine<HeaderValue>) {
    let is_grpc = request.is_grpc;
    if request.status.get() != 0 {
        #[cfg(feature = "grpc")]
        if is_grpc {
            request.end_with_trailers(answer::unavailable_trailers());
        }
    } else if !request.is_begun.get() || (request.line.is_idempotent() && !is_grpc) {
        request.reset(Reason::REFUSED_STREAM);
    } else {
        // If it fails, the client has reset the stream.
        let _ = request.send_head(answer::unavailable(is_grpc, date), false);
    }
}
