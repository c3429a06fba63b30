//! What an ordinary user sees: everything that may be seen, and a name for what may not.

use std::{
    net::{TcpListener, TcpStream},
    process::Command,
};

use serde_json::Value;

use crate::{program, requires_lab};

/// The program as the user nobody, from a place that this user can read.
pub(crate) fn as_nobody(arguments: &[&str]) -> std::process::Output {
    let place = std::env::temp_dir().join(format!("halfopen-nobody-{}", std::process::id()));
    std::fs::create_dir_all(&place).unwrap();
    let copy = place.join(format!("halfopen-{}", arguments.len()));
    std::fs::copy(program(), &copy).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--"])
        .arg(&copy)
        .args(arguments)
        .output()
        .unwrap();
    std::fs::remove_file(&copy).unwrap();
    // The other test may still have its copy there.
    let _ = std::fs::remove_dir(&place);
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
fn an_experiment_without_privilege_exits_three_and_names_the_capabilities() {
    requires_lab!();
    let output = as_nobody(&["rehearse", "detection"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("CAP_NET_ADMIN"), "{said}");
}
