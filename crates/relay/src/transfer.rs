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
    tls::{Records, Taken, Wire},
};

/// One connection of a pair: its socket, and its record layer if it speaks TLS.
#[derive(Debug)]
pub(crate) struct Leg<'a> {
    pub(crate) socket: BorrowedFd<'a>,
    pub(crate) records: Option<&'a mut Records>,
}

/// Takes bytes from the leg of `side` into its hand.
pub(crate) fn take(
    side: Side,
    taking: Taking,
    leg: Leg<'_>,
    hand: &mut Hand,
    pools: &mut Pools,
) -> Event {
    let socket = leg.socket;
    if let Some(records) = leg.records {
        return unwrap(side, socket, records, hand, pools);
    }
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
    hold(bytes, end, hand, pools);
    event
}

/// Takes bytes out of records. An urgent byte is none of them, and is passed over by the kernel.
fn unwrap(
    side: Side,
    socket: BorrowedFd<'_>,
    records: &mut Records,
    hand: &mut Hand,
    pools: &mut Pools,
) -> Event {
    let mut bytes = pools.buffer();
    let (event, end) = match records.take(&mut Wire(socket), &mut bytes) {
        Taken::Bytes { count, is_dry } => {
            (Event::Took(side, count, count + usize::from(is_dry)), count)
        }
        Taken::Dry => (Event::Dry(side), 0),
        Taken::End => (Event::Ended(side), 0),
        Taken::Broken(cause) => (Event::Failed(side, cause), 0),
    };
    hold(bytes, end, hand, pools);
    event
}

/// Keeps the bytes up to `end` in hand, or the buffer in the pool if there are none.
fn hold(bytes: Box<[u8]>, end: usize, hand: &mut Hand, pools: &mut Pools) {
    // At most the length of a buffer.
    let held = Hand::Buffer { bytes, start: 0, end: u32::try_from(end).unwrap_or(u32::MAX) };
    if end == 0 {
        pools.put_back(held, true);
    } else {
        *hand = held;
    }
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

/// Gives what is in hand to the leg of `side`.
pub(crate) fn give(
    side: Side,
    giving: Giving,
    leg: Leg<'_>,
    hand: &mut Hand,
    held: usize,
    pools: &mut Pools,
) -> Event {
    let outcome = match (&mut *hand, giving) {
        (Hand::Buffer { bytes, start, end }, Giving::Send | Giving::SendUrgent) => {
            let urgent = giving == Giving::SendUrgent;
            let flags = if urgent { SendFlags::OOB } else { SendFlags::empty() };
            let part = bytes.get(*start as usize..*end as usize).unwrap_or_default();
            let outcome = match leg.records {
                None => retry_on_intr(|| send(leg.socket, part, flags | SendFlags::NOSIGNAL)),
                // TLS has no urgent bytes, so this one is left out, as by a reader who asks for none.
                Some(_) if urgent => Ok(part.len()),
                Some(records) => records.give(&mut Wire(leg.socket), part),
            };
            *start += u32::try_from(outcome.unwrap_or(0)).unwrap_or(u32::MAX);
            outcome
        }
        (Hand::Pipe(pipe), _) => {
            let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
            retry_on_intr(|| splice(&pipe.out, None, leg.socket, None, held, flags))
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

/// Sends FIN to the leg of `side`, behind close_notify where it speaks TLS.
pub(crate) fn finish(side: Side, leg: Leg<'_>) -> Event {
    match leg.records.map_or(Ok(()), |records| records.finish(&mut Wire(leg.socket))) {
        Ok(()) => {}
        Err(Errno::AGAIN) => return Event::Full(side),
        Err(errno) => return Event::Failed(side, cause(errno)),
    }
    match shutdown(leg.socket, Shutdown::Write) {
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
pub(crate) fn measure(side: Side, leg: &Leg<'_>) -> Event {
    let waiting = leg.records.as_ref().map_or(0, |records| records.waiting());
    // A socket that cannot be asked has nothing on its way any more.
    Event::Unacknowledged(side, waiting + stream::unacknowledged(leg.socket).unwrap_or(0))
}

/// Gives back what hands of an ended pair hold.
pub(crate) fn let_go(hands: Both<Hand>, held: Both<usize>, pools: &mut Pools) {
    pools.put_back(hands.client, held.client == 0);
    pools.put_back(hands.upstream, held.upstream == 0);
}
