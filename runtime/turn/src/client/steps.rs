//! What a client does with answers and with time.

use super::{
    ALLOCATE, ATTEMPT_TIME, AttributeWrite, BINDING, CONNECTION_ATTEMPT, CREATE_PERMISSION, Client, Content,
    Duration, Error, Event, Exchange, FRESH, Lifetime, MAX_ATTEMPTS, MAX_LIFETIME, MessageClass, Outcome,
    REFRESH, Request, RequestedTransport, SocketAddr, Stage, Waiting, XorPeerAddress, message,
};

impl Client {
    /// Ends after an error, or else asks what is due.
    pub(super) fn settle(&mut self, now: Duration, result: Result<(), Error>) {
        if matches!(self.stage, Stage::Over) {
            return;
        }
        if let Err(error) = result {
            self.stage = Stage::Over;
            self.out.clear();
            self.events.push_back(Event::Failed(error));
        } else if self.waiting.is_none()
            && let Some((at, request)) = self.next_request()
            && at <= now
        {
            self.ask(now, request, None);
        }
    }

    /// What the server is asked next, and when.
    pub(super) fn next_request(&self) -> Option<(Duration, Request)> {
        let Stage::Allocated { refresh_at, .. } = self.stage else { return None };
        let permit = self.permissions.due().map(|(at, address)| (at, Request::Permit(address)));
        let all = [Some((refresh_at, Request::Refresh)), permit, Some((self.ping_at, Request::Ping))];
        all.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    pub(super) fn ask(&mut self, now: Duration, request: Request, before: Option<&Exchange>) {
        let id = self.ids.next();
        let seconds = u32::try_from(self.settings.lifetime.as_secs()).unwrap_or(u32::MAX).max(1);
        let lifetime = Lifetime::new(seconds);
        let transport = RequestedTransport::new(RequestedTransport::TCP);
        let peer;
        let (method, attributes): (_, Vec<&dyn AttributeWrite>) = match request {
            Request::Allocate => (ALLOCATE, vec![&transport, &lifetime]),
            Request::Refresh => (REFRESH, vec![&lifetime]),
            Request::Permit(address) => {
                peer = XorPeerAddress::new(SocketAddr::new(address, 0), id);
                (CREATE_PERMISSION, vec![&peer])
            }
            Request::Ping => (BINDING, vec![]),
        };
        let (bytes, exchange) = self.signer.request(method, id, &attributes, before);
        self.out.push_back(bytes);
        self.waiting = Some(Waiting { request, exchange, deadline: now + self.settings.answer });
    }

    pub(super) fn read(&mut self, now: Duration) -> Result<(), Error> {
        while let Some(bytes) = self.framing.next()? {
            let incoming = message::read(&bytes, self.signer.key())?;
            let answered = |waiting: &mut Waiting| waiting.exchange.is_answered_by(&incoming);
            if let Some(Waiting { request, exchange, .. }) = self.waiting.take_if(answered) {
                match self.signer.judge(exchange, incoming) {
                    Outcome::Again(exchange) => self.ask(now, request, Some(&exchange)),
                    Outcome::Done(result) => self.answered(now, request, result)?,
                }
                self.settle(now, Ok(()));
            } else if (incoming.class, incoming.method) == (MessageClass::Indication, CONNECTION_ATTEMPT) {
                self.attempted(now, &incoming.content);
                self.settle(now, Ok(()));
            }
        }
        Ok(())
    }

    fn answered(
        &mut self,
        now: Duration,
        request: Request,
        result: Result<Box<Content>, Error>,
    ) -> Result<(), Error> {
        self.ping_at = now + self.settings.keepalive;
        if result.is_ok() && request != Request::Ping {
            self.signed_at = Some(now);
            for event in std::mem::take(&mut self.held) {
                self.tell(event);
            }
        }
        match (request, result) {
            (Request::Allocate, Ok(content)) => {
                let Content { relayed, mapped, lifetime, .. } = *content;
                let relayed = relayed.filter(|relayed| relayed.port() > 0 && !relayed.ip().is_unspecified());
                let relayed = relayed.ok_or(Error::Malformed)?;
                let refresh_at = now + before(lifetime)?;
                self.stage = Stage::Allocated { relayed, refresh_at };
                self.events.push_back(Event::Allocated { relayed });
                self.observe(mapped);
                self.permissions.only_like(relayed.ip());
            }
            (Request::Refresh, Ok(content)) => {
                let next = now + before(content.lifetime)?;
                if let Stage::Allocated { refresh_at, .. } = &mut self.stage {
                    *refresh_at = next;
                }
            }
            (Request::Permit(address), Ok(_)) => self.permissions.granted(now, address),
            (Request::Permit(address), Err(error)) if is_of_one_address(&error) => {
                self.permissions.refused(address);
                self.tell(Event::NotPermitted { address, error });
            }
            (Request::Ping, Ok(content)) => self.observe(content.mapped),
            // A server that refuses even this is there.
            (Request::Ping, Err(error)) if error != Error::Malformed => {}
            (_, Err(error)) => return Err(error),
        }
        Ok(())
    }

    fn observe(&mut self, mapped: Option<SocketAddr>) {
        if let Some(address) = mapped
            && self.observed.replace(address) != Some(address)
        {
            self.tell(Event::Observed(address));
        }
    }

    fn attempted(&mut self, now: Duration, content: &Content) {
        let (Some(connection), Some(peer)) = (content.connection, content.peer) else { return };
        let Stage::Allocated { refresh_at, .. } = &mut self.stage else { return };
        if self.attempts.len() >= MAX_ATTEMPTS
            || self.attempts.insert(connection, now + ATTEMPT_TIME).is_some()
        {
            return;
        }
        let event = Event::Attempt { connection, peer };
        if self.signed_at.is_some_and(|at| now < at + FRESH) {
            self.tell(event);
        } else {
            *refresh_at = now;
            self.held.push(event);
        }
    }

    /// Nobody takes events: nobody misses one.
    fn tell(&mut self, event: Event) {
        if self.events.len() < 2 * MAX_ATTEMPTS {
            self.events.push_back(event);
        }
    }
}

/// How long before a lifetime is over it is renewed.
fn before(lifetime: Option<u32>) -> Result<Duration, Error> {
    let lifetime = lifetime.filter(|&seconds| seconds > 0).ok_or(Error::Malformed)?;
    let lifetime = Duration::from_secs(u64::from(lifetime)).min(MAX_LIFETIME);
    let minute = Duration::from_secs(60);
    Ok(if lifetime > 2 * minute { lifetime - minute } else { lifetime / 2 })
}

/// Whether the refusal of a permission says nothing about the allocation.
fn is_of_one_address(error: &Error) -> bool {
    matches!(error, Error::Forbidden | Error::Quota | Error::Refused { .. })
}
