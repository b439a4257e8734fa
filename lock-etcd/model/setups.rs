//! The configurations: as many faults at once as stay small enough to be explored in full.

use crate::{
    claim::Mode::{self, Exclusive, Permits, Shared},
    store::Session,
    world::{Budget, Setup},
};

const NONE: Budget =
    Budget { unanswered: 0, crashes: 0, hauntings: 0, breaks: 0, evictions: 0, withdrawals: 0, tries: 0 };
const ALL: Budget = Budget { unanswered: 1, crashes: 1, evictions: 1, withdrawals: 1, tries: 1, ..NONE };
const UNANSWERED: Budget = Budget { unanswered: 1, ..NONE };
const CRASH: Budget = Budget { crashes: 1, ..NONE };
const HAUNTED: Budget = Budget { hauntings: 1, unanswered: 1, ..CRASH };
const BREAK: Budget = Budget { breaks: 1, ..NONE };
const EVICT: Budget = Budget { evictions: 1, ..NONE };
const WITHDRAW: Budget = Budget { withdrawals: 1, ..NONE };

/// Model A: exclusive claims of these sessions.
fn queue(name: &'static str, sessions: &[Session], budget: Budget) -> Setup {
    let claims = sessions.iter().map(|session| (*session, Exclusive)).collect();
    Setup { name, claims, limit: 0, in_sequence: false, follows: false, budget, settles: false, mutant: None }
}

/// Model B: claims of these modes, each of its own session; two permits.
fn gate(name: &'static str, modes: &[Mode], budget: Budget) -> Setup {
    let claims = (0..).zip(modes.iter().copied()).collect();
    Setup { name, claims, limit: 2, in_sequence: false, follows: false, budget, settles: false, mutant: None }
}

/// The exclusive claims are of one session.
fn writers_together(setup: Setup) -> Setup {
    of_sessions(setup, |mode| if mode == Exclusive { 0 } else { 1 })
}

/// Whoever enters tries to follow the last claim.
fn following(setup: Setup) -> Setup {
    Setup { follows: true, ..setup }
}

/// A session makes its claims one after another.
fn in_sequence(setup: Setup) -> Setup {
    Setup { in_sequence: true, ..setup }
}

/// The claims of one session.
fn together(setup: Setup) -> Setup {
    of_sessions(setup, |_| 0)
}

/// Each claim of the session that its mode says.
fn of_sessions(setup: Setup, session: impl Fn(Mode) -> Session) -> Setup {
    let claims = setup.claims.into_iter().map(|(_, mode)| (session(mode), mode)).collect();
    Setup { claims, ..setup }
}

fn settling(setup: Setup) -> Setup {
    Setup { settles: true, ..setup }
}

pub(crate) fn queues() -> Vec<Setup> {
    let three = [0, 1, 2];
    vec![
        queue("A two", &[0, 1], ALL),
        settling(queue("A two settles", &[0, 1], Budget { crashes: 0, ..ALL })),
        settling(queue("A evict, crash", &[0, 1], Budget { crashes: 1, ..EVICT })),
        queue("A withdraw", &three, Budget { withdrawals: 2, ..NONE }),
        queue("A crash", &three, Budget { withdrawals: 1, ..CRASH }),
        queue("A evict", &three, EVICT),
        settling(queue("A break, evict", &[0, 1], Budget { crashes: 0, withdrawals: 0, breaks: 1, ..ALL })),
        queue("A break, crash", &three, Budget { crashes: 1, ..BREAK }),
        queue("A try", &three, Budget { tries: 2, ..CRASH }),
        queue("A unanswered", &three, UNANSWERED),
        queue("A together", &[0, 0], Budget { tries: 0, ..ALL }),
        queue("A together, break", &[0, 0], Budget { breaks: 1, ..EVICT }),
        queue("A one session", &[0, 0, 1], Budget { withdrawals: 1, ..CRASH }),
        queue("A one session, unanswered", &[0, 0, 1], Budget { withdrawals: 1, ..UNANSWERED }),
        in_sequence(queue("A in sequence", &[0, 0, 1, 1], WITHDRAW)),
        queue("A haunted", &[0, 1], Budget { withdrawals: 1, tries: 1, ..HAUNTED }),
        queue("A haunted, one session", &[0, 0, 1], HAUNTED),
        following(queue("A follow two", &[0, 1], Budget { tries: 0, ..ALL })),
        following(queue("A follow", &three, WITHDRAW)),
        following(queue("A follow, crash", &three, CRASH)),
        following(queue("A follow, evict", &three, EVICT)),
        following(queue("A follow, unanswered", &three, UNANSWERED)),
        following(queue("A follow, break", &[0, 1, 1], Budget { crashes: 1, ..BREAK })),
        following(queue("A follow, one session", &[0, 0, 1], WITHDRAW)),
        following(in_sequence(queue("A follow in sequence", &[0, 0, 1, 1], WITHDRAW))),
    ]
}

