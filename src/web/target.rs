//! Request targets: which bytes they may have.

/// Whether every byte may stand in a path and a query (RFC 3986, 3.3 and 3.4). A byte that may not is
/// read in different ways by different programs: a proxy in front and the handler would see two targets.
pub(crate) fn is_target(target: &str) -> bool {
    let mut bytes = target.bytes();
    while let Some(byte) = bytes.next() {
        let is_well = match byte {
            b'%' => {
                let is_hex = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_hexdigit());
                is_hex(bytes.next()) && is_hex(bytes.next())
            }
            // Unreserved characters, sub-delims, and what paths and queries allow on top.
            _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(&byte),
        };
        if !is_well {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rfc_3986_does_not_allow_is_refused() {
        for target in ["/", "/a/../b?c=d&e='f'", "/%2e%2E/@:;,!$()*+", "http://h/p?q??/", "*"] {
            assert!(is_target(target), "{target}");
        }
        for byte in b"\\|{}\"<>^`#[] \x00\x7f\x09" {
            let target = format!("/a{}b", char::from(*byte));
            assert!(!is_target(&target), "{target:?}");
        }
        for target in ["/%", "/%4", "/%4g", "/%zz", "/é"] {
            assert!(!is_target(target), "{target:?}");
        }
    }
}
