//! Owns how an objective is met on Linux: planned by the core, set and read back through `halfopen-sys`.

use std::{io, os::fd::BorrowedFd};

use halfopen_core::{
    Observation,
    detection::{self, DetectionTime, detection_time},
    keeping::{KeepOptions, Planned, Refusal, plan},
};
use halfopen_sys::{
    own::{Surroundings, observe},
    set_options::{NotSet, set},
};

use super::{DetectError, Detection, Learns, Objective};

pub(super) fn detection(socket: BorrowedFd<'_>) -> Result<Detection, DetectError> {
    let seen = observe(socket, Surroundings::once())?;
    Ok(Detection::of(&detection_time(&seen)))
}

pub(super) fn detect_within(
    socket: BorrowedFd<'_>,
    objective: Objective,
) -> Result<Detection, DetectError> {
    let seen = observe(socket, Surroundings::once())?;
    match plan(&seen, &objective.planned(), None) {
        Planned::Met(learns) => Ok(Detection::of(&learns)),
        Planned::Refused(refusal) => Err(refused(&refusal, &seen, objective)),
        Planned::Change(plan) => {
            let before = KeepOptions::of(&plan.before).ok_or_else(unread)?;
            let wanted = KeepOptions::planned(&plan, before);
            set(socket, before, wanted).map_err(not_set)?;
            let found = detection(socket)?;
            let busy = !objective.user_timeout || found.busy.is_within(objective.within);
            if found.idle.is_within(objective.within) && busy {
                return Ok(found);
            }
            set(socket, wanted, before).map_err(not_set)?;
            Err(DetectError::NotMet { wanted: objective.within, found })
        }
    }
}

fn refused(refusal: &Refusal, seen: &Observation, objective: Objective) -> DetectError {
    let wanted = objective.within;
    match *refusal {
        Refusal::TooShort { least } => DetectError::TooShort { wanted, least },
        Refusal::OptionsUnread => DetectError::System { cause: unread() },
        Refusal::NothingBetter => {
            DetectError::NotMet { wanted, found: Detection::of(&detection_time(seen)) }
        }
        Refusal::BeingProbed => DetectError::System {
            cause: io::Error::new(io::ErrorKind::WouldBlock, refusal.to_string()),
        },
        _ => DetectError::NotOpen { state: seen.sample.state.to_string() },
    }
}

fn not_set(cause: NotSet) -> DetectError {
    match cause {
        NotSet::NotOpen => DetectError::NotOpen { state: "closing".to_owned() },
        cause => DetectError::System { cause: io::Error::other(cause) },
    }
}

fn unread() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "this kernel does not tell the keepalive options")
}

impl Detection {
    fn of(time: &DetectionTime) -> Self {
        // What runs already is sooner than what would begin with the next write.
        let busy = time.now.as_ref().unwrap_or(&time.busy);
        Self { idle: Learns::of(&time.idle), busy: Learns::of(busy) }
    }
}

impl Learns {
    fn of(learns: &detection::Learns) -> Self {
        match learns {
            detection::Learns::Within(prediction) => {
                Self::Within { earliest: prediction.within.min(), latest: prediction.within.max() }
            }
            detection::Learns::Never(_) => Self::Never,
            detection::Learns::Unknown(why) => Self::Unknown(why.to_string()),
            detection::Learns::NotApplicable(why) => Self::Unknown((*why).to_owned()),
        }
    }
}
