//! A test in a process of its own: for what can be set for a whole process only.

use std::env;

use tokio::process::Command;

use super::soon;

/// Runs an ignored test of this program, with these variables, and without `SSL_CERT_DIR`, which would add to what
/// `SSL_CERT_FILE` names.
///
/// # Panics
///
/// When it does not pass.
pub async fn alone(test: &str, environment: &[(&str, &str)]) {
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", test, "--ignored"]).env_remove("SSL_CERT_DIR").envs(environment.iter().copied());
    let output = soon("the child's end", child.kill_on_drop(true).output()).await.unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}");
}
