//! How PostgreSQL's server programs come onto this machine, for messages.

/// One sentence's worth of advice for the distribution that this machine runs.
pub(super) fn install() -> String {
    let release = ["/etc/os-release", "/usr/lib/os-release"]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok());
    for_release(&release.unwrap_or_default()).to_owned()
}

/// The same, for what an `os-release` file says (os-release(5)).
fn for_release(text: &str) -> &'static str {
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches('"').to_ascii_lowercase()
    };
    let id = value("ID");
    let like = format!("{id} {}", value("ID_LIKE"));
    let is = |name: &str| like.split_whitespace().any(|word| word == name);
    if is("debian") || is("ubuntu") {
        "apt install postgresql (before Debian 12 and Ubuntu 24.04 that is too old: use the \
         packages of apt.postgresql.org)"
    } else if id == "fedora" {
        "dnf install postgresql-server"
    } else if is("rhel") || is("centos") || is("fedora") {
        "dnf install postgresql-server (on versions 8 and 9 after `dnf module enable \
         postgresql:16`, since what comes by default is too old)"
    } else if is("alpine") {
        "apk add postgresql"
    } else if is("arch") {
        "pacman -S postgresql"
    } else if is("suse") || is("opensuse") {
        "zypper install postgresql-server"
    } else {
        "they are in the package postgresql-server or postgresql of most systems"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_has_its_command() {
        for (release, wanted) in [
            ("PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n", "apt install postgresql "),
            ("ID=ubuntu\nID_LIKE=debian\n", "apt install postgresql "),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", "apt install postgresql "),
            ("ID=fedora\n", "dnf install postgresql-server"),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", "dnf module enable"),
            ("ID=\"rhel\"\nID_LIKE=\"fedora\"\n", "dnf module enable"),
            ("ID=alpine\n", "apk add postgresql"),
            ("ID=arch\n", "pacman -S postgresql"),
            ("ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n", "zypper install"),
            ("ID=void\n", "most systems"),
            ("", "most systems"),
        ] {
            let advice = for_release(release);
            assert!(advice.contains(wanted), "{release:?}: {advice}");
        }
        assert_eq!(for_release("ID=fedora\n"), "dnf install postgresql-server");
    }
}
