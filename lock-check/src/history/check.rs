//! The checker: one pass over the events, with ordered sets per line. O(n log n).

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use lock_core::{ClaimId, FencingToken, LineId, LostReason, Mode, SessionId, line::Occupancy};

use super::{Event, Invariant, Violation, What};

/// What is wrong with a history whose events are in the order of time. `lingering` is for how long a claim
/// may stay in line after its owner has lost its session, or has left without an answer: the ttl and the
/// store's slack.
#[must_use]
pub fn check(events: &[Event], lingering: Duration) -> Vec<Violation> {
    let mut checker = Checker { lingering, ..Checker::default() };
    for event in events {
        checker.see(event);
    }
    let end = events.last().map(|event| event.at).unwrap_or_default();
    for line in checker.lines.values_mut() {
        line.check_writes(end, &mut checker.violations);
    }
    checker.violations
}

#[derive(Default)]
struct Checker {
    lingering: Duration,
    claims: HashMap<ClaimId, Claim>,
    of_session: HashMap<SessionId, Vec<ClaimId>>,
    lines: HashMap<LineId, LineState>,
    ended: HashSet<SessionId>,
    violations: Vec<Violation>,
}

/// What is known of one claim.
struct Claim {
    line: LineId,
    mode: Mode,
    sent: Duration,
    place: Option<u64>,
    /// Somebody may have it removed: its owner, an operator, the store.
    may_go: bool,
    /// By an operator. Its owner hears of it when somebody else may have its turn already: that is what tokens
    /// are for.
    evicted: bool,
}

#[derive(Default)]
struct LineState {
    /// Those who wait for certain, by their place: what a claim behind them must not overtake.
    waiting: HashMap<Mode, BTreeSet<u64>>,
    /// What users believe to hold.
    believed: HashSet<ClaimId>,
    occupancy: Occupancy,
    tokens: BTreeSet<FencingToken>,
    /// When each token of an exclusive grant was returned, with the highest by then.
    exclusive: Vec<(Duration, FencingToken)>,
    /// The same of exclusive and shared ones. Permit tokens identify, they do not order.
    ordered: Vec<(Duration, FencingToken)>,
    /// Every write that was accepted: the version that it made, the one that it replaced, and its token.
    written: Vec<(u64, u64, FencingToken)>,
    /// When each join was acknowledged, with the highest place given by then.
    acknowledged: Vec<(Duration, u64)>,
    completed: BTreeSet<u64>,
    highest_seen: Option<FencingToken>,
    /// When each claim may have been in line: from when it was sent, until when it was gone for certain.
    presence: Presence,
}

/// When claims may have been in line: those of which nothing says that they are gone, those
/// that are gone by some time at the latest, and the latest of all times that are known for certain.
#[derive(Default)]
struct Presence {
    now: HashSet<ClaimId>,
    leaving: HashMap<ClaimId, Duration>,
    gone: Duration,
}

impl Presence {
    fn arrive(&mut self, claim: ClaimId, mode: Mode) {
        if mode != Mode::Present && !self.leaving.contains_key(&claim) {
            self.now.insert(claim);
        }
    }

    /// It is gone at this time, at the latest.
    fn leave(&mut self, claim: ClaimId, until: Duration) {
        if self.now.remove(&claim) {
            self.leaving.insert(claim, until);
        }
    }

    /// It is gone now for certain.
    fn left(&mut self, claim: ClaimId, at: Duration) {
        if self.now.remove(&claim) || self.leaving.remove(&claim).is_some() {
            self.gone = self.gone.max(at);
        }
    }

    /// It never was there.
    fn never_came(&mut self, claim: ClaimId) {
        self.now.remove(&claim);
        self.leaving.remove(&claim);
    }

