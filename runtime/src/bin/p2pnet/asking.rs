//! Asking the user about peers, at a terminal.

use std::collections::VecDeque;
use std::io::IsTerminal;

use p2pnet::{Event, NodeHandle, PeerId};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin, stdin};

use crate::failure::Failure;
use crate::output::Output;
use crate::text::who;

/// Questions that wait; as many peers may wait at a node.
const MAX_QUESTIONS: usize = 16;

/// What is asked about a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Question {
    /// Whether the other side shows this code.
    Code(String),
    /// Whether it is let in.
    Decision,
}

/// What the user says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Yes,
    Always,
    No,
    Block,
}

/// Questions, one after the other. Where standard input is no terminal nobody is asked here.
#[derive(Debug)]
pub(crate) struct Asking {
    lines: Option<Lines<BufReader<Stdin>>>,
    waiting: VecDeque<(PeerId, String, Question)>,
}

impl Asking {
    /// Asks at the terminal, if there is one.
    pub(crate) fn new(output: &Output) -> Asking {
        let terminal = !output.is_json() && std::io::stdin().is_terminal();
        Asking { lines: terminal.then(|| BufReader::new(stdin()).lines()), waiting: VecDeque::new() }
    }

    /// Takes an event that raises a question or settles one.
    pub(crate) fn note(&mut self, event: &Event, output: &Output) -> Result<(), Failure> {
        let (peer, name, question) = match event {
            Event::CodeReady { peer, name, code, confirm: true } => {
                (peer, name, Question::Code(code.clone()))
            }
            Event::DecisionWanted { peer, name, .. } => (peer, name, Question::Decision),
            Event::PeerTrusted { peer, .. }
            | Event::PeerLeft { peer, .. }
            | Event::PeerRejected { peer, .. } => {
                let first = self.waiting.front().map(|(peer, ..)| *peer);
                self.waiting.retain(|(waiting, ..)| waiting != peer);
                return if first == Some(*peer) { self.ask(output) } else { Ok(()) };
            }
            _ => return Ok(()),
        };
        if self.lines.is_none() {
            if !output.is_json() {
                let id = peer.short();
                output
                    .line(&format!("{:12} `p2pnet trust {id}` says yes, `p2pnet block {id}` says no", ""))?;
            }
            return Ok(());
        }
        self.waiting.retain(|(waiting, ..)| waiting != peer);
        if self.waiting.len() < MAX_QUESTIONS {
            self.waiting.push_back((*peer, name.clone(), question));
        }
        if self.waiting.len() == 1 { self.ask(output) } else { Ok(()) }
    }

    /// What the user types next. Safe to cancel.
    pub(crate) async fn line(&mut self) -> String {
        if let Some(lines) = &mut self.lines {
            match lines.next_line().await {
                Ok(Some(line)) => return line,
                // Nobody will type anything any more.
                Ok(None) | Err(_) => self.lines = None,
            }
        }
        std::future::pending().await
    }

    /// Takes what the user typed.
    pub(crate) async fn answer(
        &mut self,
        line: &str,
        node: &NodeHandle,
        output: &Output,
    ) -> Result<(), Failure> {
        let Some((peer, _, question)) = self.waiting.front().cloned() else { return Ok(()) };
        let Some(verdict) = verdict(line) else { return self.ask(output) };
        self.waiting.pop_front();
        let said = match (verdict, question) {
            (Verdict::Yes, Question::Decision) => node.accept(peer).await,
            (Verdict::No, Question::Decision) => node.reject(peer).await,
            // Who has compared a code knows who it is, from now on.
            (Verdict::Yes | Verdict::Always, Question::Code(_)) | (Verdict::Always, Question::Decision) => {
                node.trust(peer).await
            }
            (Verdict::No, Question::Code(_)) => node.confirm_code(peer, false).await,
            (Verdict::Block, _) => node.block(peer).await,
        };
        if let Err(error) = said {
            output.remark(&error.to_string());
        }
        self.ask(output)
    }

    /// Asks the first question.
    fn ask(&self, output: &Output) -> Result<(), Failure> {
        let Some((peer, name, question)) = self.waiting.front() else { return Ok(()) };
        let who = who(name, peer);
        output.line(&match question {
            Question::Code(code) => format!("Does {who} show {code}? [y]es, [n]o, [b]lock"),
            Question::Decision => format!("Let {who} in? [y]es, [a]lways, [n]o, [b]lock"),
        })
    }
}

fn verdict(line: &str) -> Option<Verdict> {
    match line.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Some(Verdict::Yes),
        "a" | "always" => Some(Verdict::Always),
        "n" | "no" => Some(Verdict::No),
        "b" | "block" => Some(Verdict::Block),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody is let in by a slip of the finger.
    #[test]
    fn only_clear_words_are_answers() {
        assert_eq!(verdict(" Yes \n"), Some(Verdict::Yes));
        assert_eq!(verdict("a"), Some(Verdict::Always));
        assert_eq!(verdict("n"), Some(Verdict::No));
        assert_eq!(verdict("B"), Some(Verdict::Block));
        for text in ["", "yeah", "1", "ja", "yn"] {
            assert_eq!(verdict(text), None, "{text:?}");
        }
    }
}
