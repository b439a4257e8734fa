//! C22: who is in a group.

use lock_core::{Group, GroupWatch, Members};

use super::super::context::{Check, Context, ensure, needs};

/// Names and data, in the order of the view.
fn shown(members: &Members) -> Vec<(String, String)> {
    members.iter().map(|member| (member.name.to_string(), member.value())).collect()
}

fn is(members: &Members, expected: &[(&str, &str)]) -> bool {
    shown(members).iter().map(|(name, data)| (name.as_str(), data.as_str())).eq(expected.iter().copied())
}

/// Waits until the group is seen like that; it is never seen as it was before.
async fn sees(watch: &mut GroupWatch, revision: &mut u64, expected: &[(&str, &str)]) -> Check<Members> {
    loop {
        let members = watch.next().await?;
        ensure(members.revision >= *revision, format!("revision {} after {revision}", members.revision))?;
        *revision = members.revision;
        if is(&members, expected) {
            return Ok(members);
        }
    }
}

pub(super) async fn views(context: &Context) -> Check {
    let users = [context.user().await?, context.user().await?, context.user().await?];
    let [a, b, spy] = &users.each_ref().map(|user| user.coordinator.group("views"));
    let group = |group: &lock_core::Result<Group>| group.as_ref().ok().cloned();
    let (Some(a), Some(b), Some(spy)) = (group(a), group(b), group(spy)) else {
        return ensure(false, "a store with claims that are present refuses a group");
    };
    let (mut watch, mut revision) = (spy.watch(), 0);
    context.soon("an empty group", sees(&mut watch, &mut revision, &[])).await??;
    let second = b.join("m2", "two").await?;
    let first = a.join("m1", "one").await?;
    let both = [("m1", "one"), ("m2", "two")];
    let seen = context.soon("both members", sees(&mut watch, &mut revision, &both)).await??;
    for group in [&a, &b] {
        let members = group.members().await?;
        ensure(is(&members, &both), format!("another view: {:?}", shown(&members)))?;
        let owners = |members: &Members| {
            ["x", "y", "z"].map(|key| members.owner_of(key).map(|member| member.name.clone()))
        };
        ensure(owners(&members) == owners(&seen), "two who see the same members find other owners")?;
    }
    first.update("new").await?;
    let updated = [("m1", "new"), ("m2", "two")];
    context.soon("new data", sees(&mut watch, &mut revision, &updated)).await??;
    first.leave().await?;
    context.soon("one left", sees(&mut watch, &mut revision, &[("m2", "two")])).await??;
    ensure(is(&a.members().await?, &[("m2", "two")]), "one that has left is still there")?;
    drop(second);
    context.soon("nobody", sees(&mut watch, &mut revision, &[])).await??;
    Ok(())
}

pub(super) async fn returns(context: &Context) -> Check {
    let (user, spy) = (context.user().await?, context.user().await?);
    let membership = user.coordinator.group("returns")?.join("m", "old").await?;
    membership.update("new").await?;
    let first = membership.claim();
    let mut watch = spy.coordinator.group("returns")?.watch();
    needs(user.client.freeze_renewals(user.coordinator.session_id(), true).await)?;
    let lost = async {
        while membership.claim() == first {
            context.sleep(context.grace).await;
        }
    };
    // When a session ends is C7's and C8's matter.
    context.within(context.ttl * 6, "the loss of the session", lost).await?;
    needs(user.client.freeze_renewals(user.coordinator.session_id(), false).await)?;
    let back = async {
        loop {
            let members = watch.next().await?;
            let again = members.get("m").filter(|member| Some(member.claim) != first);
            if let Some(member) = again {
                return ensure(member.value() == "new", format!("it came back with {:?}", member.value()));
            }
        }
    };
    context.within(context.ttl * 2, "the member's return", back).await??;
    let registered = async {
        while !membership.is_registered() {
            context.sleep(context.grace / 4).await;
        }
    };
    context.soon("its own news of that", registered).await?;
    membership.leave().await?;
    let gone = async {
        while !watch.next().await?.is_empty() {}
        Check::Ok(())
    };
    context.within(context.ttl * 4, "the end of the member that left", gone).await?
}
