//! What a client does: its next request, and what it makes of answers and events.

use crate::{
    claim::{ClaimState, Exit, Mode, Phase, Pred, Reply, Request, Seen},
    mutant::Mutant,
    properties::Broken,
    store::{Claim, Event, Key, News, Revision, Session, Value},
    world::{Setup, State},
};

impl State {
    /// Sends the next request, if none is outstanding and one is due.
    pub(crate) fn advance(&mut self, setup: &Setup, me: Claim) {
        let claim = self.claim(me);
        if claim.request.is_none() {
            let request = match claim.phase {
                Phase::Idle | Phase::Finished => None,
                Phase::Entering => self.next_entering(setup, me),
                Phase::InLine => self.next_in_line(setup, me),
                Phase::BehindGate => self.next_behind_gate(setup, me),
            };
            self.claim_mut(me).request = request;
        }
    }

    fn next_entering(&mut self, setup: &Setup, me: Claim) -> Option<Request> {
        let left_behind = self.sessions[setup.session(me) as usize].left_behind.map_or(0, |(_, tail)| tail);
        let others = self.has_others_in_line(setup, me);
        let last = self.last_of_another(setup, me).filter(|_| setup.follows && !self.claim(me).not_follow);
        if let Some(pred) = last.filter(|_| !self.claim(me).leaving) {
            let (own, session) = (setup.session(me), setup.session(pred));
            let watched = self.sessions[own as usize].watched[session as usize];
            if !watched && !setup.mutated(Mutant::FollowWithoutWatch) {
                return Some(Request::WatchSession(session));
            }
        }
        let claim = self.claim_mut(me);
        if claim.leaving {
            if claim.doubt && !setup.mutated(Mutant::CancelWithoutVoid) {
                return Some(Request::Void);
            }
            claim.finish();
            return None;
        }
        if claim.trying {
            let known = if setup.mode(me) == Mode::Exclusive { left_behind } else { 0 };
            let tail = if claim.stale_tail > 0 { claim.stale_tail } else { known };
            return Some(Request::Try((tail > 0).then_some(tail)));
        }
        Some(match (setup.mode(me), claim.bound) {
            (Mode::Exclusive, _) if left_behind > 0 && !claim.not_again => Request::Again(left_behind),
            (Mode::Exclusive, _) if left_behind == 0 && last.is_some() => {
                claim.not_follow = true;
                last.map_or(Request::Join, Request::Follow)
            }
            (Mode::Exclusive, _) if left_behind == 0 && others => Request::Queue,
            (Mode::Exclusive, _) | (Mode::Permits(_), Some(0)) => Request::Join,
            (Mode::Permits(_), None) => Request::ReadHolders,
            (_, bound) => Request::Enter(bound),
        })
    }

    /// The last claim, when it is of another session: the best guess that there is. If there is none, one that may come.
    fn last_of_another(&self, setup: &Setup, me: Claim) -> Option<Claim> {
        match self.store.get(Key::Tail).and_then(|tail| tail.value.claim()) {
            Some(last) => Some(last).filter(|last| setup.session(*last) != setup.session(me)),
            None => self.another(setup, me),
        }
    }

    /// A claim of another session that may come: the next one after this.
    fn another(&self, setup: &Setup, me: Claim) -> Option<Claim> {
        let mut others = (me + 1..setup.all().end).chain(0..me);
        others.find(|other| {
            setup.session(*other) != setup.session(me) && self.claim(*other).phase != Phase::Finished
        })
    }

    /// Whether others of its session have asked to enter, and are not gone.
    fn has_others_in_line(&self, setup: &Setup, me: Claim) -> bool {
        let mut others = setup.claims_of(setup.session(me)).filter(|other| *other != me);
        others.any(|other| !matches!(self.claim(other).phase, Phase::Idle | Phase::Finished))
    }

    fn next_in_line(&mut self, setup: &Setup, me: Claim) -> Option<Request> {
        let claim = self.claim(me);
        let exit = self.exit(setup, me);
        if let Some(news) = claim.tells {
            return Some(Request::Tell(news));
        }
        if claim.leaving && claim.pred != Pred::Unknown {
            let drops = claim.straight && exit.next.is_none() && !claim.dropped && !exit.void;
            return Some(if drops { Request::Drop } else { Request::Leave(exit) });
        }
        if claim.search || claim.pred == Pred::Unknown {
            let place = claim.place;
            self.claim_mut(me).search = false;
            return Some(Request::Find(place));
        }
        match claim.pred {
            Pred::Claim(pred) => self.next_behind(setup, me, pred),
            Pred::None if claim.token.is_some() => None,
            Pred::None if claim.admitted => {
                Some(Request::Admit(Exit { holds: setup.mutated(Mutant::AdmitRingsTurn), ..exit }))
            }
            Pred::None => (!claim.watching).then_some(Request::WatchHolders),
            Pred::Unknown => None,
        }
    }

