//! Users, and what their roles allow.

use etcd_client::{GetOptions, Permission, RoleRevokePermissionOptions};
use lock_core::{ErrorKind, LostReason};
use lock_testkit::{
    live::{soon, takes_turns, until, waiting},
    proxy::Fault,
    server::etcd::EtcdOptions,
};

use crate::world::{BILLING, Guarded, open, refusal};

#[tokio::test]
async fn the_documented_role_is_enough_for_every_turn() {
    let guarded = Guarded::start(EtcdOptions::default()).await;
    // By password, and by the certificate's common name.
    let one = open(guarded.config("program").credentials(BILLING, guarded.password())).await.unwrap();
    let other = open(guarded.config(BILLING)).await.unwrap();
    takes_turns(&one, &other).await;
    let (here, there) = (one.election("e").unwrap(), other.election("e").unwrap());
    let mut leaders = there.observe();
    let leading = here.campaign("one").await.unwrap();
    let seen = async {
        loop {
            if let Some(leader) = leaders.next().await.unwrap() {
                return leader.term;
            }
        }
    };
    assert_eq!(soon("the leader", seen).await, leading.term());
    leading.resign().await.unwrap();
    let done = one.task("t").unwrap().run(7, async { "done" }).await.unwrap();
    assert_eq!(done, lock_core::Outcome::Completed("done"));
    for user in [one, other] {
        user.close().await.unwrap();
    }
    guarded.cluster.is_empty().await;
}

#[tokio::test]
async fn c13_who_may_not_read_and_write_the_namespace_is_denied_at_once_and_told_what_is_missing() {
    let guarded = Guarded::start(EtcdOptions::default()).await;
    let mut root = guarded.cluster.etcd.clone();
    let everything = |permission: Permission| permission.with_prefix();
    for (user, permissions) in [
        ("nobody", vec![]),
        ("reader", vec![everything(Permission::read("billing/"))]),
        ("writer", vec![everything(Permission::write("billing/"))]),
        ("visitor", vec![everything(Permission::read_write("billing/session/"))]),
        (
            "half",
            vec![
                everything(Permission::read("billing/")),
                everything(Permission::read_write("billing/session/")),
            ],
        ),
        ("neighbour", vec![everything(Permission::read_write("billings/"))]),
        ("keyholder", vec![Permission::read_write("billing/")]),
    ] {
        root.user_add(user, "pass", None).await.unwrap();
        root.role_add(user).await.unwrap();
        for permission in permissions {
            root.role_grant_permission(user, permission).await.unwrap();
        }
        root.user_grant_role(user, user).await.unwrap();
        let (kind, text) = refusal(guarded.config("program").credentials(user, "pass")).await;
        assert_eq!(kind, ErrorKind::Denied, "{user}: {text}");
        assert!(text.contains(r#"read and write everything under "billing/""#), "{user}: {text}");
    }
    for (user, password) in [(BILLING, "wrong"), ("stranger", "pass")] {
        let (kind, text) = refusal(guarded.config("program").credentials(user, password)).await;
        assert_eq!(kind, ErrorKind::Denied, "{text}");
        assert!(text.contains("no such user with this password"), "{text}");
    }
    // A certificate that is no user's.
    let (kind, text) = refusal(guarded.config("program")).await;
    assert_eq!(kind, ErrorKind::Denied, "{text}");
    guarded.cluster.is_empty().await;
}

#[tokio::test]
async fn rights_that_are_taken_end_the_session_and_nobody_tries_for_ever() {
    let guarded = Guarded::start(EtcdOptions { proxied: true, ..EtcdOptions::default() }).await;
    let (holder, waiter) =
        (open(guarded.config(BILLING)).await.unwrap(), open(guarded.config(BILLING)).await.unwrap());
    let guard = holder.mutex("x").unwrap().lock().await.unwrap();
    let wait = waiting(&waiter.mutex("x").unwrap()).await;
    let mut root = guarded.cluster.etcd.clone();
    let prefix = RoleRevokePermissionOptions::new().with_prefix();
    root.role_revoke_permission(BILLING, "billing/", Some(prefix)).await.unwrap();
    // What is watched must be watched anew.
    let link = guarded.cluster.server.members()[0].client_proxy().unwrap();
    link.set(Fault::Reset);
    link.set(Fault::Pass);
    assert_eq!(soon("lost", guard.lost()).await, LostReason::Denied);
    let error = soon("an answer", wait).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains(r#""billing/""#), "{error}");
    guarded.cluster.is_quiet().await;
    drop((guard, holder, waiter));
}

#[tokio::test]
async fn one_watch_that_is_refused_is_an_end_too() {
    let guarded = Guarded::start(EtcdOptions::default()).await;
    let user = open(guarded.config(BILLING)).await.unwrap();
    let mut root = guarded.cluster.etcd.clone();
    let prefix = RoleRevokePermissionOptions::new().with_prefix();
    root.role_revoke_permission(BILLING, "billing/", Some(prefix)).await.unwrap();
    let session = Permission::read_write("billing/session/").with_prefix();
    root.role_grant_permission(BILLING, session).await.unwrap();
    let mut leaders = user.election("e").unwrap().observe();
    let error = soon("an answer", leaders.next()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
}

#[tokio::test]
async fn tokens_that_expire_while_holding_and_while_waiting_are_renewed() {
    let arguments = vec!["--auth-token-ttl=1".to_owned()];
    let guarded = Guarded::start(EtcdOptions { arguments, proxied: true, ..EtcdOptions::default() }).await;
    let config = || guarded.config("program").credentials(BILLING, guarded.password());
    let (holder, waiter, late) =
        (open(config()).await.unwrap(), open(config()).await.unwrap(), open(config()).await.unwrap());
    let sessions = [&holder, &waiter, &late].map(|user| user.session_id());
    let guard = holder.mutex("x").unwrap().lock().await.unwrap();
    let wait = waiting(&waiter.mutex("x").unwrap()).await;
    for round in 0..2 {
        // By the server's clock, when it is not used for so long; nobody is told.
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        if round == 1 {
            let link = guarded.cluster.server.members()[0].client_proxy().unwrap();
            link.set(Fault::Reset);
            link.set(Fault::Pass);
        }
        // A watch of another session's life, on a stream whose token has expired.
        let mutex = late.mutex(format!("y/{round}")).unwrap();
        let other = holder.mutex(format!("y/{round}")).unwrap().lock().await.unwrap();
        let behind = waiting(&mutex).await;
        until("it is linked", async || {
            let (key, nodes) = (format!("billing/mutex/y%2F{round}/q/"), GetOptions::new().with_prefix());
            let nodes = guarded.cluster.etcd.kv_client().get(key, Some(nodes)).await.unwrap();
            nodes.kvs().iter().any(|kv| kv.key().ends_with(b"/next"))
        })
        .await;
        other.release().await.unwrap();
        soon("the grant", behind).await.unwrap().unwrap().release().await.unwrap();
    }
    guard.release().await.unwrap();
    soon("the grant", wait).await.unwrap().unwrap().release().await.unwrap();
    assert_eq!([&holder, &waiter, &late].map(|user| user.session_id()), sessions);
    for user in [holder, waiter, late] {
        user.close().await.unwrap();
    }
    guarded.cluster.is_empty().await;
}
