//! Who may come: permissions of an allocation (RFC 8656, section 9).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// Addresses that are let through at a time. Beyond it the one that was asked for longest ago is renewed no more.
pub const MAX_PERMISSIONS: usize = 64;

/// A permission lasts 300 s.
const RENEW: Duration = Duration::from_secs(240);

#[derive(Default)]
pub(crate) struct Permissions {
    held: BTreeMap<IpAddr, Permission>,
    asked: u64,
    /// The family of the relayed address, once it is known: a server relays within one.
    is_v4: Option<bool>,
}

struct Permission {
    /// When to tell the server.
    due: Duration,
    /// Its place in the order in which they were asked for.
    asked: u64,
}

impl Permissions {
    /// Ignores addresses of another family than this one's.
    pub(crate) fn only_like(&mut self, relayed: IpAddr) {
        self.is_v4 = Some(relayed.is_ipv4());
        self.held.retain(|address, _| address.is_ipv4() == relayed.is_ipv4());
    }

    /// Lets an address through from now on.
    pub(crate) fn ask(&mut self, now: Duration, address: IpAddr) {
        if self.is_v4.is_some_and(|is_v4| is_v4 != address.is_ipv4()) {
            return;
        }
        self.asked += 1;
        let asked = self.asked;
        self.held
            .entry(address)
            .and_modify(|held| held.asked = asked)
            .or_insert(Permission { due: now, asked });
        if self.held.len() > MAX_PERMISSIONS {
            let oldest = self.held.iter().min_by_key(|(_, held)| held.asked).map(|(&address, _)| address);
            oldest.map(|address| self.held.remove(&address));
        }
    }

    /// The address that the server is to be told of next, and when.
    pub(crate) fn due(&self) -> Option<(Duration, IpAddr)> {
        self.held.iter().map(|(&address, held)| (held.due, address)).min()
    }

    pub(crate) fn granted(&mut self, now: Duration, address: IpAddr) {
        if let Some(held) = self.held.get_mut(&address) {
            held.due = now + RENEW;
        }
    }

    pub(crate) fn refused(&mut self, address: IpAddr) {
        self.held.remove(&address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: usize) -> IpAddr {
        [203, 0, 113, u8::try_from(number).unwrap()].into()
    }

    #[test]
    fn a_permission_is_renewed_before_it_ends() {
        let mut permissions = Permissions::default();
        assert_eq!(permissions.due(), None);
        let now = Duration::from_secs(7);
        permissions.ask(now, address(1));
        assert_eq!(permissions.due(), Some((now, address(1))));
        permissions.granted(now, address(1));
        permissions.ask(now, address(1));
        assert_eq!(permissions.due(), Some((Duration::from_secs(247), address(1))));
        permissions.refused(address(1));
        assert_eq!(permissions.due(), None);
    }

    #[test]
    fn addresses_of_the_other_family_are_ignored() {
        let mut permissions = Permissions::default();
        let other = "2001:db8::1".parse().unwrap();
        permissions.ask(Duration::ZERO, other);
        permissions.only_like(address(1));
        permissions.ask(Duration::ZERO, other);
        assert_eq!(permissions.due(), None);
    }

    #[test]
    fn beyond_the_limit_the_one_asked_for_longest_ago_goes() {
        let mut permissions = Permissions::default();
        for number in 0..MAX_PERMISSIONS {
            permissions.ask(Duration::ZERO, address(number));
        }
        permissions.ask(Duration::ZERO, address(0));
        permissions.ask(Duration::ZERO, address(100));
        assert_eq!(permissions.held.len(), MAX_PERMISSIONS);
        assert!(permissions.held.contains_key(&address(0)));
        assert!(!permissions.held.contains_key(&address(1)));
    }
}
