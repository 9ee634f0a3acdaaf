//! Which bytes a URI may have (RFC 3986).
//!
//! A target with a byte that RFC 3986 does not allow in a URI is refused, for what stands behind a
//! server makes of such bytes what it likes: a URL parser reads `/x\..\admin` as `/admin`. These are
//! `" < > \ ^ { | }` and the backtick, everything that is not ASCII, and a percent sign without two
//! hexadecimal digits. A fragment (`#`) has no place in a target either. Square brackets are let in, though
//! RFC 3986 has them in hosts alone: browsers send them as they are (`?filter[name]=x`), and no parser
//! rewrites them.

pub(super) const MALFORMED: &str = "malformed request target";

/// Whether each byte of a target, or of its path and query, may stand in a URI; if not, why.
pub(crate) fn check_bytes(target: &str) -> Result<(), &'static str> {
    let mut bytes = target.bytes();
    while let Some(byte) = bytes.next() {
        let mut is_hex = || bytes.next().is_some_and(|byte| byte.is_ascii_hexdigit());
        let is_well = match byte {
            b'%' => is_hex() && is_hex(),
            _ => byte.is_ascii_alphanumeric() || b"/?-._~:@!$&'()*+,;=[]".contains(&byte),
        };
        if !is_well {
            return Err(MALFORMED);
        }
    }
    Ok(())
}
