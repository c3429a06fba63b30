use std::os::unix::fs::PermissionsExt as _;

use halfopen_core::Thresholds;
use serde_json::Value;

use super::*;
use crate::fixtures::observation;

/// A directory that goes when the test ends, however it ends.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("halfopen-audit-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("audit.jsonl")
    }

    fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.file()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn diagnosis() -> Diagnosis {
    Diagnosis::of(observation(0x1f), &Thresholds::default())
}

fn act<'a>(diagnosis: &'a Diagnosis, result: ActResult<'a>) -> Act<'a, &'static str> {
    Act { diagnosis, before: &"ESTABLISHED", after: Some(&"CLOSED"), result }
}

#[test]
fn an_act_is_announced_and_then_recorded_with_all_that_matters() {
    let directory = Directory::new("complete");
    let diagnosis = diagnosis();
    let id = diagnosis.observation.sample.id;
    let audit = Audit::open(Some(&directory.file())).unwrap();
    let entries = audit.begin("reap", [id]).unwrap();
    entries.record(act(&diagnosis, ActResult::Done)).unwrap();
    let unseen = Act { after: None, ..act(&diagnosis, ActResult::Failed("it was gone")) };
    entries.record(unseen).unwrap();
    let mut lines = directory.lines();
    for line in &mut lines {
        for (field, placeholder) in [("/time", "TIME"), ("/by", "WHO")] {
            let value = line.pointer_mut(field).unwrap();
            assert!(!value.is_null());
            *value = placeholder.into();
        }
    }
    insta::assert_snapshot!(serde_json::to_string_pretty(&lines).unwrap());
}

#[test]
fn the_line_says_who_did_it() {
    let directory = Directory::new("who");
    let _ = Audit::open(Some(&directory.file())).unwrap().begin("keep", []).unwrap();
    let lines = directory.lines();
    let by = &lines[0]["by"];
    assert_eq!(by["pid"], std::process::id());
    assert_eq!(by["uid"], rustix::process::getuid().as_raw());
    let words = by["command_line"].as_array().unwrap();
    assert_eq!(words.len(), env::args_os().count());
}

#[test]
fn the_user_who_logged_in_is_told_from_nobody_and_from_not_known() {
    let read = |text: &str| login_uid(Ok(text.to_owned()));
    assert_eq!(read("1000\n"), Field::Known(1000));
    assert_eq!(read("4294967295"), Field::NotApplicable);
    assert!(matches!(read(""), Field::Unknown(_)));
    assert!(matches!(login_uid(Err(io::Error::from(io::ErrorKind::NotFound))), Field::Unknown(_)));
}

#[test]
fn lines_are_added_and_only_the_owner_may_read_them() {
    let directory = Directory::new("added");
    for _ in 0..2 {
        let audit = Audit::open(Some(&directory.file())).unwrap();
        let _ = audit.begin("reap", []).unwrap();
    }
    assert_eq!(directory.lines().len(), 2);
    let mode = fs::metadata(directory.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn the_directory_is_made_for_its_owner_alone() {
    let directory = Directory::new("made");
    let file = directory.0.join("state/halfopen/audit.jsonl");
    make_directory(&file).unwrap();
    let mode = fs::metadata(file.parent().unwrap()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_line_that_was_cut_short_does_not_spoil_the_next() {
    let directory = Directory::new("torn");
    fs::write(directory.file(), "{\"schema\":").unwrap();
    let _ = Audit::open(Some(&directory.file())).unwrap().begin("reap", []).unwrap();
    let text = fs::read_to_string(directory.file()).unwrap();
    assert_eq!(text.lines().count(), 2);
    assert!(serde_json::from_str::<Value>(text.lines().last().unwrap()).is_ok());
}

#[test]
fn what_cannot_be_recorded_must_not_be_done() {
    let directory = Directory::new("refused");
    let error = Audit::open(Some(&directory.0.join("no/such/file"))).unwrap_err();
    assert!(error.to_string().contains("so nothing is done"), "{error}");
    // /dev/full opens and takes no byte: the disk that is full.
    let audit = Audit::open(Some(Path::new("/dev/full"))).unwrap();
    let error = audit.begin("reap", []).unwrap_err();
    assert!(error.to_string().contains("so nothing more is done"), "{error}");
    assert!(matches!(Failure::from(error), Failure::System(_)));
}

#[test]
fn root_records_in_var_log_and_others_in_their_state_directory() {
    let path = |is_root, variables: &[(&str, &str)]| {
        own_path(is_root, |name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        })
        .map(|path| path.to_string_lossy().into_owned())
    };
    let home = ("HOME", "/home/ann");
    assert_eq!(path(true, &[home]).unwrap(), "/var/log/halfopen/audit.jsonl");
    assert_eq!(path(false, &[home]).unwrap(), "/home/ann/.local/state/halfopen/audit.jsonl");
    let state = ("XDG_STATE_HOME", "/state");
    assert_eq!(path(false, &[home, state]).unwrap(), "/state/halfopen/audit.jsonl");
    let relative = ("XDG_STATE_HOME", "state");
    assert_eq!(
        path(false, &[home, relative]).unwrap(),
        "/home/ann/.local/state/halfopen/audit.jsonl"
    );
    assert!(matches!(path(false, &[]), Err(AuditError::Nowhere)));
}
