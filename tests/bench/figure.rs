//! One figure: what was measured, by which command, and what a peer has for the same.

use serde::Serialize;

/// How a figure is compared with the recorded one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Counted exactly: any more than recorded is worse.
    Exact,
    /// A ratio to a peer of the same run: worse beyond the recorded bound.
    Ratio,
    /// A ratio to the same for a small table: it must hardly grow with the table, whatever is recorded.
    Growth,
    /// No more than what is stated, its peer.
    Bound,
    /// Depends on the machine, and is only shown.
    Shown,
}

/// What somebody else has.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Peer {
    /// Who, and under which conditions.
    pub(crate) name: String,
    /// In the unit of the figure.
    pub(crate) value: f64,
}

/// One row of the table.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Figure {
    /// Its name, unique.
    pub(crate) name: String,
    /// What is inside the bracket.
    pub(crate) inside: String,
    /// What was measured.
    pub(crate) ours: f64,
    /// Of what.
    pub(crate) unit: &'static str,
    /// How it is compared.
    pub(crate) kind: Kind,
    /// What is aimed at, if something is.
    pub(crate) aim: Option<f64>,
    /// Somebody else.
    pub(crate) peer: Option<Peer>,
    /// Prints the figure again.
    pub(crate) command: &'static str,
}

impl Figure {
    /// A figure without aim and peer.
    pub(crate) fn new(
        name: impl Into<String>,
        (ours, unit): (f64, &'static str),
        kind: Kind,
        inside: impl Into<String>,
        command: &'static str,
    ) -> Figure {
        let (name, inside) = (name.into(), inside.into());
        Figure { name, inside, ours, unit, kind, aim: None, peer: None, command }
    }

    /// With what is aimed at.
    pub(crate) fn aim(mut self, aim: f64) -> Figure {
        self.aim = Some(aim);
        self
    }

    /// With somebody else's.
    pub(crate) fn peer(mut self, name: impl Into<String>, value: f64) -> Figure {
        self.peer = Some(Peer { name: name.into(), value });
        self
    }

    /// Ours divided by the peer's.
    pub(crate) fn ratio(&self) -> Option<f64> {
        self.peer.as_ref().map(|peer| self.ours / peer.value)
    }

    /// What is compared with the record.
    pub(crate) fn compared(&self) -> Option<f64> {
        match self.kind {
            Kind::Exact => Some(self.ours),
            Kind::Ratio | Kind::Growth | Kind::Bound => self.ratio(),
            Kind::Shown => None,
        }
    }
}

/// A number as people write it: whole ones with commas, others with the digits that matter.
pub(crate) fn number(value: f64) -> String {
    if value.fract() != 0.0 && value.abs() < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) && digit.is_ascii_digit() {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The figures as a table in Markdown.
pub(crate) fn table(figures: &[Figure]) -> String {
    let mut text = String::from(
        "| what | ours | aim | peer | ratio | inside the bracket | command |\n|---|---|---|---|---|---|---|\n",
    );
    for figure in figures {
        let aim = figure.aim.map(number).unwrap_or_default();
        let peer = figure.peer.as_ref().map(|peer| format!("{} {}", peer.name, number(peer.value)));
        let ratio = figure.ratio().map(|ratio| format!("{ratio:.2}"));
        text += &format!(
            "| {} | {} {} | {aim} | {} | {} | {} | `{}` |\n",
            figure.name,
            number(figure.ours),
            figure.unit,
            peer.unwrap_or_default(),
            ratio.unwrap_or_default(),
            figure.inside,
            figure.command,
        );
    }
    text
}
