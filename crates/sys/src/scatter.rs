//! Owns the scattering of numbers that the kernel gave out one after the other.

/// Inodes and cookies are numbered one after the other, and addresses are multiples of a size;
/// multiplied by 2^64 / golden ratio they are spread evenly (Knuth, TAOCP volume 3, section 6.4).
pub(crate) const fn scattered(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
