//! The exact `Cargo.lock` of a project. Cargo resolves a workspace with all features of all members, so every project
//! with the same kit has the same lock but for its own package: the template holds the rest, and the package is put
//! where cargo would put it. `cargo build --locked` then passes at once, without the network.

use crate::embed;
use crate::name::ProjectName;

/// Where it lives.
pub const PATH: &str = "Cargo.lock";
/// The template that holds all but the project's own package.
pub const TEMPLATE: &str = "project/Cargo.lock";
/// The package that the template was resolved for.
const PLACEHOLDER: &str = "mcpkit-placeholder";

/// What the tests of a project need only if it speaks HTTP.
const HTTP_ONLY: &str = " \"reqwest\",\n";

/// The lock of the project `name`, out of `template`.
pub fn render(template: &str, name: &ProjectName, http: bool) -> String {
    let (head, mut packages) = parts(template);
    for package in packages.iter_mut().filter(|package| name_of(package) == PLACEHOLDER) {
        *package = package.replacen(PLACEHOLDER, name.as_str(), 1);
        if !http {
            *package = package.replacen(HTTP_ONLY, "", 1);
        }
    }
    packages.sort_by(|a, b| name_of(a).cmp(name_of(b)));
    format!("{head}\n{}", packages.join("\n"))
}

/// Whether a project has a dependency of this name, as a package or as a crate: the two could not be told apart.
pub fn has_package(name: &str) -> bool {
    parts(embed::file(TEMPLATE).unwrap_or_default())
        .1
        .iter()
        .any(|package| name_of(package).replace('_', "-") == name.replace('_', "-"))
}

fn parts(text: &str) -> (String, Vec<String>) {
    let mut parts = text.split("\n[[package]]\n");
    let head = parts.next().unwrap_or_default().to_owned();
    // Blank lines separate packages; each ends with one newline here.
    let packages = parts.map(|part| format!("[[package]]\n{}\n", part.trim_end())).collect();
    (format!("{}\n", head.trim_end()), packages)
}

fn name_of(package: &str) -> &str {
    package.split('"').nth(1).unwrap_or_default()
}
