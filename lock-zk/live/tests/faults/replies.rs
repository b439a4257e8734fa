//! Claims whose request is answered into the void, and claims that are given up at every point of their way:
//! nothing of them stays in line.

use std::{
    future::poll_fn,
    pin::pin,
    task::Poll,
    time::{Duration, Instant},
};

use lock_core::{Coordinator, Kind, LineId, Mode};
use lock_testkit::{
    live::{soon, until},
    server::zookeeper::Tap,
};

use crate::support::{Cluster, TTL, config, try_user};

/// Of each.
const TIMES: usize = 1_000;
/// That do so at once, each with a connection of its own.
const CLIENTS: usize = 8;

async fn tapped(cluster: &Cluster) -> (Tap, Coordinator) {
    let tap = Tap::start(cluster.server.endpoints()[0].parse().unwrap()).await.unwrap();
    let user = try_user(config([tap.address().to_string()]), TTL).await.unwrap();
    (tap, user)
}

/// Waits until nothing is in line, while all sessions live on.
async fn nobody_is_in_line(cluster: &Cluster) {
    let start = Instant::now();
    until("nobody is in line", async || cluster.claims().await.is_empty()).await;
    println!("nobody is in line {:?} later", start.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c9_a_place_whose_answer_is_lost_is_found_again() {
    let cluster = Cluster::one().await;
    let mut tasks = Vec::new();
    for client in 0..CLIENTS {
        let (tap, user) = tapped(&cluster).await;
        tasks.push(tokio::spawn(async move {
            // One in which nobody else is, and one in which all are.
            let lines = [format!("x{client}"), "x".to_owned()].map(|name| user.mutex(name).unwrap());
            for line in &lines {
                line.lock().await.unwrap().release().await.unwrap();
            }
            let session = user.session_id();
            for round in 0..TIMES / CLIENTS {
                tap.lose_reply_of_create(1);
                let guard = soon("the grant", lines[round % 2].lock()).await.unwrap();
                assert!(guard.is_valid());
                guard.release().await.unwrap();
            }
            assert_eq!(user.session_id(), session);
            (tap, user)
        }));
    }
    let mut users = Vec::new();
    let mut lost = 0;
    for task in tasks {
        let (tap, user) = task.await.unwrap();
        lost += tap.lost();
        users.push((tap, user));
    }
    // The first one of a line that was taken away meanwhile is another node.
    assert_eq!(lost, (TIMES / CLIENTS * CLIENTS) as u64);
    nobody_is_in_line(&cluster).await;
    for (_, user) in users {
        user.close().await.unwrap();
    }
    cluster.is_empty().await;
}

/// When a claim is given up.
#[derive(Clone, Copy, Debug)]
enum When {
    /// So many polls later.
    Polled(usize),
    /// So many requests later.
    Sent(u64),
    /// When the answer to its join has been lost.
    Lost,
}

impl When {
    const ALL: [Self; 12] = [
        Self::Polled(0),
        Self::Polled(1),
        Self::Polled(2),
        Self::Polled(3),
        Self::Sent(1),
        Self::Sent(2),
        Self::Sent(3),
        Self::Sent(4),
        Self::Sent(5),
        Self::Sent(6),
        Self::Lost,
        Self::Lost,
    ];

    /// Whether it was given up; by now when it has not come so far.
    async fn gives_up<T>(self, tap: &Tap, acquire: impl Future<Output = T>) -> bool {
        let (sent, lost) = (tap.requests(), tap.lost());
        let due = async {
            match self {
                Self::Polled(_) => std::future::pending().await,
                Self::Sent(requests) => {
                    while tap.requests() < sent + requests {
                        tokio::task::yield_now().await;
                    }
                }
                Self::Lost => {
                    tap.lose_reply_of_create(1);
                    tap.has_lost(lost + 1).await;
                }
            }
        };
        let mut polls = if let Self::Polled(polls) = self { polls } else { usize::MAX };
        // A client that has to connect again takes a while.
        let limit = Duration::from_millis(if matches!(self, Self::Lost) { 200 } else { 20 });
        let mut acquire = pin!(acquire);
        let polled = poll_fn(|context| {
            if polls == 0 {
                return Poll::Ready(true);
            }
            polls -= 1;
            let done = acquire.as_mut().poll(context).is_ready();
            if done || polls == 0 { Poll::Ready(!done) } else { Poll::Pending }
        });
        tokio::select! { biased;
            () = due => true,
            given_up = polled => given_up,
            () = tokio::time::sleep(limit) => true,
        }
    }
}

/// Many, so that often a session does not know a line's queue yet.
const LINES: usize = 12;

fn line(held: bool, number: usize) -> LineId {
    let name = if held { "held" } else { "free" };
    LineId::new(Kind::Mutex, format!("{name}{}", number % LINES).parse().unwrap())
}

/// Gives up claims in lines that are held or not, until so many have been.
async fn give_up(tap: &Tap, user: &Coordinator, held: bool, times: usize) {
    let permits = Mode::Permits { count: 1, limit: 2 };
    let (mut given_up, mut lost) = (0, 0);
    let start = tap.lost();
    for round in 0.. {
        if given_up == times {
            break;
        }
        let claims = user.claims(line(held, round / When::ALL.len()));
        let when = When::ALL[round % When::ALL.len()];
        let mode = [Mode::Exclusive, Mode::Shared, permits][round / When::ALL.len() % 3];
        let dropped = match round / When::ALL.len() / 3 % 2 {
            0 => when.gives_up(tap, async { drop(claims.acquire(mode).await.unwrap()) }).await,
            _ => when.gives_up(tap, async { drop(claims.try_acquire(mode).await.unwrap()) }).await,
        };
        given_up += usize::from(dropped);
        tap.lose_nothing();
        lost += usize::from(matches!(when, When::Lost));
    }
    println!("held {held}: {given_up} given up, {} of {lost} answers lost", tap.lost() - start);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c12_a_claim_that_is_given_up_anywhere_on_its_way_leaves_nothing() {
    let cluster = Cluster::one().await;
    let holder = cluster.user().await;
    let mut held = Vec::new();
    for number in 0..LINES {
        held.push(holder.claims(line(true, number)).acquire(Mode::Exclusive).await.unwrap());
    }
    let mut tasks = Vec::new();
    for _ in 0..CLIENTS {
        let (tap, user) = tapped(&cluster).await;
        tasks.push(tokio::spawn(async move {
            for held in [false, true] {
                give_up(&tap, &user, held, TIMES / CLIENTS).await;
            }
            (tap, user)
        }));
    }
    let mut users = Vec::new();
    for task in tasks {
        users.push(task.await.unwrap());
    }
    until("only the holder is in line", async || cluster.claims().await.len() == LINES).await;
    for guard in held {
        assert!(guard.is_valid());
        guard.release().await.unwrap();
    }
    nobody_is_in_line(&cluster).await;
    // And nobody is kept waiting.
    for (held, number) in (0..LINES).flat_map(|number| [(false, number), (true, number)]) {
        let claims = users[number % users.len()].1.claims(line(held, number));
        soon("the grant", claims.acquire(Mode::Exclusive)).await.unwrap().release().await.unwrap();
    }
    for (_tap, user) in users {
        user.close().await.unwrap();
    }
    holder.close().await.unwrap();
    cluster.is_empty().await;
}
