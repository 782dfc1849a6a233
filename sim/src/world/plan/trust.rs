//! Whom a node lets in, and who answers for it.

use serde::{Deserialize, Serialize};

use crate::world::faults::Known;

/// The longest that somebody may take to answer: an engine gives people two minutes.
const LONGEST_ANSWER_MS: u64 = 100_000;

/// The policy of a node, beside the ping that all ask for, and the people and programs behind it. A node without one
/// asks for the ping alone, and can take part in nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrustPlan {
    /// What it asks for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub asks: Vec<Asked>,
    /// What it takes part in if a peer asks for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub takes_part: Vec<Asked>,
    /// The nodes that it lets in, if not all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<String>>,
    /// The nodes that it has blocked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<String>,
    /// The nodes that its application says no to when it is asked. To who is no node at all it always does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub declines: Vec<String>,
    /// How long its person and its application take to answer.
    pub answer_ms: u64,
    /// Whether whom they say yes to is trusted for good.
    #[serde(skip_serializing_if = "is_no")]
    pub remembers: bool,
    /// What it shows to who asks for a certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificatePlan>,
}

/// Something that a node may ask of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asked {
    /// That two people see the same six digits.
    Code,
    /// A certificate of the authority that all who ask believe.
    Certificate,
    /// That its own application says yes.
    Decision,
}

/// A certificate that a node shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificatePlan {
    /// What is wrong with it, if anything is.
    #[serde(default)]
    pub kind: CertificateKind,
    /// When it ends, on the clock of the run; it is over from the beginning with 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
}

/// What may be wrong with a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateKind {
    /// Nothing.
    #[default]
    Good,
    /// An authority signed it that nobody believes.
    OtherIssuer,
    /// It is for another network.
    OtherNetwork,
    /// It is for somebody else.
    OtherSubject,
}

impl TrustPlan {
    /// Whether it takes part in a step that a peer asks for.
    pub(crate) fn supports(&self, step: Asked) -> bool {
        self.asks.contains(&step)
            || self.takes_part.contains(&step)
            || (step == Asked::Certificate && self.certificate.is_some())
    }

    /// Whether not everybody who answers pings is let in.
    pub(crate) fn is_choosy(&self) -> bool {
        !self.asks.is_empty() || self.allow.is_some()
    }

    pub(super) fn validate(&self, name: &str, known: Known<'_>, nodes: &[&str]) -> Result<(), String> {
        let lists = self.allow.iter().flatten().chain(&self.blocks).chain(&self.declines);
        lists.into_iter().try_for_each(|node| known("node", node, nodes))?;
        if self.blocks.iter().any(|node| node == name) {
            return Err(format!("`{name}` cannot block itself"));
        }
        if self.answer_ms > LONGEST_ANSWER_MS {
            return Err(format!("`{name}`: people answer within {LONGEST_ANSWER_MS} ms"));
        }
        Ok(())
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_no(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
mod tests {
    use super::super::Plan;

    const PLAN: &str = r#"
schema = 1
seed = 1
chaos_ms = 1000
quiet_ms = 1000
core = ["a", "b"]

[[lan]]
name = "lan"

[[host]]
name = "one"
lans = ["lan"]

[[node]]
name = "a"
host = "one"

[node.trust]
asks = ["code", "decision"]
allow = ["a", "b"]
answer_ms = 100

[node.trust.certificate]
kind = "other-issuer"

[[node]]
name = "b"
host = "one"
"#;

    #[test]
    fn a_policy_comes_back_from_its_toml_and_a_node_without_one_has_none() {
        let plan = Plan::parse(PLAN).unwrap();
        assert_eq!(Plan::parse(&plan.to_toml()).unwrap(), plan);
        assert!(plan.node[0].trust.as_ref().is_some_and(super::TrustPlan::is_choosy));
        assert_eq!(plan.node[1].trust, None);
        assert_eq!(plan.to_toml().matches("trust").count(), 2);
    }

    #[test]
    fn a_policy_that_cannot_be_is_told_with_its_line() {
        for (from, to, line, message) in [
            ("allow = [\"a\", \"b\"]", "allow = [\"bb\"]", 21, "there is no node `bb`; did you mean `b`?"),
            ("allow = [\"a\", \"b\"]", "blocks = [\"a\"]", 6, "`a` cannot block itself"),
            ("answer_ms = 100", "answer_ms = 100001", 6, "`a`: people answer within 100000 ms"),
            ("other-issuer", "good-enough", 25, "unknown variant `good-enough`"),
        ] {
            let error = Plan::parse(&PLAN.replace(from, to)).unwrap_err();
            assert_eq!(error.line, Some(line), "{error}");
            assert!(error.message.starts_with(message), "{error}");
        }
    }
}
