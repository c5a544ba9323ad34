//! All variables: what the README's table shows, and what a misspelt name is compared with.

use std::fmt::Write;

use super::source::Source;
use super::variable::Variable;
use super::{
    auth, backend, bind, database, embedded, gateway, images, later, logging, resumable,
    s3_backend, s3_protocol, uploads, webhooks,
};

/// The variables that have an effect, by concern, in the README's order.
pub(crate) const CONCERNS: &[(&str, &[&Variable])] = &[
    ("Server", bind::VARIABLES),
    ("Alone", embedded::VARIABLES),
    ("Database", database::VARIABLES),
    ("Objects", backend::VARIABLES),
    ("The S3 service behind (`STORAGE_BACKEND=s3`)", s3_backend::VARIABLES),
    ("Uploads", uploads::VARIABLES),
    ("Resumable uploads", resumable::VARIABLES),
    ("Images", images::VARIABLES),
    ("Tokens and keys", auth::VARIABLES),
    ("S3 endpoint", s3_protocol::VARIABLES),
    ("Gateway", gateway::VARIABLES),
    ("Events", webhooks::VARIABLES),
    ("Logs", logging::VARIABLES),
];

fn known() -> impl Iterator<Item = &'static str> {
    let ours = CONCERNS.iter().flat_map(|(_, variables)| variables.iter());
    ours.flat_map(|variable| variable.names())
        .chain(later::SHOWN.iter().chain(later::STACK).copied())
}

/// Whether a name means something to us, now or later.
pub(crate) fn knows(name: &str) -> bool {
    known().any(|known| known == name)
}

/// Warns about names that are set, unknown, and nearly known.
pub(crate) fn warn_of_typos(source: &Source) {
    for name in source.names().filter(|name| name.chars().count() >= 8 && !knows(name)) {
        if let Some(meant) = known().find(|known| within_two_letters(name, known)) {
            source.warn(format!("{name} is set and not known; did you mean {meant}?"));
        }
    }
}

/// Whether at most two letters have to be put in, left out or exchanged (the Levenshtein
/// distance); capitals don't count.
fn within_two_letters(a: &str, b: &str) -> bool {
    let letters = |text: &str| text.to_ascii_uppercase().chars().collect::<Vec<_>>();
    let (a, b) = (letters(a), letters(b));
    if a.len().abs_diff(b.len()) > 2 {
        return false;
    }
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (row, letter) in a.iter().enumerate() {
        let mut line = vec![row + 1];
        for (column, other) in b.iter().enumerate() {
            let exchanged = above[column] + usize::from(letter != other);
            line.push(exchanged.min(above[column + 1] + 1).min(line[column] + 1));
        }
        above = line;
    }
    above[b.len()] <= 2
}

/// Begins the generated part of the README.
pub(crate) const BEGIN: &str = "<!-- configuration:begin -->";
/// Ends it.
pub(crate) const END: &str = "<!-- configuration:end -->";

/// The generated part of the README, with its markers.
pub(crate) fn markdown() -> String {
    let mut text = format!("{BEGIN}\n");
    for (concern, variables) in CONCERNS {
        // Writing into a String can't fail.
        let _ = write!(
            text,
            "\n**{concern}**\n\n| variable | other names | default | meaning |\n|---|---|---|---|\n"
        );
        for variable in *variables {
            let also: Vec<_> = variable.also.iter().map(|name| format!("`{name}`")).collect();
            let default = match variable.default {
                "" => String::new(),
                plain if plain.contains([' ', '`']) => plain.to_owned(),
                value => format!("`{value}`"),
            };
            let _ = writeln!(
                text,
                "| `{}` | {} | {default} | {} |",
                variable.name,
                also.join(", "),
                variable.doc
            );
        }
    }
    let names: Vec<_> = later::SHOWN.iter().map(|name| format!("`{name}`")).collect();
    let _ = write!(text, "\n**Known, without effect yet**\n\n{}\n\n{END}\n", names.join(", "));
    text
}
