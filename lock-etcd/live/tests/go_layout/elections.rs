//! Elections of theirs and ours.

use lock_testkit::live::{soon, until};

use crate::peers::Cluster;

pub(crate) async fn they_see_our_leader(cluster: &Cluster) {
    let user = cluster.user().await;
    let election = user.election("election").unwrap();
    let leadership = election.campaign("10.0.0.7:80").await.unwrap();
    let mut observer = cluster.etcdctl(&["elect", "-l", "election"]);
    let key = observer.says().await;
    assert!(key.starts_with(&format!("election/{:x}", user.session_id().get())), "{key}");
    assert_eq!(observer.says().await, "10.0.0.7:80");
    leadership.proclaim("10.0.0.8:80").await.unwrap();
    assert_eq!((observer.says().await, observer.says().await), (key, "10.0.0.8:80".to_owned()));
    // The term is what Go's is, whatever is proclaimed.
    let leader = election.leader().await.unwrap().unwrap();
    assert_eq!((leader.term, leader.claim), (leadership.term(), leadership.claim()));
    // They wait behind us.
    let mut theirs = cluster.etcdctl(&["elect", "election", "theirs"]);
    cluster.in_line("election", 2).await;
    leadership.resign().await.unwrap();
    let elected = [theirs.says().await, theirs.says().await];
    assert_eq!(elected[1], "theirs");
    assert_eq!([observer.says().await, observer.says().await], elected);
    assert!(theirs.stop().await.success());
    observer.stop().await;
    user.close().await.unwrap();
    cluster.is_empty().await;
}

pub(crate) async fn we_see_their_leader_and_follow_it(cluster: &Cluster) {
    let (user, spy) = (cluster.user().await, cluster.user().await);
    let election = user.election("follow").unwrap();
    let mut observer = spy.election("follow").unwrap().observe();
    assert_eq!(soon("nobody leads", observer.next()).await.unwrap(), None);
    let mut theirs = cluster.etcdctl(&["elect", "follow", "theirs"]);
    let key = theirs.says().await;
    let leader = soon("their leader", observer.next()).await.unwrap().unwrap();
    assert_eq!(leader.value(), "theirs");
    assert_eq!(&*leader.owner, format!("etcd lease {}", key.trim_start_matches("follow/")));
    let campaign = tokio::spawn(async move { election.campaign("ours").await });
    cluster.in_line("follow", 2).await;
    assert!(!campaign.is_finished());
    assert!(theirs.stop().await.success());
    let leadership = soon("ours leads", campaign).await.unwrap().unwrap();
    assert!(leadership.term() > leader.term);
    let leader = soon("our leader", async {
        loop {
            let leader = observer.next().await.unwrap();
            if let Some(leader) = leader.filter(|leader| leader.value() == "ours") {
                break leader;
            }
        }
    })
    .await;
    assert_eq!((leader.term, leader.claim), (leadership.term(), leadership.claim()));
    assert!(spy.election("follow").unwrap().evict(leader.claim).await.unwrap());
    soon("it is told", leadership.lost()).await;
    until("nobody leads", async || user.election("follow").unwrap().leader().await.unwrap().is_none()).await;
    for user in [user, spy] {
        user.close().await.unwrap();
    }
    cluster.is_empty().await;
}
