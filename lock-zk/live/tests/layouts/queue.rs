//! One queue of theirs and ours.

use std::{fmt::Write as _, fs::OpenOptions, io::Write as _, path::Path, time::Duration};

use lock_core::{Coordinator, Guard};
use tokio::task::JoinHandle;

use crate::peers::{Meeting, soon, until, waiting};

const EACH: usize = 10;

/// Every other one is ours; of those, some share a session.
pub(crate) async fn c2_ten_of_theirs_and_ten_of_ours_take_turns_in_the_order_in_which_they_came(
    meeting: &Meeting<'_>,
) {
    let name = meeting.name("queue");
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let first = meeting.user().await;
    let gate = first.mutex(&*name).unwrap().lock().await.unwrap();
    let users = [meeting.user().await, meeting.user().await, meeting.user().await];
    let mut peer = meeting.peer().await;
    let mut ours = Vec::new();
    for number in 0..EACH {
        ours.push(turn(&users[number % users.len()], &name, number, &log));
        meeting.in_line(&name, 2 * number + 2).await;
        peer.tell(&format!("turn /{name} theirs{number} {}", log.display())).await;
        meeting.in_line(&name, 2 * number + 3).await;
    }
    let mut last = gate.token().get();
    gate.release().await.unwrap();
    for turn in ours {
        soon("a turn of ours", turn).await.unwrap();
    }
    until("the last of theirs has left", async || meeting.nodes(&name).await.is_empty()).await;

    let written = std::fs::read_to_string(&log).unwrap();
    let mut lines = written.lines();
    for number in 0..EACH {
        for who in ["ours", "theirs"] {
            let entered: Vec<&str> = lines.next().unwrap().split(' ').collect();
            assert_eq!(entered[..2], ["enter", &format!("{who}{number}")], "in this order:\n{written}");
            // Tokens of ours compare with theirs.
            let token = entered[2].parse().unwrap();
            assert!(last < token, "{token} after {last}:\n{written}");
            last = token;
            assert_eq!(lines.next(), Some(&*format!("leave {who}{number}")), "alone:\n{written}");
        }
    }
    assert_eq!(lines.next(), None);
    for user in users.iter().chain([&first]) {
        user.close().await.unwrap();
    }
}

/// One turn of ours, on record like one of theirs.
fn turn(user: &Coordinator, name: &str, number: usize, log: &Path) -> JoinHandle<()> {
    let (mutex, log) = (user.mutex(name).unwrap(), log.to_owned());
    tokio::spawn(async move {
        let guard: Guard = mutex.lock().await.unwrap();
        let mut file = OpenOptions::new().create(true).append(true).open(log).unwrap();
        let mut entry = String::new();
        writeln!(entry, "enter ours{number} {}", guard.token()).unwrap();
        file.write_all(entry.as_bytes()).unwrap();
        // So that another who is let in at the same time shows.
        tokio::time::sleep(Duration::from_millis(10)).await;
        file.write_all(format!("leave ours{number}\n").as_bytes()).unwrap();
        guard.release().await.unwrap();
    })
}

pub(crate) async fn c4_a_turn_takes_one_listing_however_many_have_gone(meeting: &Meeting<'_>) {
    let name = meeting.name("few");
    let (tap, user) = meeting.counted_user().await;
    let mut ahead = Vec::new();
    for _ in 0..EACH {
        ahead.push(meeting.place(&name, meeting.fleet.mark()).await);
    }
    let wait = waiting(&user.mutex(&*name).unwrap());
    meeting.in_line(&name, EACH + 1).await;
    let nodes = meeting.nodes(&name).await.into_iter().map(|node| format!("/{name}/{node}"));
    let own = nodes.into_iter().find(|node| !ahead.contains(node)).unwrap();
    for path in [&own, ahead.last().unwrap()] {
        until("it waits", async || meeting.is_watched(path).await).await;
    }
    let before = tap.requests();
    // The nearest goes last, and wakes it.
    for path in &ahead {
        meeting.spy.delete(path, None).await.unwrap();
    }
    let guard = soon("the grant", wait).await.unwrap().unwrap();
    assert_eq!(tap.requests() - before, 1);
    guard.release().await.unwrap();
    user.close().await.unwrap();
}
