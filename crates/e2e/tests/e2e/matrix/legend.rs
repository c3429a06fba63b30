//! What every kind of cell means. A phrase without an explanation here fails the test.

use super::verb::Verb;

/// A phrase, in which `…` stands for some words, and what it means.
pub(super) type Explained = (&'static str, &'static str);

/// The first of `explained` that `phrase` is an example of.
pub(super) fn explanation<'a>(explained: &'a [Explained], phrase: &str) -> Option<&'a Explained> {
    explained.iter().find(|(pattern, _)| match pattern.split_once('…') {
        Some((before, after)) => phrase.starts_with(before) && phrase.ends_with(after),
        None => *pattern == phrase,
    })
}

/// The words of a verb.
pub(super) const fn of_verb(verb: Verb) -> &'static [Explained] {
    match verb {
        Verb::Prove | Verb::ProveCrafted => PROVED,
        Verb::Keep => KEPT,
        Verb::Reap | Verb::ReapProve | Verb::ReapUnproved => REAPED,
    }
}

const GONE: Explained = (
    "not there any more",
    "our kernel had segments to send by itself, and was answered with a reset before the verb looked: by the \
     rebooted host; or, behind the NAT, since a SYN-ACK makes no new entry, leaves under its private address, \
     and comes to a host that has no connection with that",
);

const PROVED: &[Explained] = &[
    (
        "alive (heard, or probed)",
        "the peer has just acknowledged; only if that is more than a second ago a probe is needed",
    ),
    (
        "alive (heard), or unprovable (in flight)",
        "the kernel itself asks every second and is answered: which of the two is a matter of moments",
    ),
    ("alive (…)", "a probe was answered; in brackets how it was sent"),
    (
        "half-open (…)",
        "a probe was answered with a reset, which has ended the connection: the peer had forgotten it",
    ),
    (
        "silent (in flight)",
        "the kernel's own retransmissions or window probes go unanswered, which is proof already; none of \
         ours was sent",
    ),
    ("silent (…)", "three probes a second apart went unanswered"),
    (
        "ended (…)",
        "it ended while it was tested. A reset has done it, but the kernel counts resets of ESTABLISHED and \
         CLOSE-WAIT only, and nobody is left whom it would tell",
    ),
    (
        "unprovable (in flight)",
        "data or a FIN of ours waits, so that the kernel itself is asking; `halfopen why` tells how that goes",
    ),
    ("unprovable (handshake)", "there is no connection yet"),
    (
        "unprovable (no descriptor)",
        "no process holds it; the crafted segment, below, needs none, but BPF",
    ),
    GONE,
];

const KEPT: &[Explained] = &[
    (
        "set: idle in time",
        "the options are set, and its owner will learn in time; it has nothing to send any more",
    ),
    (
        "set: idle in time, busy later",
        "the options are set, and while it is idle its owner will learn in time; with data unacknowledged \
         nothing has changed (`--user-timeout` would bound that)",
    ),
    ("refused: no process holds it…", "keepalive would overwrite the timer that is to end it"),
    ("refused: it waits to be accepted…", "there is no descriptor by which to set and put back"),
    ("refused: … is not an open connection", "keepalive does not run in this state"),
    GONE,
];

const REAPED: &[Explained] = &[
    (
        "ended: proved silent",
        "the kernel's own retransmissions or window probes go unanswered; or, with `--prove`, three probes did",
    ),
    (
        "ended-by-reset",
        "the peer had forgotten it: its answer to the test was a reset, which has ended the connection",
    ),
    ("spared: answered", "the peer has answered a probe, or has just been heard: it lives"),
    (
        "spared: heard lately",
        "the peer has acknowledged data, or a window probe of the kernel's: it lives",
    ),
    (
        "untested (in flight)",
        "spared: data or a FIN of ours waits, so the kernel itself is asking, and has not proved anything yet",
    ),
    ("untested (handshake)", "spared: there is no connection yet"),
    (
        "untested (no descriptor)",
        "spared: no process holds it, and without BPF it cannot be tested",
    ),
    ("ended: unproved", "nothing proves it dead, and `--unproved` was given"),
    (
        "spared: alive is not proved",
        "the peer was heard within the last minute, before it came to be as it is now; nothing was done",
    ),
    (
        "spared: alive, or blocked, is not proved",
        "the same; blocked, once nobody has accepted it for a while",
    ),
    ("spared: … is not proved", "this verdict is no proof of death, so nothing was done"),
    GONE,
];

pub(super) const APPLICATION: &[Explained] = &[
    (
        "waits, its words arrive",
        "reading finds nothing and no error; what it writes is acknowledged: the connection works",
    ),
    (
        "waits, its words are lost",
        "reading finds nothing and no error; what it writes is not acknowledged: it has not been told",
    ),
    (
        "waits, its next word is reset",
        "reading finds nothing and no error; what it writes is answered with a reset",
    ),
    ("waits", "reading finds nothing and no error, and there is nothing that it could write"),
    ("end of file, its words arrive", "the peer has closed its direction; ours works"),
    ("end of file, its words are lost", "the same, and what it writes is not acknowledged"),
    (
        "end of file, its next word is reset",
        "the same, and what it writes is answered with a reset",
    ),
    ("end of file, then …", "reading says end of file as before; writing fails with this error"),
    ("end of file", "both sides have closed: there is nothing more to be told"),
    ("still connects", "connect() has not come back"),
    ("nobody", "no process has it"),
    ("E…", "reading fails with this error"),
];

pub(super) const PEER: &[Explained] = &[
    ("has it", "its connection, as it was before: it has not been told anything"),
    ("was reset", "it had the connection, and has none now"),
    ("has none", "there was none before: it has rebooted, or never accepted one"),
];
