//! The relay between real sockets of this kernel, case by case: what one end does, and what the other
//! end is told. The cases are those of docs/relay/truth.md; peers that vanish are in `halfopen-e2e`,
//! where there are cables to cut.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed, and says where"
)]

mod bulk;
mod half_close;
mod limits;
mod proxy_header;
mod reset;
mod stage;
mod tls;
mod upstreams;
mod urgent;
