//! `--authority` and what belongs to it: from whom tasks are taken, and who names the node.

use clap::Args;
use p2pnet::{AuthorityPolicy, IdentifierPolicy, PeerId};

/// From whom tasks are taken, and who names the node.
#[derive(Args, Debug, Default)]
pub(crate) struct Authorities {
    /// An authority to take tasks from, as `p2pnet cert new` names it; may be given up to 8 times
    #[arg(long = "authority", value_name = "ID")]
    accepted: Vec<PeerId>,
    /// Take tasks from the first authority that a bootstrap server names, and from no other ever after
    #[arg(long)]
    lock_authority: bool,
    /// Use only bootstrap servers that name an authority that is taken tasks from
    #[arg(long)]
    must_be_authority: bool,
    /// Who names this node: strict-local (only --name), local (--name, else an authority), local-and-remote (whoever named it
    /// last), remote (an authority, until then --name), strict-remote (only an authority)
    #[arg(long, value_name = "WHO", default_value = "local", value_parser = identifier)]
    identifier: Option<IdentifierPolicy>,
}

impl Authorities {
    /// The node's policy. `named` if its name was given.
    pub(crate) fn policy(&self, named: bool) -> AuthorityPolicy {
        let mut policy = AuthorityPolicy::default();
        policy.accepted.clone_from(&self.accepted);
        policy.lock = self.lock_authority;
        policy.required = self.must_be_authority;
        policy.identifier = self.identifier.unwrap_or(IdentifierPolicy::Local);
        policy.named = named;
        policy
    }
}

fn identifier(text: &str) -> Result<IdentifierPolicy, String> {
    let found = IdentifierPolicy::ALL.into_iter().find(|policy| policy.as_str() == text);
    found.ok_or_else(|| "give strict-local, local, local-and-remote, remote or strict-remote".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_identifier_policy_has_its_word() {
        for policy in IdentifierPolicy::ALL {
            assert_eq!(identifier(policy.as_str()), Ok(policy));
        }
        assert!(identifier("anybody").is_err());
    }
}
