//! Asking the node that runs with the same data directory, and being one that can be asked.

use p2pnet::Node;
use p2pnet::control::{Answer, Ask, Client, Greeting, PeerLine, Server};

use crate::failure::Failure;
use crate::options::Common;
use crate::output::Output;
use crate::session;
use crate::signals::Signals;
use crate::text::escaped;

/// Lets others ask this node. It works without, so what prevents it is a remark.
pub(crate) fn serve(common: &Common, node: &Node, output: &Output) -> Option<Server> {
    let dir = session::data_dir(common).ok()?;
    let interfaces = Some(common.interface.clone()).filter(|names| !names.is_empty());
    let greeting = Greeting::new(
        session::name(common),
        &common.network,
        common.secret_file.is_some(),
        common.ports.clone(),
        interfaces,
    );
    match Server::start(&dir, node.handle(), greeting) {
        Ok(server) => Some(server),
        Err(error) => {
            output.remark(&escaped(&format!("this node cannot be asked by other commands: {error}")));
            None
        }
    }
}

/// The node that runs with this data directory, if there is one and it is what the command line speaks of.
pub(crate) async fn find(common: &Common) -> Result<Option<Client>, Failure> {
    let dir = session::data_dir(common)?;
    let client = Client::connect(&dir).await?;
    Ok(client.filter(|client| is_meant(common, client.greeting())))
}

/// The same, for commands that look for peers: an address or a scan on the command line is for a node of its own.
pub(crate) async fn find_for_search(common: &Common) -> Result<Option<Client>, Failure> {
    if common.peer.is_empty() && !common.scan { find(common).await } else { Ok(None) }
}

/// Whether the options are those of that node: another network or interface needs a node of its own.
fn is_meant(common: &Common, node: &Greeting) -> bool {
    let same_interfaces = || {
        let sorted = |names: &[String]| {
            let mut names = names.to_vec();
            names.sort();
            names.dedup();
            names
        };
        node.interfaces.as_deref().is_some_and(|names| sorted(names) == sorted(&common.interface))
    };
    node.network == common.network
        && node.ports == common.ports
        && (common.interface.is_empty() || same_interfaces())
        && (common.secret_file.is_none() || node.closed)
        && common.name.as_ref().is_none_or(|name| *name == node.name)
}

/// Asks, and has each answer taken until the last.
pub(crate) async fn ask(
    client: &mut Client,
    ask: &Ask,
    signals: &mut Signals,
    output: &mut Output,
    mut take: impl FnMut(Answer, &mut Output) -> Result<(), Failure>,
) -> Result<(), Failure> {
    client.ask(ask).await?;
    loop {
        let answer = tokio::select! {
            biased;
            () = signals.stop() => return Err(Failure::Interrupted),
            answer = client.answer() => answer?,
        };
        match answer {
            Answer::Done(_) => return Ok(()),
            Answer::Error(refusal) => return Err(refusal.into()),
            answer => take(answer, output)?,
        }
    }
}

/// A peer's name and short id, safe to print.
pub(crate) fn who(peer: &PeerLine) -> String {
    let short: String = peer.peer.chars().take(8).collect();
    format!("{} ({})", escaped(&peer.name), escaped(&short))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Cli;
    use clap::Parser;

    fn common(arguments: &[&str]) -> Common {
        Cli::try_parse_from(["p2pnet", "peers"].iter().chain(arguments)).unwrap().common
    }

    /// Asking a node of another network would answer another question.
    #[test]
    fn only_a_node_as_described_is_asked() {
        let lo = Some(vec!["lo".to_owned()]);
        let node = Greeting::new("anna", "p2pnet", false, vec![8001, 8002, 8003], lo);
        assert!(is_meant(&common(&[]), &node));
        assert!(is_meant(&common(&["--interface", "lo", "--name", "anna"]), &node));
        assert!(!is_meant(&common(&["--interface", "eth0"]), &node));
        assert!(!is_meant(&common(&["--network", "other"]), &node));
        assert!(!is_meant(&common(&["--ports", "5"]), &node));
        assert!(!is_meant(&common(&["--secret-file", "x"]), &node));
        assert!(!is_meant(&common(&["--name", "ben"]), &node));
    }
}