    /// Whether somebody else may have been in line at some time since `since`. Whom exactly `mode` conflicts
    /// with does not matter: one who waits stops those behind, conflict or not.
    fn others_since(&mut self, claim: ClaimId, since: Duration) -> bool {
        self.leaving.retain(|other, until| *other == claim || *until >= since);
        let left = self.leaving.keys().any(|other| *other != claim);
        left || self.gone >= since || self.now.iter().any(|other| *other != claim)
    }
}

impl Checker {
    fn violated(&mut self, invariant: Invariant, at: Duration, how: String) {
        self.violations.push(Violation { invariant, at, how });
    }

    fn see(&mut self, event: &Event) {
        let at = event.at;
        match &event.what {
            What::JoinSent { claim, line, mode } => self.join_sent(*claim, line, *mode, at),
            What::Joined { claim, place } => self.joined(*claim, *place, at),
            What::TryFailed { claim } => self.try_failed(*claim, at),
            What::Granted { claim, token } => self.granted(*claim, *token, at),
            What::BeliefEnds { claim, lost } => self.belief_ends(*claim, *lost, at),
            What::LeaveSent { claim } => self.may_go(*claim, at + self.lingering),
            What::Evicted { claim } => {
                self.may_go(*claim, at + self.lingering);
                self.evicted(*claim);
            }
            What::Left { claim } => self.left(*claim, at),
            What::SessionLost { session } => self.session_over(*session, at),
            What::SessionEnded { session } => {
                self.ended.insert(*session);
                self.session_over(*session, at);
            }
            What::Wrote { line, token, replaced, version } => {
                let written = &mut self.lines.entry(line.clone()).or_default().written;
                written.extend(version.map(|version| (version, *replaced, *token)));
            }
            What::Seen { line, holders } => self.seen(line, holders, at),
            What::Completed { line, tick } => {
                if !self.lines.entry(line.clone()).or_default().completed.insert(*tick) {
                    self.violated(
                        Invariant::FencedWrites,
                        at,
                        format!("{line}: tick {tick} was completed twice"),
                    );
                }
            }
            What::LeftBehind { claim } => {
                self.violated(Invariant::Orphans, at, format!("{claim} is in line, and nobody wants it"));
            }
        }
    }

    fn join_sent(&mut self, id: ClaimId, line: &LineId, mode: Mode, at: Duration) {
        let state = self.lines.entry(line.clone()).or_default();
        state.presence.arrive(id, mode);
        let of_session = self.of_session.entry(id.session).or_default();
        self.claims.entry(id).or_insert_with(|| {
            of_session.push(id);
            Claim { line: line.clone(), mode, sent: at, place: None, may_go: false, evicted: false }
        });
    }

    fn joined(&mut self, id: ClaimId, place: u64, at: Duration) {
        let Some(claim) = self.claims.get_mut(&id) else { return };
        let Some(line) = self.lines.get_mut(&claim.line) else { return };
        if claim.place.is_none() && !claim.may_go {
            claim.place = Some(place);
            line.waiting.entry(claim.mode).or_default().insert(place);
        }
        // Whoever was acknowledged before this was sent must be ahead of it.
        let earlier = line.acknowledged.partition_point(|(acknowledged, _)| *acknowledged < claim.sent);
        let ahead = earlier.checked_sub(1).and_then(|index| line.acknowledged.get(index));
        let overtook = ahead.filter(|(_, highest)| *highest > place).copied();
        let highest = line.acknowledged.last().map_or(place, |(_, highest)| place.max(*highest));
        line.acknowledged.push((at, highest));
        if let Some((_, highest)) = overtook {
            let how = format!(
                "{}: {id} got place {place}, though {highest} had been given before it came",
                claim.line
            );
            self.violated(Invariant::Fifo, at, how);
        }
    }