    fn next_behind_gate(&mut self, setup: &Setup, me: Claim) -> Option<Request> {
        let claim = self.claim_mut(me);
        if claim.leaving {
            let void = claim.doubt && !setup.mutated(Mutant::ReleaseWithoutVoid);
            return Some(Request::Release(claim.held, void));
        }
        std::mem::take(&mut claim.search).then_some(Request::Find(claim.place))
    }

    /// Links to the predecessor, behind an acknowledged watch on its session. One of the same session is told
    /// here, also when it is on its way out.
    fn next_behind(&mut self, setup: &Setup, me: Claim, pred: Claim) -> Option<Request> {
        let (own, session) = (setup.session(me), setup.session(pred));
        if own == session && !self.claim(me).linked && self.claim(pred).phase == Phase::InLine {
            self.claim_mut(pred).follower = Some(me);
            self.claim_mut(me).linked = true;
        }
        let watched = own == session || self.sessions[own as usize].watched[session as usize];
        let linked = self.claim(me).linked;
        match setup.mutated(Mutant::WatchAfterLink) {
            true if !linked => Some(Request::Link(pred)),
            true => (!watched).then_some(Request::WatchSession(session)),
            false if !watched => Some(Request::WatchSession(session)),
            false => (!linked).then_some(Request::Link(pred)),
        }
    }

    /// The attempt has no answer. It is repeated; the first one may still land.
    pub(crate) fn unanswered(&mut self, setup: &Setup, me: Claim) {
        let claim = self.claim_mut(me);
        match claim.request {
            Some(
                Request::Again(_)
                | Request::Join
                | Request::Queue
                | Request::Follow(_)
                | Request::Enter(_)
                | Request::Try(_),
            ) => {
                (claim.doubt, claim.not_again, claim.not_follow) = (true, false, false);
            }
            Some(Request::Drop) => claim.dropped = true,
            _ => {}
        }
        (claim.request, claim.reply) = (None, None);
        self.advance(setup, me);
    }

    /// An answer arrives.
    pub(crate) fn answer(&mut self, setup: &Setup, me: Claim) {
        let claim = self.claim_mut(me);
        let (Some(request), Some(reply)) = (claim.request.take(), claim.reply.take()) else { return };
        if claim.phase != Phase::Finished {
            self.handle(setup, me, request, reply);
            self.advance(setup, me);
        }
    }

    fn handle(&mut self, setup: &Setup, me: Claim, request: Request, reply: Reply) {
        let claim = self.claim_mut(me);
        match (request, reply) {
            (_, Reply::Joined { at, tail, straight, admits }) => {
                self.entered(setup, me, at, straight);
                match tail.claim() {
                    Some(pred) if !straight => {
                        let claim = self.claim_mut(me);
                        let pred_is_head = matches!(tail, Value::Head(_));
                        (claim.pred, claim.pred_is_head) = (Pred::Claim(pred), pred_is_head);
                    }
                    // The queue is empty whenever there is no tail. What lets a shared claim in, its admission
                    // compares.
                    _ => self.head(setup, me, admits || setup.mode(me) == Mode::Shared),
                }
            }
            (Request::Follow(pred), Reply::Followed(at)) => {
                self.entered(setup, me, at, false);
                let claim = self.claim_mut(me);
                (claim.pred, claim.linked) = (Pred::Claim(pred), !claim.ended_early);
                if let Some(news) = claim.told_early.take() {
                    self.news(setup, news, at);
                }
            }
            (_, Reply::Followed(_)) => {}
            (_, Reply::HandedOn) => {
                claim.finish();
                claim.parted = true;
            }
            (_, Reply::Dropped(there, next)) => self.dropped(setup, me, there, next.map(News::Turn)),
            (Request::Tell(_), Reply::Done(_)) => claim.finish(),
            (Request::Tell(_), _) => self.dropped(setup, me, true, None),
            (Request::Enter(_) | Request::Try(_), Reply::Done(at)) => self.behind_gate(setup, me, at, at),
            (Request::Admit(_), Reply::Done(at)) => {
                let (token, follower) = (claim.place, claim.follower);
                self.behind_gate(setup, me, at, token);
                if let Request::Admit(exit) = request {
                    self.claim_mut(me).parted = true;
                    self.tell_here(setup, exit, follower, at);
                }
            }
            (Request::Link(pred), Reply::Done(_)) => claim.linked |= claim.pred == Pred::Claim(pred),
            (Request::Leave(exit), Reply::Done(at)) => {
                let follower = claim.follower;
                claim.finish();
                claim.parted = true;
                self.tell_here(setup, exit, follower, at);
            }
            (_, Reply::Done(_)) | (Request::Release(..), _) => claim.finish(),
            (Request::ReadHolders, Reply::Seen(seen)) => {
                claim.bound = Some(if seen.admits { seen.revision } else { 0 });
            }
            (Request::Try(_), Reply::Seen(seen)) if (seen.node, seen.held) == (None, None) => {
                self.refused_try(setup, me, seen);
            }
            (Request::Again(_), Reply::Seen(_)) => claim.not_again = true,
            (
                Request::Join
                | Request::Queue
                | Request::Follow(_)
                | Request::Enter(_)
                | Request::Try(_)
                | Request::Void,
                Reply::Seen(seen),
            ) => {
                self.landed(setup, me, seen);
            }
            (_, Reply::Seen(seen)) if claim.phase == Phase::BehindGate => {
                if seen.held.is_none() {
                    claim.finish();
                }
            }
            (_, Reply::Seen(seen)) => self.seen_in_line(setup, me, request, seen),
        }
    }

