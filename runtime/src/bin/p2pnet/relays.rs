//! The relays of the command line.

use std::path::Path;

use p2pnet::relay::Relay;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::options::Common;
use crate::secret;

/// Where the password is looked for if neither a URL nor a file has it.
const PASSWORD_VARIABLE: &str = "P2PNET_RELAY_PASSWORD";

/// The relays that were given, each with its password. URLs are not read by clap: it would repeat a wrong one, password
/// and all.
pub(crate) fn read(common: &Common) -> Result<Vec<Relay>, Failure> {
    if common.relay.is_empty() {
        return Ok(Vec::new());
    }
    if common.bootstrap.is_empty() {
        let why = "--relay needs a --bootstrap server as well: it tells peers of the relay, and the relay whom to let through";
        return Err(Failure::BadInput(why.into()));
    }
    let password = match &common.relay_password_file {
        Some(path) => Some(password_of(path)?),
        None => std::env::var(PASSWORD_VARIABLE).ok().map(Zeroizing::new),
    };
    let password = password.as_ref().map(|password| password.as_str());
    let relays = common.relay.iter().map(|url| Relay::with_password(url, password));
    relays.collect::<Result<_, _>>().map_err(|error| Failure::BadInput(format!("--relay: {error}")))
}

/// One line, without what ends it.
fn password_of(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let text = secret::contents("relay's password file", path)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() || line.contains('\n') {
        let path = path.display();
        return Err(Failure::BadInput(format!(
            "the relay's password file {path} should hold one line, the password"
        )));
    }
    Ok(Zeroizing::new(line.to_owned()))
}
