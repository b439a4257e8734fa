//! One claim of this session: what is known of it, and what comes next.

use std::sync::{Arc, Mutex, OnceLock};

use etcd_client::KeyValue;
use lock_core::{
    ClaimId, Error, ErrorKind, Fate, FencingToken, LineId, LostReason, Mode, Result, Ticket,
    backend::Record,
    bug::Bug,
    sync::{Signal, locked},
};

use super::named;
use crate::{
    keys::{LineKeys, Namespace},
    news::News,
};

/// Whose claim, and where its keys are.
#[derive(Debug)]
pub(crate) struct Who {
    pub(crate) id: ClaimId,
    pub(crate) line: LineId,
    pub(crate) keys: LineKeys,
    pub(crate) namespace: Namespace,
    place: OnceLock<u64>,
}

impl Who {
    pub(crate) fn new(id: ClaimId, line: &LineId, namespace: &Namespace) -> Self {
        let (line, namespace) = (line.clone(), namespace.clone());
        Self { id, keys: namespace.line(&line), line, namespace, place: OnceLock::new() }
    }

    /// The create revision of its node, or of its seat when it came straight in; 0 before it is known.
    pub(crate) fn place(&self) -> u64 {
        self.place.get().copied().unwrap_or_default()
    }

    /// What a resource can tell a late holder by.
    fn token(&self) -> Result<FencingToken> {
        FencingToken::new(if Bug::TokenOfSession.is_seeded() { self.id.number + 1 } else { self.place() })
    }

    pub(crate) fn took(&self, place: i64) {
        let _known = self.place.set(place.cast_unsigned());
    }
}

#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) who: Who,
    /// What it publishes, and the revision at which that was written; 0 before that is known.
    pub(crate) record: Mutex<(Record, i64)>,
    pub(crate) fate: Arc<Fate>,
    pub(crate) state: Signal<State>,
}

#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) phase: Phase,
    pub(crate) mode: Mode,
    /// The revision at which somebody last linked behind it, as far as is known; 0 for nobody.
    pub(crate) touched: i64,
    /// The claim behind it, once that has linked.
    pub(crate) next: Option<ClaimId>,
    /// The claim behind it, when that is of this session and has said so here instead of in the store.
    pub(crate) follower: Option<ClaimId>,
    /// It came straight into an empty line, and stands where it came in.
    pub(crate) straight: bool,
    /// The claim that it came behind, when that one came straight in.
    pub(crate) behind_first: Option<ClaimId>,
    /// Its node was deleted without a look at who is behind it, and that was not answered.
    pub(crate) dropped: bool,
    /// The weaker mode that it may have taken: the request was not answered.
    pub(crate) weakening: Option<Mode>,
    /// Requests to join that were sent and not answered: each may still land.
    pub(crate) unanswered: u32,
    /// The last news of who is ahead, when they came before the answer to its request to enter.
    pub(crate) told_early: Option<News>,
    /// It has been asked to leave, so it takes no further step towards its turn.
    pub(crate) leaving: bool,
    /// A task takes its steps.
    pub(crate) driven: bool,
    /// Why it cannot go on.
    pub(crate) trouble: Option<(ErrorKind, Arc<str>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not in line, as far as is known.
    Outside,
    /// In the queue, behind another.
    Waiting(Ahead),
    /// Nobody is before it in the queue.
    Head(Gate),
    /// Granted; the create revision of the key that says so.
    Holding(i64),
    /// Left, evicted, or ended with its session.
    Gone,
}

/// The claim ahead of one that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ahead {
    /// Not known; a search that begins after this round of the line's searches finds it. `UNSOUGHT`: nobody
    /// has been asked to search yet.
    Sought(u64),
    /// It has not been told yet that somebody waits behind it.
    Found(ClaimId),
    Linked(ClaimId),
}

impl Ahead {
    /// No search may speak of the claim before it is [sought](super::Queue::seek): one that is under way
    /// might have begun before the claim was there.
    pub(crate) const UNSOUGHT: Self = Self::Sought(u64::MAX);
}

/// What a head knows of the holders behind the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    Unknown,
    /// They let it in.
    Open,
    Shut,
}

