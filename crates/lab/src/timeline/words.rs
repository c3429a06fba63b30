//! Owns the words for the faults of links and middleboxes. Pure.

use halfopen_core::Span;

use crate::wire::{Aim, Keepalives, Link, Middlebox, Refresh, Then};

pub(super) fn link(link: &Link) -> String {
    let percent = |of: f64, what: &str| (of > 0.0).then(|| format!("{of} % {what}"));
    let span = |of: std::time::Duration, what: &str| {
        (!of.is_zero()).then(|| format!("{what} {}", Span(of)))
    };
    let said = [
        link.cut.then(|| "cut".to_owned()),
        link.mtu.map(|mtu| format!("packets over {mtu} bytes vanish")),
        percent(link.loss, "lost"),
        (link.burst > 1.0).then(|| format!("{} in a row", link.burst)),
        percent(link.corrupt, "with a bit turned over"),
        link.rate.map(|rate| format!("{} kbit/s", rate.bits_per_second / 1000)),
        span(link.delay, "delay"),
        span(link.jitter, "jitter"),
        percent(link.reorder, "overtaken"),
        percent(link.duplicate, "twice"),
    ];
    let said: Vec<_> = said.into_iter().flatten().collect();
    if said.is_empty() { "a perfect link".to_owned() } else { said.join(", ") }
}

pub(super) fn middlebox(middlebox: &Middlebox) -> String {
    let forgets = middlebox.expire_after.map_or_else(
        || "it forgets nothing by itself".to_owned(),
        |span| format!("it forgets after {} idle", Span(span)),
    );
    let then = match middlebox.then {
        Then::Drop => "drops what it does not know",
        Then::RstOnPacket => "answers what it does not know with RST",
        Then::RstInside => "answers what it does not know with RST, towards the client alone",
        Then::RstBothNow => "sends RST to both when it forgets",
        Then::Leak => "gives what it does not know another port",
        Then::PickUp => "takes up again what comes from the client",
        Then::PickUpOrRst => {
            "takes up again what comes from the client, and answers the server with RST"
        }
    };
    let refresh = match middlebox.refresh {
        Refresh::Any => None,
        Refresh::Data => Some("only data refreshes"),
        Refresh::Outbound => Some("only what comes from the client refreshes"),
    };
    let keepalives = match middlebox.keepalives {
        Keepalives::Count => None,
        Keepalives::Ignore => Some("keepalive probes do not refresh"),
        Keepalives::Drop => Some("keepalive probes vanish"),
        Keepalives::Answer => Some("it answers keepalive probes itself"),
    };
    let half = middlebox
        .half_closed_after
        .map(|span| format!("after {} once one end has closed", Span(span)));
    let room = middlebox.max_flows.map(|flows| format!("room for {flows} flows"));
    [
        Some(forgets),
        half,
        Some(then.to_owned()),
        refresh.map(str::to_owned),
        keepalives.map(str::to_owned),
        room,
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>()
    .join("; ")
}

pub(super) const fn aim(aim: Aim) -> &'static str {
    match aim {
        Aim::Valid => "aimed at the next byte",
        Aim::InWindow => "aimed into the window",
        Aim::Blind => "aimed blindly",
    }
}
