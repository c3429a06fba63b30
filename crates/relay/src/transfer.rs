//! Owns the system calls that move bytes between two sockets, one for each action of a pair.
//! Decides nothing: what comes of a call is an event. Read: recv(2), send(2), splice(2), shutdown(2).

use std::os::fd::BorrowedFd;

use halfopen_sys::stream;
use rustix::{
    io::{Errno, retry_on_intr},
    net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown, sockopt},
    pipe::{SpliceFlags, splice},
};

use crate::{
    hand::{Hand, Pools},
    pair::{Both, Event, Giving, Side, Taking},
    socket::cause,
};

/// Takes bytes from the socket of `side` into its hand.
pub(crate) fn take(
    side: Side,
    taking: Taking,
    socket: BorrowedFd<'_>,
    hand: &mut Hand,
    pools: &mut Pools,
) -> Event {
    match taking {
        Taking::Receive => receive(side, socket, RecvFlags::empty(), hand, pools),
        Taking::ReceiveAtMark => match stream::is_at_mark(socket) {
            Ok(true) => match receive(side, socket, RecvFlags::OOB, hand, pools) {
                Event::Took(side, ..) => Event::TookUrgent(side),
                // The mark is passed by a plain read, if its byte was overtaken by another one.
                _ => receive(side, socket, RecvFlags::empty(), hand, pools),
            },
            _ => receive(side, socket, RecvFlags::empty(), hand, pools),
        },
        Taking::Splice => splice_in(side, socket, hand, pools),
    }
}

fn receive(
    side: Side,
    socket: BorrowedFd<'_>,
    flags: RecvFlags,
    hand: &mut Hand,
    pools: &mut Pools,
) -> Event {
    let mut bytes = pools.buffer();
    let room = bytes.len();
    let wanted = if flags.contains(RecvFlags::OOB) { 1 } else { room };
    let Some(part) = bytes.get_mut(..wanted) else { return Event::Dry(side) };
    let outcome = retry_on_intr(|| recv(socket, &mut *part, flags));
    let (event, end) = match outcome {
        Ok((_, 0)) => (Event::Ended(side), 0),
        Ok((_, taken)) => (Event::Took(side, taken, room), taken),
        Err(Errno::AGAIN) => (Event::Dry(side), 0),
        Err(errno) => (Event::Failed(side, cause(errno)), 0),
    };
    // At most the length of a buffer.
    let held = Hand::Buffer { bytes, start: 0, end: u32::try_from(end).unwrap_or(u32::MAX) };
    if end == 0 {
        pools.put_back(held, true);
    } else {
        *hand = held;
    }
    event
}

fn splice_in(side: Side, socket: BorrowedFd<'_>, hand: &mut Hand, pools: &mut Pools) -> Event {
    let Some(pipe) = pools.pipe() else { return Event::NoPipe(side) };
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    let outcome = retry_on_intr(|| splice(socket, None, &pipe.into, None, pipe.room, flags));
    let room = pipe.room;
    let held = Hand::Pipe(pipe);
    let event = match outcome {
        Ok(0) => Event::Unclear(side),
        Ok(taken) => {
            *hand = held;
            return Event::Took(side, taken, room);
        }
        Err(Errno::AGAIN) => Event::Dry(side),
        Err(errno) => Event::Failed(side, cause(errno)),
    };
    pools.put_back(held, true);
    event
}

/// Gives what is in hand to the socket of `side`.
pub(crate) fn give(
    side: Side,
    giving: Giving,
    socket: BorrowedFd<'_>,
    hand: &mut Hand,
    held: usize,
    pools: &mut Pools,
) -> Event {
    let outcome = match (&mut *hand, giving) {
        (Hand::Buffer { bytes, start, end }, Giving::Send | Giving::SendUrgent) => {
            let urgent = giving == Giving::SendUrgent;
            let flags = if urgent { SendFlags::OOB } else { SendFlags::empty() };
            let part = bytes.get(*start as usize..*end as usize).unwrap_or_default();
            let outcome = retry_on_intr(|| send(socket, part, flags | SendFlags::NOSIGNAL));
            *start += u32::try_from(outcome.unwrap_or(0)).unwrap_or(u32::MAX);
            outcome
        }
        (Hand::Pipe(pipe), _) => {
            let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
            retry_on_intr(|| splice(&pipe.out, None, socket, None, held, flags))
        }
        (Hand::Empty | Hand::Buffer { .. }, _) => Err(Errno::AGAIN),
    };
    match outcome {
        Ok(0) | Err(Errno::AGAIN) => Event::Full(side),
        Ok(given) => {
            if given >= held {
                pools.put_back(std::mem::take(hand), true);
            }
            Event::Gave(side, given)
        }
        Err(errno) => Event::Failed(side, cause(errno)),
    }
}

/// Sends FIN to the socket of `side`.
pub(crate) fn finish(side: Side, socket: BorrowedFd<'_>) -> Event {
    match shutdown(socket, Shutdown::Write) {
        Ok(()) => Event::Finished(side),
        // ENOTCONN: a reset was here first, and its error was fetched already.
        Err(Errno::NOTCONN) => Event::Failed(side, cause(Errno::CONNRESET)),
        Err(errno) => Event::Failed(side, cause(errno)),
    }
}

/// Fetches the pending error of the socket of `side`.
pub(crate) fn fetch_error(side: Side, socket: BorrowedFd<'_>) -> Event {
    match sockopt::socket_error(socket) {
        Ok(Ok(())) => Event::NoError(side),
        Ok(Err(errno)) | Err(errno) => Event::Failed(side, cause(errno)),
    }
}

/// How much of what was sent to `side` is not acknowledged.
pub(crate) fn measure(side: Side, socket: BorrowedFd<'_>) -> Event {
    // A socket that cannot be asked has nothing on its way any more.
    Event::Unacknowledged(side, stream::unacknowledged(socket).unwrap_or(0))
}

/// Gives back what hands of an ended pair hold.
pub(crate) fn let_go(hands: Both<Hand>, held: Both<usize>, pools: &mut Pools) {
    pools.put_back(hands.client, held.client == 0);
    pools.put_back(hands.upstream, held.upstream == 0);
}