    fn entered(&mut self, setup: &Setup, me: Claim, at: Revision, straight: bool) {
        let left_behind = &mut self.sessions[setup.session(me) as usize].left_behind;
        match left_behind {
            Some((_, tail)) if *tail >= at => {}
            // Whoever came behind another may be taken out of the line again, and the tail given back.
            Some((_, tail)) if !straight && !setup.mutated(Mutant::LaterClaimForgetsTail) => *tail = 0,
            _ => *left_behind = None,
        }
        let claim = self.claim_mut(me);
        (claim.phase, claim.trying, claim.place, claim.straight) = (Phase::InLine, false, at, straight);
    }

    /// `q/me` was deleted, whatever lay there.
    fn dropped(&mut self, setup: &Setup, me: Claim, there: bool, next: Option<News>) {
        let claim = self.claim_mut(me);
        let late = claim.follower.filter(|_| there && next.is_none() && !claim.dropped);
        if let Some(late) = late.filter(|_| !setup.mutated(Mutant::LateFollowerForgotten)) {
            let place = claim.place;
            claim.finish();
            claim.parted = true;
            // If it has been evicted, the tail was given back.
            let session = &mut self.sessions[setup.session(me) as usize];
            session.left_behind.get_or_insert((me, 0));
            let turn = setup.mutated(Mutant::LateFollowerTurns);
            self.news(setup, if turn { News::Turn(late) } else { News::Head(late) }, place);
            return self.advance(setup, late);
        }
        let (place, told) = (claim.place, next.is_some());
        match next.filter(|_| !setup.mutated(Mutant::DropForgetsNext)) {
            Some(next) => claim.tells = Some(next),
            None => claim.finish(),
        }
        let session = &mut self.sessions[setup.session(me) as usize];
        if there && !told && session.left_behind.is_none_or(|(_, later)| later < place) {
            session.left_behind = Some((me, place));
        }
    }

    /// An earlier attempt to enter has landed; its answer was lost. Or the claim was voided meanwhile.
    fn landed(&mut self, setup: &Setup, me: Claim, seen: Seen) {
        let claim = self.claim_mut(me);
        (claim.trying, claim.doubt) = (false, true);
        match (seen.node, seen.held) {
            (Some((created, modified, next)), _) => {
                (claim.phase, claim.place, claim.pred) = (Phase::InLine, created, Pred::Unknown);
                claim.see(modified, next);
            }
            (None, Some(held)) => self.behind_gate(setup, me, held, held),
            (None, None) => claim.finish(),
        }
    }

    fn refused_try(&mut self, setup: &Setup, me: Claim, seen: Seen) {
        let claim = self.claim_mut(me);
        if seen.voided && !setup.mutated(Mutant::TryMissesVoid) {
            claim.finish();
        } else if seen.empty {
            claim.stale_tail = seen.tail;
        } else {
            let unjustified = !claim.witness && !claim.leaving;
            claim.leaving = true;
            claim.doubt &= !setup.mutated(Mutant::TryNoneWithoutVoid);
            if unjustified {
                self.broken = Some(Broken::Try);
            }
        }
    }

