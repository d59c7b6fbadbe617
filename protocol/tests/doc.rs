//! `doc/protocol.md` says what the code says: its tables are these, row by row.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use bailiwick_protocol::error::{DETAIL_MAX, FrameError, RefusalCode};
use bailiwick_protocol::frame::{CAPABILITIES_MAX, FRAME_MAX, HEADER};
use bailiwick_protocol::id::ID_MAX;
use bailiwick_protocol::op::Op;
use bailiwick_protocol::rights::Rights;

const DOC: &str = include_str!("../../doc/protocol.md");

/// The cells of the table below this heading, without its head.
fn table(heading: &str) -> Vec<Vec<String>> {
    let section = DOC.split(&format!("\n## {heading}\n")).nth(1).unwrap_or_else(|| panic!("no {heading}"));
    let section = section.split("\n## ").next().unwrap();
    section
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect())
        .collect()
}

fn names(rights: Rights) -> String {
    let names: Vec<&str> = rights.iter_names().map(|(name, _)| name).collect();
    names.join(" ")
}

#[test]
fn the_table_of_operations_is_the_one_in_the_code() {
    let rows = table("Operations");
    assert_eq!(rows.len(), Op::ALL.len());
    for (row, op) in rows.iter().zip(Op::ALL) {
        let expected = [
            (*op as u16).to_string(),
            op.name().to_owned(),
            format!("{:?}", op.target()).to_lowercase(),
            names(op.rights()),
        ];
        assert_eq!(row[..4], expected);
        assert!(row[4..].iter().all(|cell| !cell.is_empty()), "{op:?}: request and reply");
    }
}

#[test]
fn the_tables_of_errors_are_the_ones_in_the_code() {
    let frames: Vec<Vec<String>> = FrameError::ALL
        .iter()
        .map(|e| vec![e.0.to_string(), e.name().unwrap().to_owned(), e.text().to_owned()])
        .collect();
    assert_eq!(table("Frame errors"), frames);
    let refusals: Vec<Vec<String>> = RefusalCode::ALL
        .iter()
        .map(|e| vec![e.0.to_string(), e.name().unwrap().to_owned(), e.text().to_owned()])
        .collect();
    let shown: Vec<Vec<String>> = table("Refusals").into_iter().map(|row| row[..3].to_vec()).collect();
    assert_eq!(shown, refusals);
}

#[test]
fn the_table_of_rights_is_the_one_in_the_code() {
    let rights: Vec<[String; 2]> = Rights::all()
        .iter_names()
        .map(|(name, r)| [r.bits().trailing_zeros().to_string(), name.into()])
        .collect();
    let shown: Vec<Vec<String>> = table("Rights").into_iter().map(|row| row[..2].to_vec()).collect();
    assert_eq!(shown, rights);
}

#[test]
fn the_bounds_are_the_ones_in_the_code() {
    for (what, number) in [
        ("bytes a frame", FRAME_MAX),
        ("bytes before the body", HEADER),
        ("capabilities beside a frame", CAPABILITIES_MAX),
        ("bytes of text beside an error", DETAIL_MAX),
        ("bytes a container id", ID_MAX),
    ] {
        assert!(DOC.contains(&format!("{number} {what}")), "{number} {what}");
    }
}
