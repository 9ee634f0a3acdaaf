//! A request's head: its line, for people to read, and what is refused before the service sees it.

use std::fmt;

use ::hyper::header::{HOST, HeaderName, HeaderValue};
use ::hyper::{Method, Request, StatusCode, Uri, Version};

use crate::web::{Limits, check_bytes, check_host};

/// The request line, as logs and reports show it.
pub(super) struct Line(Method, Uri);

impl Line {
    pub(super) fn of<B>(request: &Request<B>) -> Line {
        Line(request.method().clone(), request.uri().clone())
    }

    /// Whether the request can be repeated (RFC 9110, 9.2.2).
    pub(super) fn is_idempotent(&self) -> bool {
        self.0.is_idempotent()
    }
}

/// The target.
impl AsRef<str> for Line {
    fn as_ref(&self) -> &str {
        self.1.path_and_query().map_or("", |target| target.as_str())
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.as_ref())
    }
}

/// Whether a request may go to the service; if not, the status that it is answered with.
///
/// The engines have checked its syntax, and keep it in bounds of their own. What they leave to their users is checked here: which host the
/// request is for, and that no two readers of it could think of two (RFC 9112, 3.2; RFC 9113, 8.3.1), or
/// of two targets.
pub(super) fn check<B>(request: &Request<B>, limits: &Limits) -> Result<(), StatusCode> {
    check_size(request, limits)?;
    let is_http2 = request.version() == Version::HTTP_2;
    if request.method() == Method::CONNECT {
        // Over HTTP/1.1 a service can answer it, with an upgrade of the connection.
        return if is_http2 { Err(StatusCode::METHOD_NOT_ALLOWED) } else { Ok(()) };
    }
    match names_one_host(request) && names_one_target(request.uri()) {
        true => Ok(()),
        false => Err(StatusCode::BAD_REQUEST),
    }
}

/// The limits are those of a head in the form of HTTP/1.1, whatever the version.
fn check_size<B>(request: &Request<B>, limits: &Limits) -> Result<(), StatusCode> {
    let (uri, fields) = (request.uri(), request.headers());
    let part = |part: Option<&str>| part.map_or(0, str::len);
    let target = part(uri.scheme_str())
        + part(uri.authority().map(|it| it.as_str()))
        + part(uri.path_and_query().map(|it| it.as_str()));
    let line = request.method().as_str().len() + target + "  HTTP/1.1\r\n".len();
    let size = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
    let head = line + fields.iter().map(size).sum::<usize>() + 2;
    match () {
        () if line > limits.head_size => Err(StatusCode::URI_TOO_LONG),
        () if head > limits.head_size || fields.len() > limits.headers => {
            Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
        }
        () => Ok(()),
    }
}

fn names_one_host<B>(request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    let host = match host.map(|host| host.to_str()) {
        Some(Err(_not_ascii)) => return false,
        Some(Ok(host)) => Some(host),
        None => None,
    };
    let target = request.uri().authority().map(|authority| authority.as_str());
    let is_named = match request.version() {
        Version::HTTP_2 => host.is_some() || target.is_some(),
        Version::HTTP_11 => host.is_some(),
        _ => true,
    };
    let is_one = host.zip(target).is_none_or(|(host, target)| host.eq_ignore_ascii_case(target));
    let are_well = host.into_iter().chain(target).all(|host| check_host(host).is_ok());
    is_named && is_one && are_well && second.is_none()
}

fn names_one_target(target: &Uri) -> bool {
    target.path_and_query().is_none_or(|path| check_bytes(path.as_str()).is_ok())
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
            assert_eq!(check(&request, &Limits::default()).is_ok(), passes, "{request:?}");
        }
    }

    #[test]
    fn connect_is_for_http_1_alone() {
        for (version, passes) in [(Version::HTTP_11, true), (Version::HTTP_2, false)] {
            let request = Request::builder().version(version).method("CONNECT").uri("a:80");
            let request = request.body(()).expect("it is a request");
            assert_eq!(check(&request, &Limits::default()).is_ok(), passes);
        }
    }
}