/// What a claim's task does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Link(ClaimId),
    /// Through the gate.
    Admission,
    /// Wait until the holders behind the gate let it in.
    Gate,
}

impl Standing {
    pub(crate) fn new(who: Who, record: Record) -> Self {
        let state = State {
            phase: Phase::Outside,
            mode: record.mode,
            touched: 0,
            next: None,
            follower: None,
            straight: false,
            behind_first: None,
            dropped: false,
            weakening: None,
            unanswered: 0,
            told_early: None,
            leaving: false,
            driven: false,
            trouble: None,
        };
        Self { who, record: Mutex::new((record, 0)), fate: Arc::default(), state: Signal::new(state) }
    }

    /// Its ticket, once it is in line.
    pub(crate) fn ticket(&self) -> Option<Ticket> {
        let in_line = self.state.read(|state| !matches!(state.phase, Phase::Outside | Phase::Gone));
        let Who { line, id, .. } = &self.who;
        in_line.then(|| Ticket { line: line.clone(), claim: *id, place: self.who.place() })
    }

    /// Where it may sit: in its mode, and in the weaker one that it may have taken.
    pub(crate) fn seats(&self) -> impl Iterator<Item = String> {
        let (mode, weakening) = self.state.read(|state| (state.mode, state.weakening));
        [Some(mode), weakening].into_iter().flatten().map(|mode| self.who.keys.seat(mode, self.who.id))
    }

    /// What it publishes, and the revision at which that was written. The first record is written together
    /// with the key that gives the place.
    pub(crate) fn record(&self) -> (Record, i64) {
        let (record, written) = locked(&self.record).clone();
        (record, if written == 0 { self.who.place().cast_signed() } else { written })
    }

    /// What it publishes once it has left the queue for a seat in this mode.
    pub(crate) fn record_as(&self, mode: Mode) -> Record {
        Record { mode, place: Some(self.who.place()), ..self.record().0 }
    }

    pub(crate) fn publishes(&self, record: Record, written: i64) {
        *locked(&self.record) = (record, written);
    }

    /// It has left the queue for a seat behind the gate, which was created at that revision.
    ///
    /// # Errors
    ///
    /// When the store's revision is no token.
    pub(crate) fn take_seat(&self, mode: Mode, seat: i64) -> Result<()> {
        self.publishes(self.record_as(mode), seat);
        self.hold(seat)
    }

    /// It holds, by the key that was created at `seat`.
    ///
    /// # Errors
    ///
    /// When the store's revision is no token.
    pub(crate) fn hold(&self, seat: i64) -> Result<()> {
        let token = self.who.token()?;
        let holds = self.state.update(|state| {
            let holds = state.phase != Phase::Gone;
            if holds {
                state.phase = Phase::Holding(seat);
            }
            holds
        });
        if holds {
            self.fate.grant(token);
        }
        Ok(())
    }

    /// Nobody is before it in the queue.
    ///
    /// # Errors
    ///
    /// When the store's revision is no token.
    pub(crate) fn lead(&self, gate: Gate) -> Result<()> {
        // Who holds already does not fall back because of an answer that comes late. Who has not been answered
        // yet has no place to know of, and looks ahead once it has.
        let may_lead = |state: &State| matches!(state.phase, Phase::Waiting(_) | Phase::Head(_));
        if !self.state.read(may_lead) {
            return Ok(());
        }
        let token = self.who.token()?;
        let its_turn = self.state.update(|state| {
            let leads = may_lead(state);
            let its_turn = leads && gate == Gate::Open && state.mode == Mode::Exclusive;
            if its_turn {
                state.phase = Phase::Holding(self.who.place().cast_signed());
            } else if leads {
                state.phase = Phase::Head(gate);
            }
            its_turn
        });
        if its_turn {
            self.fate.grant(token);
        }
        Ok(())
    }

    /// It is in line no more.
    pub(crate) fn end(&self, reason: LostReason) {
        self.state.update(|state| state.phase = Phase::Gone);
        self.fate.end(reason);
    }

