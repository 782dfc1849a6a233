//! `p2pnet widescan`: a search of IPv6 prefixes, after saying what it comes to.

use std::io::IsTerminal;
use std::net::Ipv4Addr;
use std::path::Path;

use p2pnet::{CommandError, Event, Node, Prefix6, ScanError, ScanEstimate, ScanPlan};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

use crate::failure::Failure;
use crate::human::Word;
use crate::json::Line;
use crate::options::{Common, WidescanArguments};
use crate::output::Output;
use crate::session::{self, InUse};
use crate::signals::Signals;

/// A stop list of 1024 prefixes is shorter.
const MAX_STOP_LIST: u64 = 1 << 20;

/// Says what the search comes to, asks, searches, and tells who answered.
pub(crate) async fn run(
    common: &Common,
    arguments: &WidescanArguments,
    output: &mut Output,
) -> Result<(), Failure> {
    let plan = plan(common, arguments)?;
    let estimate = plan.estimate().map_err(|error| Failure::BadInput(error.to_string()))?;
    tell(&estimate, output)?;
    if arguments.estimate_only {
        return Ok(());
    }
    let mut signals = Signals::new()?;
    if !arguments.yes && !agreed(&mut signals, output).await? {
        return Err(Failure::NotAchieved("nothing was sent".into()));
    }
    let mut node = session::start(common, None, InUse::BeTemporary, output).await?;
    let searched = search(&mut node, plan, &mut signals, output).await;
    let left = session::leave(node, &mut signals, output).await;
    searched.and(left)
}

fn plan(common: &Common, arguments: &WidescanArguments) -> Result<ScanPlan, Failure> {
    let mut plan = ScanPlan::new(arguments.prefixes.clone());
    plan.vendors.clone_from(&arguments.vendor);
    if !arguments.ipv4.is_empty() {
        plan.ipv4.clone_from(&arguments.ipv4);
    }
    plan.enumerate = arguments.enumerate;
    (plan.per_second, plan.total) = (arguments.rate, arguments.max);
    plan.port = common.ports.first().copied().unwrap_or(plan.port);
    if let Some(file) = &arguments.stop_list {
        plan.stop = stop_list(file)?;
    }
    Ok(plan)
}

fn tell(estimate: &ScanEstimate, output: &Output) -> Result<(), Failure> {
    output.object(|at| {
        let patterns: Vec<_> =
            estimate.patterns.iter().map(|(pattern, size)| (pattern.as_str(), *size as f64)).collect();
        Line::new("widescan_estimate", at)
            .value("addresses", &estimate.addresses)
            .value("candidates", &(estimate.candidates as f64))
            .value("patterns", &patterns)
            .number("datagrams", estimate.datagrams)
            .number("per_second", estimate.per_second)
            .seconds("seconds", estimate.duration.as_secs_f64())
            .value("share", &estimate.share)
    })?;
    output.line(&estimate.to_string())
}

/// Asks whether to begin.
async fn agreed(signals: &mut Signals, output: &Output) -> Result<bool, Failure> {
    if output.is_json() || !std::io::stdin().is_terminal() {
        let message = "a search must be agreed to: give --yes, or --estimate-only to see what it comes to";
        return Err(Failure::BadInput(message.into()));
    }
    output.line("Search there? [y]es, [n]o")?;
    let mut lines = BufReader::new(stdin()).lines();
    tokio::select! {
        biased;
        () = signals.stop() => Ok(false),
        line = lines.next_line() => {
            let line = line.ok().flatten().unwrap_or_default();
            Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
        }
    }
}

/// Searches until the end, or until somebody has seen enough.
async fn search(
    node: &mut Node,
    plan: ScanPlan,
    signals: &mut Signals,
    output: &mut Output,
) -> Result<(), Failure> {
    let handle = node.handle();
    handle.widescan(plan).await.map_err(|error| match error {
        CommandError::Widescan(ScanError::NoAddress) => Failure::NotAchieved(error.to_string()),
        CommandError::Widescan(_) => Failure::BadInput(error.to_string()),
        _ => error.into(),
    })?;
    let progress = output.spinner();
    let mut stopping = false;
    loop {
        tokio::select! {
            biased;
            () = signals.stop(), if !stopping => {
                stopping = true;
                handle.stop_widescan().await?;
            }
            event = node.next_event() => {
                let event = event.ok_or_else(session::stopped)?;
                match &event {
                    Event::WidescanProgress { sent, datagrams, found } => {
                        progress.set_message(format!("{sent} of {datagrams} sent, {found} answered"));
                    }
                    Event::ContentOffered { manifest, .. } => handle.decline(manifest.content).await?,
                    Event::WidescanEnded { .. } => progress.finish_and_clear(),
                    _ => {}
                }
                output.event(&event)?;
                if let Event::WidescanEnded { found, .. } = event {
                    if found == 0 {
                        let nobody = "nobody answered: only who runs `p2pnet up --answer-widescan` on this network does";
                        output.tell(|at| Line::new("nobody", at), Word::Quiet("nobody"), nobody)?;
                    }
                    return Ok(());
                }
            }
        }
    }
}

/// An IPv4 address and a length, such as 192.0.2.0/24.
pub(crate) fn ipv4_range(text: &str) -> Result<(Ipv4Addr, u8), String> {
    let parsed = text.split_once('/').and_then(|(ip, len)| Some((ip.parse().ok()?, len.parse().ok()?)));
    parsed
        .filter(|(_, len)| *len <= 32)
        .ok_or_else(|| "give an address and a length, such as 192.0.2.0/24".into())
}

fn stop_list(file: &Path) -> Result<Vec<Prefix6>, Failure> {
    let wrong = |why: String| Failure::BadInput(format!("cannot use --stop-list {}: {why}", file.display()));
    let size = std::fs::metadata(file).map_err(|error| wrong(error.to_string()))?.len();
    if size > MAX_STOP_LIST {
        return Err(wrong("it is larger than 1 MiB".into()));
    }
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let mut prefixes = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if !line.is_empty() {
            let whole = if line.contains('/') { line.to_owned() } else { format!("{line}/128") };
            prefixes.push(whole.parse().map_err(|error| wrong(format!("line {number} is {error}")))?);
        }
    }
    Ok(prefixes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_in_one_form_only() {
        assert_eq!(ipv4_range("192.0.2.0/24"), Ok(([192, 0, 2, 0].into(), 24)));
        for bad in ["", "192.0.2.0", "192.0.2.0/33", "::/8"] {
            assert!(ipv4_range(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_stop_list_has_prefixes_addresses_and_remarks_and_says_which_line_is_wrong() {
        let dir = std::env::temp_dir().join(format!("p2pnet-stop-list-{}", std::process::id()));
        std::fs::write(&dir, "# not ours\n2001:db8:1::/48 # the neighbours\n\n2001:db8::1\n").unwrap();
        let read = stop_list(&dir);
        std::fs::write(&dir, "2001:db8::/32\nfe80::1%eth0/64\n").unwrap();
        let wrong = stop_list(&dir);
        std::fs::remove_file(&dir).unwrap();
        let expected = ["2001:db8:1::/48", "2001:db8::1/128"].map(|prefix| prefix.parse().unwrap());
        assert_eq!(read.unwrap(), expected);
        assert!(wrong.unwrap_err().message().unwrap().contains("line 2 is not an IPv6 prefix"));
    }
}
