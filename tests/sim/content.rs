//! What bodies hold.

/// The bytes of a body: no two bodies of a run have the same.
pub fn content(id: &str, len: usize) -> Vec<u8> {
    let unit = format!("{id} ");
    let mut bytes = unit.repeat(len / unit.len() + 1).into_bytes();
    bytes.truncate(len);
    bytes
}
