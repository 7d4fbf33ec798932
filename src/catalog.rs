//! What a project can be made of, as data. Prompts, flags, `list`, completions and documentation all read these tables.

use crate::answers::Answers;
use crate::tree::Class;

/// One row of a list: what is typed, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// What is typed.
    pub id: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
}

/// Upstream APIs that are ready to use.
pub const PROVIDERS: &[Item] =
    &[Item { id: "notion", summary: "Notion: search, pages, text; an internal integration token" }];

/// How an API of one's own can authenticate.
pub const SHAPES: &[Item] =
    &[Item { id: "api-key", summary: "A key in a header, made by the tenant at the API's own site" }];

/// Places to deploy to.
pub const TARGETS: &[Item] =
    &[Item { id: "compose", summary: "Docker Compose on one machine, with SQLite on a volume" }];

/// How clients reach the server.
pub const TRANSPORTS: &[Item] = &[
    Item { id: "both", summary: "HTTP for remote clients, stdio for local ones" },
    Item { id: "http", summary: "HTTP only" },
    Item { id: "stdio", summary: "stdio only: a child process of a local client" },
];

/// Provider taken when nothing is said.
pub const DEFAULT_PROVIDER: &str = "notion";
/// Transport taken when nothing is said.
pub const DEFAULT_TRANSPORT: &str = "both";

/// A value of a custom API that nobody is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Key in `--set` and in `mcpkit.toml`.
    pub key: &'static str,
    /// What it is.
    pub summary: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// Taken when nothing is said; `{api}` stands for the API's name with hyphens.
    pub default: &'static str,
}

/// What a setting may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An https URL without query.
    Url,
    /// The name of a header.
    Header,
    /// A path that begins with `/`.
    Path,
    /// Visible characters and spaces.
    Text,
}

/// The settings of a custom API of the shape `api-key`. The default host is one that nobody can own; `config check` of
/// the generated server says so until it is replaced.
pub const API_KEY_SETTINGS: &[Setting] = &[
    Setting {
        key: "base_url",
        summary: "scheme and host of the API",
        kind: Kind::Url,
        default: "https://{api}.example",
    },
    Setting { key: "collection", summary: "path of the collection to read", kind: Kind::Path, default: "/v1/items" },
    Setting { key: "header", summary: "header that carries the key", kind: Kind::Header, default: "Authorization" },
    Setting { key: "prefix", summary: "what stands before the key", kind: Kind::Text, default: "Bearer " },
];

/// A file of the project that is not part of an integration.
pub struct FileSpec {
    /// Template, under `templates/`.
    pub source: &'static str,
    /// Path in the project.
    pub target: &'static str,
    /// Who changes it.
    pub class: Class,
    /// Whether this project has it.
    pub when: fn(&Answers) -> bool,
}

const fn file(source: &'static str, target: &'static str, class: Class) -> FileSpec {
    FileSpec { source, target, class, when: always }
}

fn always(_: &Answers) -> bool {
    true
}

fn compose(answers: &Answers) -> bool {
    answers.deploys_to("compose")
}

/// Every template outside `kit/`, `providers/` and `shapes/`, and where it goes.
pub const FILES: &[FileSpec] = &[
    file("project/AGENTS.md.j2", "AGENTS.md", Class::Seeded),
    file("project/Cargo.toml.j2", "Cargo.toml", Class::Structural),
    file("project/LICENSE", "LICENSE", Class::Seeded),
    file("project/README.md.j2", "README.md", Class::Seeded),
    file("project/RUNBOOK.md.j2", "RUNBOOK.md", Class::Seeded),
    file("project/_gitattributes", ".gitattributes", Class::Seeded),
    file("project/_github/workflows/ci.yml", ".github/workflows/ci.yml", Class::Seeded),
    file("project/_gitignore", ".gitignore", Class::Seeded),
    file("project/clippy.toml", "clippy.toml", Class::Seeded),
    file("project/config/server.toml.j2", "config/server.toml", Class::Seeded),
    file("project/rustfmt.toml", "rustfmt.toml", Class::Seeded),
    file("project/src/integrations/mod.rs.j2", "src/integrations/mod.rs", Class::Managed),
    file("project/src/lib.rs.j2", "src/lib.rs", Class::Seeded),
    file("project/src/main.rs.j2", "src/main.rs", Class::Seeded),
    file("project/tests/server/isolation.rs.j2", "tests/server/isolation.rs", Class::Seeded),
    file("project/tests/server/main.rs.j2", "tests/server/main.rs", Class::Seeded),
    FileSpec {
        source: "project/tests/server/http.rs.j2",
        target: "tests/server/http.rs",
        class: Class::Seeded,
        when: Answers::http,
    },
    FileSpec {
        source: "deploy/compose/Dockerfile.j2",
        target: "deploy/compose/Dockerfile",
        class: Class::Seeded,
        when: compose,
    },
    FileSpec {
        source: "deploy/compose/README.md.j2",
        target: "deploy/compose/README.md",
        class: Class::Seeded,
        when: compose,
    },
    FileSpec {
        source: "deploy/compose/compose.yaml.j2",
        target: "deploy/compose/compose.yaml",
        class: Class::Seeded,
        when: compose,
    },
    FileSpec {
        source: "deploy/compose/dockerignore",
        target: "deploy/compose/Dockerfile.dockerignore",
        class: Class::Seeded,
        when: compose,
    },
    FileSpec {
        source: "deploy/compose/env.example",
        target: "deploy/compose/env.example",
        class: Class::Seeded,
        when: compose,
    },
];

/// Templates that other modules read on their own: not files of a project as they stand.
pub const PARTS: &[&str] = &["project/Cargo.lock", "project/config/integration.toml.j2"];

/// The ids of a list.
pub fn ids(items: &'static [Item]) -> impl Iterator<Item = &'static str> {
    items.iter().map(|item| item.id)
}
