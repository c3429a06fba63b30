//! What an ordinary user sees: everything that may be seen, and a name for what may not.

use std::{
    net::{TcpListener, TcpStream},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

use serde_json::Value;

use crate::{program, requires_lab};

/// The program as the user nobody, from a place that this user can read.
pub(crate) fn as_nobody(arguments: &[&str]) -> std::process::Output {
    static COPIES: AtomicUsize = AtomicUsize::new(0);
    let number = COPIES.fetch_add(1, Ordering::Relaxed);
    let copy = std::env::temp_dir().join(format!("halfopen-{}-{number}", std::process::id()));
    // By another process: a descriptor of ours that is open for writing could live on in a child
    // that some other test forks, and then nobody may execute the file ("Text file busy").
    let copied = Command::new("install").arg("--mode=755").arg(program()).arg(&copy).status();
    assert!(copied.unwrap().success());
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--"])
        .arg(&copy)
        .args(arguments)
        .output()
        .unwrap();
    std::fs::remove_file(&copy).unwrap();
    output
}

#[test]
fn without_privilege_connections_are_listed_and_their_hidden_owners_are_named_as_unseen() {
    requires_lab!();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let output = as_nobody(&["ls", "--loopback", "--json", "--port", &port]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let connections = document["connections"].as_array().unwrap();
    assert_eq!(connections.len(), 2, "{document:#}");
    assert_eq!(connections[0]["state"], "ESTABLISHED");
    let unseen = document["unseen"].to_string();
    assert!(unseen.contains("owners"), "{unseen}");
    assert!(unseen.contains("root"), "{unseen}");
    // What was inferred says so.
    let busy = &connections[0]["learns"]["busy"];
    assert!(busy["assumes"].as_array().is_some_and(|all| !all.is_empty()), "{busy:#}");
    drop(client);
}

#[test]
fn an_ordinary_user_rehearses_in_a_namespace_of_the_users_own() {
    requires_lab!();
    let output = as_nobody(&["rehearse", "detection"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let cases = halfopen_lab::trial::cases().len();
    assert!(said.contains(&format!("{cases} of {cases} as predicted")), "{said}");
}

#[test]
fn a_daemon_that_changes_its_user_asks_for_subordinate_numbers_and_exits_three() {
    requires_lab!();
    let output = as_nobody(&["rehearse", "book"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("run rpcbind without root") && said.contains("/etc/subuid"), "{said}");
}

#[test]
fn where_user_namespaces_are_forbidden_the_setting_is_named_and_the_exit_is_three() {
    requires_lab!();
    let forbid = "echo 0 > /proc/sys/user/max_user_namespaces && \
                  exec setpriv --bounding-set=-all --inh-caps=-all -- \"$0\" rehearse detection";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--", "sh", "-c", forbid])
        .arg(program())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("user.max_user_namespaces is 0"), "{said}");
}
