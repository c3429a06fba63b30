//! Without privilege one's own connections can be tested, and others' are named as what they are.

use std::net::{TcpListener, TcpStream};

use serde_json::Value;

use crate::{requires_lab, unprivileged::as_nobody};

#[test]
fn the_connections_of_others_exit_three_and_name_the_capability() {
    requires_lab!();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    let tested = halfopen_lab::wait::until(super::peer::SOON, || {
        let output = as_nobody(&["prove", "--loopback", "--port", &port]);
        // Just after it was connected, both ends have just been heard.
        (output.status.code() != Some(0)).then_some(output)
    });
    let output = tested.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(said.contains("CAP_SYS_PTRACE"), "{said}");
    drop((client, server));
}

/// Goal: an ordinary user tests its own connection by one-shot. Method: the program as nobody, on a
/// connection that another program of nobody holds.
#[test]
fn ones_own_connections_are_tested_by_one_shot() {
    requires_lab!();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let mut holder = std::process::Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--"])
        .args(["bash", "-c", &format!("exec 3<>/dev/tcp/127.0.0.1/{}; exec cat <&3", to.port())])
        .spawn()
        .unwrap();
    let (server, _) = listener.accept().unwrap();
    let peer = format!("127.0.0.1:{}", to.port());
    let tested = halfopen_lab::wait::until(super::peer::SOON, || {
        let output = as_nobody(&["prove", "--peer", &peer, "--json"]);
        let document: Value = serde_json::from_slice(&output.stdout).ok()?;
        let one = document["connections"][0].clone();
        (one["method"] != Value::Null).then_some(one)
    });
    holder.kill().unwrap();
    holder.wait().unwrap();
    drop(server);
    let one = tested.unwrap();
    assert_eq!((&one["method"], &one["answer"]), (&"keepalive".into(), &"alive".into()), "{one:#}");
}
