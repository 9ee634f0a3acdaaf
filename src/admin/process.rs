//! What the system knows of this process. Where it cannot be asked, there is nothing to tell.

/// The name of the executable's file.
pub(super) fn program() -> Option<String> {
    let path = std::env::current_exe().ok()?;
    Some(path.file_name()?.to_string_lossy().into_owned())
}

/// Resident memory in bytes.
pub(super) fn resident_memory() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Open descriptors.
pub(super) fn open_descriptors() -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    // Since Linux 6.2 the folder's size is their number; before, and elsewhere, they are counted.
    match std::fs::metadata("/proc/self/fd").ok()?.size() {
        0 => Some(std::fs::read_dir("/proc/self/fd").ok()?.count() as u64 - 1),
        count => Some(count),
    }
}

/// How many descriptors there may be.
pub(super) fn most_descriptors() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}
