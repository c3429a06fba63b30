//! Owns the signals that a user ends a run with. Acts on none. Read: signal(7).

use std::{
    sync::mpsc::{self, Receiver},
    thread,
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGWINCH},
    iterator::Signals,
};

use crate::exit::Failure;

/// The signals that end a run, and those of a resized terminal if wanted, from now on. They no
/// longer end the process by themselves. The thread that waits for them ends with the process.
///
/// # Errors
/// [`Failure`] where signals cannot be listened for.
pub(crate) fn listen(and_resizes: bool) -> Result<Receiver<i32>, Failure> {
    let refused = |error| Failure::System(format!("cannot listen for signals: {error}"));
    let mut wanted = vec![SIGINT, SIGTERM, SIGHUP];
    if and_resizes {
        wanted.push(SIGWINCH);
    }
    let mut signals = Signals::new(wanted).map_err(refused)?;
    let (sender, receiver) = mpsc::channel();
    let forward = move || {
        for signal in signals.forever() {
            if sender.send(signal).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(forward).map_err(refused)?;
    Ok(receiver)
}
