//! Reading a plan, and saying where it is wrong.

use std::fmt;

use super::Plan;

/// What is wrong with a plan, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct PlanError {
    /// The line, from 1.
    pub line: Option<usize>,
    /// What is wrong, with the nearest valid name where there is one.
    pub message: String,
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl Plan {
    /// Reads a plan and checks it.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Plan, PlanError> {
        let plan: Plan = toml::from_str(text).map_err(|error| from_toml(text, &error))?;
        plan.validate()
            .map_err(|message| PlanError { line: line_with_first_name(text, &message), message })?;
        Ok(plan)
    }
}

/// The error of the TOML reader, with its line and, for an unknown name, the nearest of those that it expected.
fn from_toml(text: &str, error: &toml::de::Error) -> PlanError {
    let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    // "unknown field `x`, expected one of `a`, `b`": the first in backticks is what was found.
    let message = error.message().to_owned();
    let mut quoted = message.split('`').skip(1).step_by(2);
    let hint = match quoted.next() {
        Some(found) if message.starts_with("unknown") => {
            crate::nearest::nearest(found, quoted).map(|near| format!("; did you mean `{near}`?"))
        }
        _ => None,
    };
    PlanError { line, message: message.clone() + &hint.unwrap_or_default() }
}

/// The line on which the first name in backticks of a message stands, so that people find it.
fn line_with_first_name(text: &str, message: &str) -> Option<usize> {
    let name = message.split('`').nth(1)?;
    let quoted = format!("\"{name}\"");
    let mut lines = (1..).zip(text.lines());
    if message.starts_with("there are two") {
        // The second of them is the one that is wrong.
        let named = format!("name = {quoted}");
        return lines.filter(|(_, line)| line.contains(&named)).last().map(|(number, _)| number);
    }
    lines.find(|(_, line)| line.contains(&quoted)).map(|(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
schema = 1
seed = 7
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

[[node]]
name = "b"
host = "one"

[[fault]]
kind = "pause"
node = "a"
at_ms = 100
for_ms = 200
"#;

    #[test]
    fn a_plan_comes_back_from_its_toml() {
        let plan = Plan::parse(SMALL).unwrap();
        assert_eq!(Plan::parse(&plan.to_toml()).unwrap(), plan);
    }

    #[test]
    fn whatever_is_wrong_is_told_with_its_line_and_the_nearest_name() {
        for (right, wrong, line, hint) in [
            ("chaos_ms", "choas_ms", Some(4), "`chaos_ms`"),
            ("core = [\"a\"", "core = [\"aa\"", Some(6), "did you mean `a`"),
            ("lans = [\"lan\"]", "lans = [\"lam\"]", Some(13), "did you mean `lan`"),
            ("kind = \"pause\"", "kind = \"pauze\"", None, "did you mean `pause`"),
            ("for_ms = 200", "for_mss = 200", None, "`for_ms`"),
            ("schema = 1", "schema = 2", None, "schema 1"),
            ("seed = 7", "seed = \"x\"", Some(3), "u64"),
            ("name = \"b\"", "name = \"a\"", Some(20), "two nodes `a`"),
        ] {
            assert!(SMALL.contains(right), "{right}");
            let error = Plan::parse(&SMALL.replacen(right, wrong, 1)).unwrap_err();
            assert!(error.message.contains(hint), "{error}");
            if line.is_some() {
                assert_eq!(error.line, line, "{error}");
            }
        }
    }
}
