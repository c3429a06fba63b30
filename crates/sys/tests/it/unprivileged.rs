//! What an ordinary user sees, and who has but a few capabilities, or looks out of another pid
//! namespace: the test runs a copy of itself as such.

use std::{
    env, fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

use halfopen_core::{Observation, OptionsSeen, Owners};
use halfopen_sys::{Scope, Survey, survey};
#[cfg(feature = "bpf")]
use halfopen_sys::{Sources, SurveyError, bpf::BpfError, survey_from};

use crate::is_root;

/// Set in the copy that runs as an ordinary user: the port of a connection that root holds.
const PORT: &str = "HALFOPEN_TEST_PORT_OF_ROOT";

const NOBODY: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

#[test]
fn an_ordinary_user_sees_the_connections_of_others_and_is_told_what_is_missing() {
    through(&NOBODY, look_as_an_ordinary_user);
}

#[test]
#[cfg(feature = "bpf")]
fn two_capabilities_suffice_for_owners_and_options_of_everybody() {
    let capabilities = ["--inh-caps=+bpf,+perfmon", "--ambient-caps=+bpf,+perfmon"];
    through(&[&NOBODY[..], &capabilities].concat(), |port_of_root| {
        let here = survey_from(&Scope::Current, Sources::Bpf).unwrap();
        let theirs = by_port(&here, port_of_root);
        assert_eq!(theirs.owners.seen()[0].process.pid, std::os::unix::process::parent_id());
        assert!(matches!(theirs.options, OptionsSeen::Read(_)), "{:?}", theirs.options);
        let wants_more = here.unseen.iter().any(|unseen| unseen.why.contains("CAP_"));
        assert!(!wants_more, "{:?}", here.unseen);
    });
}

#[test]
#[cfg(feature = "bpf")]
fn without_capabilities_bpf_is_refused_and_the_error_names_them() {
    through(&NOBODY, |_| {
        let error = survey_from(&Scope::Current, Sources::Bpf).unwrap_err();
        assert!(matches!(error, SurveyError::Bpf(BpfError::Refused { .. })), "{error:?}");
        assert!(error.to_string().contains("CAP_BPF and CAP_PERFMON"), "{error}");
    });
}

#[test]
#[cfg(feature = "bpf")]
fn in_another_pid_namespace_owners_have_the_numbers_of_that_namespace() {
    through(&["unshare", "--pid", "--fork", "--mount-proc"], |port_outside| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = survey_from(&Scope::Current, Sources::Bpf).unwrap();
        let outside = by_port(&here, port_outside);
        assert!(matches!(outside.owners, Owners::Unseen(_)), "{:?}", outside.owners);
        assert!(matches!(outside.options, OptionsSeen::Read(_)), "{:?}", outside.options);
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let here = survey_from(&Scope::Current, Sources::Bpf).unwrap();
        let ours = by_port(&here, client.local_addr().unwrap().port());
        assert_eq!(ours.owners.seen()[0].process.pid, std::process::id());
    });
}

/// Runs `look` in a copy of this test program that `command` starts, with the port of a connection
/// that root holds outside.
fn through(command: &[&str], look: impl FnOnce(u16)) {
    if let Ok(port) = env::var(PORT) {
        return look(port.parse().unwrap());
    }
    if !is_root("to become somebody else") {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let copy = Copy::make();
    let name = std::thread::current().name().unwrap().to_owned();
    let outcome = Command::new(command[0])
        .args(&command[1..])
        .arg("--")
        .arg(&copy.path)
        .args(["--exact", &name])
        .env(PORT, client.local_addr().unwrap().port().to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&outcome.stdout);
    assert!(outcome.status.success() && said.contains("1 passed"), "{said}");
}

fn look_as_an_ordinary_user(port_of_root: u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let here = survey(&Scope::Current).unwrap();

    let theirs = by_port(&here, port_of_root);
    assert_eq!(theirs.sample.uid, Some(0));
    assert!(theirs.sample.info.is_some());
    let Owners::Unseen(why) = &theirs.owners else { panic!("{:?}", theirs.owners) };
    assert!(why.contains("CAP_SYS_PTRACE"), "{why}");
    assert!(matches!(&theirs.options, OptionsSeen::Unread(why) if why.contains("CAP_SYS_PTRACE")));
    let told = here.unseen.iter().find(|unseen| unseen.what.starts_with("owners")).unwrap();
    assert!(told.why.contains("CAP_SYS_PTRACE"), "{told:?}");

    let ours = by_port(&here, client.local_addr().unwrap().port());
    assert_eq!(ours.owners.seen()[0].process.pid, std::process::id());
    assert!(matches!(ours.options, OptionsSeen::Read(_)), "{:?}", ours.options);

    let all = survey(&Scope::All).unwrap();
    assert!(all.namespaces.iter().any(|namespace| namespace.is_own));
    assert!(all.unseen.iter().any(|unseen| unseen.what.starts_with("network namespaces")));
    // The namespace of init may not be opened, and the error says what would help.
    let error = survey(&Scope::Named("1".to_owned())).unwrap_err().to_string();
    assert!(error.contains("CAP_SYS_PTRACE"), "{error}");
}

fn by_port(survey: &Survey, port: u16) -> &Observation {
    survey.observations.iter().find(|seen| seen.sample.endpoints.local.port() == port).unwrap()
}

/// This program at a place that everybody may run it from, for as long as the value lives.
struct Copy {
    path: PathBuf,
}

impl Copy {
    fn make() -> Self {
        // Tests of one process run at the same time.
        static COPIES: AtomicUsize = AtomicUsize::new(0);
        let number = COPIES.fetch_add(1, Ordering::Relaxed);
        let name = format!("halfopen-sys-test-{}-{number}", std::process::id());
        let copy = Self { path: env::temp_dir().join(name) };
        fs::copy(env::current_exe().unwrap(), &copy.path).unwrap();
        fs::set_permissions(&copy.path, fs::Permissions::from_mode(0o755)).unwrap();
        copy
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
