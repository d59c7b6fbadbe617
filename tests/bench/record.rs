//! The recorded figures: what must not get worse.

use crate::figure::{Figure, Kind, number};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Room that a newly recorded ratio leaves for a machine that is busy.
const SLACK: f64 = 1.5;

/// The most that anything may cost with a large table, as a ratio to the same with a small one.
const GROWTH: f64 = 1.05;

/// `record.toml`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Exact figures by name: no more than this.
    #[serde(default)]
    exact: BTreeMap<String, f64>,
    /// Ratios to a peer by name: no more than this.
    #[serde(default)]
    ratio: BTreeMap<String, f64>,
}

impl Record {
    /// Reads it.
    pub(crate) fn read(path: &Path) -> Result<Record> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is no record", path.display()))
    }

    /// Takes these figures for the new record. Those that were not measured stay.
    pub(crate) fn update(&mut self, figures: &[Figure]) {
        for figure in figures {
            match (figure.kind, figure.compared()) {
                (Kind::Exact, Some(value)) => drop(self.exact.insert(figure.name.clone(), value)),
                (Kind::Ratio, Some(value)) => {
                    let bound = (value * SLACK * 100.0).round() / 100.0;
                    self.ratio.insert(figure.name.clone(), bound);
                }
                _ => {}
            }
        }
    }

    /// Writes it.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let head = "# What `tests/bench/run` holds the figures against; `tests/bench/run --record` writes it anew.\n\
                    # Exact figures must not grow at all, ratios to a peer of the same run not beyond the bound here.\n\
                    # Instructions stepped on the host are not here: how often a `rep` instruction stops depends on the\n\
                    # processor. Only their growth with the table is compared, with a bound in the program.\n\n";
        let text = head.to_owned() + &toml::to_string(self)?;
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// One line for each figure that is worse than recorded or has no record, and one for each that is better.
    pub(crate) fn compare(&self, figures: &[Figure]) -> Comparison {
        let mut comparison = Comparison::default();
        for figure in figures {
            let Some(value) = figure.compared() else { continue };
            let name = &figure.name;
            let bound = match figure.kind {
                Kind::Exact => self.exact.get(name),
                Kind::Growth => Some(&GROWTH),
                Kind::Bound => Some(&1.0),
                Kind::Ratio | Kind::Shown => self.ratio.get(name),
            };
            match bound {
                None => comparison.worse.push(format!("{name}: not recorded")),
                Some(bound) if value > *bound => {
                    comparison.worse.push(format!("{name}: {}, recorded {}", number(value), number(*bound)));
                }
                Some(bound) if value < *bound && figure.kind == Kind::Exact => {
                    comparison.better.push(format!("{name}: {}, recorded {}", number(value), number(*bound)));
                }
                Some(_) => {}
            }
        }
        comparison
    }
}

/// What differs from the record.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Comparison {
    /// For the worse.
    pub(crate) worse: Vec<String>,
    /// For the better.
    pub(crate) better: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(kind: Kind, ours: f64) -> Figure {
        Figure::new("x", (ours, "instructions"), kind, "", "").peer("they", 10.0)
    }

    #[test]
    fn more_than_recorded_is_worse_and_what_is_not_recorded_as_well() {
        let mut record = Record::default();
        assert_eq!(record.compare(&[figure(Kind::Exact, 7.0)]).worse.len(), 1);
        record.update(&[figure(Kind::Exact, 7.0)]);
        assert_eq!(record.compare(&[figure(Kind::Exact, 7.0)]), Comparison::default());
        assert_eq!(record.compare(&[figure(Kind::Exact, 8.0)]).worse.len(), 1);
        assert_eq!(record.compare(&[figure(Kind::Exact, 6.0)]).better.len(), 1);
    }

    #[test]
    fn growth_is_bounded_whatever_is_recorded() {
        let mut record = Record::default();
        record.update(&[figure(Kind::Growth, 20.0)]);
        assert_eq!(record.compare(&[figure(Kind::Growth, 10.4)]), Comparison::default());
        assert_eq!(record.compare(&[figure(Kind::Growth, 10.6)]).worse.len(), 1);
    }

    #[test]
    fn what_is_stated_is_the_bound() {
        let record = Record::default();
        assert_eq!(record.compare(&[figure(Kind::Bound, 10.0)]), Comparison::default());
        assert_eq!(record.compare(&[figure(Kind::Bound, 10.1)]).worse.len(), 1);
    }

    #[test]
    fn a_ratio_has_room_and_what_is_only_shown_is_not_compared() {
        let mut record = Record::default();
        record.update(&[figure(Kind::Ratio, 10.0), figure(Kind::Shown, 1.0)]);
        assert_eq!(record.compare(&[figure(Kind::Ratio, 14.0)]), Comparison::default());
        assert_eq!(record.compare(&[figure(Kind::Ratio, 16.0)]).worse.len(), 1);
        assert_eq!(record.compare(&[figure(Kind::Shown, 99.0)]), Comparison::default());
    }
}