    /// News from its session's bell, which were written at `revision`.
    pub(crate) fn hear(&self, news: News, revision: i64) -> Result<()> {
        let is_early = matches!(news, News::Turn | News::Head | News::Behind(_))
            && self.state.update_silently(|state| {
                let is_early = state.phase == Phase::Outside;
                if is_early {
                    state.told_early = Some(news);
                }
                is_early
            });
        if is_early {
            return Ok(());
        }
        match news {
            News::Turn => self.lead(Gate::Open)?,
            News::Head => self.lead(Gate::Unknown)?,
            // A search that was asked for sees more than these news do.
            News::Behind(ahead) => self.state.update(|state| {
                if matches!(state.phase, Phase::Waiting(Ahead::Found(_) | Ahead::Linked(_))) {
                    state.phase = Phase::Waiting(Ahead::Found(ahead));
                }
            }),
            // The bell and `next` are written in one transaction.
            News::Followed(next) => self.state.update_silently(|state| {
                if revision > state.touched {
                    (state.next, state.touched) = (Some(next), revision);
                }
            }),
            News::Evicted => self.end(LostReason::Evicted),
        }
        Ok(())
    }

    /// It cannot go on for a reason that its owner must know.
    pub(crate) fn stop(&self, error: &Error) {
        self.state.update(|state| state.trouble = Some((error.kind(), error.to_string().into())));
    }

    /// Waits for its turn.
    pub(crate) async fn granted(&self) -> Result<FencingToken> {
        let stopped = self.state.wait(|state| state.trouble.clone());
        tokio::select! { biased;
            token = self.fate.granted() => token.map_err(Error::lost),
            (kind, why) = stopped => Err(Error::new(kind, &*why)),
        }
    }
}

impl State {
    /// Takes note of who stands behind it, unless later news are known already.
    pub(crate) fn saw(&mut self, next: &KeyValue) {
        if next.mod_revision() > self.touched {
            (self.touched, self.next) = (next.mod_revision(), named(next.value()));
        }
    }

    /// Whether a request to join may still land.
    pub(crate) fn doubt(&self) -> bool {
        self.unanswered > 0
    }

    /// Whether nobody was ever in line beside it, as far as is known: then one deletion ends it.
    pub(crate) fn alone(&self) -> bool {
        let holds = self.mode == Mode::Exclusive && matches!(self.phase, Phase::Holding(_));
        let settled = !self.doubt() && !self.dropped && self.weakening.is_none();
        holds && settled && self.straight && self.touched == 0 && self.follower.is_none()
    }

    /// The claim behind it. Whoever is in line and said so is the one, for nobody comes in between; the other,
    /// if there are two, has left.
    pub(crate) fn behind(&self) -> Option<ClaimId> {
        self.follower.or(self.next)
    }

    /// Lets a claim of the same session wait behind it without a word to the store; tells whether it may. It
    /// may while this one is leaving, and not once it has left.
    pub(crate) fn is_followed_by(&mut self, follower: ClaimId) -> bool {
        let stays = match self.phase {
            Phase::Waiting(_) | Phase::Head(_) => true,
            // Others that hold have left the queue.
            Phase::Holding(_) => self.mode == Mode::Exclusive,
            Phase::Outside | Phase::Gone => false,
        };
        // A mode that is changing takes it out of the queue where it stands.
        let accepts = stays && self.weakening.is_none();
        if accepts {
            self.follower = Some(follower);
        }
        accepts
    }

    /// Whom the claim has before it when it leaves the queue from where it stands, and what the one behind it
    /// is told. `Turn` only from who held alone: others stand behind the gate when the head was let in beside
    /// them.
    pub(crate) fn parting(&self) -> Option<(Option<ClaimId>, News)> {
        match (self.phase, self.mode) {
            (Phase::Waiting(Ahead::Found(ahead) | Ahead::Linked(ahead)), _) => {
                Some((Some(ahead), News::Behind(ahead)))
            }
            (Phase::Head(_), _) => Some((None, News::Head)),
            (Phase::Holding(_), Mode::Exclusive) => Some((None, News::Turn)),
            _ => None,
        }
    }