    /// The Else branch of link, leave and admit, and what a find reads.
    fn seen_in_line(&mut self, setup: &Setup, me: Claim, request: Request, seen: Seen) {
        let claim = self.claim_mut(me);
        if let Request::After(_) = request {
            // It may have passed the gate since, or one that stood between.
            let news = if setup.mutated(Mutant::DropUnansweredTurns) { News::Turn } else { News::Head };
            return self.dropped(setup, me, true, seen.after.map(news));
        }
        let Some((_, modified, next)) = seen.node else { return self.node_gone(setup, me, seen) };
        claim.see(modified, next);
        if let Request::Leave(exit) | Request::Admit(exit) = request
            && (modified, claim.modified) == (0, exit.modified)
        {
            // Who had linked has withdrawn.
            (claim.modified, claim.next) = (0, None);
        }
        match request {
            Request::Link(_) if setup.mutated(Mutant::RefusedLinkGrants) => self.head(setup, me, true),
            Request::Link(pred) if claim.pred == Pred::Claim(pred) => {
                self.link_refused(setup, me, pred, seen)
            }
            Request::Find(_) => match seen.below {
                None => self.head(setup, me, seen.admits),
                Some(_) if claim.pred == Pred::None => {}
                Some(pred) => claim.stand_behind(pred),
            },
            Request::Leave(exit) | Request::Admit(exit) => {
                if exit.pred.is_some_and(|pred| claim.pred == Pred::Claim(pred)) && !seen.pred_lives {
                    claim.pred = Pred::Unknown;
                }
                if !seen.next_lives && claim.follower == exit.next {
                    claim.follower = None;
                } else if claim.modified == exit.modified && !seen.next_lives {
                    claim.next = None;
                }
                if setup.mode(me) == Mode::Shared && !seen.admits {
                    (claim.admitted, claim.watching) = (false, false);
                }
            }
            _ => {}
        }
    }

    /// The predecessor is gone: it came straight in, or has left a mark; otherwise who is before me is to be
    /// looked up.
    fn link_refused(&mut self, setup: &Setup, me: Claim, pred: Claim, seen: Seen) {
        let claim = self.claim_mut(me);
        let ours = |left: Claim| left == pred || setup.mutated(Mutant::MarkOfAnother);
        match seen.mark {
            _ if seen.pred_lives => claim.search = true,
            _ if claim.pred_is_head => self.head(setup, me, seen.admits),
            Value::Head(left) if ours(left) => self.head(setup, me, seen.admits),
            Value::Behind(left, ahead) if ours(left) => {
                claim.stand_behind(ahead);
            }
            _ => claim.search = true,
        }
    }

    /// `q/me` is gone: an admission has landed, or an earlier leave, or an operator has evicted it.
    fn node_gone(&mut self, setup: &Setup, me: Claim, seen: Seen) {
        let claim = self.claim_mut(me);
        let missed = claim.leaving && setup.mutated(Mutant::LeaveMissesHolder);
        match seen.held.filter(|_| !missed) {
            Some(held) => {
                let token = claim.place;
                self.behind_gate(setup, me, held, token);
            }
            None if claim.dropped && !setup.mutated(Mutant::DropUnansweredForgets) => {
                claim.request = Some(Request::After(claim.place));
            }
            None => claim.finish(),
        }
    }

    /// Nobody is before me. `admits`: what was read since, or told, lets me go.
    fn head(&mut self, setup: &Setup, me: Claim, admits: bool) {
        let claim = self.claim_mut(me);
        claim.pred = Pred::None;
        claim.admitted |= admits;
        if admits && setup.mode(me) == Mode::Exclusive && claim.token.is_none() {
            claim.watching = false;
            let token = claim.place;
            self.grant(setup, me, token);
        }
    }

    fn behind_gate(&mut self, setup: &Setup, me: Claim, held: Revision, token: Revision) {
        let claim = self.claim_mut(me);
        let ClaimState { doubt, leaving, search, evicted, .. } = *claim;
        claim.finish();
        (claim.phase, claim.held) = (Phase::BehindGate, held);
        (claim.doubt, claim.leaving, claim.search, claim.evicted) = (doubt, leaving, search, evicted);
        self.grant(setup, me, token);
    }

    /// The user is told, unless it is no longer interested.
    fn grant(&mut self, setup: &Setup, me: Claim, token: Revision) {
        if !self.claim(me).leaving {
            self.claim_mut(me).token = Some(token);
            self.check_token(setup, me, token);
        }
    }

