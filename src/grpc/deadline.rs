//! The time that a client gives to a call.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use ::hyper::Response;
use ::hyper::header::HeaderMap;
use futures_lite::future;
use tonic::Status;
use tonic::body::Body;

/// What every gRPC service answers.
pub(super) type Answer = Response<Body>;

/// The `grpc-timeout` of a call: at most eight digits and a unit. One that is malformed is none.
pub(super) fn of(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 60 * 60),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

/// The answer, or DEADLINE_EXCEEDED once `time` is up.
pub(super) async fn within(
    time: impl Future<Output = ()>,
    answer: impl Future<Output = Result<Answer, Infallible>>,
) -> Result<Answer, Infallible> {
    let too_late = async {
        time.await;
        Ok(Status::deadline_exceeded("the call took longer than the client allows").into_http())
    };
    future::or(answer, too_late).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        let table = [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("4m", Some(Duration::from_millis(4))),
            ("5u", Some(Duration::from_micros(5))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("123456789S", None),
            ("S", None),
            ("", None),
            ("-1S", None),
            ("+1S", None),
            ("1s", None),
            ("1", None),
        ];
        for (text, limit) in table {
            let value = text.parse().expect("it is a header value");
            let headers = HeaderMap::from_iter([("grpc-timeout".parse().expect("a name"), value)]);
            assert_eq!(of(&headers), limit, "{text:?}");
        }
    }
}