pub(crate) fn gates() -> Vec<Setup> {
    let (one, both) = (Permits(1), Permits(2));
    let no_eviction = Budget { evictions: 0, ..ALL };
    let xsp = [Exclusive, Shared, one];
    let xss = [Exclusive, Shared, Shared];
    let xxs = [Exclusive, Exclusive, Shared];
    vec![
        settling(gate("B xs", &[Exclusive, Shared], no_eviction)),
        gate("B xp", &[Exclusive, one], no_eviction),
        gate("B sp", &[Shared, one], ALL),
        gate("B pq", &[one, both], no_eviction),
        gate("B xss", &xss, WITHDRAW),
        gate("B xss unanswered", &xss, UNANSWERED),
        settling(gate("B xss crash", &xss, CRASH)),
        gate("B xxs crash", &xxs, CRASH),
        gate("B xxs try", &xxs, Budget { tries: 2, ..NONE }),
        gate("B xsp withdraw", &xsp, WITHDRAW),
        gate("B xsp crash", &xsp, CRASH),
        gate("B xsp unanswered", &xsp, UNANSWERED),
        gate("B xsp evict", &xsp, EVICT),
        gate("B spq", &[Shared, one, both], WITHDRAW),
        following(gate("B xxs follow", &xxs, WITHDRAW)),
        following(gate("B xss follow, crash", &xss, CRASH)),
        together(gate("B xs together", &[Exclusive, Shared], Budget { tries: 0, ..ALL })),
        together(gate("B xsp together", &xsp, WITHDRAW)),
        gate("B xs break", &[Exclusive, Shared], Budget { breaks: 1, ..CRASH }),
        gate("B xs haunted", &[Exclusive, Shared], HAUNTED),
        writers_together(gate("B xx together, s try", &xxs, Budget { tries: 1, ..NONE })),
    ]
}

/// What takes minutes.
pub(crate) fn deep() -> Vec<Setup> {
    let three = [0, 1, 2];
    let ppq = [Permits(1), Permits(1), Permits(2)];
    vec![
        in_sequence(queue("A five in sequence", &[0, 0, 1, 1, 2], CRASH)),
        queue("A two, twice unanswered", &[0, 1], Budget { unanswered: 2, ..ALL }),
        queue("A unanswered, withdraw", &three, Budget { withdrawals: 1, ..UNANSWERED }),
        queue("A unanswered, crash", &three, Budget { crashes: 1, ..UNANSWERED }),
        queue("A unanswered, try", &three, Budget { tries: 1, ..UNANSWERED }),
        queue("A three, break, evict", &three, Budget { breaks: 1, ..EVICT }),
        queue("A evict, withdraw", &three, Budget { withdrawals: 1, ..EVICT }),
        in_sequence(queue("A in sequence, unanswered", &[0, 0, 1, 1], UNANSWERED)),
        in_sequence(queue("A in sequence, crash", &[0, 0, 1, 1], CRASH)),
        following(in_sequence(queue("A follow in sequence, crash", &[0, 0, 1, 1], CRASH))),
        following(in_sequence(queue("A follow in sequence, unanswered", &[0, 0, 1, 1], UNANSWERED))),
        following(queue("A follow, unanswered, crash", &three, Budget { crashes: 1, ..UNANSWERED })),
        following(queue("A follow, break, crash", &three, Budget { crashes: 1, ..BREAK })),
        gate("B xp evict", &[Exclusive, Permits(1)], ALL),
        gate("B pq evict", &[Permits(1), Permits(2)], ALL),
        gate("B ppq crash", &ppq, CRASH),
        gate("B ppq withdraw", &ppq, WITHDRAW),
        gate("B ppq unanswered", &ppq, UNANSWERED),
        gate("B xxs unanswered", &[Exclusive, Exclusive, Shared], UNANSWERED),
    ]
}