    pub(crate) fn next_step(&self) -> Option<Step> {
        if self.leaving || self.trouble.is_some() {
            return None;
        }
        match (self.phase, self.mode) {
            (Phase::Waiting(Ahead::Found(ahead)), _) => Some(Step::Link(ahead)),
            (Phase::Head(_), Mode::Exclusive) => Some(Step::Gate),
            (Phase::Head(Gate::Open), _) | (Phase::Head(Gate::Unknown), Mode::Shared) => {
                Some(Step::Admission)
            }
            (Phase::Head(_), _) => Some(Step::Gate),
            _ => None,
        }
    }

    /// Whether it waits for a claim of that session.
    pub(crate) fn waits_for(&self, session: lock_core::SessionId) -> bool {
        match self.phase {
            Phase::Waiting(Ahead::Found(ahead) | Ahead::Linked(ahead)) => ahead.session == session,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use lock_core::{Kind, Payload, SessionId};

    use super::*;

    fn claim(number: u64) -> ClaimId {
        ClaimId { session: SessionId::new(1), number }
    }

    /// A claim that waits at place 7.
    fn standing(mode: Mode) -> Standing {
        let line = LineId::new(Kind::Mutex, "x".parse().unwrap());
        let namespace = Namespace::new(&"n".parse().unwrap());
        let (since, payload) = (std::time::UNIX_EPOCH, Payload::default());
        let record = Record { owner: "o".into(), mode, since, payload, place: None };
        let standing = Standing::new(Who::new(claim(0), &line, &namespace), record);
        standing.who.took(7);
        standing.state.update(|state| state.phase = Phase::Waiting(Ahead::Linked(claim(1))));
        standing
    }

    fn phase(standing: &Standing) -> Phase {
        standing.state.read(|state| state.phase)
    }

    #[test]
    fn c1_a_head_that_was_let_in_beside_others_does_not_hand_on_a_turn() {
        let permits = Mode::Permits { count: 1, limit: 3 };
        for mode in [Mode::Shared, permits] {
            let standing = standing(mode);
            standing.lead(Gate::Open).unwrap();
            assert_eq!(standing.state.read(State::parting), Some((None, News::Head)), "{mode}");
        }
        let standing = standing(Mode::Exclusive);
        standing.lead(Gate::Shut).unwrap();
        assert_eq!(standing.state.read(State::parting), Some((None, News::Head)));
        standing.lead(Gate::Open).unwrap();
        assert_eq!(standing.state.read(State::parting), Some((None, News::Turn)));
    }

    #[test]
    fn news_that_overtake_the_answer_to_a_join_are_no_trouble() {
        let mut standing = standing(Mode::Exclusive);
        standing.who = Who::new(claim(0), &standing.who.line, &standing.who.namespace);
        standing.state.update(|state| state.phase = Phase::Outside);
        for news in [News::Head, News::Turn, News::Behind(claim(2))] {
            standing.hear(news, 9).unwrap();
            assert_eq!((phase(&standing), standing.fate.token()), (Phase::Outside, None), "{news:?}");
        }
    }

    #[test]
    fn what_comes_late_takes_nothing_back() {
        let standing = standing(Mode::Exclusive);
        standing.hear(News::Turn, 9).unwrap();
        let token = standing.fate.token().map(FencingToken::get);
        assert_eq!((phase(&standing), token), (Phase::Holding(7), Some(7)));
        for news in [News::Head, News::Behind(claim(2)), News::Turn] {
            standing.hear(news, 8).unwrap();
            assert_eq!(phase(&standing), Phase::Holding(7), "{news:?}");
        }
        standing.hear(News::Followed(claim(3)), 12).unwrap();
        standing.hear(News::Followed(claim(2)), 11).unwrap();
        assert_eq!(standing.state.read(|state| (state.next, state.touched)), (Some(claim(3)), 12));
        standing.hear(News::Evicted, 13).unwrap();
        standing.hear(News::Turn, 14).unwrap();
        standing.hold(7).unwrap();
        assert_eq!((phase(&standing), standing.fate.end_reason()), (Phase::Gone, Some(LostReason::Evicted)));
    }
}
