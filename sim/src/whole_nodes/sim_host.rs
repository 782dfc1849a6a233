//! The host seam inside a simulation: entropy from a seed, one interface, computations that take no time.

use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use p2pnet::seam::Host;
use p2pnet_engine::{Interface, InterfaceAddr, InterfaceId, InterfaceKind};

use crate::draws::Draws;

/// The private port of every simulated node.
pub const PRIVATE_PORT: u16 = 7000;

/// One turmoil host.
#[derive(Debug)]
pub struct SimHost {
    ip: IpAddr,
    multicast: bool,
    entropy: Mutex<Draws>,
}

impl SimHost {
    /// The host with this address. `label` names the host and its run, so that a restarted node draws other
    /// keys. `multicast` is whether the interface can join groups.
    #[must_use]
    pub fn new(ip: IpAddr, seed: u64, label: &str, multicast: bool) -> Self {
        let entropy = Mutex::new(Draws::new(seed, &format!("entropy {label}")));
        SimHost { ip, multicast, entropy }
    }
}

impl Host for SimHost {
    fn entropy(&self) -> io::Result<[u8; 32]> {
        Ok(self.entropy.lock().unwrap_or_else(PoisonError::into_inner).bytes())
    }

    fn interfaces(&self) -> io::Result<Vec<Interface>> {
        Ok(vec![Interface {
            id: InterfaceId(1),
            name: "sim0".to_owned(),
            kind: InterfaceKind::Lan,
            multicast: self.multicast,
            directed_broadcast: false,
            addrs: vec![InterfaceAddr { ip: self.ip, prefix: 16 }],
        }])
    }

    fn private_ports(&self) -> Vec<u16> {
        vec![PRIVATE_PORT]
    }

    fn fast_aes(&self) -> bool {
        false
    }

    async fn offload<T, F>(&self, job: F) -> T
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        job()
    }
}
