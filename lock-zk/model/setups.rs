//! The configurations: as many faults at once as stay small enough to be explored in full.

use crate::{
    claim::Mode::{self, Exclusive, Permits, Shared},
    store::Session,
    world::{Budget, Setup},
};

const NONE: Budget =
    Budget { reconnects: 0, crashes: 0, evictions: 0, withdrawals: 0, reaps: 0, weakenings: 0, tries: 0 };
const ALL: Budget =
    Budget { reconnects: 1, crashes: 1, evictions: 1, withdrawals: 1, reaps: 1, weakenings: 0, tries: 0 };
const RECONNECT: Budget = Budget { reconnects: 1, ..NONE };
const CRASH: Budget = Budget { crashes: 1, ..NONE };
const EVICT: Budget = Budget { evictions: 1, ..NONE };
const WITHDRAW: Budget = Budget { withdrawals: 1, ..NONE };

/// Exclusive claims of these sessions.
fn queue(name: &'static str, sessions: &[Session], budget: Budget) -> Setup {
    let claims = sessions.iter().map(|session| (*session, Exclusive)).collect();
    Setup { name, claims, limit: 0, in_sequence: false, misses: 1, blind: false, budget, mutant: None }
}

/// Claims of these modes, each of its own session; two permits.
fn gate(name: &'static str, modes: &[Mode], budget: Budget) -> Setup {
    let claims = (0..).zip(modes.iter().copied()).collect();
    Setup { name, claims, limit: 2, in_sequence: false, misses: 1, blind: false, budget, mutant: None }
}

pub(crate) fn queues() -> Vec<Setup> {
    let three = [0, 1, 2];
    let both = Budget { withdrawals: 1, ..CRASH };
    vec![
        queue("Q all", &[0, 1], ALL),
        queue("Q twice reconnected", &[0, 1], Budget { reconnects: 2, withdrawals: 1, ..NONE }),
        queue("Q withdraw, crash", &three, both),
        queue("Q evict, withdraw", &three, Budget { withdrawals: 1, ..EVICT }),
        queue("Q reconnect, withdraw", &three, Budget { withdrawals: 1, ..RECONNECT }),
        queue("Q reconnect, crash", &three, Budget { crashes: 1, ..RECONNECT }),
        queue("Q try", &three, Budget { tries: 1, ..CRASH }),
        queue("Q two, try", &[0, 1], Budget { tries: 2, withdrawals: 1, ..RECONNECT }),
        queue("Q reap", &[0, 1], Budget { reaps: 2, ..EVICT }),
        queue("Q one session", &[0, 0, 1], Budget { withdrawals: 1, ..RECONNECT }),
        queue("Q one session evict", &[0, 0, 1], EVICT),
        queue("Q one session reap", &[0, 0, 1], Budget { reaps: 1, ..NONE }),
        Setup { misses: 0, ..queue("Q list", &[0, 0, 0, 1], Budget { withdrawals: 2, ..NONE }) },
    ]
}

pub(crate) fn gates() -> Vec<Setup> {
    let (one, both) = (Permits(1), Permits(2));
    let xsp = [Exclusive, Shared, one];
    let xss = [Exclusive, Shared, Shared];
    let xxs = [Exclusive, Exclusive, Shared];
    let ppq = [one, one, both];
    let ppp = [one, one, one];
    let together = Budget { withdrawals: 1, ..RECONNECT };
    vec![
        gate("G xs", &[Exclusive, Shared], Budget { crashes: 0, ..ALL }),
        gate("G xs crash", &[Exclusive, Shared], Budget { evictions: 0, weakenings: 1, ..ALL }),
        gate("G sp", &[Shared, one], Budget { crashes: 0, ..ALL }),
        gate("G sp crash", &[Shared, one], Budget { evictions: 0, ..ALL }),
        gate("G pq", &[one, both], Budget { crashes: 0, reaps: 0, ..ALL }),
        gate("G pq crash", &[one, both], Budget { evictions: 0, reaps: 0, ..ALL }),
        gate("G xsp withdraw", &xsp, WITHDRAW),
        gate("G xsp crash", &xsp, CRASH),
        gate("G xsp reconnect", &xsp, RECONNECT),
        gate("G xsp evict", &xsp, EVICT),
        gate("G xss withdraw", &xss, WITHDRAW),
        gate("G xss weaken", &xss, Budget { weakenings: 1, ..RECONNECT }),
        gate("G xxs reconnect", &xxs, RECONNECT),
        gate("G xxs evict", &xxs, EVICT),
        gate("G xxs reap", &xxs, Budget { reaps: 1, ..CRASH }),
        gate("G ppq withdraw", &ppq, WITHDRAW),
        gate("G ppq reconnect", &ppq, RECONNECT),
        gate("G xss try", &xss, Budget { tries: 2, ..NONE }),
        gate("G xsp try", &xsp, Budget { tries: 2, ..NONE }),
        gate("G ppp", &ppp, CRASH),
        Setup {
            claims: vec![(0, Exclusive), (0, Shared), (1, Exclusive)],
            ..gate("G one session", &[], together)
        },
        Setup {
            claims: vec![(0, Exclusive), (0, Exclusive), (1, Shared)],
            ..gate("G one session, xxs", &[], WITHDRAW)
        },
    ]
}

/// What takes minutes.
pub(crate) fn deep() -> Vec<Setup> {
    let three = [0, 1, 2];
    vec![
        queue("Q three, all", &three, Budget { reaps: 0, ..ALL }),
        gate("G xs, all", &[Exclusive, Shared], Budget { weakenings: 1, ..ALL }),
        gate("G sp, all", &[Shared, Permits(1)], ALL),
        gate("G pq, all", &[Permits(1), Permits(2)], ALL),
        queue("Q three, twice reconnected", &three, Budget { reconnects: 2, ..CRASH }),
        queue("Q four", &[0, 1, 2, 3], Budget { withdrawals: 1, ..CRASH }),
        queue("Q one session, all", &[0, 0, 1], ALL),
        gate("G xsp, all", &[Exclusive, Shared, Permits(1)], Budget { evictions: 0, reaps: 0, ..ALL }),
        gate(
            "G xxs, evict, reconnect",
            &[Exclusive, Exclusive, Shared],
            Budget { evictions: 1, ..RECONNECT },
        ),
    ]
}
