//! How this process's allocator treats memory that is no longer used.

/// Makes blocks of at least `bytes` go back to the system when they are freed.
///
/// glibc raises that size by itself to that of the largest block ever freed, and then keeps such blocks, in
/// as many heaps as there are threads. Other C libraries have nothing to be told. Answers whether it was taken.
#[cfg(target_env = "gnu")]
pub fn return_freed_blocks(bytes: u32) -> bool {
    let Ok(bytes) = i32::try_from(bytes) else {
        return false;
    };
    // SAFETY: mallopt takes two numbers and touches only the allocator's own settings, under its lock.
    let taken = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, bytes) };
    taken == 1
}

/// Makes blocks of at least `bytes` go back to the system when they are freed: they do so by themselves here.
#[cfg(not(target_env = "gnu"))]
pub fn return_freed_blocks(_bytes: u32) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_blocks_go_back() {
        assert!(return_freed_blocks(1 << 20));
        assert!(!return_freed_blocks(u32::MAX) || cfg!(not(target_env = "gnu")));
    }
}
