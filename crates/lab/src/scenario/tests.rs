//! What is read, and how slips are answered.

use super::*;

#[test]
fn a_whole_scenario_is_read() {
    let text = r#"
summary = "the switch dies"
topology = "nat"
[router]
forgets_after = "3s"
filter = "reset"
[server]
command = "redis-server --port 6379"
ready = "tcp:6379"
[server.sysctls]
tcp_retries2 = 5
"net.core.somaxconn" = 16
[client]
command = "redis-cli -h $SERVER"
[[client.type]]
after = "1s"
line = "PING"
[[at]]
when = "2s after established"
fault = "cut"
place = "client"
lasts = "3s"
[stop]
when = "limit"
limit = "90s"
[expect]
client_within = "30s"
no_loss = true
"#;
    insta::assert_debug_snapshot!(Scenario::read("lab/redis.toml", text, &[]).unwrap());
}

#[test]
fn what_is_set_on_the_command_line_wins() {
    let text = "[[at]]\nwhen = \"2s after established\"\nfault = \"reboot\"\n";
    let set = ["side=client", "down=3s", "stop.limit=30s", "topology=lan"].map(str::to_owned);
    let scenario = Scenario::read("a.toml", text, &set).unwrap();
    assert_eq!(scenario.plan, Plan::Lan);
    assert_eq!(scenario.stop.limit, Duration::from_secs(30));
    assert_eq!(scenario.steps[0].fault.lasts(), Some(Duration::from_secs(3)));
}

/// One slip in an otherwise good scenario, and how it is answered.
fn told(text: &str, set: &[&str]) -> String {
    let set: Vec<_> = set.iter().map(|said| (*said).to_owned()).collect();
    let error = Scenario::read("a.toml", text, &set).unwrap_err();
    format!("{error}\n")
}

const STEP: &str = "[[at]]\nwhen = \"2s after established\"\nfault = ";

#[test]
fn slips_are_answered_with_file_line_and_remedy() {
    let step = |rest: &str| format!("{STEP}{rest}\n");
    let good = step("\"cut\"");
    let told = [
        told("", &[]),
        told("= 3", &[]),
        told(&format!("topologie = \"lan\"\n{good}"), &[]),
        told(&format!("topology = \"wan\"\n{good}"), &[]),
        told(&format!("stop = 3\n{good}"), &[]),
        told(&format!("{good}[stop]\nlimit = \"2s\"\n{}", good.replace("2s", "9s")), &[]),
        told(&format!("{}{good}", good.replace("2s", "9s")), &[]),
        told("[[at]]\nfault = \"cut\"\n", &[]),
        told("[[at]]\nwhen = \"soon\"\nfault = \"cut\"\n", &[]),
        told(&step("\"syn-dropped\""), &[]),
        told(&good.replace("2s after established", "before the client starts"), &[]),
        told(&format!("topology = \"lan\"\n{}", step("\"icmp\"")), &[]),
        told(&step("\"forget\""), &[]),
        told(&step("\"zero-window\""), &[]),
        told(&format!("{}{}", step("\"power-off\""), step("\"freeze\"").replace("2s", "3s")), &[]),
        told(&format!("[router]\nfilter = \"drop\"\n{good}"), &[]),
        told(&format!("topology = \"nat\"\n[router]\nforgets_after = \"500ms\"\n{good}"), &[]),
        told(&format!("[server]\nready = \"udp:53\"\n{good}"), &[]),
        told(&format!("[server.sysctls]\n\"kernel.panic\" = 1\n{good}"), &[]),
        told(&format!("[pair]\nkeepalive = \"1s/1s\"\n{good}"), &[]),
        told(&format!("[[client.type]]\nline = \"x\"\n{good}"), &[]),
        told(&good, &["place"]),
        told(&good, &["plaice=client"]),
        told(&good, &["at.7.place=client"]),
        told(&good, &["topology.x=client"]),
    ];
    insta::assert_snapshot!(told.concat());
}

#[test]
fn every_scenario_that_is_built_in_can_be_read_and_says_what_it_is_about() {
    for name in builtin_names() {
        let scenario = builtin(name, &[]).unwrap().unwrap();
        assert!(!scenario.summary.is_empty(), "{name}");
        assert_eq!(scenario.name, name);
    }
    assert!(builtin("no-such-scenario", &[]).is_none());
}
