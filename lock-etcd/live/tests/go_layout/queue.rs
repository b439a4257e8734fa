//! One queue of theirs and ours.

use lock_testkit::live::{Turns, soon};

use crate::peers::Cluster;

const EACH: usize = 10;
const NAME: &str = "queue/of all";

/// Every other one is ours; of those, some share a session. Tokens of ours compare with revisions of theirs.
pub(crate) async fn c2_ten_of_theirs_and_ten_of_ours_take_turns_in_the_order_in_which_they_came(
    cluster: &Cluster,
) {
    let turns = Turns::new();
    let first = cluster.user().await;
    let gate = first.mutex(NAME).unwrap().lock().await.unwrap();
    let users = [cluster.user().await, cluster.user().await, cluster.user().await];
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for number in 0..EACH {
        ours.push(turns.ours(&users[number % users.len()], NAME, number));
        cluster.in_line(NAME, 2 * number + 2).await;
        let script = format!(
            "echo enter theirs{number} $ETCD_LOCK_REV >> {file}; sleep 0.01; echo leave theirs{number} >> {file}",
            file = turns.file().display()
        );
        theirs.push(cluster.etcdctl(&["lock", "--ttl=10", NAME, "--", "sh", "-c", &script]));
        cluster.in_line(NAME, 2 * number + 3).await;
    }
    let before = gate.token().get();
    gate.release().await.unwrap();
    for turn in ours {
        soon("a turn of ours", turn).await.unwrap();
    }
    for mut peer in theirs {
        assert!(peer.ends().await.success());
    }
    turns.were_in_order(EACH, before);
    for user in users.iter().chain([&first]) {
        user.close().await.unwrap();
    }
    cluster.is_empty().await;
}
