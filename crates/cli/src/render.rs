//! The faces of the output: a table and a story for people, JSON for machines. All draw what
//! `Picture` and `Story` hold; none asks the host anything.

mod cell;
mod columns;
mod in_order;
pub(crate) mod json;
mod missing;
mod paint;
mod proved;
mod reap;
mod story;
mod summary;
mod table;
mod words;

pub(crate) use self::{
    cell::{escaped, wrapped},
    missing::write_missing,
    paint::Paint,
    proved::{write_proved, write_proved_sum},
    reap::write_reap,
    story::write_story,
    summary::{write_foot, write_head},
    table::{TableView, write_table},
    words::{counted, end, learns, owner, pair},
};
