//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use p2pnet::bootstrap::HttpServer;
use tokio::time::Instant;

use crate::authorities::Authorities;
use crate::duration;
use crate::failure::Failure;
use crate::letting::{self, Letting};
use crate::output::Output;

/// Peers on the LAN without a server, and beyond it: they find each other, prove who they are, and send each other
/// messages and files that arrive whole.
#[derive(Debug, Parser)]
#[command(
    name = "p2pnet",
    version,
    disable_help_subcommand = true,
    after_help = "\
Examples:
  p2pnet demo                        three nodes in one process show the whole job
  p2pnet receive                     on one machine ...
  p2pnet send photo.jpg              ... and on another
  p2pnet up --inbox ~/incoming       stay, and take what trusted peers offer
  p2pnet up --interface lo           on this machine only
  p2pnet doctor                      why nobody is found, and what to do

Exit codes: 0 done, 1 not achieved, 2 bad input, 3 the doctor found a cause, 130 interrupted send or receive."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Args, Debug)]
pub(crate) struct Common {
    /// The name that others see [default: the host's name]
    #[arg(long, global = true, value_name = "NAME", value_parser = name, help_heading = "Common options")]
    pub(crate) name: Option<String>,
    /// The network to be on; peers of other networks are not seen
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        default_value = "p2pnet",
        help_heading = "Common options"
    )]
    pub(crate) network: String,
    /// A file with the network's secret: what `p2pnet secret` prints, or a passphrase on one line
    #[arg(long, global = true, value_name = "FILE", help_heading = "Common options")]
    pub(crate) secret_file: Option<PathBuf>,
    /// Where the identity is kept [default: $XDG_DATA_HOME/p2pnet or ~/.local/share/p2pnet]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Common options")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Use only this network interface; may be given several times [default: all that are up]
    #[arg(long, global = true, value_name = "NAME", help_heading = "Common options")]
    pub(crate) interface: Vec<String>,
    /// Ports that nodes find each other on, the same for all of them
    #[arg(
        long, global = true, value_name = "PORT,...", value_delimiter = ',', default_values_t = [8001, 8002, 8003],
        value_parser = clap::value_parser!(u16).range(1..), help_heading = "Common options"
    )]
    pub(crate) ports: Vec<u16>,
    /// A peer's address where discovery does not reach; may be given several times
    #[arg(long, global = true, value_name = "HOST:PORT", help_heading = "Common options")]
    pub(crate) peer: Vec<String>,
    /// A bootstrap server, for peers beyond the LAN; may be given several times
    #[arg(long, global = true, value_name = "URL", help_heading = "Common options")]
    pub(crate) bootstrap: Vec<HttpServer>,
    /// A TURN server that relays TCP, for peers that a router keeps away: turn://USER:PASSWORD@HOST:PORT; may be given up
    /// to 4 times, the preferred one first. Without :PASSWORD it is taken from --relay-password-file, or from the
    /// environment: P2PNET_RELAY_PASSWORD
    #[arg(long, global = true, value_name = "URL", help_heading = "Common options")]
    pub(crate) relay: Vec<String>,
    /// A file with the password of all relays whose URL has none, on one line
    #[arg(long, global = true, value_name = "FILE", help_heading = "Common options")]
    pub(crate) relay_password_file: Option<PathBuf>,
    /// While nobody is linked, call every address of the own /24 as well, at most 50 a second; for networks that drop
    /// broadcasts and multicasts
    #[arg(long, global = true, help_heading = "Common options")]
    pub(crate) scan: bool,
    /// Let `p2pnet widescan` find this node from beyond its LAN, by its IPv6 address
    #[arg(long, global = true, help_heading = "Common options")]
    pub(crate) answer_widescan: bool,
    /// Print events as JSON, one object a line
    #[arg(long, global = true, help_heading = "Common options")]
    pub(crate) json: bool,
    /// Log more to standard error: -v info, -vv debug, -vvv trace
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Common options")]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the whole job with three nodes in this process, on loopback only
    Demo,
    /// Be a node until Ctrl-C
    Up(UpArguments),
    /// Send files, folders or a text to peers
    Send(SendArguments),
    /// Receive files and folders
    Receive(ReceiveArguments),
    /// Show who is on this LAN
    Peers(PeersArguments),
    /// Show everything that tells why one peer is linked or not
    Why(WhyArguments),
    /// Find out why peers do not meet, and what to do
    Doctor(DoctorArguments),
    /// Let a peer in for good: nobody is asked about it again
    Trust(PeerArguments),
    /// Take trust back
    Distrust(PeerArguments),
    /// Have nothing more to do with a peer or an address
    Block(WhoArguments),
    /// Take a block back
    Unblock(WhoArguments),
    /// Forget a peer: what was decided about it, and where it was met
    Forget(PeerArguments),
    /// Show who is trusted for good, and who is blocked
    Decisions,
    /// Make an authority and its certificates, for --trust cert:FILE
    #[command(subcommand)]
    Cert(CertCommand),
    /// Sign what an authority asks of the nodes of a network, and hand it to them
    #[command(subcommand)]
    Task(crate::task::TaskCommand),
    /// Show, check or tidy up what was received and sent
    #[command(subcommand)]
    Store(StoreCommand),
    /// Run a server by which nodes beyond the LAN find each other
    #[cfg(feature = "bootstrap-server")]
    #[command(subcommand)]
    Bootstrap(crate::bootstrap::BootstrapCommand),
    /// Show this node's identity
    Id,
    /// Make a new secret for a network
    #[command(after_help = "\
