//! Tokens, and lists of them (RFC 9110, 5.6.1 and 5.6.2).

/// The elements of a comma-separated list, without the empty ones.
pub(crate) fn tokens(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(|token| token.trim_matches([' ', '\t'])).filter(|token| !token.is_empty())
}

/// Whether a token may contain this byte.
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
