//! Birth: the client is there, the server's end is not yet, or never will be. The client's bytes and
//! its ending count from its first moment on. Read: RFC 9293 3.5, 3.10.7.3.

use std::{thread, time::Duration};

use super::{KIB, seen};
use crate::{
    case::{Case, Family, Needs, Pace, Side},
    outcome::{Miss, Ran},
    sight::seconds,
    stage::Stage,
};

const BASE: Case = Case {
    name: "",
    family: Family::Birth,
    acting: Side::Client,
    done: "",
    due: "",
    source: "RFC 9293 3.10.7.3: a refused connection is told by \"connection reset\"",
    needs: Needs::Relay,
    pace: Pace::Brisk,
    play: refused,
};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "refused",
        done: "nothing listens at the server; the client connects to the relay",
        due: "the client sees RST: nobody was there, which is not the same as an empty answer",
        play: refused,
        ..BASE
    },
    Case {
        name: "connect-time-out",
        done: "the cable to the server is cut; the client connects to the relay",
        due: "the client sees RST within the time for noticing",
        source: "RFC 1122 4.2.3.5: the user is told that the connection could not be made",
        needs: Needs::Cables,
        pace: Pace::Slow,
        play: connect_time_out,
        ..BASE
    },
    Case {
        name: "early-bytes-and-fin",
        done: "the client sends 1 KiB and FIN while the server cannot be reached, for 0.6 s",
        due: "the server gets the 1 KiB and FIN, and its answer comes back",
        source: "RFC 9293 3.6: bytes before FIN are delivered reliably, whoever was slow to connect",
        needs: Needs::Cables,
        play: early_bytes_and_fin,
        ..BASE
    },
    Case {
        name: "early-fin",
        done: "the client sends FIN and not a byte while the server cannot be reached, for 0.6 s",
        due: "the server gets FIN, and its answer comes back",
        source: "RFC 9293 3.6: who has nothing to say may still listen",
        needs: Needs::Cables,
        play: early_fin,
        ..BASE
    },
    Case {
        name: "early-reset",
        done: "the client sends 1 KiB and RST while the server cannot be reached, for 0.6 s",
        due: "the server sees no connection, or RST: never FIN",
        needs: Needs::Cables,
        play: early_reset,
        ..BASE
    },
];

fn refused(stage: &Stage, _: Side) -> Ran {
    stage.without_server(|stage| {
        let mut client = match stage.connect() {
            Ok(client) => client,
            // A relay that refuses what it cannot pass on says the same thing earlier.
            Err(Miss::Failed { .. }) => return seen("the connection to the relay was refused"),
            Err(other) => return Err(other),
        };
        let sight = client.watch(stage.limits.soon)?.reset()?;
        seen(format!("RST after {}", seconds(sight.at)))
    })
}

fn connect_time_out(stage: &Stage, _: Side) -> Ran {
    must_stand_between(stage)?;
    stage.cables()?.cut(Side::Server)?;
    let mut client = stage.connect()?;
    let sight = client.watch(stage.limits.notice)?.reset()?;
    seen(format!("RST after {}", seconds(sight.at)))
}

fn early_bytes_and_fin(stage: &Stage, _: Side) -> Ran {
    early(stage, KIB)?;
    seen("the bytes and FIN, and the answer")
}

fn early_fin(stage: &Stage, _: Side) -> Ran {
    early(stage, 0)?;
    seen("FIN, and the answer")
}

/// The client sends so many bytes and FIN before the server's end is there, and is answered.
fn early(stage: &Stage, bytes: u64) -> Result<(), Miss> {
    must_stand_between(stage)?;
    let soon = stage.limits.soon;
    stage.cables()?.cut(Side::Server)?;
    let mut client = stage.connect()?;
    client.send(bytes)?;
    client.finish()?;
    thread::sleep(UNREACHABLE_FOR);
    stage.cables()?.mend(Side::Server)?;
    let Some(mut server) = stage.accept(soon * 2)? else {
        let sight = client.watch(soon)?;
        let said = format!("no connection came to the server; {}", sight.said());
        return Err(Miss::failed(format!("no connection: {}", sight.brief()), said));
    };
    server.watch(soon)?.fin_after(bytes)?;
    server.send(KIB)?;
    server.finish()?;
    client.watch(soon)?.fin_after(KIB)?;
    Ok(())
}

fn early_reset(stage: &Stage, _: Side) -> Ran {
    must_stand_between(stage)?;
    let soon = stage.limits.soon;
    stage.cables()?.cut(Side::Server)?;
    let mut client = stage.connect()?;
    client.send(KIB)?;
    client.reset();
    thread::sleep(UNREACHABLE_FOR);
    stage.cables()?.mend(Side::Server)?;
    let Some(mut server) = stage.accept(soon)? else {
        return seen("no connection came to the server");
    };
    let sight = server.watch(soon)?.reset()?;
    seen(format!("RST after {}", seconds(sight.at)))
}

/// A router passes the handshake itself on, or not: there is no early moment in it.
fn must_stand_between(stage: &Stage) -> Result<(), Miss> {
    match stage.lacks(Needs::Relay) {
        Some(lack) => Err(Miss::NotRun(lack.to_owned())),
        None => Ok(()),
    }
}

/// Shorter than any time-out, and below the second after which a SYN is sent again.
const UNREACHABLE_FOR: Duration = Duration::from_millis(600);