    fn try_failed(&mut self, id: ClaimId, at: Duration) {
        let Some(claim) = self.claims.get(&id) else { return };
        let (line, mode, sent) = (claim.line.clone(), claim.mode, claim.sent);
        let Some(state) = self.lines.get_mut(&line) else { return };
        let kept_out = mode != Mode::Present && state.presence.others_since(id, sent);
        state.presence.never_came(id);
        if !kept_out {
            self.violated(
                Invariant::Tries,
                at,
                format!("{line}: {id} found the line busy, and nobody was there"),
            );
        }
    }

    fn granted(&mut self, id: ClaimId, token: FencingToken, at: Duration) {
        self.stop_waiting(id);
        if self.ended.contains(&id.session) {
            self.violated(
                Invariant::Posthumous,
                at,
                format!("{id} was granted after the end of its session"),
            );
        }
        self.check_token(id, token, at);
        let Some(claim) = self.claims.get(&id) else { return };
        let (line, mode, place) = (claim.line.clone(), claim.mode, claim.place);
        let evicted = claim.evicted;
        let Some(state) = self.lines.get_mut(&line) else { return };
        // Those who hold now may have come after one that was evicted.
        let beside = if evicted { Occupancy::default() } else { state.occupancy };
        let alone = beside.admits(mode);
        let beside = if alone { beside } else { Occupancy::default() };
        let overtaken = place.and_then(|place| state.overtaken(mode, place, beside));
        if !evicted {
            state.occupancy.add(mode);
            state.believed.insert(id);
        }
        if let Some(ahead) = overtaken {
            let how = format!("{line}: {id} at {place:?} was granted while place {ahead} waited");
            self.violated(Invariant::Fifo, at, how);
        }
        if !alone {
            let how =
                format!("{line}: {id} ({mode}, token {token}) was granted while others believed to hold");
            self.violated(Invariant::BeliefExclusion, at, how);
        }
    }

    fn check_token(&mut self, id: ClaimId, token: FencingToken, at: Duration) {
        let Some(claim) = self.claims.get(&id) else { return };
        let (line, mode) = (claim.line.clone(), claim.mode);
        // One that was evicted may hear of its turn after those who came later; but its token is above those
        // that were known when it asked.
        let known_at = if claim.evicted { claim.sent } else { Duration::MAX };
        let Some(state) = self.lines.get_mut(&line) else { return };
        let unique = state.tokens.insert(token);
        let above = state.highest_token(mode, known_at).filter(|highest| *highest > token);
        state.note_token(mode, token, at);
        if !unique {
            self.violated(Invariant::TokensUnique, at, format!("{line}: token {token} was granted twice"));
        }
        if let Some(above) = above {
            let how = format!("{line}: {id} ({mode}) was granted token {token}, after {above}");
            self.violated(Invariant::TokensOrdered, at, how);
        }
    }

    fn belief_ends(&mut self, id: ClaimId, lost: Option<LostReason>, at: Duration) {
        let Some(claim) = self.claims.get(&id) else { return };
        let explained = match lost {
            Some(LostReason::Evicted | LostReason::Released | LostReason::Expired) => claim.may_go,
            _ => true,
        };
        if let Some(state) = self.lines.get_mut(&claim.line) {
            state.believes_no_more(id, claim.mode);
        }
        if !explained {
            self.violated(Invariant::Cause, at, format!("{id} was lost ({lost:?}), and nobody took it away"));
        }
    }

    /// From here on the claim may leave the line; it is gone at `until`.
    fn may_go(&mut self, id: ClaimId, until: Duration) {
        self.stop_waiting(id);
        let Some(claim) = self.claims.get_mut(&id) else { return };
        claim.may_go = true;
        if let Some(state) = self.lines.get_mut(&claim.line) {
            state.presence.leave(id, until);
        }
    }

    fn evicted(&mut self, id: ClaimId) {
        let Some(claim) = self.claims.get_mut(&id) else { return };
        claim.evicted = true;
        if let Some(state) = self.lines.get_mut(&claim.line) {
            state.believes_no_more(id, claim.mode);
        }
    }

