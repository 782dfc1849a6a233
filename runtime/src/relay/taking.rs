//! Taking one connection that a relay announced.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use p2pnet_turn::Bind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::keeping::Failure;
use crate::link::Halves;
use crate::seam::Net;

/// How long it may take from the first packet on. The peer gives its dial up before.
const TAKE_TIME: Duration = Duration::from_secs(10);

/// Connects to the relay once more and says there which connection this is: what follows is the peer's stream.
pub(super) async fn take<N: Net>(
    net: Arc<N>,
    relay: SocketAddr,
    bind: Bind,
) -> Result<Halves<N::Stream>, Failure> {
    timeout(TAKE_TIME, connect(net, relay, bind)).await.unwrap_or(Err(Failure::TimedOut))
}

async fn connect<N: Net>(
    net: Arc<N>,
    relay: SocketAddr,
    mut bind: Bind,
) -> Result<Halves<N::Stream>, Failure> {
    let stream = net.connect(None, relay).await.map_err(Failure::Unreachable)?;
    let Halves { mut read, mut write, local_ip } = Halves::from(stream);
    loop {
        if let Some(bytes) = bind.poll_transmit() {
            write.write_all(&bytes).await.map_err(Failure::Broken)?;
        }
        // Not a byte more: the next ones are the peer's.
        let mut bytes = vec![0; bind.missing()];
        if bytes.is_empty() {
            return Err(p2pnet_turn::Error::Malformed.into());
        }
        read.read_exact(&mut bytes).await.map_err(Failure::Broken)?;
        if bind.handle_bytes(&bytes)? {
            return Ok(Halves { read, write, local_ip });
        }
    }
}
