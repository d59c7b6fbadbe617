//! `Hello`: which versions are spoken.

use crate::manager::{Answer, Outcome};
use bailiwick_protocol::error::RefusalCode;
use bailiwick_protocol::frame::{FRAME_MAX, schema_hash};
use bailiwick_protocol::message::{Hello, HelloReply, Reply};
use bailiwick_protocol::{VERSION_MAX, VERSION_MIN};

pub(super) fn run<'m>(hello: Hello) -> Outcome<'m> {
    let (lowest, highest) = (hello.version_min.max(VERSION_MIN), hello.version_max.min(VERSION_MAX));
    if lowest > highest {
        return Err(RefusalCode::Version.into());
    }
    Ok(Answer::Reply(Reply::Hello(HelloReply {
        version_min: VERSION_MIN,
        version_max: VERSION_MAX,
        frame_max: FRAME_MAX as u32,
        schema: schema_hash(),
    })))
}
