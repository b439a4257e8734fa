//! A history as turns, lives and faults.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use crate::record::{Client, Fate, Line, Record, What, Wish};

/// What a history tells.
#[derive(Clone, Debug, Default)]
pub(crate) struct Story {
    /// In the order in which they were asked for.
    pub(crate) turns: Vec<Turn>,
    pub(crate) lives: BTreeMap<Client, Life>,
    pub(crate) faults: BTreeMap<usize, Fault>,
    /// Faults that could not be had when their time came, and why.
    pub(crate) skipped: Vec<(usize, String)>,
    /// When it was quiet, from when to when.
    pub(crate) calms: Vec<(Duration, Duration)>,
    /// When another server than before was seen to lead; not the first one.
    pub(crate) leaders: Vec<Duration>,
    /// How long the store may take after a ttl.
    pub(crate) slack: Duration,
    pub(crate) start: Duration,
    pub(crate) end: Duration,
}

/// A turn, as its client saw it.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub(crate) client: Client,
    pub(crate) line: Line,
    pub(crate) wish: Wish,
    pub(crate) sent: Duration,
    pub(crate) granted: Option<Granted>,
    pub(crate) looks: Vec<Looked>,
    pub(crate) ended: Option<Ended>,
    /// It asked for nothing more: it was refused, given up, or ended.
    pub(crate) over: Option<Duration>,
    pub(crate) outcome: Outcome,
    /// Ids, with what became of them in the fenced and the unfenced register.
    pub(crate) wrote: Vec<(u64, Fate, Fate)>,
    pub(crate) guarded: Vec<(Duration, u64, Fate)>,
    /// When the release was answered, without an error.
    pub(crate) released: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Not known: its client was killed.
    Open,
    Busy,
    Cancelled,
    Failed(String),
    Held,
}

#[derive(Clone, Debug)]
pub(crate) struct Granted {
    pub(crate) at: Duration,
    pub(crate) claim: String,
    pub(crate) token: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Looked {
    pub(crate) at: Duration,
    pub(crate) took: Duration,
    pub(crate) valid: bool,
    pub(crate) late: Duration,
}

#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) at: Duration,
    pub(crate) deadline: Duration,
    pub(crate) lost: Option<String>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Life {
    pub(crate) started: Duration,
    pub(crate) killed: Option<Duration>,
    /// It was to finish, and had not by then.
    pub(crate) stuck: Option<Duration>,
}

#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: String,
    pub(crate) target: String,
    pub(crate) from: Duration,
    /// None: it never was undone, or could not be had.
    pub(crate) to: Option<Duration>,
}

impl Turn {
    /// Whether there was a guard that was valid.
    pub(crate) fn was_held(&self) -> bool {
        self.granted.is_some() && self.looks.first().is_none_or(|look| look.valid)
    }

    /// When nobody could act under its guard any more, if that is known.
    pub(crate) fn believed_until(&self, lives: &BTreeMap<Client, Life>) -> Option<Duration> {
        let ended = self.ended.as_ref().map(|ended| ended.at.min(ended.deadline));
        // Who saw that its guard was lost does not say so any sooner by being killed.
        ended.or_else(|| lives.get(&self.client)?.killed)
    }
}

impl Story {
    /// From records in the order of time.
    pub(crate) fn read(records: &[Record]) -> Self {
        let mut story = Self {
            start: records.first().map_or(Duration::ZERO, |record| record.at),
            end: records.last().map_or(Duration::ZERO, |record| record.at),
            ..Self::default()
        };
        let mut known = HashMap::new();
        let (mut calm, mut led) = (None, false);
        for Record { at, client, what } in records {
            match (client, what) {
                (Some(client), what) => story.hear(&mut known, *at, *client, what),
                (None, What::Calm) => calm = Some(*at),
                (None, What::Storm) => story.calms.extend(calm.take().map(|from| (from, *at))),
                (None, What::Leader { .. }) => {
                    story.leaders.extend(led.then_some(*at));
                    led = true;
                }
                (None, What::Fault { number, kind, target }) => {
                    let (kind, target) = (kind.clone(), target.clone());
                    story.faults.insert(*number, Fault { kind, target, from: *at, to: None });
                }
                (None, What::Healed { number }) => {
                    if let Some(fault) = story.faults.get_mut(number) {
                        fault.to = Some(*at);
                    }
                }
                (None, What::Skipped { number, why }) => story.skipped.push((*number, why.clone())),
                _ => {}
            }
        }
        story
    }

    fn hear(&mut self, known: &mut HashMap<(Client, u64), usize>, at: Duration, client: Client, what: &What) {
        match what {
            What::Started => {
                self.lives.insert(client, Life { started: at, ..Life::default() });
            }
            What::Killed => self.lives.entry(client).or_default().killed = Some(at),
            What::Stuck => self.lives.entry(client).or_default().stuck = Some(at),
            What::Connected { slack, .. } => self.slack = *slack,
            What::Sent { turn, line, mode, .. } => {
                known.insert((client, *turn), self.turns.len());
                self.turns.push(Turn {
                    client,
                    line: *line,
                    wish: *mode,
                    sent: at,
                    granted: None,
                    looks: Vec::new(),
                    ended: None,
                    over: None,
                    outcome: Outcome::Open,
                    wrote: Vec::new(),
                    guarded: Vec::new(),
                    released: None,
                });
            }
            What::Granted { turn, .. }
            | What::Looked { turn, .. }
            | What::Busy { turn }
            | What::Cancelled { turn }
            | What::Failed { turn, .. }
            | What::Wrote { turn, .. }
            | What::Guarded { turn, .. }
            | What::Ended { turn, .. }
            | What::Released { turn, .. } => {
                let turn = known.get(&(client, *turn)).and_then(|at| self.turns.get_mut(*at));
                if let Some(turn) = turn {
                    turn.hear(at, what);
                }
            }
            _ => {}
        }
    }
}

impl Turn {
    fn hear(&mut self, at: Duration, what: &What) {
        match what {
            What::Granted { claim, token, .. } => {
                self.outcome = Outcome::Held;
                self.granted = Some(Granted { at, claim: claim.clone(), token: *token });
            }
            What::Looked { valid, took, late, .. } => {
                self.looks.push(Looked { at, took: *took, valid: *valid, late: *late });
            }
            What::Busy { .. } => self.is_over(at, Outcome::Busy),
            What::Cancelled { .. } => self.is_over(at, Outcome::Cancelled),
            What::Failed { kind, .. } => self.is_over(at, Outcome::Failed(kind.clone())),
            What::Wrote { id, fenced, unfenced, .. } => {
                self.wrote.push((*id, fenced.clone(), unfenced.clone()));
            }
            What::Guarded { id, fate, .. } => self.guarded.push((at, *id, fate.clone())),
            What::Ended { deadline, lost, .. } => {
                self.ended = Some(Ended { at, deadline: *deadline, lost: lost.clone() });
                self.over = Some(at);
            }
            What::Released { error: None, .. } => self.released = Some(at),
            _ => {}
        }
    }

    fn is_over(&mut self, at: Duration, outcome: Outcome) {
        self.over = Some(at);
        self.outcome = outcome;
    }
}