    /// An event arrives at a session.
    pub(crate) fn hear(&mut self, setup: &Setup, session: Session, event: Event) {
        match event {
            Event::Bell(_, news, at) => self.news(setup, news, at),
            Event::Gone(gone) => {
                setup.claims_of(session).for_each(|me| self.session_gone(setup, me, gone));
            }
            Event::Freed => {
                for me in setup.claims_of(session) {
                    let claim = self.claim_mut(me);
                    claim.search |= claim.watching;
                }
            }
        }
        setup.claims_of(session).for_each(|me| self.advance(setup, me));
    }

    /// The next claim of the same session hears from the answer what its bell would have said: the one that
    /// was known, or one that said so while the request was under way.
    fn tell_here(&mut self, setup: &Setup, exit: Exit, follower: Option<Claim>, at: Revision) {
        let late = follower.filter(|_| exit.next.is_none() && !setup.mutated(Mutant::LateFollowerForgotten));
        let Some(next) = exit.next.filter(|_| exit.tells_here).or(late) else { return };
        if let Some(news) = setup.parting_news(next, exit) {
            self.news(setup, news, at);
            self.claim_mut(next).search &= !setup.mutated(Mutant::TurnHereHidesGap);
            self.advance(setup, next);
        }
    }

    /// A claim that has gone without telling whoever waits for it here: that one links, and finds out.
    pub(crate) fn those_behind_the_gone_link(&mut self, setup: &Setup) {
        for me in setup.all() {
            let Pred::Claim(pred) = self.claim(me).pred else { continue };
            let here = setup.session(me) == setup.session(pred) && self.claim(me).linked;
            let gone = matches!(self.claim(pred).phase, Phase::BehindGate | Phase::Finished);
            let silent = gone && !self.claim(pred).parted;
            if here && silent && self.claim(me).phase == Phase::InLine {
                self.claim_mut(me).linked = false;
                self.advance(setup, me);
            }
        }
    }

    /// A session has ended, or that may have been missed.
    pub(crate) fn session_gone(&mut self, setup: &Setup, me: Claim, gone: Session) {
        if let Some(Request::Follow(pred)) = self.claim(me).request
            && setup.session(pred) == gone
        {
            self.claim_mut(me).ended_early |= !setup.mutated(Mutant::FollowForgetsEnd);
        }
        let Pred::Claim(pred) = self.claim(me).pred else { return };
        if setup.session(pred) == gone && self.claim(me).phase == Phase::InLine {
            self.predecessor_gone(setup, me);
        }
    }

    fn predecessor_gone(&mut self, setup: &Setup, me: Claim) {
        if setup.mutated(Mutant::GoneGrants) {
            self.head(setup, me, true);
        } else {
            self.claim_mut(me).search |= !setup.mutated(Mutant::GoneIgnored);
        }
    }

    fn news(&mut self, setup: &Setup, news: News, at: Revision) {
        let me = news.to();
        let claim = self.claim_mut(me);
        match (news, claim.phase) {
            (News::Evicted(_), _) => claim.finish(),
            (News::Turn(_) | News::Head(_) | News::Pred(..), Phase::Entering) => {
                claim.told_early = Some(news).filter(|_| !setup.mutated(Mutant::FollowForgetsNews));
            }
            (News::Next(_, next), Phase::Entering | Phase::InLine) => claim.see(at, Some(next)),
            (News::Pred(_, pred), Phase::InLine) if claim.pred != Pred::None => {
                claim.stand_behind(pred);
            }
            (News::Turn(_), Phase::InLine) => self.head(setup, me, true),
            (News::Head(_), Phase::InLine) if setup.mode(me) == Mode::Shared => self.head(setup, me, true),
            (News::Head(_), Phase::InLine) => {
                claim.search |= claim.token.is_none();
                claim.pred = Pred::None;
            }
            _ => {}
        }
    }

    fn exit(&self, setup: &Setup, me: Claim) -> Exit {
        let claim = self.claim(me);
        let pred = match claim.pred {
            Pred::Claim(pred) => Some(pred),
            Pred::None | Pred::Unknown => None,
        };
        let next = claim.follower.or(claim.next);
        let holds = pred.is_none() && claim.admitted && setup.mode(me) == Mode::Exclusive;
        Exit {
            modified: claim.modified,
            pred,
            next,
            tells_here: next.is_some_and(|next| setup.session(next) == setup.session(me)),
            holds,
            void: claim.doubt && !setup.mutated(Mutant::LeaveWithoutVoid),
            expected: self.another(setup, me).filter(|_| setup.follows && holds && next.is_none()),
        }
    }
}