    fn left(&mut self, id: ClaimId, at: Duration) {
        self.may_go(id, at);
        if let Some(state) = self.claims.get(&id).and_then(|claim| self.lines.get_mut(&claim.line)) {
            state.presence.left(id, at);
        }
    }

    fn session_over(&mut self, session: SessionId, at: Duration) {
        for claim in self.of_session.get(&session).cloned().unwrap_or_default() {
            self.may_go(claim, at + self.lingering);
        }
    }

    fn stop_waiting(&mut self, id: ClaimId) {
        let Some(claim) = self.claims.get(&id) else { return };
        let (Some(place), Some(line)) = (claim.place, self.lines.get_mut(&claim.line)) else { return };
        if let Some(waiting) = line.waiting.get_mut(&claim.mode) {
            waiting.remove(&place);
        }
    }

    fn seen(&mut self, line: &LineId, holders: &[(ClaimId, Mode, FencingToken)], at: Duration) {
        let state = self.lines.entry(line.clone()).or_default();
        let mut together = Occupancy::default();
        let mut harmony = true;
        let mut exclusive = None;
        for (_, mode, token) in holders {
            harmony &= together.admits(*mode);
            together.add(*mode);
            if *mode == Mode::Exclusive {
                exclusive = Some(*token);
            }
        }
        let fell = exclusive.is_some() && exclusive < state.highest_seen;
        state.highest_seen = state.highest_seen.max(exclusive);
        if !harmony || fell {
            self.violated(Invariant::StoreExclusion, at, format!("{line}: the store granted {holders:?}"));
        }
    }
}

impl LineState {
    fn believes_no_more(&mut self, claim: ClaimId, mode: Mode) {
        if self.believed.remove(&claim) {
            self.occupancy.remove(mode);
        }
    }

    /// A place ahead that waits, and cannot hold together with `mode` and those `beside` it.
    fn overtaken(&self, mode: Mode, place: u64, beside: Occupancy) -> Option<u64> {
        let kept_out = |other: Mode| {
            let mut together = beside;
            together.add(other);
            !together.admits(mode)
        };
        let rivals = self.waiting.iter().filter(|(other, _)| kept_out(**other));
        rivals.filter_map(|(_, waiting)| waiting.first().copied()).min().filter(|ahead| *ahead < place)
    }

    /// In the order of the versions that they made, writes have tokens that do not fall, and no version is
    /// replaced twice.
    fn check_writes(&mut self, at: Duration, violations: &mut Vec<Violation>) {
        self.written.sort_unstable();
        let mut replaced = HashSet::new();
        let mut last: Option<FencingToken> = None;
        for (version, before, token) in &self.written {
            if last.is_some_and(|last| last > *token) || !replaced.insert(before) {
                let how = format!("token {token} made version {version} of {before}, after {last:?}");
                violations.push(Violation { invariant: Invariant::FencedWrites, at, how });
            }
            last = last.max(Some(*token));
        }
    }

    /// The highest token of those that conflict with `mode` and were returned before.
    fn highest_token(&self, mode: Mode, before: Duration) -> Option<FencingToken> {
        let returned = match mode {
            Mode::Exclusive => &self.ordered,
            Mode::Shared => &self.exclusive,
            Mode::Permits { .. } | Mode::Present => return None,
        };
        let count = returned.partition_point(|(at, _)| *at < before);
        Some(returned.get(count.checked_sub(1)?)?.1)
    }

    fn note_token(&mut self, mode: Mode, token: FencingToken, at: Duration) {
        let note = |returned: &mut Vec<(Duration, FencingToken)>| {
            let highest = returned.last().map_or(token, |(_, highest)| token.max(*highest));
            returned.push((at, highest));
        };
        if mode == Mode::Exclusive {
            note(&mut self.exclusive);
        }
        if matches!(mode, Mode::Exclusive | Mode::Shared) {
            note(&mut self.ordered);
        }
    }
}