Example:
  p2pnet secret > team.secret        then copy the file to every machine, and give each
  p2pnet up --secret-file team.secret")]
    Secret,
    /// Search IPv6 prefixes for peers that let themselves be found
    Widescan(WidescanArguments),
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  p2pnet up --inbox ~/incoming                    take what trusted peers offer
  p2pnet up --share manual.pdf --share photo.jpg  offer files to everyone who comes
  p2pnet up --trust ask                           decide about each newcomer
  p2pnet up --authority ID --identifier remote    do what an authority asks, be called what it says
  p2pnet up --interface lo --json --for 30s       on this machine only, for a program to read")]
pub(crate) struct UpArguments {
    /// Leave after so long, such as 30s [default: at Ctrl-C]
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) duration: Option<Duration>,
    /// A file or folder to offer to every trusted peer; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) share: Vec<PathBuf>,
    /// Take everything that trusted peers offer, into this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) inbox: Option<PathBuf>,
    /// Who is let in: ping (whoever answers), all, ask (whom you say yes to), code (you compare six digits with the other
    /// person), allow:FILE (ids in a file), cert:FILE (who has a certificate; see `p2pnet cert`)
    #[arg(long, value_name = "HOW", default_value = "ping", value_parser = letting::parse)]
    pub(crate) trust: Letting,
    #[command(flatten)]
    pub(crate) authorities: Authorities,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  p2pnet send photo.jpg                         to everyone who is there
  p2pnet send trip/ notes.txt --to anna         a folder and a file, to one peer by name or id
  p2pnet send photo.jpg --to anna --to ben      to two, who pass on to each other what they have
  p2pnet send --text 'lunch?' --to k3xq7abc     a text")]
pub(crate) struct SendArguments {
    /// Files and folders to send
    #[arg(value_name = "FILE", required_unless_present = "text")]
    pub(crate) files: Vec<PathBuf>,
    /// A peer to send to: its name, its id, or at least the first 8 characters of it; may be given several times
    /// [default: every peer that is trusted up to 2 s after the first]
    #[arg(long, value_name = "NAME-OR-ID", value_parser = name)]
    pub(crate) to: Vec<String>,
    /// A text to send, at most 16 KiB
    #[arg(long, value_name = "MSG")]
    pub(crate) text: Option<String>,
    /// Give up when nothing has moved for so long
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    pub(crate) timeout: Duration,
    /// Who may get it: as for `p2pnet up`; a node that runs already is not asked then [default: ping]
    #[arg(long, value_name = "HOW", value_parser = letting::parse)]
    pub(crate) trust: Option<Letting>,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  p2pnet receive                                one file or folder, into this directory
  p2pnet receive --inbox ~/incoming --count 3   three of them
  p2pnet receive --timeout 1m                   do not wait for ever")]
pub(crate) struct ReceiveArguments {
    /// Where to put them; created if need be
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) inbox: PathBuf,
    /// How many to take; a folder is one
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: u32,
    /// Give up when nothing has moved for so long [default: never]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) timeout: Option<Duration>,
    /// Whom to take from: as for `p2pnet up`
    #[arg(long, value_name = "HOW", default_value = "ping", value_parser = letting::parse)]
    pub(crate) trust: Letting,
}

