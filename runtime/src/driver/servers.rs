//! Bootstrap servers: asking each as the engine says, and telling the application how they do.

use std::sync::Arc;
use std::time::Duration;

use p2pnet_engine::{Engine, ServerAnswer, ServerId, ServerReply, Timestamp};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::bootstrap::{Announcement, ServerError, Servers};
use crate::event::Event;

/// How long a server may take: less than the engine waits.
const ASK_TIME: Duration = Duration::from_secs(20);

/// Announcements under way, the goodbyes among them.
const MAX_ASKING: usize = 16;

/// What a server said, or why it did not.
pub(super) struct Answered {
    server: ServerId,
    result: Result<ServerAnswer, ServerError>,
}

/// What the application was told last of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Told {
    #[default]
    Nothing,
    Reached,
    Failed(String),
}

/// The servers of a node and what is being asked of them.
pub(super) struct Asking {
    servers: Servers,
    told: Vec<Told>,
    tasks: JoinSet<()>,
    answers: mpsc::Sender<Answered>,
}

impl Asking {
    /// Nobody was asked yet. Answers come out at the other end.
    pub(super) fn new(servers: Servers) -> (Self, mpsc::Receiver<Answered>) {
        let (answers, answered) = mpsc::channel(MAX_ASKING);
        let told = vec![Told::default(); servers.0.len()];
        (Asking { servers, told, tasks: JoinSet::new(), answers }, answered)
    }

    /// Asks a server. One that is not there has failed, and so has one too many.
    pub(super) fn ask(&mut self, id: ServerId, announcement: Announcement) {
        while self.tasks.try_join_next().is_some() {}
        let server = self.servers.0.get(usize::from(id.0)).filter(|_| self.tasks.len() < MAX_ASKING);
        let Some(server) = server.map(Arc::clone) else { return };
        let answers = self.answers.clone();
        self.tasks.spawn(async move {
            let answer = timeout(ASK_TIME, server.announce(announcement)).await;
            let result = answer.unwrap_or(Err(ServerError::TimedOut));
            let _ = answers.send(Answered { server: id, result }).await;
        });
    }

    /// Tells the engine what a server said; gives what the application should hear of it: the first answer, the first
    /// failure and each of another kind.
    pub(super) fn answered(
        &mut self,
        answered: Answered,
        engine: &mut Engine,
        now: Timestamp,
    ) -> Option<Event> {
        let Answered { server: id, result } = answered;
        let server = self.servers.0.get(usize::from(id.0))?.name().to_owned();
        let told = self.told.get_mut(usize::from(id.0))?;
        let failure = match result {
            Ok(answer) if engine.handle_server(now, id, ServerReply::Answer(&answer)) => {
                if std::mem::replace(told, Told::Reached) == Told::Reached {
                    return None;
                }
                let records = u32::try_from(answer.records.len()).unwrap_or(u32::MAX);
                let observed = answer.observed;
                return Some(Event::ServerReached { server, records, observed });
            }
            Ok(_) => engine.server_refusal(id).map_or(ServerError::Lies, ServerError::Unwanted),
            Err(error) => {
                engine.handle_server(now, id, ServerReply::Failed);
                error
            }
        };
        let why = failure.to_string();
        let before = std::mem::replace(told, Told::Failed(why.clone()));
        let is_news = before != *told;
        is_news.then_some(Event::ServerFailed { server, why })
    }

    /// Waits until all that was asked is over.
    pub(super) async fn settled(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}
