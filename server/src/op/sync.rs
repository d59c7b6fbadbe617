//! `Sync`: a revocation is complete when it is answered, so there is nothing to wait for.

use crate::manager::{Answer, Outcome};
use bailiwick_protocol::message::Reply;

pub(super) fn run<'m>() -> Outcome<'m> {
    Ok(Answer::Reply(Reply::Done))
}