#[derive(Args, Debug)]
pub(crate) struct PeersArguments {
    /// How long to look
    #[arg(long = "for", value_name = "DURATION", default_value = "3s", value_parser = duration::parse)]
    pub(crate) duration: Duration,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  p2pnet why anna                                  by name, as the node that runs here sees it
  p2pnet why k3xq7abc --json                       by the beginning of the id, for a program to read
  p2pnet why anna --interface lo                   on this machine only

If `p2pnet up` runs with this data directory it is asked; otherwise a node of its own looks for --for.")]
pub(crate) struct WhyArguments {
    /// The peer: its name, its id, or at least the first 8 characters of it
    #[arg(value_name = "PEER", value_parser = name)]
    pub(crate) who: String,
    /// How long to look, if no node runs
    #[arg(long = "for", value_name = "DURATION", default_value = "3s", value_parser = duration::parse)]
    pub(crate) duration: Duration,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  p2pnet doctor                                    look at everything for 5 s
  p2pnet doctor --peer 192.168.1.20:8123           and at a host where a peer should be
  p2pnet doctor --interface lo --for 2s            on this machine only
  p2pnet doctor --json                             for a program to read

It sends beacons that ask for an answer, connects to the given addresses, and reads what the system says
of routes, neighbours, ports and firewalls. It changes nothing. If `p2pnet up` runs with this data directory
it is asked.

Exit codes: 0 nothing is wrong, 3 a cause was found, 1 and 2 as always.")]
pub(crate) struct DoctorArguments {
    /// How long to listen; less than 4s may not tell a silent host from a closed port
    #[arg(long = "for", value_name = "DURATION", default_value = "5s", value_parser = duration::parse)]
    pub(crate) duration: Duration,
}

#[derive(Args, Debug)]
#[command(after_help = "\
If `p2pnet up` runs with this data directory it is told; otherwise its next run finds it in the data directory.")]
pub(crate) struct PeerArguments {
    /// The peer: its name, its id, or at least the first 8 characters of it; one that is not known needs the whole id
    #[arg(value_name = "PEER", value_parser = name)]
    pub(crate) who: String,
}

#[derive(Args, Debug)]
#[command(after_help = "\
If `p2pnet up` runs with this data directory it is told; otherwise its next run finds it in the data directory.")]
pub(crate) struct WhoArguments {
    /// The peer: its name, its id, or at least the first 8 characters of it; or an IP address
    #[arg(value_name = "PEER-OR-ADDRESS", value_parser = name)]
    pub(crate) who: String,
}

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Example:
  p2pnet cert new > authority.key                            once; keep it where no node runs
  p2pnet cert issue --authority authority.key PEER > anna.cert
  p2pnet up --trust cert:anna.cert                           on anna's machine; PEER is what `p2pnet id` shows there")]
pub(crate) enum CertCommand {
    /// Make the key of a new authority
    New,
    /// Vouch for a peer, on the network that --network and --secret-file say
    Issue(IssueArguments),
}

#[derive(Debug, Subcommand)]
#[command(after_help = "\
A content that is where it was is not fetched again, also after a restart. No node may use the data directory meanwhile.

Examples:
  p2pnet store ls                    what is known: same, doubtful (written to since, or a folder) or gone
  p2pnet store verify                read all of it: good, changed or gone; exit code 1 unless all is good
  p2pnet store gc --inbox ~/incoming forget what is gone, remove what interrupted transfers left")]
pub(crate) enum StoreCommand {
    /// List the contents that were received or sent, the last one first
    Ls,
    /// Read and hash all of them
    Verify,
    /// Forget those that are gone or something else now; no file of yours is touched
    Gc(GcArguments),
}

#[derive(Args, Debug)]
pub(crate) struct GcArguments {
    /// Remove from this directory what interrupted transfers left a week ago or earlier, and the oldest beyond 64 GiB
    #[arg(long, value_name = "DIR")]
    pub(crate) inbox: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct IssueArguments {
    /// The peer's whole id, as `p2pnet id` shows it on its machine
    #[arg(value_name = "PEER")]
    pub(crate) subject: p2pnet::PeerId,
    /// The authority's key: what `p2pnet cert new` prints
    #[arg(long, value_name = "FILE")]
    pub(crate) authority: PathBuf,
    /// Something that the peer may do, for applications; may be given several times
    #[arg(long, value_name = "WORD")]
    pub(crate) can: Vec<String>,
    /// How long it is good, such as 720h [default: for ever]
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) lasts: Option<Duration>,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  p2pnet widescan 2001:db8:1:2::/64 --estimate-only   what it would cost, and what to hope for
  p2pnet widescan 2001:db8:1:2::/64 --yes             search it without being asked
  p2pnet widescan fd00:1::/64 --vendor 52:54:00 --max 200000
  p2pnet widescan 2001:db8::5:0/112 --enumerate --rate 200 --stop-list not-these.txt

Only peers on the same network (--network, --secret-file) that run with `p2pnet up --answer-widescan` answer.
Search only prefixes whose owner agrees: to others it is a port scan.")]
pub(crate) struct WidescanArguments {
    /// Where to search: global or unique local prefixes of 32 to 128 bits. Nothing is sent outside of them
    #[arg(value_name = "PREFIX", required = true)]
    pub(crate) prefixes: Vec<p2pnet::Prefix6>,
    /// The first three bytes of the MAC addresses of a vendor, or up to five for a batch of cards, to try the addresses that
    /// EUI-64 makes of them; may be given several times
    #[arg(long, value_name = "OUI")]
    pub(crate) vendor: Vec<p2pnet::MacPrefix>,
    /// An IPv4 range that IPv6 addresses may be made of, in place of 192.168.0.0/24, 192.168.1.0/24 and 10.0.0.0/24; may be
    /// given several times
    #[arg(long, value_name = "RANGE", value_parser = crate::widescan::ipv4_range)]
    pub(crate) ipv4: Vec<(std::net::Ipv4Addr, u8)>,
    /// Datagrams a second, at most 1000
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) rate: u32,
    /// Datagrams in all
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub(crate) max: u64,
    /// After the usual patterns try every other address
    #[arg(long)]
    pub(crate) enumerate: bool,
    /// A file of prefixes that nothing is sent to, one a line; what follows a # is not read
    #[arg(long, value_name = "FILE")]
    pub(crate) stop_list: Option<PathBuf>,
    /// Say what it would come to, and send nothing
    #[arg(long)]
    pub(crate) estimate_only: bool,
    /// Begin without asking
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Prints what clap has to say: help as it is, an error as one line.
pub(crate) fn report(error: &clap::Error, started: Instant) -> ExitCode {
    if !error.use_stderr() {
        // A reader that has seen enough of the help is no error.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let line = first.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    let json = std::env::args_os().any(|argument| argument == "--json");
    let message = if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        "no command given; start with `p2pnet demo`, or see `p2pnet --help`".to_owned()
    } else {
        format!("{line} (see `p2pnet --help`)")
    };
    Output::new(json, started).end(Err(Failure::BadInput(message)))
}

/// A name as nodes have it: 1 to 64 bytes without control characters.
fn name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 64 || text.chars().any(char::is_control) {
        return Err("give 1 to 64 bytes without control characters".into());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// Clap checks its own rules (duplicate options, bad defaults) only when asked.
    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    /// Options may stand on either side of the command.
    #[test]
    fn common_options_may_stand_behind_the_command() {
        let cli =
            Cli::try_parse_from(["p2pnet", "up", "--json", "--ports", "5,6", "--interface", "lo"]).unwrap();
        assert!(cli.common.json);
        assert_eq!(cli.common.ports, [5, 6]);
        let cli = Cli::try_parse_from(["p2pnet", "--network", "x", "peers"]).unwrap();
        assert_eq!((cli.common.network.as_str(), cli.common.ports), ("x", vec![8001, 8002, 8003]));
    }

    /// An argument by the name of a common option would be taken for it.
    #[test]
    fn no_argument_has_the_name_of_a_common_option() {
        let cli = Cli::command();
        let common: Vec<_> = cli.get_arguments().map(|argument| argument.get_id().clone()).collect();
        let mut commands: Vec<_> = cli.get_subcommands().collect();
        while let Some(command) = commands.pop() {
            for argument in command.get_arguments() {
                assert!(!common.contains(argument.get_id()), "{} {}", command.get_name(), argument.get_id());
            }
            commands.extend(command.get_subcommands());
        }
    }

    /// A port that is none, and a `send` of nothing, are refused before anything starts.
    #[test]
    fn wrong_values_are_refused() {
        for line in [
            &["p2pnet", "up", "--ports", "0"][..],
            &["p2pnet", "up", "--ports", "70000"],
            &["p2pnet", "up", "--for", "30"],
            &["p2pnet", "up", "--name", ""],
            &["p2pnet", "send"],
            &["p2pnet", "receive", "--count", "0"],
        ] {
            assert!(Cli::try_parse_from(line).is_err(), "{line:?}");
        }
        Cli::try_parse_from(["p2pnet", "send", "--text", "hello"]).unwrap();
    }
}
