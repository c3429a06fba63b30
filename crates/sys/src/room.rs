//! Owns the memory of very many things of one kind. Knows nothing of them.

use crate::syscall::memory::prefer_large_pages;

/// An empty list with room for `count`, to be filled soon. A page is taken by a fault of the
/// processor, which lasts longer than to fill it, so of so many bytes that it matters the kernel is
/// asked for large pages. What is not filled takes no more than one of those.
pub fn room_for<T>(count: usize) -> Vec<T> {
    let mut room = Vec::with_capacity(count);
    if count.saturating_mul(size_of::<T>()) >= LARGE {
        prefer_large_pages(room.spare_capacity_mut());
    }
    room
}

/// Some large pages of most machines, which are of 2 MiB.
const LARGE: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_few_and_many_and_it_holds_what_is_put_there() {
        for count in [0, 1, LARGE / 8 - 1, LARGE / 8, LARGE] {
            let mut room = room_for::<u64>(count);
            assert!(room.is_empty() && room.capacity() >= count);
            room.extend(0..count as u64);
            assert!(room.iter().zip(0..).all(|(one, number)| *one == number));
        }
    }
}
