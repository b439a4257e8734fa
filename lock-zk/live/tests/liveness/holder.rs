//! The process that stands still.

use std::{thread, time::Duration};

use lock_core::{
    Guard, Moment,
    runtime::{Runtime as _, TokioRuntime},
};

use crate::{
    plain::Plain,
    stalls::{Loss, TICK, TTL, Who},
    support::{NAMESPACE, coordinator},
};

/// Takes one lock after the other, and has one plain session after the other; says how it loses each. Keeps
/// its runtime busy for as many milliseconds as a line of its input says.
pub(crate) async fn hold(server: &str, name: &str) {
    let locks = take_locks(server.to_owned(), name.to_owned());
    let plain = keep_sessions(server.to_owned(), name.to_owned());
    tokio::join!(locks, plain, stand_still());
}

async fn stand_still() {
    let (lengths, mut asked) = tokio::sync::mpsc::unbounded_channel();
    thread::spawn(move || {
        for line in std::io::stdin().lines() {
            lengths.send(line.unwrap().parse().unwrap()).unwrap();
        }
    });
    while let Some(length) = asked.recv().await {
        thread::sleep(Duration::from_millis(length));
    }
    // Nobody is there any more to listen.
    std::process::exit(0);
}

async fn take_locks(server: String, name: String) {
    let coordinator = coordinator(&server, TTL, TICK).await;
    let clock = TokioRuntime::current().unwrap();
    for turn in 0.. {
        // A stall may come in between.
        let Ok(guard) = coordinator.mutex(format!("{name}/{turn}")).unwrap().lock().await else { continue };
        let clock = clock.clone();
        // A thread of its own, which sees what others see while the runtime is busy.
        let looks = thread::spawn(move || look(&guard, &clock));
        tokio::task::spawn_blocking(move || looks.join().unwrap()).await.unwrap();
    }
}

/// Looks at a guard until it is lost.
fn look(guard: &Guard, clock: &TokioRuntime) {
    let (mut valid, mut deadline) = (Moment::from_zero(Duration::ZERO), guard.deadline());
    loop {
        let at = clock.now();
        if !guard.is_valid() {
            break;
        }
        (valid, deadline) = (at, guard.deadline());
        thread::sleep(Duration::from_millis(1));
    }
    println!(
        "{}",
        Loss { who: Who::Guard, session: guard.claim().session.to_string(), times: [valid, deadline] }
    );
}

async fn keep_sessions(server: String, name: String) {
    for turn in 0.. {
        let session = format!("plain-{name}-{turn}");
        let path = format!("/{NAMESPACE}/{session}");
        let Ok(mut plain) = Plain::start(&server, TTL, &path).await else { continue };
        // Until the server says no more.
        while plain.ping().await.is_ok() && plain.beat().await.is_ok() {
            tokio::time::sleep(TTL / 3).await;
        }
        println!("{}", Loss { who: Who::Plain, session, times: [plain.ping, plain.beat] });
    }
}
