//! Owns the memory of lists that are long on hosts with very many sockets. Page faults would take a
//! sixth of the time of a look there, and huge pages take one for every 512 small ones.
//! Read: linux Documentation/admin-guide/mm/transhuge.rst.

use crate::syscall;

/// An empty list with room for `capacity` items, on huge pages if that fills some.
pub fn list<T>(capacity: usize) -> Vec<T> {
    let mut list = Vec::with_capacity(capacity);
    if capacity.saturating_mul(size_of::<T>()) >= WORTH_IT {
        syscall::memory::advise_huge_pages(list.spare_capacity_mut());
    }
    list
}

/// Four huge pages on most machines: of less, the small pages at both ends would be too great a part.
const WORTH_IT: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_on_huge_pages_holds_what_it_is_given() {
        for capacity in [0, 1, WORTH_IT / 8 - 1, WORTH_IT / 8, WORTH_IT] {
            let mut list = list(capacity);
            assert!(list.capacity() >= capacity);
            list.extend(0..capacity);
            assert!(list.iter().copied().eq(0..capacity));
        }
    }
}
