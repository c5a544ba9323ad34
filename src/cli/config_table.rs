use super::CliError;
use crate::config::registry;

/// `rowlock config-table`: the part of the README that is generated from the variables'
/// declarations.
pub(crate) fn run() -> Result<(), CliError> {
    super::print(&registry::markdown())
}

#[cfg(test)]
mod tests {
    use super::registry::{BEGIN, END, markdown};

    #[test]
    fn the_readme_has_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
        let readme = std::fs::read_to_string(path).expect("README.md");
        let begin = readme.find(BEGIN).expect("the begin marker");
        let end = readme.find(END).expect("the end marker") + END.len();
        assert!(
            readme[begin..end].trim() == markdown().trim(),
            "README.md differs from `rowlock config-table`: paste its output between the markers"
        );
    }
}
