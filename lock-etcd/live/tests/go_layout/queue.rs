//! One queue of theirs and ours.

use std::{fmt::Write as _, fs::OpenOptions, io::Write as _, path::Path, time::Duration};

use lock_core::{Coordinator, Guard};
use tokio::task::JoinHandle;

use crate::peers::{Cluster, soon};

const EACH: usize = 10;
const NAME: &str = "queue/of all";

/// Every other one is ours; of those, some share a session.
pub(crate) async fn c2_ten_of_theirs_and_ten_of_ours_take_turns_in_the_order_in_which_they_came(
    cluster: &Cluster,
) {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let first = cluster.user().await;
    let gate = first.mutex(NAME).unwrap().lock().await.unwrap();
    let users = [cluster.user().await, cluster.user().await, cluster.user().await];
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for number in 0..EACH {
        ours.push(turn(&users[number % users.len()], number, &log));
        cluster.in_line(NAME, 2 * number + 2).await;
        let script = format!(
            "echo enter theirs{number} $ETCD_LOCK_REV >> {log}; sleep 0.01; echo leave theirs{number} >> {log}",
            log = log.display()
        );
        theirs.push(cluster.etcdctl(&["lock", "--ttl=10", NAME, "--", "sh", "-c", &script]));
        cluster.in_line(NAME, 2 * number + 3).await;
    }
    let mut last = gate.token().get();
    gate.release().await.unwrap();
    for turn in ours {
        soon("a turn of ours", turn).await.unwrap();
    }
    for mut peer in theirs {
        assert!(peer.ends().await.success());
    }

    let written = std::fs::read_to_string(&log).unwrap();
    let mut lines = written.lines();
    for number in 0..EACH {
        for who in ["ours", "theirs"] {
            let entered: Vec<&str> = lines.next().unwrap().split(' ').collect();
            assert_eq!(entered[..2], ["enter", &format!("{who}{number}")], "in this order:\n{written}");
            // Tokens of ours compare with revisions of theirs.
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
    cluster.is_empty().await;
}

/// One turn of ours, on record like one of theirs.
fn turn(user: &Coordinator, number: usize, log: &Path) -> JoinHandle<()> {
    let (mutex, log) = (user.mutex(NAME).unwrap(), log.to_owned());
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
