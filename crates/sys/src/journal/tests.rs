use std::net::{TcpListener, TcpStream};

use halfopen_core::{ConnectionId, Cookie, NetnsId};
use rustix::net::sockopt;

use super::{entry::Keepalive, *};

const ID: ConnectionId = ConnectionId { cookie: Cookie(0x1f3a), netns: NetnsId(4_026_531_840) };

fn connection() -> (TcpStream, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    (TcpStream::connect(listener.local_addr().unwrap()).unwrap(), listener)
}

fn entry(stream: &TcpStream, was: Was) -> Entry {
    let cookie = Cookie(sockopt::socket_cookie(stream).unwrap());
    Entry {
        id: ConnectionId { cookie, ..ID },
        pid: std::process::id(),
        fd: u32::try_from(stream.as_raw_fd()).unwrap(),
        inode: Some(fs::metadata(format!("/proc/self/fd/{}", stream.as_raw_fd())).unwrap().ino()),
        was,
    }
}

/// A journal in a place of the test's own.
struct Place(Journal);

impl Place {
    fn make(name: &str) -> Self {
        let name = format!("halfopen-journal-{name}-{}", std::process::id());
        let directory = env::temp_dir().join(name);
        own_directory(&directory).unwrap();
        Self(Journal { directory, writer: "1-".to_owned() })
    }

    fn note(&self, entries: &[Entry]) -> Note {
        self.0.note(self.0.turn().unwrap(), entries).unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        fs::read_dir(&self.0.directory).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0.directory);
    }
}

#[test]
fn an_entry_reads_back_as_it_was_written() {
    let keepalive = Keepalive { on: false, idle: 7200, count: 9, user_timeout: 30_000 };
    for was in [Was::ReuseAddress(true), Was::ReuseAddress(false), Was::Keepalive(keepalive)] {
        for inode in [None, Some(4711)] {
            let entry = Entry { id: ID, pid: 42, fd: 3, inode, was };
            assert_eq!(entry.to_string().parse(), Ok(entry));
        }
    }
    for slip in ["", "1f3a", "1f3a@1 42 3 0", "1f3a@1 42 3 0 other", "1f3a@1 42 x 0 reuse-address"]
    {
        assert!(slip.parse::<Entry>().is_err(), "{slip:?}");
    }
}

#[test]
fn a_living_writers_note_is_left_alone_and_a_dead_ones_is_carried_out_once() {
    let place = Place::make("dead");
    let (stream, _listener) = connection();
    sockopt::set_socket_reuseaddr(&stream, true).unwrap();
    let note = place.note(&[entry(&stream, Was::ReuseAddress(true))]);
    sockopt::set_socket_reuseaddr(&stream, false).unwrap();
    let mut sum = Restored::default();
    restore_file(&note.path, &mut sum);
    assert_eq!((sum.restored, sockopt::socket_reuseaddr(&stream)), (0, Ok(false)));
    let path = note.path.clone();
    // As a kill would: the lock goes, the file stays.
    drop(note);
    restore_file(&path, &mut sum);
    assert_eq!((sum.restored, sockopt::socket_reuseaddr(&stream)), (1, Ok(true)));
    assert!(sum.failed.is_empty() && place.files().is_empty());
}

#[test]
fn what_another_writer_has_in_flight_is_not_free_until_it_is_done_or_dead() {
    let place = Place::make("flight");
    let other = Journal { directory: place.0.directory.clone(), writer: "2-".to_owned() };
    let (stream, _listener) = connection();
    let was = Was::ReuseAddress(false);
    let entry = entry(&stream, was);
    let note = place.note(&[entry]);
    let turn = other.turn().unwrap();
    assert!(!turn.is_free(entry.id) && turn.is_free(ID));
    drop(turn);
    // What is one's own is known to oneself.
    assert!(place.0.turn().unwrap().is_free(entry.id));
    note.done();
    assert!(other.turn().unwrap().is_free(entry.id));
    // As a kill would: the lock goes, the file stays, and the next run puts it back.
    drop(place.note(&[entry]));
    assert!(other.turn().unwrap().is_free(entry.id));
}

#[test]
fn one_writer_at_a_time_has_its_turn_and_who_waits_in_vain_has_nothing_free() {
    let place = Place::make("turn");
    let turn = place.0.turn().unwrap();
    assert!(!place.0.turn().unwrap().is_free(ID));
    drop(turn);
    assert!(place.0.turn().unwrap().is_free(ID));
}

#[test]
fn a_note_that_was_put_back_since_it_was_opened_is_not_put_back_again() {
    let place = Place::make("twice");
    let (stream, _listener) = connection();
    sockopt::set_socket_reuseaddr(&stream, false).unwrap();
    let note = place.note(&[entry(&stream, Was::ReuseAddress(true))]);
    let (path, opened) = (note.path.clone(), open(&note.path).unwrap());
    note.done();
    let mut sum = Restored::default();
    restore_open(&path, opened, &mut sum);
    assert_eq!((sum.restored, sockopt::socket_reuseaddr(&stream)), (0, Ok(false)));
}

#[test]
fn only_what_the_shot_has_set_is_given_back() {
    let (stream, _listener) = connection();
    sockopt::set_tcp_user_timeout(&stream, 30_000).unwrap();
    let was = Keepalive::read(stream.as_fd()).unwrap();
    was.shoot(stream.as_fd()).unwrap();
    assert_eq!(Keepalive::read(stream.as_fd()).unwrap(), Keepalive::SHOT);
    // Meanwhile the application has its own idea of one of them.
    sockopt::set_tcp_keepcnt(&stream, 5).unwrap();
    assert!(Was::Keepalive(was).put_back(stream.as_fd()).unwrap());
    assert_eq!(Keepalive::read(stream.as_fd()).unwrap(), Keepalive { count: 5, ..was });
    assert!(!Was::Keepalive(was).put_back(stream.as_fd()).unwrap());
}

#[test]
fn a_connection_whose_descriptor_got_another_number_is_found_by_its_inode() {
    let (stream, _listener) = connection();
    let copy = stream.try_clone().unwrap();
    sockopt::set_socket_reuseaddr(&copy, false).unwrap();
    let lost = Entry { fd: 1_000_000, ..entry(&stream, Was::ReuseAddress(true)) };
    drop(stream);
    let mut sum = Restored::default();
    assert!(put_back_all(&[lost], &mut Holders::default(), &mut sum).is_empty());
    assert_eq!((sum.restored, sockopt::socket_reuseaddr(&copy)), (1, Ok(true)));
}

#[test]
fn another_boots_note_is_forgotten_without_touching_anything() {
    let place = Place::make("boot");
    let (stream, _listener) = connection();
    let line = entry(&stream, Was::ReuseAddress(true));
    let path = place.0.directory.join("1-0.journal");
    fs::write(&path, format!("{HEADING} another-boot\n{line}\n")).unwrap();
    let mut sum = Restored::default();
    restore_file(&path, &mut sum);
    assert_eq!((sum, sockopt::socket_reuseaddr(&stream)), (Restored::default(), Ok(false)));
    assert!(place.files().is_empty());
}

#[test]
fn a_directory_that_others_may_write_to_is_not_trusted() {
    let place = Place::make("open");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(&place.0.directory, open).unwrap();
    assert!(!is_ours(&place.0.directory));
    assert!(own_directory(&place.0.directory).is_err());
}
