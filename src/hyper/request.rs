//! Requests that are refused before the service sees them.

use ::hyper::header::HOST;
use ::hyper::{Method, Request, StatusCode, Version};

/// Whether a request may go to the service; if not, the status that it is answered with.
///
/// The engines have checked its syntax. What they leave to their users is checked here: which host the
/// request is for, and that no two readers of it could think of two (RFC 9112, 3.2; RFC 9113, 8.3.1).
pub(super) fn check<B>(request: &Request<B>) -> Result<(), StatusCode> {
    let is_http2 = request.version() == Version::HTTP_2;
    if request.method() == Method::CONNECT {
        // Over HTTP/1.1 a service can answer it, with an upgrade of the connection.
        return if is_http2 { Err(StatusCode::METHOD_NOT_ALLOWED) } else { Ok(()) };
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next();
    let target = request.uri().authority();
    let is_named = match request.version() {
        Version::HTTP_2 => host.is_some() || target.is_some(),
        Version::HTTP_11 => host.is_some(),
        _ => true,
    };
    let is_one = match (host, target) {
        (Some(host), Some(target)) => {
            host.as_bytes().eq_ignore_ascii_case(target.as_str().as_bytes())
        }
        _ => true,
    };
    match is_named && is_one && hosts.next().is_none() {
        true => Ok(()),
        false => Err(StatusCode::BAD_REQUEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_for_one_host() {
        use Version as V;
        let table: [(V, &str, &[&str], bool); 13] = [
            (V::HTTP_11, "/", &["a"], true),
            (V::HTTP_11, "/", &[], false),
            (V::HTTP_11, "/", &["a", "a"], false),
            (V::HTTP_11, "http://a/", &["a"], true),
            (V::HTTP_11, "http://a:80/", &["A:80"], true),
            (V::HTTP_11, "http://a/", &["b"], false),
            (V::HTTP_10, "/", &[], true),
            (V::HTTP_10, "/", &["a", "b"], false),
            (V::HTTP_2, "http://a/", &[], true),
            (V::HTTP_2, "/", &["a"], true),
            (V::HTTP_2, "/", &[], false),
            (V::HTTP_2, "http://a/", &["b"], false),
            (V::HTTP_2, "http://a/", &["a", "a"], false),
        ];
        for (version, uri, hosts, passes) in table {
            let mut request = Request::builder().version(version).uri(uri);
            for host in hosts {
                request = request.header(HOST, *host);
            }
            let request = request.body(()).expect("it is a request");
            assert_eq!(check(&request).is_ok(), passes, "{request:?}");
        }
    }

    #[test]
    fn connect_is_for_http_1_alone() {
        for (version, passes) in [(Version::HTTP_11, true), (Version::HTTP_2, false)] {
            let request = Request::builder().version(version).method("CONNECT").uri("a:80");
            let request = request.body(()).expect("it is a request");
            assert_eq!(check(&request).is_ok(), passes);
        }
    }
}
