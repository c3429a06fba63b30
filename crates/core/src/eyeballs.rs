//! Owns the order in which the addresses of a name are tried. Resolves and connects nothing.
//! Read: RFC 8305 (happy eyeballs, version 2), sections 4, 5 and 8.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

/// From the start of one attempt to that of the next, while none has failed (RFC 8305, section 8).
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The addresses of a name, families in turn, IPv6 first, each family in the order in which it was
/// given, none twice. A family whose path is broken then costs one delay, not one time-out for each of
/// its addresses.
pub fn interleaved(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let (mut six, mut four) = (VecDeque::new(), VecDeque::new());
    for address in addresses {
        let family = if address.is_ipv6() { &mut six } else { &mut four };
        if !family.contains(&address) {
            family.push_back(address);
        }
    }
    let mut order = Vec::with_capacity(six.len() + four.len());
    while !(six.is_empty() && four.is_empty()) {
        order.extend(six.pop_front());
        order.extend(four.pop_front());
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(addresses: &[&str]) -> Vec<String> {
        let parsed = addresses.iter().map(|address| address.parse().unwrap());
        interleaved(parsed).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn families_take_turns_and_keep_their_own_order() {
        let given = ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1", "[fd00::1]:1", "[fd00::2]:1"];
        let wanted = ["[fd00::1]:1", "10.0.0.1:1", "[fd00::2]:1", "10.0.0.2:1", "10.0.0.3:1"];
        assert_eq!(order(&given), wanted);
    }

    #[test]
    fn one_family_alone_is_left_as_it_is_and_no_address_is_tried_twice() {
        assert_eq!(
            order(&["10.0.0.2:1", "10.0.0.1:1", "10.0.0.2:1"]),
            ["10.0.0.2:1", "10.0.0.1:1"]
        );
        assert!(order(&[]).is_empty());
    }
}
